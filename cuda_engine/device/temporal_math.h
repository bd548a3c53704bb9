/*
 * Calming alpha over time without ghosts: it is averaged with what it was where the pixel came from (motion_math.h), over
 * as many frames as the picture there stays the same. An answer that is sure weighs more than one that is not: a network
 * wavers where it does not know. Shared by every backend.
 *
 * A network also changes its mind: it finds at last a subject that it missed for many frames. Then the whole matte grows at
 * once by more than what wavers in it, and what is found is taken as it is; and where it shrinks as much, what goes softly
 * (what was sure and is gone is sooner missed than gone).
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
#define TEMPORAL_UNSURE .6f
/* The share of doubt in a matte from which on cleaning and edges change less, and from which on nothing: their reasons are
 * a subject that is sure and its soft edge, and of a matte that is mostly doubt they would make a sharper wrong one. */
#define TEMPORAL_DOUBT    .20f
#define TEMPORAL_DOUBTFUL .28f

/* A matte's growth or loss, of what it was, from which on the network has begun to change its mind; at twice it has. */
#define TEMPORAL_SHIFT .05f
/* A pixel's rise that is wholly taken; a fall that is soft, and one that is not. */
#define TEMPORAL_RISEN     .2f
#define TEMPORAL_SOFT_FALL .3f
#define TEMPORAL_HARD_FALL .5f

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

/* What a pixel weighs in the sum of its picture. */
COMPOSE_FN int temporal_code(float alpha)
{
    return round_code(clamp_to(alpha, 0, 1) * 255);
}

/* How far that is from the nearer of none and all. */
COMPOSE_FN int temporal_doubt_of(int code)
{
    return code < 128 ? code : 255 - code;
}

/* 0..1: doubt and all: sums of temporal_doubt_of() and of codes over all of alpha. */
COMPOSE_FN float temporal_doubt(long long doubt, long long all)
{
    float share = (float)doubt / (float)(all + 1);
    return clamp_to((share - TEMPORAL_DOUBT) * (1 / (TEMPORAL_DOUBTFUL - TEMPORAL_DOUBT)), 0, 1);
}

/* -1..1: that the network has let go (-1) or found something (1). now and before: sums of codes over all of alpha. */
COMPOSE_FN float temporal_shift(long long now, long long before)
{
    float change = (float)(now - before) / (float)(before + 1);
    float size = change < 0 ? -change : change;
    float shift = clamp_to(size * (1 / TEMPORAL_SHIFT) - 1, 0, 1);
    return change < 0 ? -shift : shift;
}

/* 0..1: how much of a pixel's past is left after a shift by which it rises so much, or falls. */
COMPOSE_FN float temporal_kept(float rise, float shift)
{
    const float down = 1 / (TEMPORAL_HARD_FALL - TEMPORAL_SOFT_FALL);
    float risen = clamp_to(rise * (1 / TEMPORAL_RISEN), 0, 1);
    float soft = rise < 0 ? clamp_to((rise + TEMPORAL_HARD_FALL) * down, 0, 1) : 0;
    return 1 - (shift > 0 ? shift * risen : -shift * soft);
}

/*
 * Guided alpha (refine_math.h) has the noise of the large picture, however calm the lines are that it is made of. So it is
 * averaged once more at its own size, but only where the picture stands still: what moves is found to a pixel of the small
 * picture, and that is too coarse here. How many frames of the past weigh there, by how many a calm pixel is a mean of and
 * whether it comes from its own place; the first few are those of a picture that moves by less than can be found.
 */
#define TEMPORAL_SETTLED 3

COMPOSE_FN float temporal_still(float frames, int own_place)
{
    return own_place && frames > TEMPORAL_SETTLED ? frames - TEMPORAL_SETTLED : 0;
}

/* before: the last frame's, as held_code() keeps it. */
COMPOSE_FN float held_alpha(float alpha, unsigned short before, float still)
{
    return mix(alpha, (float)before * (1.0f / 65535), still / (1 + still));
}

/* Finer than the picture's codes, in which a mean of many frames would get stuck. */
COMPOSE_FN unsigned short held_code(float alpha)
{
    return (unsigned short)(int)(alpha * 65535 + .5f);
}

/* before: of where the pixel came from; moved: the sum of temporal_difference() over the window. */
COMPOSE_FN struct calm calm_alpha(float alpha, struct calm before, float moved, float shift)
{
    const int side = 2 * TEMPORAL_RADIUS + 1;
    float past = before.frames *
                 (1 - clamp_to(moved * (1 / (TEMPORAL_MOTION * (float)(side * side))), 0, 1)) *
                 temporal_kept(alpha - before.alpha, shift);
    float weight = past * temporal_sureness(before.alpha) / temporal_sureness(alpha);
    struct calm c = {
        mix(alpha, before.alpha, weight / (1 + weight)),
        1 + past < TEMPORAL_FRAMES ? 1 + past : TEMPORAL_FRAMES,
    };
    return c;
}

#endif
