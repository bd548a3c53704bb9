/*
 * How a picture has moved since the one before, block by block, and planes carried along with it. Pictures are of a
 * network's mask: small, 8-bit luma. For one clip, one thread; it allocates nothing while running.
 */
#ifndef MATTE_MOTION_H
#define MATTE_MOTION_H

#include <stdint.h>

#include "../error.h"

enum { MOTION_BLOCK = 8, MOTION_REACH = 16 };

struct motion_block {
    float dx, dy;   /* it was at (x + dx, y + dy), at most MOTION_REACH away */
    float residual; /* mean difference from there, in codes of luma */
};

struct motion {
    int width, height; /* of the pictures */
    int columns, rows; /* of blocks, MOTION_BLOCK x MOTION_BLOCK each */
    const struct motion_block *blocks;
    int cut;      /* 1: the picture has nothing to do with the one before, or there was none */
    float moving; /* the part of the blocks that are not still */
};

struct motion *motion_open(int width, int height, struct error *e);

/* The next picture, width * height. */
void motion_run(struct motion *m, const uint8_t *luma);

/* The next picture is a first one. */
void motion_reset(struct motion *m);

/* What became of a thing. */
struct motion_carried {
    float dx, dy;   /* how far its middle went */
    float scale;    /* how much it grew */
    float residual; /* mean of its blocks */
};

/*
 * Moves a plane of the picture's size along: from is above 0 where the thing was, and its own blocks alone say how it
 * moved, so that what passes behind does not pull at its edge.
 */
void motion_carry(struct motion *m, const float *from, float *to, struct motion_carried *carried);

/* m may be NULL. */
void motion_close(struct motion *m);

#endif
