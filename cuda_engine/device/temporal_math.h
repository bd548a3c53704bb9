/*
 * Calming alpha over time without ghosts: it is averaged with what it was where the pixel came from (motion_math.h), over
 * as many frames as the picture there stays the same. An answer that is sure weighs more than one that is not: a network
 * wavers where it does not know. Shared by every backend.
 *
 * Pictures are compared softened, by sums over 3x3 pixels, so that a camera's noise is not taken for motion; how much
 * a pixel moves is the mean over 5x5 of the largest of the three colours' differences. Sums are of a row's pixels from
 * left to right and then of those from top to bottom; what lies outside a picture is its nearest pixel.
 */
#ifndef MATTE_TEMPORAL_MATH_H
#define MATTE_TEMPORAL_MATH_H

#include "sample_math.h"

enum { TEMPORAL_SOFTEN = 1, TEMPORAL_RADIUS = 2 }; /* pixels to each side */

/* A mean difference from which on a pixel is another one. */
#define TEMPORAL_MOTION .05f
/* As many frames weigh in a mean as most. */
#define TEMPORAL_FRAMES 10
/* The weight of alpha .5 beside that of 0 and 1, which is 1 more. */
#define TEMPORAL_UNSURE .3f

/* Alpha, and how many frames it is a mean of. */
struct calm {
    float alpha, frames;
};

/* The largest difference of R'G'B', or of their sums over `count` pixels. */
COMPOSE_FN float temporal_difference(struct rgb a, struct rgb b, int count)
{
    float x = a.r - b.r, y = a.g - b.g, z = a.b - b.b;
    x = x < 0 ? -x : x;
    y = y < 0 ? -y : y;
    z = z < 0 ? -z : z;
    x = x > y ? x : y;
    return (x > z ? x : z) / (float)count;
}

COMPOSE_FN float temporal_sureness(float alpha)
{
    float off = 2 * alpha - 1;
    return off * off + TEMPORAL_UNSURE;
}

/* before: of where the pixel came from; moved: the sum of temporal_difference() over the window. */
COMPOSE_FN struct calm calm_alpha(float alpha, struct calm before, float moved)
{
    const int side = 2 * TEMPORAL_RADIUS + 1;
    float past = before.frames *
                 (1 - clamp_to(moved * (1 / (TEMPORAL_MOTION * (float)(side * side))), 0, 1));
    float weight = past * temporal_sureness(before.alpha) / temporal_sureness(alpha);
    struct calm c = {
        mix(alpha, before.alpha, weight / (1 + weight)),
        1 + past < TEMPORAL_FRAMES ? 1 + past : TEMPORAL_FRAMES,
    };
    return c;
}

#endif
