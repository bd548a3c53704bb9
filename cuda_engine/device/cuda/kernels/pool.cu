/*
 * Pooling of N,H,W,C tensors: a thread makes four channels of an output pixel from its window. Windows are small
 * here; the mean of a whole picture is `average` of normalise.cu, which many threads make together.
 */
#include "pool.h"
#include "tensor.cuh"

template <int V> DEVICE_FN void run(const struct pool_params &p)
{
    for_spots<V>(p.out, [&](struct spot s) {
        const int top = s.y * p.stride[0] - p.before[0], left = s.x * p.stride[1] - p.before[1];
        struct pack<V> sum;
        int count = 0;
#pragma unroll
        for (int i = 0; i < V; i++)
            sum.v[i] = p.average ? 0 : -INFINITY;
#pragma unroll 1
        for (int ky = 0; ky < p.kernel[0]; ky++)
#pragma unroll 1 /* or registers are spilled for sm_80 */
            for (int kx = 0; kx < p.kernel[1]; kx++) {
                const int y = top + ky * p.dilation[0], x = left + kx * p.dilation[1];
                if (y < 0 || x < 0 || y >= p.in.h || x >= p.in.w)
                    continue;
                const struct pack<V> v = load<V>(address(p.in, spot { s.n, y, x, s.c }));
                count++;
#pragma unroll
                for (int i = 0; i < V; i++)
                    sum.v[i] = p.average ? sum.v[i] + v.v[i] : fmaxf(sum.v[i], v.v[i]);
            }
        const float part = p.average ? 1 / (float)count : 1;
#pragma unroll
        for (int i = 0; i < V; i++)
            sum.v[i] *= part;
        store(address(p.out, s), sum);
    });
}

KERNEL(pool, TENSOR_THREADS)
{
    if (p.vector)
        run<TENSOR_VECTOR>(p);
    else
        run<1>(p);
}
