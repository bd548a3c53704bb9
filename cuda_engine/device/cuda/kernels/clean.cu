/*
 * What clean_math.h says: a warp measures a cell, one block decides about all of them, a thread applies it to a pixel.
 * Labels are a forest in shared memory: each cell's names a greater one that it is connected with, or itself, and threads
 * join the trees of neighbours, the lesser root to the greater, without a barrier among them. In whatever order they come,
 * the root in the end is the greatest of all. What is gathered by label is sums, least and greatest of integers, by
 * atomics, which are alike in all orders too.
 */
#include "clean.h"
#include "kernel.cuh"

enum { NONE = -1, PER_THREAD = CLEAN_CELLS / CLEAN_DECIDERS };

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
    for (int i = threadIdx.x; i < g.across * g.down; i += CLEAN_DECIDERS)
        work(i);
}

/* 1 if cell i is kept, or one beside it is. */
DEVICE_FN int is_near(const struct clean_grid &g, const unsigned char *kept, int i)
{
    const int x = i % g.across, y = i / g.across;
    int any = 0;
    for (int j = max(y - 1, 0); j <= min(y + 1, g.down - 1); j++)
        for (int k = max(x - 1, 0); k <= min(x + 1, g.across - 1); k++)
            any |= kept[j * g.across + k];
    return any;
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

/* Other threads change it meanwhile. */
DEVICE_FN int label_of(int *label, int i)
{
    return atomicMax(&label[i], NONE);
}

/* The root of cell i's tree now: others join it to greater ones. Each step halves the way for whoever comes next. */
DEVICE_FN int root_of(int *label, int i)
{
    for (int above; (above = label_of(label, i)) != i;) {
        const int further = label_of(label, above);
        atomicMax(&label[i], further);
        i = further;
    }
    return i;
}

/* What another thread has put in the place of a root that was found is joined in its turn. */
DEVICE_FN void join(int *label, int i, int j)
{
    for (;;) {
        i = root_of(label, i);
        j = root_of(label, j);
        if (i == j)
            return;
        const int lesser = min(i, j), greater = max(i, j);
        i = atomicMax(&label[lesser], greater);
        if (i == lesser)
            return;
        j = greater;
    }
}

/* Connected cells of those that are, by the greatest index among them; label[i] is i or NONE. All threads of the block. */
DEVICE_FN void connect(const struct clean_grid &g, int *label)
{
    int found[PER_THREAD];
    __syncthreads();
    for_cells(g, [&](int i) {
        const int x = i % g.across, y = i / g.across, above = i - g.across;
        const auto join_with = [&](int beside) {
            const int is_there = label_of(label, beside) != NONE;
            if (is_there)
                join(label, i, beside);
            return is_there;
        };
        if (label_of(label, i) == NONE)
            return;
        if (x)
            join_with(i - 1);
        if (!y || join_with(above)) /* which has joined those beside it */
            return;
        if (x)
            join_with(above - 1);
        if (x < g.across - 1)
            join_with(above + 1);
    });
    __syncthreads();
#pragma unroll
    for (int k = 0; k < PER_THREAD; k++) {
        const int i = threadIdx.x + k * CLEAN_DECIDERS;
        found[k] = i < g.across * g.down && label_of(label, i) != NONE ? root_of(label, i) : NONE;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < PER_THREAD; k++)
        if (found[k] != NONE)
            label[threadIdx.x + k * CLEAN_DECIDERS] = found[k];
    __syncthreads();
}

KERNEL(clean_decide, CLEAN_DECIDERS)
{
    __shared__ int label[CLEAN_CELLS];
    __shared__ int
        gathered[CLEAN_CELLS]; /* of the island or hole whose label is the index: weight; least */
    __shared__ unsigned flags[CLEAN_CELLS / 32]; /* of it: was kept; reaches the border */
    __shared__ unsigned char kept[CLEAN_CELLS], near[CLEAN_CELLS];
    __shared__ int heaviest;
    const struct clean_grid &g = p.grid;

    for_cells(g, [&](int i) {
        label[i] = clean_is_there(p.cell[i]) ? i : NONE;
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
        for_cells(g, [&](int i) { near[i] = (unsigned char)is_near(g, kept, i); });
        __syncthreads();
        for_cells(g, [&](int i) { kept[i] = near[i]; });
        __syncthreads();
    }

    for_cells(g, [&](int i) {
        label[i] = clean_is_open(p.cell[i]) ? i : NONE;
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
