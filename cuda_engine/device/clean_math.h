/*
 * Cleaning a matte of what stands far from the subject and is small beside it, and of holes in the subject that the
 * network does not quite mean. Decided on a grid of at most CLEAN_GRID x CLEAN_GRID cells, all in integers, so that
 * backends agree exactly, and shared by every backend; hair stands near the subject, so that it is not touched.
 *
 * A cell holds `side` x `side` pixels of alpha, in codes of 0..255: their sum, the least and the greatest. Islands are
 * connected cells, corners too, of which each has a pixel that is rather there than not (CLEAN_THERE); what an island
 * weighs is the sum of its cells' sums. One that weighs less than a CLEAN_SHARE'th of the heaviest is not kept, nor is what
 * is further than CLEAN_NEAR cells from those that are. Holes are connected cells with a pixel that is not wholly there
 * (CLEAN_WHOLE); one that does not reach the grid's border and in which no pixel is less than CLEAN_MEANT is filled.
 * (An island's label is the greatest index among its cells, so it comes out alike in whatever order it is found.)
 *
 * Every cell goes towards what is decided by one CLEAN_STEPS'th a frame, and what has been kept stays so until it
 * weighs but half of that, so that nothing blinks. Between the cells' middles it is linear.
 */
#ifndef MATTE_CLEAN_MATH_H
#define MATTE_CLEAN_MATH_H

#include "compose_math.h"

enum {
    CLEAN_GRID = 64,
    CLEAN_THERE = 51,
    CLEAN_SHARE = 24,
    CLEAN_NEAR = 2,
    CLEAN_WHOLE = 230,
    CLEAN_MEANT = 64,
    CLEAN_STEPS = 4
};

struct clean_cell {
    int sum, least, most;
};

/* How far, of CLEAN_STEPS: kept, and filled. */
struct clean_state {
    signed char kept, filled;
};

/* Pixels along a cell's side. */
COMPOSE_FN int clean_side(int width, int height)
{
    int longer = width > height ? width : height;
    return (longer + CLEAN_GRID - 1) / CLEAN_GRID;
}

COMPOSE_FN int clean_is_there(struct clean_cell c)
{
    return c.most >= CLEAN_THERE;
}

COMPOSE_FN int clean_is_open(struct clean_cell c)
{
    return c.least < CLEAN_WHOLE;
}

/* was: one of its cells is more kept than not. */
COMPOSE_FN int clean_keeps(int weight, int heaviest, int was)
{
    return weight >= heaviest / (CLEAN_SHARE * (was ? 2 : 1));
}

COMPOSE_FN int clean_was_kept(struct clean_state s)
{
    return 2 * s.kept > CLEAN_STEPS;
}

/* least: of all its pixels. */
COMPOSE_FN int clean_fills(int least, int reaches_border)
{
    return !reaches_border && least >= CLEAN_MEANT;
}

/* Away step by step, back at once. */
COMPOSE_FN struct clean_state clean_step(struct clean_state from, int kept, int filled)
{
    struct clean_state s = {
        (signed char)(kept            ? CLEAN_STEPS
                      : from.kept > 0 ? from.kept - 1
                                      : 0),
        (signed char)(!filled                     ? 0
                      : from.filled < CLEAN_STEPS ? from.filled + 1
                                                  : CLEAN_STEPS),
    };
    return s;
}

COMPOSE_FN float clean_mix(int a, int b, int c, int d, float x, float y)
{
    float upper = mix((float)a, (float)b, x), lower = mix((float)c, (float)d, x);
    return mix(upper, lower, y) * (1.0f / CLEAN_STEPS);
}

/* How far the i'th pixel between two cells' middles is from the first: it is pixel side - side / 2 + i from its start. */
COMPOSE_FN float clean_place(int i, int side)
{
    int pixel = side - side / 2 + i;
    return ((float)pixel + .5f) / (float)side - .5f;
}

/* A pixel's alpha between the four cells whose middles are around it, above left first; x, y: of clean_place(). */
COMPOSE_FN float clean_alpha(float alpha, struct clean_state a, struct clean_state b,
    struct clean_state c, struct clean_state d, float x, float y)
{
    float kept = clean_mix(a.kept, b.kept, c.kept, d.kept, x, y);
    float filled = clean_mix(a.filled, b.filled, c.filled, d.filled, x, y);
    return mix(alpha, 1, filled) * kept;
}

#endif
