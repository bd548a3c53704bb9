/* fit.cu: a picture into a network's input, and its answers out again. */
#ifndef MATTE_KERNELS_FIT_H
#define MATTE_KERNELS_FIT_H

#include <stdint.h>

#include "../extent.h"

enum { FIT_THREADS = 256, FIT_PARTS = 64 };

/* The largest of a picture's values, restored to 0..1, or 0: of each of FIT_PARTS parts of it. */
struct fit_largest_params {
    const uint16_t *picture; /* halves, H,W,C, four to a pixel, of which three are R, G, B */
    int pixels;
    float mean[3], std[3]; /* value = half * std + mean */
    float *largest;        /* FIT_PARTS */
};

static inline struct launch fit_largest_launch(const struct fit_largest_params *p)
{
    (void)p;
    const struct launch l = { { FIT_PARTS, 1, 1 }, { FIT_THREADS, 1, 1 }, 0 };
    return l;
}

/* Writes all of the input: the picture at its top left, and zeros. */
struct fit_put_params {
    const uint16_t *picture; /* as above */
    int width, height;       /* its */
    const float *largest;    /* as above: it is divided by it; NULL: not */
    float mean[3], std[3];
    int reversed; /* 1: the network sees B, G, R */
    uint16_t *in; /* halves, H,W,C, four to a pixel */
    int in_width, in_height;
};

static inline struct launch fit_put_launch(const struct fit_put_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->in_width * p->in_height), FIT_THREADS), 1, 1 },
        { FIT_THREADS, 1, 1 },
        0,
    };
    return l;
}

/* The part of an output that is the picture's: one channel, or three and those of four. */
struct fit_take_params {
    const uint16_t *out;
    int out_width, out_step; /* halves from pixel to pixel */
    int reversed;
    uint16_t *answer;
    int width, height, channels, step; /* its */
};

static inline struct launch fit_take_launch(const struct fit_take_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->width * p->height), FIT_THREADS), 1, 1 },
        { FIT_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
