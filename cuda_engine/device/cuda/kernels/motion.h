/* motion.cu: where the parts of a picture were in the one before it. */
#ifndef MATTE_KERNELS_MOTION_H
#define MATTE_KERNELS_MOTION_H

#include "../../motion_math.h"
#include "../extent.h"
#include "seen.h"

enum {
    MOTION_THREADS = 256,
    MOTION_TILE =
        32, /* pixels a side of which a block makes all levels; a multiple of 2 to the levels but one */
    MATCH_THREADS = 128, /* a warp to each of the picture's blocks */
};

/* Codes without gaps. */
struct motion_level {
    uint8_t *luma;
    const uint8_t *before; /* of the last picture */
    struct vector *vectors;
    int width, height;
    int across, down; /* blocks */
};

struct motion_levels_params {
    struct seen seen;
    struct motion_level level[MOTION_LEVELS]; /* luma is written, the others are not looked at */
};

static inline struct launch motion_levels_launch(const struct motion_levels_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->seen.width, MOTION_TILE),
            blocks_for((unsigned)p->seen.height, MOTION_TILE), 1 },
        { MOTION_THREADS, 1, 1 },
        0,
    };
    return l;
}

struct motion_match_params {
    struct motion_level level;   /* whose vectors are written */
    struct motion_level coarser; /* vectors NULL: there is none */
};

static inline struct launch motion_match_launch(const struct motion_match_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->level.across * p->level.down), MATCH_THREADS / 32), 1, 1 },
        { MATCH_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
