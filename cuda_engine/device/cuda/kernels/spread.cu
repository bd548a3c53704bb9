/*
 * Push and pull as solve_math.h has them, for foreground and background at once. On the way up a block makes five levels
 * of its tile by itself, as what a coarser pixel is made of never leaves it; one block then makes the few pixels of the
 * levels above and comes back. On the way down a block makes again, in shared memory, what it needs of the levels under
 * it, its neighbours' rims too: they are a quarter more than it would need anyhow, and save a launch a level. The last step,
 * to the picture's own size, is made where its result is used.
 */
#include "seen.cuh"
#include "spread.h"

DEVICE_FN struct tint load_tint(const float *from, size_t i)
{
    const float4 v = ((const float4 *)from)[i];
    const struct tint t = { v.x, v.y, v.z, v.w };
    return t;
}

DEVICE_FN void store_tint(float *to, size_t i, struct tint t)
{
    ((float4 *)to)[i] = make_float4(t.r, t.g, t.b, t.weight);
}

DEVICE_FN struct tint no_tint()
{
    const struct tint t = { 0, 0, 0, 0 };
    return t;
}

DEVICE_FN float alpha_of(const struct spread_source &s, int x, int y)
{
    const float alpha = s.alpha.at[((size_t)y * s.seen.width + x) * s.alpha.step];
    return s.leveled ? level_alpha(alpha) : alpha;
}

DEVICE_FN struct tint sample(const struct spread_source &s, struct rgb color, float alpha, int side)
{
    return tint_of(s.how, color, side ? 1 - alpha : alpha);
}

/* ---- up ---- */

/* Where the tints of a level of a tile begin in shared memory, of one side: 16x16, then 8x8, ... */
DEVICE_FN int first_of(int level)
{
    int first = 0;
    for (int i = 1, side = SPREAD_TILE / 2; i < level; i++, side /= 2)
        first += side * side;
    return first;
}

enum { TILE_TINTS = 16 * 16 + 8 * 8 + 4 * 4 + 2 * 2 + 1 };

KERNEL(spread_push, SPREAD_THREADS)
{
    __shared__ __align__(16) struct tint held[SPREAD_SIDES][TILE_TINTS];
    const struct seen &seen = p.from.seen;
    int width = seen.width, height = seen.height;
    for (int level = 1; level <= SPREAD_LOCAL && level <= p.to.count; level++) {
        const struct spread_level &to = p.to.level[level - 1];
        const int tile = SPREAD_TILE >> level, own = first_of(level), finer = first_of(level - 1);
        for (int i = threadIdx.x; i < SPREAD_SIDES * tile * tile; i += SPREAD_THREADS) {
            const int side = i / (tile * tile), at = i % (tile * tile);
            const int column = at % tile, row = at / tile;
            const int x = blockIdx.x * tile + column, y = blockIdx.y * tile + row;
            if (x >= to.width || y >= to.height)
                continue;
            struct tint child[4];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const int cx = 2 * x + (k & 1), cy = 2 * y + (k >> 1);
                child[k] = no_tint();
                if (cx >= width || cy >= height)
                    continue;
                if (level == 1)
                    child[k] =
                        sample(p.from, color_seen(seen, cx, cy), alpha_of(p.from, cx, cy), side);
                else
                    child[k] =
                        held[side][finer + (2 * row + (k >> 1)) * 2 * tile + 2 * column + (k & 1)];
            }
            const struct tint t = tint_push(child[0], child[1], child[2], child[3]);
            held[side][own + at] = t;
            store_tint(to.at[side], (size_t)y * to.width + x, t);
        }
        __syncthreads();
        width = to.width;
        height = to.height;
    }
}

/* ---- the turn ---- */

DEVICE_FN struct tint tint_inside(const struct spread_level &l, int side, int x, int y)
{
    return x < l.width && y < l.height ? load_tint(l.at[side], (size_t)y * l.width + x) : no_tint();
}

/* The coarser pixels that pixel x, y is between: that over it is at x0, y0, its neighbours are at x1 and y1. */
struct between {
    int x0, y0, x1, y1;
};

DEVICE_FN struct between between_of(int x, int y, int coarser_width, int coarser_height)
{
    const struct between b = { x / 2, y / 2, within(x / 2 + (x & 1 ? 1 : -1), coarser_width),
        within(y / 2 + (y & 1 ? 1 : -1), coarser_height) };
    return b;
}

KERNEL(spread_turn, SPREAD_THREADS)
{
    const struct spread_pyramid &all = p.pyramid;
    const int local = min(all.count, (int)SPREAD_LOCAL);
    for (int k = local; k < all.count; k++) {
        const struct spread_level &from = all.level[k - 1], &to = all.level[k];
        const int pixels = to.width * to.height;
        for (int i = threadIdx.x; i < SPREAD_SIDES * pixels; i += SPREAD_THREADS) {
            const int side = i / pixels, x = i % pixels % to.width, y = i % pixels / to.width;
            store_tint(to.at[side], i % pixels,
                tint_push(tint_inside(from, side, 2 * x, 2 * y),
                    tint_inside(from, side, 2 * x + 1, 2 * y),
                    tint_inside(from, side, 2 * x, 2 * y + 1),
                    tint_inside(from, side, 2 * x + 1, 2 * y + 1)));
        }
        __syncthreads();
    }
    if (threadIdx.x < SPREAD_SIDES) {
        float *top = all.level[all.count - 1].at[threadIdx.x];
        store_tint(top, 0, tint_top(load_tint(top, 0)));
    }
    __syncthreads();
    for (int k = all.count - 2; k >= local - 1; k--) {
        const struct spread_level &from = all.level[k + 1], &to = all.level[k];
        const int pixels = to.width * to.height;
        for (int i = threadIdx.x; i < SPREAD_SIDES * pixels; i += SPREAD_THREADS) {
            const int side = i / pixels, at = i % pixels;
            const struct between b =
                between_of(at % to.width, at / to.width, from.width, from.height);
            const float *coarser = from.at[side];
            store_tint(to.at[side], at,
                tint_pull(p.how, load_tint(to.at[side], at),
                    load_tint(coarser, (size_t)b.y0 * from.width + b.x0),
                    load_tint(coarser, (size_t)b.y0 * from.width + b.x1),
                    load_tint(coarser, (size_t)b.y1 * from.width + b.x0),
                    load_tint(coarser, (size_t)b.y1 * from.width + b.x1)));
        }
        __syncthreads();
    }
}

/* ---- down ---- */

/*
 * What a tile needs of a level: a square that begins so many pixels before what is under the tile. A pixel needs its
 * coarser one and one beside that, so 32 pixels need 18, these 12, 8, 6 and 5.
 */
struct square {
    int x, y, side;
    int first; /* in shared memory */
};

DEVICE_FN struct square square_of(int level)
{
    const int before = level == 1 ? 1 : 2;
    const struct square s = { (int)((blockIdx.x * SPREAD_TILE) >> level) - before,
        (int)((blockIdx.y * SPREAD_TILE) >> level) - before,
        level == 1   ? 18
        : level == 2 ? 12
        : level == 3 ? 8
        : level == 4 ? 6
                     : 5,
        level == 1   ? 0
        : level == 2 ? 18 * 18
        : level == 3 ? 18 * 18 + 12 * 12
        : level == 4 ? 18 * 18 + 12 * 12 + 8 * 8
                     : 18 * 18 + 12 * 12 + 8 * 8 + 6 * 6 };
    return s;
}

enum { SQUARE_TINTS = 18 * 18 + 12 * 12 + 8 * 8 + 6 * 6 + 5 * 5 };

/* Between held tints of a coarser level. */
DEVICE_FN struct tint pull(struct spread how, struct tint own, const struct tint *held,
    struct square s, int x, int y, int coarser_width, int coarser_height)
{
    const struct between b = between_of(x, y, coarser_width, coarser_height);
    const struct tint *over = held + s.first + (b.y0 - s.y) * s.side - s.x;
    const struct tint *near = held + s.first + (b.y1 - s.y) * s.side - s.x;
    return tint_pull(how, own, over[b.x0], over[b.x1], near[b.x0], near[b.x1]);
}

/* Levels down to 1 of a block's tile. All threads of it. */
DEVICE_FN void pull_levels(
    struct spread how, const struct spread_pyramid &all, struct tint (*held)[SQUARE_TINTS])
{
    const int local = min(all.count, (int)SPREAD_LOCAL);
    for (int level = local; level >= 1; level--) {
        const struct spread_level &l = all.level[level - 1];
        const struct square s = square_of(level), coarser = square_of(level + 1);
        for (int i = threadIdx.x; i < SPREAD_SIDES * s.side * s.side; i += SPREAD_THREADS) {
            const int side = i / (s.side * s.side), at = i % (s.side * s.side);
            const int x = s.x + at % s.side, y = s.y + at / s.side;
            if (x < 0 || y < 0 || x >= l.width || y >= l.height)
                continue;
            struct tint t = load_tint(l.at[side], (size_t)y * l.width + x);
            if (level < local)
                t = pull(how, t, held[side], coarser, x, y, all.level[level].width,
                    all.level[level].height);
            held[side][s.first + at] = t;
        }
        __syncthreads();
    }
}

/* The colour of a side at a pixel of the picture. */
DEVICE_FN struct tint spread_at(const struct spread_source &from, const struct spread_level &first,
    const struct tint *held, int side, struct rgb color, float alpha, int x, int y)
{
    return pull(from.how, sample(from, color, alpha, side), held, square_of(1), x, y, first.width,
        first.height);
}

/* How many of the nine pixels around are soft. */
DEVICE_FN float softness(const struct spread_source &from, int x, int y)
{
    float soft = 0;
    for (int j = max(y - 1, 0); j <= min(y + 1, from.seen.height - 1); j++)
        for (int i = max(x - 1, 0); i <= min(x + 1, from.seen.width - 1); i++)
            soft += solve_soft(alpha_of(from, i, j));
    return soft;
}

/* Pixel i of a block's tile; x is beyond the picture where it is outside. */
DEVICE_FN void place_of(const struct seen &seen, int i, int *x, int *y)
{
    *x = blockIdx.x * SPREAD_TILE + i % SPREAD_TILE;
    *y = blockIdx.y * SPREAD_TILE + i / SPREAD_TILE;
    if (*y >= seen.height)
        *x = seen.width;
}

/* Tiles without an edge, which are most, are copied. */
KERNEL(spread_alpha, SPREAD_THREADS)
{
    __shared__ __align__(16) struct tint held[SPREAD_SIDES][SQUARE_TINTS];
    const struct seen &seen = p.from.seen;
    int edges = 0, x, y;
    for (int i = threadIdx.x; i < SPREAD_TILE * SPREAD_TILE; i += SPREAD_THREADS) {
        place_of(seen, i, &x, &y);
        edges |= x < seen.width && softness(p.from, x, y) > 0;
    }
    edges = __syncthreads_or(edges);
    if (edges)
        pull_levels(p.from.how, p.pyramid, held);
    for (int i = threadIdx.x; i < SPREAD_TILE * SPREAD_TILE; i += SPREAD_THREADS) {
        place_of(seen, i, &x, &y);
        if (x >= seen.width)
            continue;
        float alpha = alpha_of(p.from, x, y);
        const float soft = edges ? softness(p.from, x, y) : 0;
        if (soft > 0) {
            const struct rgb color = color_seen(seen, x, y);
            const struct spread_level &first = p.pyramid.level[0];
            const struct tint front = spread_at(p.from, first, held[0], 0, color, alpha, x, y);
            const struct tint back = spread_at(p.from, first, held[1], 1, color, alpha, x, y);
            alpha = solve_alpha(
                alpha, color, front, back, solve_trust(soft, front.weight, back.weight));
        }
        const size_t at = (size_t)y * seen.width + x;
        if (p.alpha)
            p.alpha[at] = alpha;
        ((__half *)p.out)[at] = __float2half_rn(alpha);
    }
}

KERNEL(spread_color, SPREAD_THREADS)
{
    __shared__ __align__(16) struct tint held[SPREAD_SIDES][SQUARE_TINTS];
    const struct seen &seen = p.from.seen;
    pull_levels(p.from.how, p.pyramid, held);
    for (int i = threadIdx.x; i < SPREAD_TILE * SPREAD_TILE; i += SPREAD_THREADS) {
        int x, y;
        place_of(seen, i, &x, &y);
        if (x >= seen.width)
            continue;
        const float alpha = alpha_of(p.from, x, y);
        struct rgb color = color_seen(seen, x, y);
        if (alpha < 1) {
            const struct spread_level &first = p.pyramid.level[0];
            const struct tint front = spread_at(p.from, first, held[0], 0, color, alpha, x, y);
            const struct tint back = spread_at(p.from, first, held[1], 1, color, alpha, x, y);
            color = solve_foreground(alpha, color, front, back);
        }
        store_half4((__half *)p.out + ((size_t)y * seen.width + x) * 4,
            make_float4(color.r, color.g, color.b, 0));
    }
}
