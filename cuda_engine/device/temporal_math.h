/*
 * Calming alpha over time without ghosts: where the picture stands still alpha is averaged with the last frame's,
 * where it moves it is not. Motion is the mean over 5x5 pixels of the largest of the three colours' differences; a
 * gate that closes by it was as good as none on moving material and takes two thirds of the flicker of still one
 * (dtSSD).
 */
#ifndef MATTE_TEMPORAL_MATH_H
#define MATTE_TEMPORAL_MATH_H

#include "sample_math.h"

enum { TEMPORAL_RADIUS = 2 }; /* pixels to each side */

/* A mean difference from which on a pixel moves, and the least weight of the present frame. */
#define TEMPORAL_MOTION .06f
#define TEMPORAL_LEAST  .25f

/* The largest difference of R'G'B'. */
COMPOSE_FN float difference(struct rgb a, struct rgb b)
{
    float x = a.r - b.r, y = a.g - b.g, z = a.b - b.b;
    x = x < 0 ? -x : x;
    y = y < 0 ? -y : y;
    z = z < 0 ? -z : z;
    x = x > y ? x : y;
    return x > z ? x : z;
}

/* The weight of the present frame. */
COMPOSE_FN float gate_weight(float motion)
{
    return mix(TEMPORAL_LEAST, 1, clamp_to(motion * (1 / TEMPORAL_MOTION), 0, 1));
}

COMPOSE_FN float calm_alpha(float alpha, float before, float motion)
{
    return mix(before, alpha, gate_weight(motion));
}

#endif
