/* normalise.cu: softmax, layer and instance normalisation, means of pictures. */
#ifndef MATTE_KERNELS_NORMALISE_H
#define MATTE_KERNELS_NORMALISE_H

#include "tensor.h"

enum {
    NORMALISE_THREADS = 256,
    NORMALISE_CHANNELS = 32,
    NORMALISE_LANES = 8,
    NORMALISE_SPLITS = 64
};

/* Dense halves: element k of slice (i, j) is at (i * size + k) * after + j. May be in place. */
struct softmax_params {
    const uint16_t *in;
    uint16_t *out;
    int before, size, after;
};

static inline struct launch softmax_launch(const struct softmax_params *p)
{
    const unsigned slices = (unsigned)(p->before * p->after);
    const struct launch l = {
        { blocks_for(slices, p->after == 1 ? NORMALISE_THREADS / 32 : NORMALISE_THREADS), 1, 1 },
        { NORMALISE_THREADS, 1, 1 },
        0,
    };
    return l;
}

/* Each row of size becomes (x - mean) / sqrt(variance + epsilon) * scale + bias. Dense; may be in place. */
struct layer_params {
    const uint16_t *in;
    uint16_t *out;
    const float *scale, *bias; /* of size; bias may be NULL */
    int rows, size;
    float epsilon;
};

static inline struct launch layer_launch(const struct layer_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->rows, NORMALISE_THREADS / 32), 1, 1 },
        { NORMALISE_THREADS, 1, 1 },
        0,
    };
    return l;
}

/* Of each channel of a picture: its pixels in `splits` runs, of each the mean and the squared differences' sum. */
struct moments_params {
    struct tensor16 in; /* stride_h = w * stride_w */
    float *partial;     /* pairs, [n][splits][c]; 8-byte aligned */
    int splits;         /* at most NORMALISE_SPLITS and h * w */
};

static inline struct launch moments_launch(const struct moments_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->in.c, NORMALISE_CHANNELS), (unsigned)p->splits,
            (unsigned)p->in.n },
        { NORMALISE_CHANNELS, NORMALISE_LANES, 1 },
        0,
    };
    return l;
}

/* Instance normalisation from the moments of in; may be in place. */
struct instance_params {
    struct tensor16 in, out; /* of one size; stride_h = w * stride_w */
    const float *partial;
    const float *scale, *bias; /* of c */
    int splits;
    float epsilon;
};

static inline struct launch instance_launch(const struct instance_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->in.c, NORMALISE_CHANNELS), (unsigned)p->splits,
            (unsigned)p->in.n },
        { NORMALISE_CHANNELS, NORMALISE_LANES, 1 },
        0,
    };
    return l;
}

/* The mean of each channel of a picture, from its moments. */
struct average_params {
    const float *partial;
    uint16_t *out; /* [n][c] */
    int n, c, pixels, splits;
};

static inline struct launch average_launch(const struct average_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->n * p->c), NORMALISE_THREADS), 1, 1 },
        { NORMALISE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
