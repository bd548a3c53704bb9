/* refine.cu: a network's alpha to the size and the edges of the picture. */
#ifndef MATTE_KERNELS_REFINE_H
#define MATTE_KERNELS_REFINE_H

#include "enlarge.h"
#include "picture.h"

enum { REFINE_THREADS = 256 };

struct refine_params {
    struct picture picture;
    struct enlargement size;    /* to the picture's */
    const uint16_t *guide;      /* halves, N,H,W,C: what sample_picture made of the same picture */
    const uint16_t *alpha;      /* halves: the network's answer */
    int guide_step, alpha_step; /* halves from one sample to the next */
    float mean[3], std[3];      /* rgb = guide * std + mean */
    uint8_t *out;               /* 0..255, levelled; 4-byte aligned */
    int out_pitch; /* bytes from row to row, a multiple of 4, the width rounded up or more */
};

static inline struct launch refine_launch(const struct refine_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->size.width, (unsigned)p->size.tile_width),
            blocks_for((unsigned)p->size.height, (unsigned)p->size.tile_height), 1 },
        { REFINE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
