/*
 * What clean_math.h says: a warp measures a cell, one block decides about all of them, a thread applies it to a pixel.
 * Labels go through shared memory: a thread takes the greatest around its cells until no thread finds a greater one, in
 * whatever order they come; labels only grow, so all orders end alike. What is gathered by label is sums, least and
 * greatest of integers, by atomics, which are alike in all orders too.
 */
#include "clean.h"
#include "kernel.cuh"

enum { NONE = -1, PER_THREAD = CLEAN_CELLS / CLEAN_THREADS };

KERNEL(clean_measure, CLEAN_THREADS)
{
    const int index = blockIdx.x * (CLEAN_THREADS / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const struct clean_grid &g = p.grid;
    if (index >= g.across * g.down)
        return;
    const int left = index % g.across * g.side, top = index / g.across * g.side;
    const int wide = min(g.side, g.width - left), high = min(g.side, g.height - top);
    int sum = 0, least = 255, most = 0;
    for (int i = lane; i < wide * high; i += 32) {
        const size_t at = (size_t)(top + i / wide) * g.width + left + i % wide;
        const int code = round_code(255 * p.alpha[at * p.step]);
        sum += code;
        least = min(least, code);
        most = max(most, code);
    }
    for (int i = 16; i; i /= 2) {
        sum += __shfl_xor_sync(0xffffffff, sum, i);
        least = min(least, __shfl_xor_sync(0xffffffff, least, i));
        most = max(most, __shfl_xor_sync(0xffffffff, most, i));
    }
    const struct clean_cell cell = { sum, least, most };
    if (!lane)
        p.cell[index] = cell;
}

/* Calls work(i) for the calling thread's cells. */
template <class F> DEVICE_FN void for_cells(const struct clean_grid &g, F work)
{
    for (int i = threadIdx.x; i < g.across * g.down; i += CLEAN_THREADS)
        work(i);
}

/* The greatest of what is beside cell i, and there. */
template <class T> DEVICE_FN T greatest_around(const struct clean_grid &g, const T *of, int i)
{
    const int x = i % g.across, y = i / g.across;
    int greatest = of[i];
    for (int j = max(y - 1, 0); j <= min(y + 1, g.down - 1); j++)
        for (int k = max(x - 1, 0); k <= min(x + 1, g.across - 1); k++)
            greatest = max(greatest, (int)of[j * g.across + k]);
    return (T)greatest;
}

/* A bit for each cell. */
DEVICE_FN void raise_flag(unsigned *flags, int i)
{
    atomicOr(&flags[i / 32], 1u << i % 32);
}

DEVICE_FN int has_flag(const unsigned *flags, int i)
{
    return flags[i / 32] >> i % 32 & 1;
}

/* Connected cells of those that are, by the greatest index among them; label[i] is i or NONE. All threads of the block. */
DEVICE_FN void connect(const struct clean_grid &g, short *label)
{
    int changed = 1;
    while (changed) {
        short found[PER_THREAD];
        changed = 0;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < PER_THREAD; k++) {
            const int i = threadIdx.x + k * CLEAN_THREADS;
            found[k] = NONE;
            if (i < g.across * g.down && label[i] != NONE) {
                found[k] = greatest_around(g, label, i);
                changed |= found[k] != label[i];
            }
        }
        changed = __syncthreads_or(changed);
#pragma unroll
        for (int k = 0; k < PER_THREAD; k++)
            if (found[k] != NONE)
                label[threadIdx.x + k * CLEAN_THREADS] = found[k];
    }
    __syncthreads();
}

KERNEL(clean_decide, CLEAN_THREADS)
{
    __shared__ short label[CLEAN_CELLS];
    __shared__ int
        gathered[CLEAN_CELLS]; /* of the island or hole whose label is the index: weight; least */
    __shared__ unsigned flags[CLEAN_CELLS / 32]; /* of it: was kept; reaches the border */
    __shared__ unsigned char kept[CLEAN_CELLS], near[CLEAN_CELLS];
    __shared__ int heaviest;
    const struct clean_grid &g = p.grid;

    for_cells(g, [&](int i) {
        label[i] = clean_is_there(p.cell[i]) ? (short)i : (short)NONE;
        gathered[i] = 0;
    });
    if (threadIdx.x < CLEAN_CELLS / 32)
        flags[threadIdx.x] = 0;
    if (!threadIdx.x)
        heaviest = 0;
    connect(g, label);
    for_cells(g, [&](int i) {
        if (label[i] == NONE)
            return;
        atomicAdd(&gathered[label[i]], p.cell[i].sum);
        if (p.past && clean_was_kept(p.state[i]))
            raise_flag(flags, label[i]);
    });
    __syncthreads();
    for_cells(g, [&](int i) { atomicMax(&heaviest, gathered[i]); });
    __syncthreads();
    for_cells(g, [&](int i) {
        const int l = label[i];
        kept[i] =
            !heaviest || (l != NONE && clean_keeps(gathered[l], heaviest, has_flag(flags, l)));
    });
    __syncthreads();
    for (int pass = 0; pass < CLEAN_NEAR; pass++) {
        for_cells(g, [&](int i) { near[i] = greatest_around(g, kept, i); });
        __syncthreads();
        for_cells(g, [&](int i) { kept[i] = near[i]; });
        __syncthreads();
    }

    for_cells(g, [&](int i) {
        label[i] = clean_is_open(p.cell[i]) ? (short)i : (short)NONE;
        gathered[i] = 255;
    });
    if (threadIdx.x < CLEAN_CELLS / 32)
        flags[threadIdx.x] = 0;
    connect(g, label);
    for_cells(g, [&](int i) {
        const int x = i % g.across, y = i / g.across;
        if (label[i] == NONE)
            return;
        atomicMin(&gathered[label[i]], p.cell[i].least);
        if (!x || !y || x == g.across - 1 || y == g.down - 1)
            raise_flag(flags, label[i]);
    });
    __syncthreads();
    for_cells(g, [&](int i) {
        const int l = label[i], fills = l != NONE && clean_fills(gathered[l], has_flag(flags, l));
        const struct clean_state all = { (signed char)(kept[i] ? CLEAN_STEPS : 0),
            (signed char)(fills ? CLEAN_STEPS : 0) };
        p.state[i] = p.past ? clean_step(p.state[i], kept[i], fills) : all;
    });
}

/* Along an axis: the cells on whose middles' both sides a pixel is, the nearest that are there, and where between them. */
struct beside {
    int first, second;
    float place;
};

DEVICE_FN struct beside beside_of(int at, int side, int count)
{
    const int from_first = at + side / 2, second = from_first / side;
    const struct beside b = { max(second - 1, 0), min(second, count - 1),
        clean_place(from_first % side, side) };
    return b;
}

KERNEL(clean_apply, CLEAN_THREADS)
{
    const int i = blockIdx.x * CLEAN_THREADS + threadIdx.x;
    const struct clean_grid &g = p.grid;
    if (i >= g.width * g.height)
        return;
    const struct beside x = beside_of(i % g.width, g.side, g.across);
    const struct beside y = beside_of(i / g.width, g.side, g.down);
    const struct clean_state *above = p.state + y.first * g.across;
    const struct clean_state *below = p.state + y.second * g.across;
    const struct clean_state a = above[x.first], b = above[x.second];
    const struct clean_state c = below[x.first], d = below[x.second];
    const float given = p.alpha[(size_t)i * p.step];
    const float alpha = clean_alpha(given, a, b, c, d, x.place, y.place);
    p.cleaned[i] = alpha;
    ((__half *)p.out)[i] = __float2half_rn(alpha);
}
