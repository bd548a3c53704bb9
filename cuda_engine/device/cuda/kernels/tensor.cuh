/* Tensors in kernels: values are floats, four channels to a thread where they can be read at once, else one. */
#ifndef MATTE_KERNELS_TENSOR_CUH
#define MATTE_KERNELS_TENSOR_CUH

#include "kernel.cuh"
#include "tensor.h"

/* V values of adjacent channels. */
template <int V> struct pack {
    float v[V];
};

DEVICE_FN struct pack<4> load(const uint16_t *from, struct pack<4> *) {
    const float4 v = load_half4((const __half *)from);
    return { { v.x, v.y, v.z, v.w } };
}

DEVICE_FN struct pack<1>
load(const uint16_t *from, struct pack<1> *) {
    return { { __half2float(*(const __half *)from) } };
}

template <int V>
DEVICE_FN struct pack<V> load(const uint16_t *from) {
    return load(from, (struct pack<V> *)0);
}

DEVICE_FN void
store(uint16_t *to, struct pack<4> p)
{
    store_half4((__half *)to, make_float4(p.v[0], p.v[1], p.v[2], p.v[3]));
}

DEVICE_FN void store(uint16_t *to, struct pack<1> p)
{
    *(__half *)to = __float2half_rn(p.v[0]);
}

/* The part of a tensor that a thread works on: channels c to c + V - 1 of one pixel. */
struct spot {
    int n, y, x, c;
};

DEVICE_FN uint16_t *address(const struct tensor16 &t, struct spot s)
{
    return t.data + (s.n * t.stride_n + s.y * t.stride_h + s.x * t.stride_w + s.c);
}

/* Calls work(spot) for what the calling thread of a tensor_launch() has of t. */
template <int V, class F> DEVICE_FN void for_spots(const struct tensor16 &t, F work)
{
    const int channels = t.c / V, i = blockIdx.x * TENSOR_THREADS + threadIdx.x;
    if (i >= t.w * channels)
        return;
    const int x = i / channels, c = i % channels * V;
    for (int row = blockIdx.y; row < t.n * t.h; row += gridDim.y)
        work(spot { row / t.h, row % t.h, x, c });
}

#endif
