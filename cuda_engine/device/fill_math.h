/*
 * The arithmetic that gives transparent pixels a colour, for every backend: nobody sees it, but a codec has to code it and
 * smears it into what is seen, so it should go on smoothly from the edge. "Push-pull": the picture is halved again and
 * again, known pixels only, weighted by how well they are known; on the way back what is unknown is taken from the
 * coarser level, bilinearly. (Gortler et al., The Lumigraph, 1996, section 3.4.2.) All in integers, so backends agree
 * exactly.
 *
 * Level 1 has half the size of the picture, rounded up, and so on to a level of 1x1. Each has bytes Y, U, V and W, where
 * W is 0 for unknown. A chroma sample of the picture is one of level 1.
 */
#ifndef MATTE_FILL_MATH_H
#define MATTE_FILL_MATH_H

#include "compose_math.h"

/* Alpha below this says too little about colour. */
#define FILL_LEAST 8u

/* Of a pixel, by its alpha: the square, 1..255 or 0. */
COMPOSE_FN unsigned fill_weight(unsigned alpha)
{
    return alpha < FILL_LEAST ? 0 : (alpha * alpha + 255) >> 8;
}

/* Of four: the mean, rounded up, as what is known stays so. sum: of the four weights. */
COMPOSE_FN unsigned char fill_coarser_weight(unsigned sum)
{
    return (unsigned char)((sum + 3) >> 2);
}

/* sum: of code times weight over four; weight: of the four. Exact in float: sum is below 2^18. 0 for weight 0. */
COMPOSE_FN unsigned char fill_mean(unsigned sum, unsigned weight)
{
    return (unsigned char)(int)((float)(int)sum / (float)(int)(weight ? weight : 1) + .5f);
}

/*
 * A pixel between four of the coarser level: fill_across(fill_down(c, in_y), fill_down(in_x, in_both)), where c is the one
 * over it, in_x and in_y are its neighbours on the pixel's side and in_both is the one in both; at the border a
 * neighbour is the nearest that is there.
 */
COMPOSE_FN unsigned fill_down(unsigned near, unsigned far)
{
    return 3 * near + far;
}

COMPOSE_FN unsigned char fill_across(unsigned near, unsigned far)
{
    return (unsigned char)((3 * near + far + 8) >> 4);
}

#endif
