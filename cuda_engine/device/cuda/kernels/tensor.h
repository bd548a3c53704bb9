/*
 * Tensors of networks in device memory: halves, N,H,W,C, channels adjacent. Strides are in halves; a tensor has fewer
 * than 2^31 of them.
 */
#ifndef MATTE_KERNELS_TENSOR_H
#define MATTE_KERNELS_TENSOR_H

#include <stdint.h>

#include "../extent.h"

struct tensor16 {
    uint16_t *data;
    int n, h, w, c;
    int stride_n, stride_h, stride_w;
};

enum { TENSOR_THREADS = 128, TENSOR_GRID = 65535, TENSOR_VECTOR = 4 };

/* 1 if four channels can be read and written at once. */
static inline int tensor_is_vector(const struct tensor16 *t)
{
    return !((uintptr_t)t->data % 8 || t->c % TENSOR_VECTOR || t->stride_n % TENSOR_VECTOR ||
             t->stride_h % TENSOR_VECTOR || t->stride_w % TENSOR_VECTOR);
}

/* A thread for every channel of a row (or four of them), rows along y; a grid that is too short starts again. */
static inline struct launch tensor_launch(const struct tensor16 *t, int vector)
{
    const unsigned items = (unsigned)(t->w * t->c / (vector ? TENSOR_VECTOR : 1));
    const unsigned rows = (unsigned)(t->n * t->h);
    const struct launch l = {
        { blocks_for(items, TENSOR_THREADS), rows < TENSOR_GRID ? rows : (unsigned)TENSOR_GRID, 1 },
        { TENSOR_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
