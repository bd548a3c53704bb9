/*
 * What device/cpu/fit.c does, a pixel to a thread. The largest value is found in parts, one a block, so that nothing must
 * be cleared before it; the blocks that then divide by it look through the parts again, which lie in the cache.
 */
#include "fit.h"
#include "kernel.cuh"

#include "../../fit_math.h"

/* The largest of the values of a block's threads, for all of them. */
DEVICE_FN float block_largest(float value)
{
    __shared__ float held[FIT_THREADS / 32];
    for (int i = 16; i; i /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, i));
    if (threadIdx.x % 32 == 0)
        held[threadIdx.x / 32] = value;
    __syncthreads();
    for (int i = 0; i < FIT_THREADS / 32; i++)
        value = fmaxf(value, held[i]);
    return value;
}

KERNEL(fit_largest, FIT_THREADS)
{
    float largest = 0;
    for (int i = blockIdx.x * FIT_THREADS + threadIdx.x; i < p.pixels;
         i += FIT_PARTS * FIT_THREADS) {
        const float4 v = load_half4((const __half *)p.picture + (size_t)i * 4);
        largest = fmaxf(largest, v.x * p.std[0] + p.mean[0]);
        largest = fmaxf(largest, v.y * p.std[1] + p.mean[1]);
        largest = fmaxf(largest, v.z * p.std[2] + p.mean[2]);
    }
    largest = block_largest(largest);
    if (!threadIdx.x)
        p.largest[blockIdx.x] = largest;
}

KERNEL(fit_put, FIT_THREADS)
{
    const int i = blockIdx.x * FIT_THREADS + threadIdx.x;
    const int x = i % p.in_width, y = i / p.in_width;
    float gain = 1;
    if (p.largest)
        gain = fit_gain(block_largest(threadIdx.x < FIT_PARTS ? p.largest[threadIdx.x] : 0));
    if (y >= p.in_height)
        return;
    float4 v = make_float4(0, 0, 0, 0);
    if (x < p.width && y < p.height) {
        v = load_half4((const __half *)p.picture + ((size_t)y * p.width + x) * 4);
        const float r = fit_bright(v.x, gain, p.mean[0], p.std[0]);
        const float g = fit_bright(v.y, gain, p.mean[1], p.std[1]);
        const float b = fit_bright(v.z, gain, p.mean[2], p.std[2]);
        v = p.reversed ? make_float4(b, g, r, 0) : make_float4(r, g, b, 0);
    }
    store_half4((__half *)p.in + (size_t)i * 4, v);
}

KERNEL(fit_take, FIT_THREADS)
{
    const int i = blockIdx.x * FIT_THREADS + threadIdx.x;
    const int x = i % p.width, y = i / p.width;
    if (y >= p.height)
        return;
    const uint16_t *from = p.out + ((size_t)y * p.out_width + x) * p.out_step;
    uint16_t *to = p.answer + (size_t)i * p.step;
    for (int c = 0; c < p.channels; c++)
        to[c] = from[p.reversed ? p.channels - 1 - c : c];
}
