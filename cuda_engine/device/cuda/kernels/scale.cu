/*
 * What device/cpu/scaler.c does, with its tables (device/taps.h), sums in its order. A thread makes a pixel: networks shrink
 * each other's pictures by two to four, so that it reads some twenty words, which its neighbours read too and the cache
 * holds; sums of rows kept in shared memory would save little of that and cost a barrier.
 */
#include "kernel.cuh"
#include "scale.h"

KERNEL(scale_picture, SCALE_THREADS)
{
    const int i = blockIdx.x * SCALE_THREADS + threadIdx.x;
    const int x = i % p.to_width, y = i / p.to_width;
    if (y >= p.to_height)
        return;
    const __half *from =
        (const __half *)p.picture + ((size_t)p.y.first[y] * p.width + p.x.first[x]) * 4;
    const float *across = p.x.weight + (size_t)x * p.x.most;
    const float *down = p.y.weight + (size_t)y * p.y.most;
    float r = 0, g = 0, b = 0;
    for (int j = 0; j < p.x.most; j++, from += 4) {
        const __half *at = from;
        float4 column = make_float4(0, 0, 0, 0);
        for (int k = 0; k < p.y.most; k++, at += (size_t)p.width * 4) {
            const float4 v = load_half4(at);
            column.x += down[k] * v.x;
            column.y += down[k] * v.y;
            column.z += down[k] * v.z;
        }
        r += across[j] * column.x;
        g += across[j] * column.y;
        b += across[j] * column.z;
    }
    r = r * p.gain[0] + p.offset[0];
    g = g * p.gain[1] + p.offset[1];
    b = b * p.gain[2] + p.offset[2];
    store_half4((__half *)p.out + (size_t)i * 4,
        p.reversed ? make_float4(b, g, r, 0) : make_float4(r, g, b, 0));
}
