/*
 * Push-pull by device/fill_math.h, a launch for each level: up the pyramid a thread makes one sample of four, down it
 * each unknown one of four coarser ones. A sample's four bytes are one word, so a level costs one access each way.
 * All levels together are a third of the canvas; those of a few hundred samples cost a launch each and nothing else.
 */
#include "canvas.cuh"
#include "fill.h"

#include "../../fill_math.h"

struct sum {
    unsigned y, u, v, weight;
};

DEVICE_FN uchar4 get(const struct fill_level &l, int x, int y)
{
    return ((const uchar4 *)l.sample)[(size_t)y * l.width + x];
}

DEVICE_FN void put(const struct fill_level &l, int x, int y, uchar4 sample)
{
    ((uchar4 *)l.sample)[(size_t)y * l.width + x] = sample;
}

/* The calling thread's sample of a level; false beyond its edges. */
DEVICE_FN bool place_in(const struct fill_level &l, int *x, int *y)
{
    *x = blockIdx.x * FILL_WIDTH + threadIdx.x;
    *y = blockIdx.y * FILL_HEIGHT + threadIdx.y;
    return *x < l.width && *y < l.height;
}

KERNEL(fill_first, FILL_THREADS)
{
    const struct canvas &c = p.canvas;
    unsigned sum = 0, weight = 0;
    int x, y;
    if (!place_in(p.to, &x, &y))
        return;
    for (int j = 2 * y; j < min(2 * y + 2, c.height); j++)
        for (int i = 2 * x; i < min(2 * x + 2, c.width); i++) {
            const unsigned w = fill_weight(c.a[(size_t)j * c.a_pitch + i]);
            sum += w * c.y[(size_t)j * c.y_pitch + i];
            weight += w;
        }
    const size_t at = (size_t)y * c.uv_pitch + (x << c.interleaved);
    put(p.to, x, y,
        make_uchar4(fill_mean(sum, weight), c.u[at], c.v[at], fill_coarser_weight(weight)));
}

KERNEL(fill_coarser, FILL_THREADS)
{
    struct sum sum = { 0, 0, 0, 0 };
    int x, y;
    if (!place_in(p.to, &x, &y))
        return;
    for (int j = 2 * y; j < min(2 * y + 2, p.from.height); j++)
        for (int i = 2 * x; i < min(2 * x + 2, p.from.width); i++) {
            const uchar4 s = get(p.from, i, j);
            sum.y += (unsigned)s.w * s.x;
            sum.u += (unsigned)s.w * s.y;
            sum.v += (unsigned)s.w * s.z;
            sum.weight += s.w;
        }
    put(p.to, x, y,
        make_uchar4(fill_mean(sum.y, sum.weight), fill_mean(sum.u, sum.weight),
            fill_mean(sum.v, sum.weight), fill_coarser_weight(sum.weight)));
}

/* Sample x, y of the finer level as the coarser one has it; where nothing at all is known it is black. */
DEVICE_FN uchar4 finer(const struct fill_level &l, int x, int y)
{
    const int far_x = min(max(x / 2 + (x & 1 ? 1 : -1), 0), l.width - 1);
    const int far_y = min(max(y / 2 + (y & 1 ? 1 : -1), 0), l.height - 1);
    const uchar4 near = get(l, x / 2, y / 2), above = get(l, x / 2, far_y);
    const uchar4 beside = get(l, far_x, y / 2), across = get(l, far_x, far_y);
    if (l.width == 1 && l.height == 1 && !near.w)
        return make_uchar4(LUMA_BLACK, CHROMA_GREY, CHROMA_GREY, 0);
    return make_uchar4(fill_across(fill_down(near.x, above.x), fill_down(beside.x, across.x)),
        fill_across(fill_down(near.y, above.y), fill_down(beside.y, across.y)),
        fill_across(fill_down(near.z, above.z), fill_down(beside.z, across.z)), 0);
}

KERNEL(fill_finer, FILL_THREADS)
{
    int x, y;
    if (!place_in(p.to, &x, &y))
        return;
    if (!get(p.to, x, y).w)
        put(p.to, x, y, finer(p.from, x, y));
}

/* A thread for each sample of level 1: its pixels without alpha, and the chroma sample if none has any. */
KERNEL(fill_canvas, FILL_THREADS)
{
    const struct canvas &c = p.canvas;
    unsigned seen = 0;
    int x, y;
    if (!place_in(p.from, &x, &y))
        return;
#pragma unroll 1 /* or registers are spilled for sm_120 */
    for (int k = 0; k < 4; k++) {
        const int i = 2 * x + (k & 1), j = 2 * y + (k >> 1);
        if (i >= c.width || j >= c.height)
            continue;
        const unsigned alpha = c.a[(size_t)j * c.a_pitch + i];
        seen |= alpha;
        if (!alpha)
            c.y[(size_t)j * c.y_pitch + i] = finer(p.from, i, j).x;
    }
    if (seen)
        return;
    uchar4 s = get(p.from, x, y);
    if (p.from.width == 1 && p.from.height == 1 && !s.w)
        s = make_uchar4(LUMA_BLACK, CHROMA_GREY, CHROMA_GREY, 0);
    put_chroma(c, x, y, s.y, s.z);
}
