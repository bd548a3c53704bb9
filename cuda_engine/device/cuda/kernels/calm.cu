/*
 * What temporal_math.h says, a pixel to a thread. Sums have the order that is said there: along rows, then along columns,
 * by way of shared memory. What is summed over the whole picture is integers, so that their order means nothing.
 */
#include "calm.h"
#include "seen.cuh"

enum {
    ROWS = CALM_HEIGHT + 2 * TEMPORAL_RADIUS,
    COLUMNS = CALM_WIDTH + 2 * TEMPORAL_RADIUS,
    SOFT_ROWS = CALM_HEIGHT + 2 * TEMPORAL_SOFTEN,
};

DEVICE_FN void add(struct rgb *sum, struct rgb c)
{
    sum->r += c.r;
    sum->g += c.g;
    sum->b += c.b;
}

KERNEL(calm_soften, CALM_THREADS)
{
    __shared__ struct rgb along[SOFT_ROWS][CALM_WIDTH];
    const int left = blockIdx.x * CALM_WIDTH, top = blockIdx.y * CALM_HEIGHT;
    for (int i = threadIdx.x; i < SOFT_ROWS * CALM_WIDTH; i += CALM_THREADS) {
        const int column = i % CALM_WIDTH, row = i / CALM_WIDTH, x = left + column;
        const int y = within(top + row - TEMPORAL_SOFTEN, p.seen.height);
        struct rgb sum = color_seen(p.seen, within(x - TEMPORAL_SOFTEN, p.seen.width), y);
        for (int k = 1 - TEMPORAL_SOFTEN; k <= TEMPORAL_SOFTEN; k++)
            add(&sum, color_seen(p.seen, within(x + k, p.seen.width), y));
        along[row][column] = sum;
    }
    __syncthreads();
    const int column = threadIdx.x % CALM_WIDTH, row = threadIdx.x / CALM_WIDTH;
    const int x = left + column, y = top + row;
    if (x >= p.seen.width || y >= p.seen.height)
        return;
    struct rgb sum = along[row][column];
    for (int k = 1; k <= 2 * TEMPORAL_SOFTEN; k++)
        add(&sum, along[row + k][column]);
    ((float4 *)p.softened)[(size_t)y * p.seen.width + x] = make_float4(sum.r, sum.g, sum.b, 0);
}

/* The sum over a warp; its first lane adds it. */
DEVICE_FN void add_all(unsigned long long *to, int sum)
{
    for (int i = 16; i; i /= 2)
        sum += __shfl_xor_sync(0xffffffff, sum, i);
    if (threadIdx.x % 32 == 0)
        atomicAdd(to, (unsigned long long)sum);
}

KERNEL(calm_weigh, CALM_THREADS)
{
    const int first = blockIdx.x * CALM_WEIGHED,
              end = min(first + CALM_WEIGHED, p.width * p.height);
    int now = 0, doubt = 0, before = 0;
    for (int i = first + threadIdx.x; i < end; i += CALM_THREADS) {
        const int code =
            temporal_code(__half2float(((const __half *)p.alpha)[(size_t)i * p.alpha_step]));
        now += code;
        doubt += temporal_doubt_of(code);
        if (p.before)
            before += temporal_code(p.before[i].alpha);
    }
    add_all(&p.sums->now, now);
    add_all(&p.sums->doubt, doubt);
    add_all(&p.sums->before, before);
}

KERNEL(calm_settle, CALM_THREADS)
{
    const int x = blockIdx.x * CALM_WIDTH + threadIdx.x % CALM_WIDTH;
    const int y = blockIdx.y * CALM_HEIGHT + threadIdx.x / CALM_WIDTH;
    if (x >= p.width || y >= p.height)
        return;
    const size_t at = (size_t)y * p.width + x;
    const float doubt = temporal_doubt(p.sums->doubt, p.sums->now);
    p.alpha[at] = mix(p.alpha[at], p.calmed[at].alpha, doubt);
    ((__half *)p.out)[at] = __float2half_rn(p.alpha[at]);
}

/* The last picture's pixel that x, y was. */
DEVICE_FN size_t from(const struct calm_step_params &p, int x, int y)
{
    const struct vector v = p.vectors[y / MOTION_BLOCK * p.across + x / MOTION_BLOCK];
    return (size_t)within(y + v.y, p.height) * p.width + within(x + v.x, p.width);
}

DEVICE_FN float difference(const struct calm_step_params &p, int x, int y)
{
    const float4 a = ((const float4 *)p.softened)[(size_t)y * p.width + x];
    const float4 b = ((const float4 *)p.softened_before)[from(p, x, y)];
    const struct rgb now = { a.x, a.y, a.z }, before = { b.x, b.y, b.z };
    return temporal_difference(now, before, (2 * TEMPORAL_SOFTEN + 1) * (2 * TEMPORAL_SOFTEN + 1));
}

KERNEL(calm_step, CALM_THREADS)
{
    __shared__ float differences[ROWS][COLUMNS];
    __shared__ float along[ROWS][CALM_WIDTH];
    const int left = blockIdx.x * CALM_WIDTH, top = blockIdx.y * CALM_HEIGHT;
    const int column = threadIdx.x % CALM_WIDTH, row = threadIdx.x / CALM_WIDTH;
    const int x = left + column, y = top + row;
    float moved = 0;
    if (p.softened_before) {
        for (int i = threadIdx.x; i < ROWS * COLUMNS; i += CALM_THREADS)
            differences[i / COLUMNS][i % COLUMNS] =
                difference(p, within(left + i % COLUMNS - TEMPORAL_RADIUS, p.width),
                    within(top + i / COLUMNS - TEMPORAL_RADIUS, p.height));
        __syncthreads();
        for (int i = threadIdx.x; i < ROWS * CALM_WIDTH; i += CALM_THREADS) {
            const float *at = &differences[i / CALM_WIDTH][i % CALM_WIDTH];
            float sum = at[0];
            for (int k = 1; k <= 2 * TEMPORAL_RADIUS; k++)
                sum += at[k];
            along[i / CALM_WIDTH][i % CALM_WIDTH] = sum;
        }
        __syncthreads();
        moved = along[row][column];
        for (int k = 1; k <= 2 * TEMPORAL_RADIUS; k++)
            moved += along[row + k][column];
    }
    if (x >= p.width || y >= p.height)
        return;
    const size_t at = (size_t)y * p.width + x;
    const float alpha = __half2float(((const __half *)p.alpha)[at * p.alpha_step]);
    struct calm now = { alpha, 1 };
    int own_place = 1;
    if (p.softened_before) {
        const size_t was = from(p, x, y);
        now = calm_alpha(alpha, p.before[was], moved, temporal_shift(p.sums->now, p.sums->before));
        own_place = was == at;
    }
    p.now[at] = now;
    if (p.out)
        ((__half *)p.out)[at] = __float2half_rn(now.alpha);
    if (p.still)
        ((__half *)p.still)[at] = __float2half_rn(temporal_still(now.frames, own_place));
}
