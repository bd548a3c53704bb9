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
#include "enlarge.cuh"
#include "picture.cuh"
#include "refine.h"

/* The window around a small sample, without what is outside the small picture. */
#define FOR_WINDOW(p, x, y, i, j)                                                \
    for (int j = max((y)-1, 0); j <= min((y) + 1, (p).size.low_height - 1); j++) \
        for (int i = max((x)-1, 0); i <= min((x) + 1, (p).size.low_width - 1); i++)

DEVICE_FN struct line small_sample(const struct refine_params &p, int x, int y)
{
    const size_t index = (size_t)y * p.size.low_width + x;
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
    __shared__ struct line samples[ENLARGE_LOW_HEIGHT * ENLARGE_LOW_WIDTH];
    __shared__ struct line lines[ENLARGE_LOW_HEIGHT * ENLARGE_LOW_WIDTH];
    const struct enlargement &size = p.size;
    const int left = blockIdx.x * size.tile_width, top = blockIdx.y * size.tile_height;
    const int right = min(left + size.tile_width, size.width) - 1;
    const int bottom = min(top + size.tile_height, size.height) - 1;
    const struct patch outer = patch_under(size, left, top, right, bottom, 2);
    const struct patch middle = patch_under(size, left, top, right, bottom, 1);
    const struct patch inner = patch_under(size, left, top, right, bottom, 0);

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

    const int words = (right - left) / 4 + 1, rows = bottom - top + 1;
    for (int i = threadIdx.x; i < words * rows; i += REFINE_THREADS) {
        const int x = left + i % words * 4, y = top + i / words;
        const float place = small_place(y, size.height, size.low_height);
        struct rgb color[4];
        unsigned char alpha[4];
        colors(p.picture, x, y, color);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const struct line l = enlarged(samples, inner, size,
                small_place(min(x + k, right), size.width, size.low_width), place, line_mix);
            alpha[k] = round_code(level_alpha(line_at(l, color[k])) * 255);
        }
        *(uchar4 *)(p.out + (size_t)y * p.out_pitch + x) =
            make_uchar4(alpha[0], alpha[1], alpha[2], alpha[3]);
    }
}
