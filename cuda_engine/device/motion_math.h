/*
 * Where a picture's parts came from: for each block of it the place in the last picture that is most like it, found from
 * coarse to fine. All in integers, so backends agree exactly. Shared by every backend.
 *
 * Level 0 is the luma of the network's picture in codes; each coarser level has half its size, rounded up. On every level
 * a block of MOTION_BLOCK x MOTION_BLOCK pixels is compared with what surrounds it, MOTION_AROUND pixels to each side, as
 * far as the picture goes: the cost of a vector is the sum of absolute differences over that window, of standing still
 * half a code a pixel less. The last picture is taken at x + vector, outside of it at its nearest pixel.
 *
 * The first of these vectors whose cost is least is the block's. On the coarsest level: to stand still, then all within
 * MOTION_REACH, row by row. On a finer one: to stand still; twice the vectors of the coarser level's blocks, of the one
 * that holds it, of that one's neighbour on the block's side in x, in y, and in both (at the border the nearest); and then
 * the eight around the best of these, row by row.
 */
#ifndef MATTE_MOTION_MATH_H
#define MATTE_MOTION_MATH_H

#include "sample_math.h"

enum { MOTION_LEVELS = 5, MOTION_BLOCK = 8, MOTION_AROUND = 4, MOTION_REACH = 3 };

struct vector {
    short x, y;
};

COMPOSE_FN unsigned char motion_luma(struct rgb c)
{
    return round_code((c.r + 2 * c.g + c.b) * (255.0f / 4));
}

/* Of four pixels; outside the picture the nearest. */
COMPOSE_FN unsigned char motion_halve(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (unsigned char)((a + b + c + d + 2) >> 2);
}

/* pixels: of the window. */
COMPOSE_FN int motion_still_cost(int sum, int pixels)
{
    return sum - pixels / 2;
}

#endif
