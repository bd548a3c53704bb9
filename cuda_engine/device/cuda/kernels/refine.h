/* refine.cu: a network's alpha to the size and the edges of the picture. */
#ifndef MATTE_KERNELS_REFINE_H
#define MATTE_KERNELS_REFINE_H

#include "enlarge.h"
#include "picture.h"

/* What a network saw and answered: halves, N,H,W,C, and halves from one sample to the next. */
struct guide {
    const uint16_t *color, *alpha; /* color: what sample_picture made of the same picture */
    int color_step, alpha_step;
    float mean[3], std[3]; /* rgb = color * std + mean */
};

struct refine_params {
    struct picture picture;
    struct enlargement size; /* to the picture's */
    struct guide guide;
    uint8_t *out;  /* 0..255, levelled; 4-byte aligned */
    int out_pitch; /* bytes from row to row, a multiple of 4, the width rounded up or more */
};

static inline struct launch refine_launch(const struct refine_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->size.width, (unsigned)p->size.tile_width),
            blocks_for((unsigned)p->size.height, (unsigned)p->size.tile_height), 1 },
        { ENLARGE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
