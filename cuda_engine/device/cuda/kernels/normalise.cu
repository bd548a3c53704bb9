/*
 * Values brought to a scale by what they are.
 *
 * Softmax and layer normalisation work on rows of a few to a few thousand adjacent halves: a warp to a row, sums by
 * shuffles, the row read again from the first level cache for each step. A softmax across adjacent slices (after > 1)
 * has a thread to a slice, so that a warp reads what is adjacent.
 *
 * Instance normalisation and means of pictures need sums over all pixels of a channel, and channels are what is
 * adjacent: 32 of them to a warp's width, eight pixels at a time, and the pixels in runs, so that more than a few
 * blocks have work. Means and squared differences are merged pairwise (Chan, Golub, LeVeque: Updating Formulae,
 * 1979), as the difference of two large sums would be lost in the rounding of floats.
 */
#include "normalise.h"
#include "tensor.cuh"

DEVICE_FN float warp_sum(float x)
{
    for (int i = 16; i; i /= 2)
        x += __shfl_xor_sync(0xffffffff, x, i);
    return x;
}

DEVICE_FN float warp_max(float x)
{
    for (int i = 16; i; i /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, i));
    return x;
}

/* The row of a warp, and -1 beyond the last; all threads of the warp have the same. */
DEVICE_FN int warp_row(int rows)
{
    const int row = (blockIdx.x * NORMALISE_THREADS + threadIdx.x) / 32;
    return row < rows ? row : -1;
}

DEVICE_FN float value(const uint16_t *at)
{
    return __half2float(*(const __half *)at);
}

DEVICE_FN void set_value(uint16_t *at, float x)
{
    *(__half *)at = __float2half_rn(x);
}

DEVICE_FN void softmax_row(const struct softmax_params &p)
{
    const int row = warp_row(p.before), lane = threadIdx.x % 32;
    if (row < 0)
        return;
    const uint16_t *in = p.in + (size_t)row * p.size;
    uint16_t *out = p.out + (size_t)row * p.size;
    float largest = -INFINITY, sum = 0;
    for (int k = lane; k < p.size; k += 32)
        largest = fmaxf(largest, value(in + k));
    largest = warp_max(largest);
    for (int k = lane; k < p.size; k += 32)
        sum += expf(value(in + k) - largest);
    const float part = 1 / warp_sum(sum);
    for (int k = lane; k < p.size; k += 32)
        set_value(out + k, expf(value(in + k) - largest) * part);
}

DEVICE_FN void softmax_slice(const struct softmax_params &p)
{
    const int slice = blockIdx.x * NORMALISE_THREADS + threadIdx.x;
    if (slice >= p.before * p.after)
        return;
    const size_t at = (size_t)(slice / p.after) * p.size * p.after + slice % p.after;
    float largest = -INFINITY, sum = 0;
    for (int k = 0; k < p.size; k++)
        largest = fmaxf(largest, value(p.in + at + (size_t)k * p.after));
    for (int k = 0; k < p.size; k++)
        sum += expf(value(p.in + at + (size_t)k * p.after) - largest);
    for (int k = 0; k < p.size; k++)
        set_value(p.out + at + (size_t)k * p.after,
            expf(value(p.in + at + (size_t)k * p.after) - largest) / sum);
}

KERNEL(softmax, NORMALISE_THREADS)
{
    if (p.after == 1)
        softmax_row(p);
    else
        softmax_slice(p);
}

KERNEL(layer, NORMALISE_THREADS)
{
    const int row = warp_row(p.rows), lane = threadIdx.x % 32;
    if (row < 0)
        return;
    const uint16_t *in = p.in + (size_t)row * p.size;
    uint16_t *out = p.out + (size_t)row * p.size;
    float sum = 0, squares = 0;
    for (int k = lane; k < p.size; k += 32)
        sum += value(in + k);
    const float mean = warp_sum(sum) / (float)p.size;
    for (int k = lane; k < p.size; k += 32) {
        const float d = value(in + k) - mean;
        squares += d * d;
    }
    const float inverse = 1 / sqrtf(warp_sum(squares) / (float)p.size + p.epsilon);
    for (int k = lane; k < p.size; k += 32)
        set_value(
            out + k, (value(in + k) - mean) * inverse * p.scale[k] + (p.bias ? p.bias[k] : 0));
}

/* Of count values: their mean and the sum of squared differences from it. */
struct spread {
    float count, mean, squares;
};

DEVICE_FN struct spread merge(struct spread a, struct spread b)
{
    const float count = a.count + b.count, d = b.mean - a.mean;
    if (b.count <= 0)
        return a;
    const float part = b.count / count;
    const struct spread s = { count, a.mean + d * part,
        a.squares + b.squares + d * d * a.count * part };
    return s;
}

/* The first pixel of a run. */
DEVICE_FN int run_start(int run, int pixels, int splits)
{
    return (int)((long long)pixels * run / splits);
}

/* All runs of a channel of picture n. */
DEVICE_FN struct spread merge_runs(
    const float *partial, int n, int c, int channels, int pixels, int splits)
{
    struct spread all = { 0, 0, 0 };
    for (int i = 0; i < splits; i++) {
        const float2 v = ((const float2 *)partial)[((size_t)n * splits + i) * channels + c];
        const int count = run_start(i + 1, pixels, splits) - run_start(i, pixels, splits);
        const struct spread run = { (float)count, v.x, v.y };
        all = merge(all, run);
    }
    return all;
}

KERNEL(moments, NORMALISE_THREADS)
{
    __shared__ struct spread lanes[NORMALISE_LANES][NORMALISE_CHANNELS];
    const int c = blockIdx.x * NORMALISE_CHANNELS + threadIdx.x, pixels = p.in.h * p.in.w;
    const int begin = run_start(blockIdx.y, pixels, p.splits);
    const int end = run_start(blockIdx.y + 1, pixels, p.splits);
    const uint16_t *in = p.in.data + (size_t)blockIdx.z * p.in.stride_n + c;
    struct spread mine = { 0, 0, 0 };
    if (c < p.in.c && begin + (int)threadIdx.y < end) {
        /* sums of differences from a first value, which is near the mean as far as rounding goes */
        const float middle = value(in + (size_t)(begin + threadIdx.y) * p.in.stride_w);
        float sum = 0, squares = 0;
        for (int i = begin + threadIdx.y; i < end; i += NORMALISE_LANES) {
            const float d = value(in + (size_t)i * p.in.stride_w) - middle;
            sum += d;
            squares += d * d;
            mine.count += 1;
        }
        mine.mean = middle + sum / mine.count;
        mine.squares = fmaxf(squares - sum * sum / mine.count, 0);
    }
    lanes[threadIdx.y][threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.y || c >= p.in.c)
        return;
    for (int i = 1; i < NORMALISE_LANES; i++)
        mine = merge(mine, lanes[i][threadIdx.x]);
    ((float2 *)p.partial)[((size_t)blockIdx.z * p.splits + blockIdx.y) * p.in.c + c] =
        make_float2(mine.mean, mine.squares);
}

KERNEL(instance, NORMALISE_THREADS)
{
    __shared__ float scales[NORMALISE_CHANNELS], shifts[NORMALISE_CHANNELS];
    const int c = blockIdx.x * NORMALISE_CHANNELS + threadIdx.x, pixels = p.in.h * p.in.w;
    if (!threadIdx.y && c < p.in.c) {
        const struct spread s = merge_runs(p.partial, blockIdx.z, c, p.in.c, pixels, p.splits);
        const float scale = p.scale[c] / sqrtf(s.squares / s.count + p.epsilon);
        scales[threadIdx.x] = scale;
        shifts[threadIdx.x] = p.bias[c] - s.mean * scale;
    }
    __syncthreads();
    if (c >= p.in.c)
        return;
    const float scale = scales[threadIdx.x], shift = shifts[threadIdx.x];
    const uint16_t *in = p.in.data + (size_t)blockIdx.z * p.in.stride_n + c;
    uint16_t *out = p.out.data + (size_t)blockIdx.z * p.out.stride_n + c;
    const int end = run_start(blockIdx.y + 1, pixels, p.splits);
    for (int i = run_start(blockIdx.y, pixels, p.splits) + threadIdx.y; i < end;
         i += NORMALISE_LANES)
        set_value(out + (size_t)i * p.out.stride_w,
            value(in + (size_t)i * p.in.stride_w) * scale + shift);
}

KERNEL(average, NORMALISE_THREADS)
{
    const int i = blockIdx.x * NORMALISE_THREADS + threadIdx.x;
    if (i < p.n * p.c)
        set_value(p.out + i, merge_runs(p.partial, i / p.c, i % p.c, p.c, p.pixels, p.splits).mean);
}
