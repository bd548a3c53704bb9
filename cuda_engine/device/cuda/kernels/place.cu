/*
 * A cut-out of another size than it has on the canvas, resized through light (device/place_math.h) as
 * device/cpu/place.c does it, sums in the same order. A thread makes a chroma sample and its four pixels, each from
 * all source pixels under it; where the picture shrinks these are few to a pixel and shared with none, where it grows
 * they are in the first level cache.
 */
#include "canvas.cuh"
#include "place.h"

#include "../../place_math.h"

DEVICE_FN struct light source_light(const struct place_params &p, int x, int y)
{
    const struct picture &s = p.cut;
    const size_t at = (size_t)(y / 2) * s.uv_pitch + (x / 2 << s.interleaved);
    return light_of(p.matrix, s.y[(size_t)y * s.y_pitch + x], s.u[at], s.v[at],
        p.alpha[(size_t)y * p.alpha_pitch + x]);
}

DEVICE_FN void add(struct light *sum, struct light from, float weight)
{
    sum->r += weight * from.r;
    sum->g += weight * from.g;
    sum->b += weight * from.b;
    sum->a += weight * from.a;
}

/* Of pixel x, y of the canvas; nothing where the picture is not. */
DEVICE_FN struct light canvas_light(const struct place_params &p, int x, int y)
{
    struct light sum = { 0, 0, 0, 0 };
    if (x < p.x0 || x >= p.x1 || y < p.y0 || y >= p.y1)
        return sum;
    const float *down = p.y.weight + (size_t)(y - p.y0) * p.y.most;
    const float *across = p.x.weight + (size_t)(x - p.x0) * p.x.most;
    const int top = p.y.first[y - p.y0], left = p.x.first[x - p.x0];
#pragma unroll 1
    for (int j = 0; j < p.y.most; j++) {
        struct light row = { 0, 0, 0, 0 };
        if (down[j] <= 0)
            continue;
#pragma unroll 1
        for (int i = 0; i < p.x.most; i++)
            add(&row, source_light(p, left + i, top + j), across[i]);
        add(&sum, row, down[j]);
    }
    return sum;
}

DEVICE_FN void put_pixel(const struct place_params &p, int x, int y, struct light light)
{
    const struct canvas &c = p.canvas;
    if (x >= c.width || y >= c.height)
        return;
    uint8_t *to = c.y + (size_t)y * c.y_pitch + x;
    const int outside = x < p.x0 || x >= p.x1 || y < p.y0 || y >= p.y1;
    const float luma = codes_of(p.matrix, light).y;
    if (c.a)
        c.a[(size_t)y * c.a_pitch + x] = round_code(light.a * 255);
    if (is_straight(c)) {
        *to = round_code(luma);
    } else {
        const unsigned char back = back_luma(c, x, y);
        *to = outside ? back : over(back, luma, light.a);
    }
}

KERNEL(place, PLACE_THREADS)
{
    const struct canvas &c = p.canvas;
    const int sx = blockIdx.x * PLACE_WIDTH + threadIdx.x;
    const int sy = blockIdx.y * PLACE_HEIGHT + threadIdx.y;
    if (2 * sx >= c.width || 2 * sy >= c.height)
        return;
    struct light sum = { 0, 0, 0, 0 };
#pragma unroll 1
    for (int k = 0; k < 4; k++) {
        const int x = 2 * sx + (k & 1), y = 2 * sy + (k >> 1);
        const struct light light = canvas_light(p, x, y);
        put_pixel(p, x, y, light);
        add(&sum, light, 1);
    }
    const int count = (2 * sx + 1 < c.width ? 2 : 1) * (2 * sy + 1 < c.height ? 2 : 1);
    const struct light none = { 0, 0, 0, 0 }, mean = mean_light(sum, none, none, none, count);
    const struct codes codes = codes_of(p.matrix, mean);
    if (is_straight(c))
        put_chroma(c, sx, sy, round_code(codes.u), round_code(codes.v));
    else
        put_chroma(c, sx, sy, over(back_chroma(c, 1, sx, sy), codes.u, mean.a),
            over(back_chroma(c, 2, sx, sy), codes.v, mean.a));
}
