/* The arithmetic of a picture that a network sees as bright as it can be, shared by every backend. */
#ifndef MATTE_FIT_MATH_H
#define MATTE_FIT_MATH_H

#include "compose_math.h"

/* A picture that is nowhere brighter is black: what there is in it is the rounding of its halves. */
#define FIT_BLACK (1.f / 1024)

/*
 * What a picture is to be multiplied by whose largest value (0..1) is this; a black one nothing can make brighter. The value
 * is this picture's alone: averaged over time it steadies U2-Net-p's alpha only where a lamp blinks in the dark, noise moves
 * it too little to matter, and a fade from black would be overexposed.
 */
COMPOSE_FN float fit_gain(float largest)
{
    return largest > FIT_BLACK ? 1 / largest : 1;
}

/* A normalised value of a picture that is multiplied before it is normalised. */
COMPOSE_FN float fit_bright(float value, float gain, float mean, float std)
{
    return value * gain + (gain - 1) * mean / std;
}

#endif
