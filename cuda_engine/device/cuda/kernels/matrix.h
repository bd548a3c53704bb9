/* Matrices of halves in device memory, many of one size: elements of a row are adjacent. */
#ifndef MATTE_KERNELS_MATRIX_H
#define MATTE_KERNELS_MATRIX_H

#include <stdint.h>

#include "../extent.h"

enum { MATRIX_VECTOR = 8 };

/*
 * Those of batch b and head h begin at data + b * stride_batch + h * stride_head: what a network splits a tensor's last
 * dimension into is called heads. Strides are in halves; 0 repeats.
 */
struct matrix16 {
    uint16_t *data;
    int stride_batch, stride_head, stride_row;
    int vector; /* 1: eight elements of a row can be read and written at once, as matrix_is_vector() says */
};

static inline int matrix_is_vector(const struct matrix16 *m)
{
    return !((uintptr_t)m->data % 16 || m->stride_batch % MATRIX_VECTOR ||
             m->stride_head % MATRIX_VECTOR || m->stride_row % MATRIX_VECTOR);
}

#endif
