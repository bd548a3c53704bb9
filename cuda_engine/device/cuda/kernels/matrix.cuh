/* Matrices in kernels: eight halves at a time between device memory and tiles in shared memory. */
#ifndef MATTE_KERNELS_MATRIX_CUH
#define MATTE_KERNELS_MATRIX_CUH

#include <mma.h>

#include "kernel.cuh"
#include "matrix.h"

namespace wmma = nvcuda::wmma;

enum { FRAGMENT = 16 };

typedef wmma::fragment<wmma::accumulator, FRAGMENT, FRAGMENT, FRAGMENT, float> sums16;
typedef wmma::fragment<wmma::matrix_a, FRAGMENT, FRAGMENT, FRAGMENT, __half, wmma::row_major>
    left16;
template <class Layout>
using right16 = wmma::fragment<wmma::matrix_b, FRAGMENT, FRAGMENT, FRAGMENT, __half, Layout>;

/* The matrix of a batch and head. */
DEVICE_FN uint16_t *matrix_of(const struct matrix16 &m, int batch, int head)
{
    return m.data + ((size_t)batch * m.stride_batch + (size_t)head * m.stride_head);
}

/* Elements x to x + 7 of a row of `count`, and zeros beyond. */
DEVICE_FN uint4 load_eight(const uint16_t *row, int x, int count, int vector)
{
    uint32_t words[4] = { 0, 0, 0, 0 };
    if (vector && x + MATRIX_VECTOR <= count)
        return *(const uint4 *)(row + x);
#pragma unroll
    for (int i = 0; i < MATRIX_VECTOR; i++)
        if (x + i < count)
            words[i / 2] |= (uint32_t)row[x + i] << i % 2 * 16;
    return make_uint4(words[0], words[1], words[2], words[3]);
}

#endif
