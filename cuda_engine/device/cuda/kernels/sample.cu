/*
 * The network's input: 4:2:0 codes of any range, matrix and depth become normalised R, G, B at the network's size,
 * area average where that is smaller and bilinear where it is larger, in one pass over the picture. What
 * device/cpu/sampler.c does, with its tables (device/taps.h), sums in its order.
 *
 * A block makes SAMPLE_ROWS rows of `tile` results. Its threads first add up source rows, four adjacent samples each,
 * so that the picture is read in whole words and once but for the rows that two results share; the sums stay in
 * shared memory, where the second half adds up columns and converts colour, at the network's size, where there are
 * few pixels. Interleaved chroma is added up as it lies and taken apart only then.
 */
#include "picture.cuh"
#include "sample.h"

/* How samples of the x axis `axis` lie in the sums, step apart: those of the block are count from first on. */
struct strip {
    int first, count;
};

/* Source samples that results begin to end - 1 are made of, from a multiple of four on. */
DEVICE_FN struct strip strip_of(const struct axis &axis, int begin, int end, int step)
{
    const int first = axis.first[begin] * step & ~3;
    struct strip s = { first, (axis.first[end - 1] + axis.most) * step - first };
    return s;
}

/* A plane, and in it interleaved chroma as it lies. */
struct plane {
    const uint8_t *data;
    int pitch, count; /* of samples in a row */
};

/* Adds up rows of a plane, samples i to i + 3. */
DEVICE_FN float4 add_rows(struct plane from, int wide, const struct axis &axis, int y, int i)
{
    float4 sum = make_float4(0, 0, 0, 0);
    const float *weight = axis.weight + (size_t)y * axis.most;
    const uint8_t *row = from.data + (size_t)axis.first[y] * from.pitch;
    for (int k = 0; k < axis.most; k++, row += from.pitch) {
        const float w = weight[k];
        if (w <= 0)
            continue;
        const float4 c = sample4(row, wide, i, from.count);
        sum.x += w * c.x;
        sum.y += w * c.y;
        sum.z += w * c.z;
        sum.w += w * c.w;
    }
    return sum;
}

DEVICE_FN float add_columns(const float *sums, const struct axis &axis, int x, int first, int step)
{
    const float *weight = axis.weight + (size_t)x * axis.most;
    const float *from = sums + axis.first[x] * step - first;
    float sum = 0;
    for (int k = 0; k < axis.most; k++)
        sum += weight[k] * from[k * step];
    return sum;
}

KERNEL(sample_picture, SAMPLE_THREADS)
{
    /* chroma: u and v alternate, or u is in the first half and v in the second */
    __shared__ __align__(16) float luma[SAMPLE_ROWS][SAMPLE_COLUMNS];
    __shared__ __align__(16) float chroma[SAMPLE_ROWS][SAMPLE_COLUMNS];
    const struct picture &from = p.picture;
    const int begin = blockIdx.x * p.tile, end = min(begin + p.tile, p.width);
    const int top = blockIdx.y * SAMPLE_ROWS, rows = min(SAMPLE_ROWS, p.height - top);
    const int step = 1 + from.interleaved, half = SAMPLE_COLUMNS / 2;
    const struct strip ys = strip_of(p.x[0], begin, end, 1),
                       cs = strip_of(p.x[1], begin, end, step);
    const int y_words = (ys.count + 3) / 4, c_words = (cs.count + 3) / 4;
    const int words = y_words + (from.interleaved ? 1 : 2) * c_words;

    for (int i = threadIdx.x; i < rows * words; i += SAMPLE_THREADS) {
        const int row = i / words, word = i % words;
        const int is_chroma = word >= y_words, is_v = word >= y_words + c_words;
        const int at = 4 * (word - is_chroma * y_words - is_v * c_words);
        const struct plane plane = { is_v        ? from.v
                                     : is_chroma ? from.u
                                                 : from.y,
            is_chroma ? from.uv_pitch : from.y_pitch,
            is_chroma ? (from.width + 1) / 2 * step : from.width };
        float *to = is_chroma ? &chroma[row][is_v * half + at] : &luma[row][at];
        *(float4 *)to = add_rows(
            plane, from.wide, p.y[is_chroma], top + row, (is_chroma ? cs.first : ys.first) + at);
    }
    __syncthreads();

    const int columns = end - begin, v_at = from.interleaved ? 1 : half;
    for (int i = threadIdx.x; i < rows * columns; i += SAMPLE_THREADS) {
        const int row = i / columns, x = begin + i % columns;
        const struct rgb c = decode(from.decoding, add_columns(luma[row], p.x[0], x, ys.first, 1),
            add_columns(chroma[row], p.x[1], x, cs.first, step),
            add_columns(chroma[row] + v_at, p.x[1], x, cs.first, step));
        const size_t at = ((size_t)(top + row) * p.width + x) * p.channels;
        __half *out = (__half *)p.out + at;
        const float4 v = make_float4(c.r * p.scale[0] + p.bias[0], c.g * p.scale[1] + p.bias[1],
            c.b * p.scale[2] + p.bias[2], 0);
        if (p.channels % 4) {
            out[0] = __float2half_rn(v.x);
            out[1] = __float2half_rn(v.y);
            out[2] = __float2half_rn(v.z);
            for (int k = 3; k < p.channels; k++)
                out[k] = __float2half_rn(0);
        } else {
            store_half4(out, v);
            for (int k = 4; k < p.channels; k += 4)
                store_half4(out + k, make_float4(0, 0, 0, 0));
        }
    }
}
