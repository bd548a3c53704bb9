/*
 * Compositing in one pass: the source is read once, the canvas written once. Where the picture is placed by whole
 * chroma samples this is all of device/cpu's compositor but the filling of what is transparent (fill.cu); where it is
 * resized (place.cu) it makes the cut-out that is.
 *
 * A block makes a tile of the canvas. The network's answer under it is held in shared memory, as alpha and as what
 * the foreground's codes differ by, so that the conversion of colours happens once for each small sample, and where
 * alpha is refined so are the lines that it is made of; a thread then makes four by two pixels and their two chroma
 * samples. Codes are rounded where the CPU rounds them.
 */
#include "canvas.cuh"
#include "compose.h"
#include "guide.cuh"

#include "../../place_math.h"
#include "../../temporal_math.h"

/* Of a small sample: alpha (where that is guided, for how long the picture has been still), and the foreground's codes less
 * the source's. */
struct answer {
    float alpha, y, u, v;
};

DEVICE_FN struct answer answer_mix(struct answer from, struct answer to, float weight)
{
    const struct answer a = { mix(from.alpha, to.alpha, weight), mix(from.y, to.y, weight),
        mix(from.u, to.u, weight), mix(from.v, to.v, weight) };
    return a;
}

DEVICE_FN struct answer answer_at(const struct compose_params &p, int x, int y)
{
    const size_t index = (size_t)y * p.size.low_width + x;
    struct answer a = {};
    if (!p.guided)
        a.alpha = __half2float(((const __half *)p.guide.alpha)[index * p.guide.alpha_step]);
    else if (p.still)
        a.alpha = __half2float(((const __half *)p.still)[index]);
    if (!p.foreground)
        return a;
    const __half *front = (const __half *)p.foreground + index * p.foreground_step;
    const __half *seen = (const __half *)p.guide.color + index * p.guide.color_step;
    float d[3];
#pragma unroll
    for (int k = 0; k < 3; k++)
        d[k] = clamp_to(__half2float(front[k]), 0, 1) -
               (__half2float(seen[k]) * p.guide.std[k] + p.guide.mean[k]);
    a.y = p.matrix.y[0] * d[0] + p.matrix.y[1] * d[1] + p.matrix.y[2] * d[2];
    a.u = p.matrix.u[0] * d[0] + p.matrix.u[1] * d[1] + p.matrix.u[2] * d[2];
    a.v = p.matrix.v[0] * d[0] + p.matrix.v[1] * d[1] + p.matrix.v[2] * d[2];
    return a;
}

/* What a block holds of a tile. */
struct held {
    struct patch patch;
    struct answer *answers;
    struct line *lines;
};

/* One row of four pixels of the canvas, whose place in the source is (x, y); alpha is 0 where the source is not. */
struct quad {
    unsigned char luma[4], alpha[4];
};

/* The end of the part of the source that the canvas shows. */
DEVICE_FN int shown(int size, int canvas, int place)
{
    return min(size, canvas - place);
}

/* chroma: of the first two pixels, and of the others. */
DEVICE_FN struct quad cut_out(
    const struct compose_params &p, const struct held &held, int x, int y, float4 chroma)
{
    const int x_end = shown(p.source.width, p.canvas.width, p.x);
    struct quad q;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        q.luma[k] = LUMA_BLACK;
        q.alpha[k] = 0;
    }
    if (y < 0 || y >= shown(p.source.height, p.canvas.height, p.y) || x + 3 < 0 || x >= x_end)
        return q;
    const float4 s =
        sample4(p.source.y + (size_t)y * p.source.y_pitch, p.source.wide, x, p.source.width);
    const float codes[4] = { s.x, s.y, s.z, s.w };
    const float place_y = small_place(y, p.size.height, p.size.low_height);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (x + k < 0 || x + k >= x_end)
            continue;
        const float place_x = small_place(x + k, p.size.width, p.size.low_width);
        const struct answer a =
            enlarged(held.answers, held.patch, p.size, place_x, place_y, answer_mix);
        q.luma[k] = round_code(foreground_luma(limited_luma(p.source.decoding, codes[k]), a.y));
        float alpha = a.alpha;
        if (p.guided)
            alpha = refined(held.lines, held.patch, p.size, place_x, place_y,
                decode(p.source.decoding, codes[k], k < 2 ? chroma.x : chroma.z,
                    k < 2 ? chroma.y : chroma.w));
        if (p.guided && p.still) {
            uint16_t *before = p.held + (size_t)y * p.source.width + x + k;
            alpha = held_alpha(alpha, *before, a.alpha);
            *before = held_code(alpha);
        }
        q.alpha[k] = round_code(level_alpha(alpha) * 255);
    }
    return q;
}

/* Row y of the canvas from x on, blended or as it is. */
DEVICE_FN void put_row(const struct canvas &c, struct quad q, int x, int y)
{
    if (y >= c.height)
        return;
    if (!is_straight(c)) {
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (x + k < c.width)
                q.luma[k] =
                    over(back_luma(c, x + k, y), q.luma[k], (float)q.alpha[k] * (1.0f / 255));
    }
    put4(c.y + (size_t)y * c.y_pitch + x, q.luma, c.width - x);
    if (c.a)
        put4(c.a + (size_t)y * c.a_pitch + x, q.alpha, c.width - x);
}

/* Chroma sample x, y of the canvas; alpha: of the `count` pixels of the source that it covers, added up. */
DEVICE_FN void put_sample(const struct compose_params &p, const struct held &held, int x, int y,
    float2 source, int alpha, int count)
{
    const struct canvas &c = p.canvas;
    if (2 * x >= c.width)
        return;
    if (!count) { /* beside the picture */
        put_chroma(c, x, y, is_straight(c) ? CHROMA_GREY : back_chroma(c, 1, x, y),
            is_straight(c) ? CHROMA_GREY : back_chroma(c, 2, x, y));
        return;
    }
    const struct answer a = enlarged(held.answers, held.patch, p.size,
        small_place_of((float)(2 * x - p.x + 1), p.size.width, p.size.low_width),
        small_place_of((float)(2 * y - p.y + 1), p.size.height, p.size.low_height), answer_mix);
    const float u = foreground_chroma(limited_chroma(p.source.decoding, source.x), a.u);
    const float v = foreground_chroma(limited_chroma(p.source.decoding, source.y), a.v);
    if (is_straight(c)) {
        put_chroma(c, x, y, round_code(u), round_code(v));
        return;
    }
    const float mean = (float)alpha / (float)(255 * count);
    put_chroma(c, x, y, over(back_chroma(c, 1, x, y), round_code(u), mean),
        over(back_chroma(c, 2, x, y), round_code(v), mean));
}

/* How many of the rows y and y + 1 there are. */
DEVICE_FN int inside(int y, int size)
{
    return (y >= 0 && y < size) + (y + 1 >= 0 && y + 1 < size);
}

KERNEL(compose, ENLARGE_THREADS, 3)
{
    DYNAMIC_SHARED(struct line, shared);
    const int left = blockIdx.x * p.size.tile_width, top = blockIdx.y * p.size.tile_height;
    const int width = min(p.size.tile_width, p.canvas.width - left);
    const int height = min(p.size.tile_height, p.canvas.height - top);
    const int x_last = p.source.width - 1, y_last = p.source.height - 1;
    const int from_left = min(max(left - p.x, 0), x_last);
    const int from_top = min(max(top - p.y, 0), y_last);
    const int from_right = max(min(left + width - p.x, x_last), 0);
    const int from_bottom = max(min(top + height - p.y, y_last), 0);
    struct held held = { patch_under(p.size, from_left, from_top, from_right, from_bottom, 0),
        (struct answer *)shared, shared };

    if (p.guided) { /* in the second array, by way of the first */
        held.lines = shared + ENLARGE_SAMPLES;
        fit_lines(
            p.guide, p.size, from_left, from_top, from_right, from_bottom, held.lines, shared);
    }
    for (int i = threadIdx.x; i < held.patch.width * held.patch.height; i += ENLARGE_THREADS) {
        const int x = held.patch.x + i % held.patch.width;
        const int y = held.patch.y + i / held.patch.width;
        at(held.answers, held.patch, x, y) = answer_at(p, x, y);
    }
    __syncthreads();

    const int words = (width + 3) / 4, pairs = (height + 1) / 2;
    for (int i = threadIdx.x; i < words * pairs; i += ENLARGE_THREADS) {
        const int x = left + i % words * 4, y = top + i / words * 2;
        const int from_x = x - p.x, from_y = y - p.y;
        const int rows = inside(from_y, shown(p.source.height, p.canvas.height, p.y));
        const int x_end = shown(p.source.width, p.canvas.width, p.x);
        const float4 chroma =
            rows ? chroma2(p.source, from_x / 2, from_y / 2) : make_float4(0, 0, 0, 0);
        const struct quad upper = cut_out(p, held, from_x, from_y, chroma);
        const struct quad lower = cut_out(p, held, from_x, from_y + 1, chroma);
        put_row(p.canvas, upper, x, y);
        put_row(p.canvas, lower, x, y + 1);
        put_sample(p, held, x / 2, y / 2, make_float2(chroma.x, chroma.y),
            upper.alpha[0] + upper.alpha[1] + lower.alpha[0] + lower.alpha[1],
            rows * inside(from_x, x_end));
        put_sample(p, held, x / 2 + 1, y / 2, make_float2(chroma.z, chroma.w),
            upper.alpha[2] + upper.alpha[3] + lower.alpha[2] + lower.alpha[3],
            rows * inside(from_x + 2, x_end));
    }
}
