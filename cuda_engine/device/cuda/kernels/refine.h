/* refine.cu: a network's alpha to the size and the edges of the picture. */
#ifndef MATTE_KERNELS_REFINE_H
#define MATTE_KERNELS_REFINE_H

#include "picture.h"

enum {
    REFINE_THREADS = 256,
    REFINE_LOW_WIDTH = 40, /* small samples that a block can hold */
    REFINE_LOW_HEIGHT = 24,
    REFINE_TILE = 128, /* pixels a side that a block makes, at most */
};

struct refine_params {
    struct picture picture;
    const uint16_t *guide;      /* halves, N,H,W,C: what sample_picture made of the same picture */
    const uint16_t *alpha;      /* halves: the network's answer */
    int guide_step, alpha_step; /* halves from one sample to the next */
    float mean[3], std[3];      /* rgb = guide * std + mean */
    int low_width, low_height;
    uint16_t *out; /* halves in 0..1, levelled; 8-byte aligned */
    int out_pitch; /* halves from row to row, a multiple of 4, the width rounded up or more */
    int tile_width, tile_height; /* refine_tile(); the width a multiple of 4 */
};

/* Pixels along one axis of which the small samples fit into held; 0 where the small picture is too much larger. */
static inline int refine_tile(int size, int low, int held)
{
    /* a tile's samples, the second neighbour of its last pixel, and two windows beyond both ends */
    int tile = REFINE_TILE;
    while (tile >= 4 && (double)tile * low / size + 6 > held)
        tile /= 2;
    return tile < 4 ? 0 : tile;
}

static inline struct launch refine_launch(const struct refine_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->picture.width, (unsigned)p->tile_width),
            blocks_for((unsigned)p->picture.height, (unsigned)p->tile_height), 1 },
        { REFINE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
