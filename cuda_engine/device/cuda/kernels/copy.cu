/*
 * Copies. `copy` moves a box of a tensor, a thread for four channels. `to_halves` and `to_floats` change order and
 * type at a network's ends: a tile of 32 pixels by 32 channels goes through shared memory, so that both sides are
 * read and written along what is adjacent there; a column of padding keeps the tile's columns out of one bank.
 */
#include "copy.h"
#include "tensor.cuh"

template <int V> DEVICE_FN void run(const struct copy_params &p)
{
    for_spots<V>(p.out, [&](struct spot s) {
        const struct spot from = { s.n - p.offset[0], s.y - p.offset[1], s.x - p.offset[2],
            s.c - p.offset[3] };
        struct pack<V> v;
        if (from.n >= 0 && from.n < p.in.n && from.y >= 0 && from.y < p.in.h && from.x >= 0 &&
            from.x < p.in.w && from.c >= 0 && from.c < p.in.c) {
            v = load<V>(address(p.in, from));
        } else {
#pragma unroll
            for (int i = 0; i < V; i++)
                v.v[i] = p.fill;
        }
        store(address(p.out, s), v);
    });
}

KERNEL(copy, TENSOR_THREADS)
{
    if (p.vector)
        run<TENSOR_VECTOR>(p);
    else
        run<1>(p);
}

KERNEL(to_halves, TRANSPOSE_THREADS)
{
    __shared__ float tile[TRANSPOSE_SIDE][TRANSPOSE_SIDE + 1];
    const int pixel = blockIdx.x * TRANSPOSE_SIDE, channel = blockIdx.y * TRANSPOSE_SIDE;
    const float *in = p.in + (size_t)blockIdx.z * p.c * p.pixels;
    __half *out = (__half *)p.out + (size_t)blockIdx.z * p.stride_n;
    for (int i = threadIdx.y; i < TRANSPOSE_SIDE; i += TRANSPOSE_ROWS)
        if (channel + i < p.c && pixel + (int)threadIdx.x < p.pixels)
            tile[i][threadIdx.x] = in[(size_t)(channel + i) * p.pixels + pixel + threadIdx.x];
    __syncthreads();
    for (int i = threadIdx.y; i < TRANSPOSE_SIDE; i += TRANSPOSE_ROWS)
        if (pixel + i < p.pixels && channel + (int)threadIdx.x < p.c)
            out[(size_t)(pixel + i) * p.stride_pixel + channel + threadIdx.x] =
                __float2half_rn(tile[threadIdx.x][i]);
}

KERNEL(to_floats, TRANSPOSE_THREADS)
{
    __shared__ float tile[TRANSPOSE_SIDE][TRANSPOSE_SIDE + 1];
    const int pixel = blockIdx.x * TRANSPOSE_SIDE, channel = blockIdx.y * TRANSPOSE_SIDE;
    const __half *in = (const __half *)p.in + (size_t)blockIdx.z * p.stride_n;
    float *out = p.out + (size_t)blockIdx.z * p.c * p.pixels;
    for (int i = threadIdx.y; i < TRANSPOSE_SIDE; i += TRANSPOSE_ROWS)
        if (pixel + i < p.pixels && channel + (int)threadIdx.x < p.c)
            tile[i][threadIdx.x] =
                __half2float(in[(size_t)(pixel + i) * p.stride_pixel + channel + threadIdx.x]);
    __syncthreads();
    for (int i = threadIdx.y; i < TRANSPOSE_SIDE; i += TRANSPOSE_ROWS)
        if (channel + i < p.c && pixel + (int)threadIdx.x < p.pixels)
            out[(size_t)(channel + i) * p.pixels + pixel + threadIdx.x] = tile[threadIdx.x][i];
}
