/*
 * Copies. `copy` moves a box of a tensor, a thread for four channels. `to_halves` and `to_floats` change order and type of
 * what crosses to or from the host, a thread for a pixel: each plane is read or written along what is adjacent there.
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

KERNEL(to_halves, CROSSING_THREADS)
{
    const int i = blockIdx.x * CROSSING_THREADS + threadIdx.x;
    const float *in = p.in + (size_t)blockIdx.z * p.c * p.pixels + i;
    __half *out = (__half *)p.out + (size_t)blockIdx.z * p.stride_n + (size_t)i * p.stride_pixel;
    for (int c = 0; c < p.c && i < p.pixels; c++, in += p.pixels)
        out[c] = __float2half_rn(*in);
}

KERNEL(to_floats, CROSSING_THREADS)
{
    const int i = blockIdx.x * CROSSING_THREADS + threadIdx.x;
    const __half *in =
        (const __half *)p.in + (size_t)blockIdx.z * p.stride_n + (size_t)i * p.stride_pixel;
    float *out = p.out + (size_t)blockIdx.z * p.c * p.pixels + i;
    for (int c = 0; c < p.c && i < p.pixels; c++, out += p.pixels)
        *out = __half2float(in[c]);
}
