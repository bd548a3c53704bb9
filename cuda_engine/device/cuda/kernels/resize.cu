/*
 * Resizing of N,H,W,C tensors: linear between four neighbours, or the nearest. A thread makes four channels of an
 * output pixel; its neighbours read the same input pixels or adjacent ones, so these come from the first level cache.
 */
#include "resize.h"
#include "tensor.cuh"

DEVICE_FN float place(int i, float scale, float shift, int size)
{
    return fminf(fmaxf(((float)i + shift) * scale - shift, 0), (float)(size - 1));
}

DEVICE_FN int nearest(int mode, float x)
{
    switch (mode) {
    case RESIZE_PREFER_FLOOR: return (int)ceilf(x - .5f);
    case RESIZE_PREFER_CEIL: return (int)floorf(x + .5f);
    case RESIZE_FLOOR: return (int)floorf(x);
    default: return (int)ceilf(x);
    }
}

template <int V>
DEVICE_FN struct pack<V> between(struct pack<V> a, struct pack<V> b, float weight) {
#pragma unroll
    for (int i = 0; i < V; i++)
        a.v[i] += (b.v[i] - a.v[i]) * weight;
    return a;
}

template <int V>
DEVICE_FN void run(const struct resize_params &p)
{
    for_spots<V>(p.out, [&](struct spot s) {
        const float y = place(s.y, p.scale_y, p.shift, p.in.h);
        const float x = place(s.x, p.scale_x, p.shift, p.in.w);
        if (p.mode != RESIZE_LINEAR) {
            const struct spot from = { s.n, nearest(p.mode, y), nearest(p.mode, x), s.c };
            store(address(p.out, s), load<V>(address(p.in, from)));
            return;
        }
        const int y0 = (int)y, x0 = (int)x;
        const int y1 = min(y0 + 1, p.in.h - 1), x1 = min(x0 + 1, p.in.w - 1);
        const struct pack<V> left = between(load<V>(address(p.in, spot { s.n, y0, x0, s.c })),
            load<V>(address(p.in, spot { s.n, y1, x0, s.c })), y - y0);
        const struct pack<V> right = between(load<V>(address(p.in, spot { s.n, y0, x1, s.c })),
            load<V>(address(p.in, spot { s.n, y1, x1, s.c })), y - y0);
        store(address(p.out, s), between(left, right, x - x0));
    });
}

KERNEL(resize, TENSOR_THREADS)
{
    if (p.vector)
        run<TENSOR_VECTOR>(p);
    else
        run<1>(p);
}
