/* copy.cu: tensors moved, padded, and taken from and to the order of files. */
#ifndef MATTE_KERNELS_COPY_H
#define MATTE_KERNELS_COPY_H

#include "tensor.h"

/*
 * Output element (n, y, x, c) is the input's at that place less offset, and fill where the input has none. A slice
 * has negative offsets, a padding others, and a part of a concatenation is a copy to a part of its output.
 */
struct copy_params {
    struct tensor16 in, out;
    int offset[4]; /* N, H, W, C */
    float fill;
    int vector; /* 1: both can be read four channels at once, and so can what lies offset[3] apart */
};

static inline struct launch copy_launch(const struct copy_params *p)
{
    return tensor_launch(&p->out, p->vector);
}

/*
 * Dense floats in the file's N,C,H,W to halves in N,H,W,C, and back; h and w count as one dimension. Of pictures and masks,
 * which have few channels.
 */
struct to_halves_params {
    const float *in;
    uint16_t *out;
    int n, c, pixels;
    int stride_n, stride_pixel; /* of the halves */
};

struct to_floats_params {
    const uint16_t *in;
    float *out;
    int n, c, pixels;
    int stride_n, stride_pixel;
};

enum { CROSSING_THREADS = 256 };

static inline struct launch crossing_launch(int n, int pixels)
{
    const struct launch l = {
        { blocks_for((unsigned)pixels, CROSSING_THREADS), 1, (unsigned)n },
        { CROSSING_THREADS, 1, 1 },
        0,
    };
    return l;
}

static inline struct launch to_halves_launch(const struct to_halves_params *p)
{
    return crossing_launch(p->n, p->pixels);
}

static inline struct launch to_floats_launch(const struct to_floats_params *p)
{
    return crossing_launch(p->n, p->pixels);
}

#endif
