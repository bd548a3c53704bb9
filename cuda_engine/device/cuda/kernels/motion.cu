/*
 * What motion_math.h says. A block of motion_levels makes all levels of a tile: what a coarser pixel is made of never
 * leaves it. In motion_match a warp finds the vector of one of the picture's blocks: it tries eight vectors at once, four
 * lanes each, which share out the rows of the window; of equal costs the first wins, as where they are tried in turn.
 */
#include "motion.h"
#include "seen.cuh"

enum { LANES = 4, AT_ONCE = 32 / LANES };

KERNEL(motion_levels, MOTION_THREADS)
{
    __shared__ unsigned char held[2][MOTION_TILE][MOTION_TILE];
    int side = MOTION_TILE, width = p.seen.width, height = p.seen.height;
#pragma unroll
    for (int k = 0; k < MOTION_LEVELS; k++) {
        for (int i = threadIdx.x; i < side * side; i += MOTION_THREADS) {
            const int column = i % side, row = i / side;
            const int x = blockIdx.x * side + column, y = blockIdx.y * side + row;
            const struct motion_level &to = p.level[k];
            if (x >= to.width || y >= to.height)
                continue;
            unsigned char code;
            if (k) {
                const int left = 2 * column, right = left + (2 * x + 1 < width);
                const int top = 2 * row, bottom = top + (2 * y + 1 < height);
                const unsigned char(*from)[MOTION_TILE] = held[(k - 1) & 1];
                code = motion_halve(
                    from[top][left], from[top][right], from[bottom][left], from[bottom][right]);
            } else {
                code = motion_luma(color_seen(p.seen, x, y));
            }
            held[k & 1][row][column] = code;
            to.luma[(size_t)y * to.width + x] = code;
        }
        __syncthreads();
        side /= 2;
        width = p.level[k].width;
        height = p.level[k].height;
    }
}

/* The pixels that are compared for one of the picture's blocks. */
struct window {
    int left, top, right, bottom;
};

/* The sum of differences over the window, with the last picture taken at a vector, by the four lanes of a vector. */
DEVICE_FN int difference_at(
    const struct motion_level &l, const struct window &w, struct vector v, int lane)
{
    int sum = 0;
    for (int y = w.top + lane % LANES; y < w.bottom; y += LANES) {
        const uint8_t *now = l.luma + (size_t)y * l.width;
        const uint8_t *before = l.before + (size_t)within(y + v.y, l.height) * l.width;
        for (int x = w.left; x < w.right; x++)
            sum += abs(now[x] - before[within(x + v.x, l.width)]);
    }
#pragma unroll
    for (int i = 1; i < LANES; i *= 2)
        sum += __shfl_xor_sync(0xffffffff, sum, i);
    return sum;
}

struct found {
    struct vector vector;
    int cost;
};

/* Costs of vectors in their order, of which only some may count, against what was found before. */
DEVICE_FN void take_least(struct found *f, struct vector v, int cost, int counts, int lane)
{
    const int turn = lane / LANES;
    int least = counts ? cost * AT_ONCE + turn : 0x7fffffff;
#pragma unroll
    for (int i = LANES; i < 32; i *= 2)
        least = min(least, __shfl_xor_sync(0xffffffff, least, i));
    const int from = (least & (AT_ONCE - 1)) * LANES;
    const int x = __shfl_sync(0xffffffff, (int)v.x, from),
              y = __shfl_sync(0xffffffff, (int)v.y, from);
    if (least >> 3 >= f->cost)
        return;
    f->cost = least >> 3;
    f->vector.x = (short)x;
    f->vector.y = (short)y;
}

/* All within reach of what was found, row by row, but for that. */
DEVICE_FN void try_around(
    const struct motion_level &l, const struct window &w, struct found *f, int reach, int lane)
{
    const struct vector middle = f->vector;
    const int side = 2 * reach + 1, count = side * side - 1;
    for (int first = 0; first < count; first += AT_ONCE) {
        const int turn = first + lane / LANES, i = turn + (turn >= count / 2);
        const struct vector v = { (short)(middle.x + i % side - reach),
            (short)(middle.y + i / side - reach) };
        take_least(f, v, difference_at(l, w, v, lane), turn < count, lane);
    }
}

KERNEL(motion_match, MATCH_THREADS)
{
    const struct motion_level &l = p.level;
    const int index = blockIdx.x * (MATCH_THREADS / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (index >= l.across * l.down)
        return;
    const int across = index % l.across, down = index / l.across, turn = lane / LANES;
    const struct window w = { within(across * MOTION_BLOCK - MOTION_AROUND, l.width),
        within(down * MOTION_BLOCK - MOTION_AROUND, l.height),
        within((across + 1) * MOTION_BLOCK + MOTION_AROUND - 1, l.width) + 1,
        within((down + 1) * MOTION_BLOCK + MOTION_AROUND - 1, l.height) + 1 };

    /* to stand still, and the coarser level's */
    struct found f = { { 0, 0 }, 0x7ffffff };
    struct vector v = { 0, 0 };
    if (p.coarser.vectors && turn >= 1 && turn <= 4) {
        const int side = turn - 1, x = across / 2, y = down / 2;
        const int at_x = side & 1 ? within(x + (across & 1 ? 1 : -1), p.coarser.across) : x;
        const int at_y = side >> 1 ? within(y + (down & 1 ? 1 : -1), p.coarser.down) : y;
        v = p.coarser.vectors[at_y * p.coarser.across + at_x];
        v.x = (short)(2 * v.x);
        v.y = (short)(2 * v.y);
    }
    int cost = difference_at(l, w, v, lane);
    if (!turn)
        cost = motion_still_cost(cost, (w.right - w.left) * (w.bottom - w.top));
    take_least(&f, v, cost, turn <= (p.coarser.vectors ? 4 : 0), lane);
    try_around(l, w, &f, p.coarser.vectors ? 1 : MOTION_REACH, lane);
    if (!lane)
        l.vectors[index] = f.vector;
}
