/* Which small samples are under a tile, and where. */
#ifndef MATTE_KERNELS_ENLARGE_CUH
#define MATTE_KERNELS_ENLARGE_CUH

#include "enlarge.h"
#include "kernel.cuh"

#include "../../refine_math.h"

/* A rectangle of small samples, kept in rows of ENLARGE_LOW_WIDTH. */
struct patch {
    int x, y, width, height;
};

/* The samples that pixels left..right of rows top..bottom of the large picture lie between, and so many around. */
DEVICE_FN struct patch patch_under(
    const struct enlargement &e, int left, int top, int right, int bottom, int around)
{
    const int x = (int)small_place(left, e.width, e.low_width) - around;
    const int y = (int)small_place(top, e.height, e.low_height) - around;
    const int x_end = (int)small_place(right, e.width, e.low_width) + 2 + around;
    const int y_end = (int)small_place(bottom, e.height, e.low_height) + 2 + around;
    const struct patch s = { max(x, 0), max(y, 0), min(x_end, e.low_width) - max(x, 0),
        min(y_end, e.low_height) - max(y, 0) };
    return s;
}

template <class T> DEVICE_FN T &at(T *held, struct patch s, int x, int y)
{
    return held[(y - s.y) * ENLARGE_LOW_WIDTH + x - s.x];
}

/* Between four held samples at a place among the small ones; between(from, to, weight) mixes two. */
template <class T, class F>
DEVICE_FN T enlarged(
    T *held, struct patch s, const struct enlargement &e, float x, float y, F between)
{
    const int x0 = (int)x, y0 = (int)y;
    const int x1 = min(x0 + 1, e.low_width - 1), y1 = min(y0 + 1, e.low_height - 1);
    const T upper = between(at(held, s, x0, y0), at(held, s, x1, y0), x - x0);
    const T lower = between(at(held, s, x0, y1), at(held, s, x1, y1), x - x0);
    return between(upper, lower, y - y0);
}

#endif
