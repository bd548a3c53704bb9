/* scale.cu: what one network sees to the input of another. */
#ifndef MATTE_KERNELS_SCALE_H
#define MATTE_KERNELS_SCALE_H

#include <stdint.h>

#include "../extent.h"
#include "taps.h"

enum { SCALE_THREADS = 256 };

struct scale_picture_params {
    const uint16_t *picture; /* halves, H,W,C, four to a pixel, of which three are R, G, B */
    int width;               /* its */
    struct axis x, y;        /* device/taps.h */
    float gain[3], offset[3];
    int reversed;  /* 1: the result is B, G, R */
    uint16_t *out; /* as the picture */
    int to_width, to_height;
};

static inline struct launch scale_picture_launch(const struct scale_picture_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->to_width * p->to_height), SCALE_THREADS), 1, 1 },
        { SCALE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
