/*
 * Alpha at the picture's size by a guided filter (device/refine_math.h), from the network's answer, its input, and the
 * picture, which is read once.
 *
 * A block makes a tile of pixels. It loads the small samples under the tile and two around it, fits a line of colour to
 * alpha in each window (one sample around), averages the lines (none around), all in shared memory, and then walks over
 * the pixels, four of a row to a thread. The fits at a tile's rim are made again by its neighbours: that costs a fifth
 * of the arithmetic, which is idle anyhow, and saves the lines a way through memory, where they would be the largest
 * plane of all. The averages go where the samples were.
 */
#include "kernel.cuh"
#include "picture.cuh"
#include "refine.h"

#include "../../refine_math.h"

/* A rectangle of small samples, kept in rows of REFINE_LOW_WIDTH. */
struct patch {
    int x, y, width, height;
};

DEVICE_FN struct patch patch_around(const struct refine_params &p, int left, int top, int around)
{
    const int right = min(left + p.tile_width, p.picture.width) - 1;
    const int bottom = min(top + p.tile_height, p.picture.height) - 1;
    const int x = (int)small_place(left, p.picture.width, p.low_width) - around;
    const int y = (int)small_place(top, p.picture.height, p.low_height) - around;
    const int x_end = (int)small_place(right, p.picture.width, p.low_width) + 2 + around;
    const int y_end = (int)small_place(bottom, p.picture.height, p.low_height) + 2 + around;
    const struct patch s = { max(x, 0), max(y, 0), min(x_end, p.low_width) - max(x, 0),
        min(y_end, p.low_height) - max(y, 0) };
    return s;
}

DEVICE_FN struct line &at(struct line *lines, struct patch s, int x, int y)
{
    return lines[(y - s.y) * REFINE_LOW_WIDTH + x - s.x];
}

/* The window around a small sample, without what is outside the small picture. */
#define FOR_WINDOW(p, x, y, i, j)                                           \
    for (int j = max((y)-1, 0); j <= min((y) + 1, (p).low_height - 1); j++) \
        for (int i = max((x)-1, 0); i <= min((x) + 1, (p).low_width - 1); i++)

DEVICE_FN struct line small_sample(const struct refine_params &p, int x, int y)
{
    const size_t index = (size_t)y * p.low_width + x;
    const __half *guide = (const __half *)p.guide + index * p.guide_step;
    struct line s;
    s.c = __half2float(((const __half *)p.alpha)[index * p.alpha_step]);
    if (p.guide_step % 4) {
        s.r = __half2float(guide[0]);
        s.g = __half2float(guide[1]);
        s.b = __half2float(guide[2]);
    } else {
        const float4 v = load_half4(guide);
        s.r = v.x;
        s.g = v.y;
        s.b = v.z;
    }
    s.r = s.r * p.std[0] + p.mean[0];
    s.g = s.g * p.std[1] + p.mean[1];
    s.b = s.b * p.std[2] + p.mean[2];
    return s;
}

DEVICE_FN struct line fit_window(
    const struct refine_params &p, struct line *samples, struct patch held, int x, int y)
{
    struct moments m = {};
    const struct line middle = at(samples, held, x, y);
    FOR_WINDOW(p, x, y, i, j)
    moments_add(&m, at(samples, held, i, j), middle);
    return fit(m, middle);
}

DEVICE_FN struct line mean_line(
    const struct refine_params &p, struct line *lines, struct patch held, int x, int y)
{
    struct line sum = { 0, 0, 0, 0 };
    float count = 0;
    FOR_WINDOW(p, x, y, i, j)
    {
        const struct line l = at(lines, held, i, j);
        sum.r += l.r;
        sum.g += l.g;
        sum.b += l.b;
        sum.c += l.c;
        count += 1;
    }
    const float n = 1 / count;
    sum.r *= n;
    sum.g *= n;
    sum.b *= n;
    sum.c *= n;
    return sum;
}

KERNEL(refine, REFINE_THREADS)
{
    __shared__ struct line samples[REFINE_LOW_HEIGHT * REFINE_LOW_WIDTH];
    __shared__ struct line lines[REFINE_LOW_HEIGHT * REFINE_LOW_WIDTH];
    const int left = blockIdx.x * p.tile_width, top = blockIdx.y * p.tile_height;
    const struct patch outer = patch_around(p, left, top, 2);
    const struct patch middle = patch_around(p, left, top, 1);
    const struct patch inner = patch_around(p, left, top, 0);

    for (int i = threadIdx.x; i < outer.width * outer.height; i += REFINE_THREADS) {
        const int x = outer.x + i % outer.width, y = outer.y + i / outer.width;
        at(samples, outer, x, y) = small_sample(p, x, y);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < middle.width * middle.height; i += REFINE_THREADS) {
        const int x = middle.x + i % middle.width, y = middle.y + i / middle.width;
        at(lines, middle, x, y) = fit_window(p, samples, outer, x, y);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < inner.width * inner.height; i += REFINE_THREADS) {
        const int x = inner.x + i % inner.width, y = inner.y + i / inner.width;
        at(samples, inner, x, y) = mean_line(p, lines, middle, x, y);
    }
    __syncthreads();

    const int width = min(p.tile_width, p.picture.width - left);
    const int height = min(p.tile_height, p.picture.height - top), words = (width + 3) / 4;
    for (int i = threadIdx.x; i < words * height; i += REFINE_THREADS) {
        const int x = left + i % words * 4, y = top + i / words;
        const float fy = small_place(y, p.picture.height, p.low_height);
        const int y0 = (int)fy, y1 = min(y0 + 1, p.low_height - 1);
        struct rgb color[4];
        float alpha[4];
        colors(p.picture, x, y, color);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float fx =
                small_place(min(x + k, p.picture.width - 1), p.picture.width, p.low_width);
            const int x0 = (int)fx, x1 = min(x0 + 1, p.low_width - 1);
            const struct line l =
                line_mix(at(samples, inner, x0, y0), at(samples, inner, x1, y0), fx - x0);
            const struct line m =
                line_mix(at(samples, inner, x0, y1), at(samples, inner, x1, y1), fx - x0);
            alpha[k] = level_alpha(line_at(line_mix(l, m, fy - y0), color[k]));
        }
        store_half4((__half *)p.out + (size_t)y * p.out_pitch + x,
            make_float4(alpha[0], alpha[1], alpha[2], alpha[3]));
    }
}
