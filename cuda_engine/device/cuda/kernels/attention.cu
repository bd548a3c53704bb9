/*
 * Attention without its scores in memory (Dao et al.: FlashAttention, 2022): a block takes 64 queries and goes through the
 * keys 32 at a time. Each of its four warps has 16 queries to itself, so that but for the tiles of keys and values, which
 * are on their way while those before are worked on, nobody waits for another: the warp multiplies by the keys on tensor
 * cores, two lanes to a query turn scores into weights, and the warp multiplies these by the values. The softmax is that of
 * Milakov and Gimelshein (Online normalizer calculation for softmax, 2018): whenever a query meets a larger score, what
 * it has summed is scaled down.
 *
 * Which score is where in a fragment is not known, so scores pass through shared memory, and weights, as halves, and what
 * a tile adds to the output, pass back; rows there are 8 elements longer than what they hold, against bank conflicts.
 * Weights take the place of the warp's queries, which are in registers by then. Exponentials are powers of two, which is
 * what cards compute.
 */
#include "attention.h"
#include "matrix.cuh"

enum {
    WARPS = ATTENTION_THREADS / 32,
    ROWS = ATTENTION_QUERIES / WARPS, /* queries of a warp */
    STEP = ATTENTION_KEYS +
           MATRIX_VECTOR, /* from row to row in shared memory; depth is no more than the keys */
    LANES = 32 / ROWS,    /* to a query */
    FOURS = ATTENTION_KEYS / 4 / LANES, /* of a query's scores, a lane's */
};

struct shared {
    uint16_t queries[ATTENTION_QUERIES * STEP]; /* then weights */
    uint16_t keys[2][ATTENTION_KEYS * STEP], values[2][ATTENTION_KEYS * STEP];
    float scores[ATTENTION_QUERIES * STEP]; /* then what a tile adds */
};

/* Eight elements of a row of depth, that piece of a tile whose first row is `first`; zeros beyond the last row. */
template <int depth>
DEVICE_FN uint4 fetch(
    const uint16_t *from, const struct matrix16 &m, int first, int piece, int rows)
{
    const int row = first + piece / (depth / MATRIX_VECTOR);
    const int column = piece % (depth / MATRIX_VECTOR) * MATRIX_VECTOR;
    return row < rows ? *(const uint4 *)(from + (size_t)row * m.stride_row + column)
                      : make_uint4(0, 0, 0, 0);
}

template <int depth> DEVICE_FN void put(uint16_t *tile, int piece, uint4 v)
{
    *(uint4 *)(tile + piece / (depth / MATRIX_VECTOR) * STEP +
               piece % (depth / MATRIX_VECTOR) * MATRIX_VECTOR) = v;
}

/* A score as a power of two, and none where there is no key. */
DEVICE_FN float power(float score, float scale, const uint16_t *bias, int key, int keys)
{
    if (key >= keys)
        return -INFINITY;
    return score * scale + (bias ? __half2float(((const __half *)bias)[key]) * 1.44269504f : 0);
}

/*
 * Turns a lane's scores for the keys from `first` on into weights; what was summed before counts as much as it returns.
 * Its elements are four of every eight.
 */
DEVICE_FN float weigh(float *most, float *sum, const float *scores, uint16_t *weights,
    const uint16_t *bias, int first, const struct attention_params &p)
{
    const int lane = threadIdx.x % LANES;
    const float scale = p.scale * 1.44269504f, before = *most;
    float4 s[FOURS];
    float largest = before, added = 0;
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
        const int at = (i * LANES + lane) * 4, key = first + at;
        s[i] = *(const float4 *)(scores + at);
        s[i].x = power(s[i].x, scale, bias, key, p.key_count);
        s[i].y = power(s[i].y, scale, bias, key + 1, p.key_count);
        s[i].z = power(s[i].z, scale, bias, key + 2, p.key_count);
        s[i].w = power(s[i].w, scale, bias, key + 3, p.key_count);
        largest = fmaxf(fmaxf(fmaxf(s[i].x, s[i].y), fmaxf(s[i].z, s[i].w)), largest);
    }
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, 1));
    const float shift = largest > -INFINITY ? largest : 0; /* where a bias forbids all so far */
#pragma unroll
    for (int i = 0; i < FOURS; i++) {
        s[i] = make_float4(exp2f(s[i].x - shift), exp2f(s[i].y - shift), exp2f(s[i].z - shift),
            exp2f(s[i].w - shift));
        added += s[i].x + s[i].y + s[i].z + s[i].w;
        store_half4((__half *)weights + (i * LANES + lane) * 4, s[i]);
    }
    added += __shfl_xor_sync(0xffffffff, added, 1);
    const float part = exp2f(before - shift);
    *sum = *sum * part + added;
    *most = largest;
    return part;
}

/* The warp's queries by a tile of keys. */
template <int depth>
DEVICE_FN void score(float *scores, const left16 *queries, const uint16_t *keys)
{
#pragma unroll
    for (int i = 0; i < ATTENTION_KEYS; i += FRAGMENT) {
        sums16 sums;
        wmma::fill_fragment(sums, 0.0f);
#pragma unroll
        for (int k = 0; k < depth; k += FRAGMENT) {
            right16<wmma::col_major> b;
            wmma::load_matrix_sync(b, (const __half *)keys + i * STEP + k, STEP);
            wmma::mma_sync(sums, queries[k / FRAGMENT], b, sums);
        }
        wmma::store_matrix_sync(scores + i, sums, STEP, wmma::mem_row_major);
    }
}

/* The warp's weights by a tile of values. */
template <int depth>
DEVICE_FN void gather(float *sums, const uint16_t *weights, const uint16_t *values)
{
#pragma unroll
    for (int i = 0; i < depth; i += FRAGMENT) {
        sums16 part;
        wmma::fill_fragment(part, 0.0f);
#pragma unroll
        for (int k = 0; k < ATTENTION_KEYS; k += FRAGMENT) {
            left16 a;
            right16<wmma::row_major> b;
            wmma::load_matrix_sync(a, (const __half *)weights + k, STEP);
            wmma::load_matrix_sync(b, (const __half *)values + k * STEP + i, STEP);
            wmma::mma_sync(part, a, b, part);
        }
        wmma::store_matrix_sync(sums + i, part, STEP, wmma::mem_row_major);
    }
}

template <int depth> DEVICE_FN void run(const struct attention_params &p, struct shared &s)
{
    constexpr int PIECES = ATTENTION_QUERIES * depth / MATRIX_VECTOR; /* of the queries' tile */
    constexpr int FEWER = ATTENTION_KEYS * depth / MATRIX_VECTOR; /* of the keys'; one a thread */
    constexpr int OWN = depth / 4 / LANES;                        /* fours of the output */
    const int head = blockIdx.y, batch = blockIdx.z, t = threadIdx.x;
    const int lane = t % LANES, row = t / LANES, first = blockIdx.x * ATTENTION_QUERIES;
    const uint16_t *keys = matrix_of(p.keys, batch, head);
    const uint16_t *values = matrix_of(p.values, batch, head);
    const bool works = first + row / ROWS * ROWS < p.query_count;
    const bool has = first + row < p.query_count;
    const uint16_t *bias = p.bias.data && has ? matrix_of(p.bias, batch, head) +
                                                    (size_t)(first + row) * p.bias.stride_row
                                              : NULL;
    uint16_t *warp_weights = s.queries + row / ROWS * ROWS * STEP,
             *weights = s.queries + row * STEP;
    float *warp_scores = s.scores + row / ROWS * ROWS * STEP, *scores = s.scores + row * STEP;
    float most = -INFINITY, sum = 0;
    float4 out[OWN] = {};
    left16 queries[depth / FRAGMENT];

    for (int i = t; i < PIECES; i += ATTENTION_THREADS)
        put<depth>(s.queries, i,
            fetch<depth>(matrix_of(p.queries, batch, head), p.queries, first, i, p.query_count));
    if (t < FEWER) {
        put<depth>(s.keys[0], t, fetch<depth>(keys, p.keys, 0, t, p.key_count));
        put<depth>(s.values[0], t, fetch<depth>(values, p.values, 0, t, p.key_count));
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < depth; k += FRAGMENT)
        wmma::load_matrix_sync(queries[k / FRAGMENT], (const __half *)warp_weights + k, STEP);

    for (int key = 0, now = 0; key < p.key_count; key += ATTENTION_KEYS, now ^= 1) {
        const int next = key + ATTENTION_KEYS;
        const bool fetches = next < p.key_count && t < FEWER;
        uint4 next_keys, next_values;
        if (fetches) {
            next_keys = fetch<depth>(keys, p.keys, next, t, p.key_count);
            next_values = fetch<depth>(values, p.values, next, t, p.key_count);
        }
        if (works) {
            score<depth>(warp_scores, queries, s.keys[now]);
            __syncwarp();
            const float part = weigh(&most, &sum, scores, weights, bias, key, p);
            __syncwarp();
            gather<depth>(warp_scores, warp_weights, s.values[now]);
            __syncwarp();
#pragma unroll
            for (int i = 0; i < OWN; i++) {
                const float4 v = *(const float4 *)(scores + (i * LANES + lane) * 4);
                out[i] = make_float4(out[i].x * part + v.x, out[i].y * part + v.y,
                    out[i].z * part + v.z, out[i].w * part + v.w);
            }
        }
        if (fetches) {
            put<depth>(s.keys[now ^ 1], t, next_keys);
            put<depth>(s.values[now ^ 1], t, next_values);
        }
        __syncthreads();
    }
    if (!has)
        return;
    __half *to = (__half *)matrix_of(p.out, batch, head) + (size_t)(first + row) * p.out.stride_row;
    const float whole = 1 / sum;
#pragma unroll
    for (int i = 0; i < OWN; i++)
        store_half4(to + (i * LANES + lane) * 4,
            make_float4(out[i].x * whole, out[i].y * whole, out[i].z * whole, out[i].w * whole));
}

KERNEL(attention, ATTENTION_THREADS, 4)
{
    __shared__ __align__(128) struct shared s;
    if (p.depth == 16)
        run<16>(p, s);
    else
        run<32>(p, s);
}
