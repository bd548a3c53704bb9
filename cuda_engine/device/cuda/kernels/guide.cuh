/*
 * Fitting lines of colour to alpha (device/refine_math.h) for a tile, in shared memory: the small samples under it
 * and two around are loaded, a line is fitted in each window (one sample around), and the lines are averaged (none
 * around). The fits at a tile's rim are made again by its neighbours: that costs a fifth of the arithmetic, which is
 * idle anyhow, and saves the lines a way through memory, where they would be the largest plane of all.
 */
#ifndef MATTE_KERNELS_GUIDE_CUH
#define MATTE_KERNELS_GUIDE_CUH

#include "enlarge.cuh"
#include "guide.h"

/* The window around a small sample, without what is outside the small picture. */
#define FOR_WINDOW(size, x, y, i, j)                                           \
    for (int j = max((y)-1, 0); j <= min((y) + 1, (size).low_height - 1); j++) \
        for (int i = max((x)-1, 0); i <= min((x) + 1, (size).low_width - 1); i++)

DEVICE_FN struct line small_sample(const struct guide &g, int index)
{
    const __half *color = (const __half *)g.color + (size_t)index * g.color_step;
    struct line s;
    s.c = __half2float(((const __half *)g.alpha)[(size_t)index * g.alpha_step]);
    if (g.color_step % 4) {
        s.r = __half2float(color[0]);
        s.g = __half2float(color[1]);
        s.b = __half2float(color[2]);
    } else {
        const float4 v = load_half4(color);
        s.r = v.x;
        s.g = v.y;
        s.b = v.z;
    }
    s.r = s.r * g.std[0] + g.mean[0];
    s.g = s.g * g.std[1] + g.mean[1];
    s.b = s.b * g.std[2] + g.mean[2];
    return s;
}

DEVICE_FN struct line fit_window(
    const struct enlargement &size, struct line *samples, struct patch held, int x, int y)
{
    struct moments m = {};
    const struct line middle = at(samples, held, x, y);
    FOR_WINDOW(size, x, y, i, j)
    moments_add(&m, at(samples, held, i, j), middle);
    return fit(m, middle);
}

DEVICE_FN struct line mean_line(
    const struct enlargement &size, struct line *lines, struct patch held, int x, int y)
{
    struct line sum = { 0, 0, 0, 0 };
    float count = 0;
    FOR_WINDOW(size, x, y, i, j)
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

/*
 * The averaged lines for pixels left..right of rows top..bottom, as patch_under(.., 0) has them, into samples. Both
 * arrays are of ENLARGE_SAMPLES; lines may be used for something else after the next barrier. All threads of the
 * block.
 */
DEVICE_FN void fit_lines(const struct guide &g, const struct enlargement &size, int left, int top,
    int right, int bottom, struct line *samples, struct line *lines)
{
    const struct patch outer = patch_under(size, left, top, right, bottom, 2);
    const struct patch middle = patch_under(size, left, top, right, bottom, 1);
    const struct patch inner = patch_under(size, left, top, right, bottom, 0);

    for (int i = threadIdx.x; i < outer.width * outer.height; i += ENLARGE_THREADS) {
        const int x = outer.x + i % outer.width, y = outer.y + i / outer.width;
        at(samples, outer, x, y) = small_sample(g, y * size.low_width + x);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < middle.width * middle.height; i += ENLARGE_THREADS) {
        const int x = middle.x + i % middle.width, y = middle.y + i / middle.width;
        at(lines, middle, x, y) = fit_window(size, samples, outer, x, y);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < inner.width * inner.height; i += ENLARGE_THREADS) {
        const int x = inner.x + i % inner.width, y = inner.y + i / inner.width;
        at(samples, inner, x, y) = mean_line(size, lines, middle, x, y);
    }
    __syncthreads();
}

/* Alpha of a pixel; x and y: its place among the small samples. */
DEVICE_FN float refined(struct line *samples, struct patch inner, const struct enlargement &size,
    float x, float y, struct rgb color)
{
    return line_at(enlarged(samples, inner, size, x, y, line_mix), color);
}

#endif
