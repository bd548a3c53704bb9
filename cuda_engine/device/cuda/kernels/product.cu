/*
 * Products of matrices on tensor cores, sums in fp32. A block of four warps makes 64 x 64 of the output, a warp 32 x 32 of
 * these: two by two fragments of 16 x 16, so that each fragment read from shared memory is used twice. Along the depth it
 * goes in steps of 32: while one pair of tiles is multiplied the next is on its way from memory to registers, and there
 * are two pairs in shared memory, so that a step costs one barrier. Rows of tiles are 8 halves longer than what they hold:
 * eight rows, which is what a fragment is read by, then lie in different banks.
 *
 * Where fragments keep which sum is not known, so they go through shared memory, in the place of the tiles, to be brought
 * to the output by rows; there the program is run, while sums are still fp32. Fragments of which no row belongs to the output
 * are not computed: matrices of a few rows are common.
 */
#include "functions.cuh"
#include "matrix.cuh"
#include "product.h"

enum {
    LEFT_STEP = PRODUCT_DEPTH +
                MATRIX_VECTOR, /* halves from row to row of a's tile, and b's where turned */
    RIGHT_STEP = PRODUCT_TILE + MATRIX_VECTOR, /* of b's */
    SUMS_STEP = PRODUCT_TILE + MATRIX_VECTOR,  /* floats */
    TILE_HALVES = PRODUCT_TILE * LEFT_STEP,    /* no fewer than PRODUCT_DEPTH * RIGHT_STEP */
    PIECES =
        PRODUCT_TILE * PRODUCT_DEPTH / MATRIX_VECTOR / PRODUCT_THREADS, /* of a tile, a thread's */
    PART = PRODUCT_TILE / 2,             /* of the output, a warp's */
    LINES = 32 / (PART / TENSOR_VECTOR), /* of it that a warp brings to memory at once */
};

struct tiles {
    uint16_t left[TILE_HALVES], right[TILE_HALVES];
};

/* Of a tile, on its way: a thread's. */
struct pieces {
    uint4 v[PIECES];
};

/* The tile from (y, x) of a matrix of rows x columns, `width` columns of it; zeros where the matrix has ended. */
template <int width>
DEVICE_FN struct pieces fetch(
    const uint16_t *from, const struct matrix16 &m, int y, int x, int rows, int columns)
{
    struct pieces p;
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        const int piece = (i * PRODUCT_THREADS + threadIdx.x) * MATRIX_VECTOR;
        const int row = y + piece / width, column = x + piece % width;
        p.v[i] = row < rows
                     ? load_eight(from + (size_t)row * m.stride_row, column, columns, m.vector)
                     : make_uint4(0, 0, 0, 0);
    }
    return p;
}

template <int width> DEVICE_FN void put(uint16_t *tile, struct pieces p)
{
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        const int piece = (i * PRODUCT_THREADS + threadIdx.x) * MATRIX_VECTOR;
        *(uint4 *)(tile + piece / width * (width + MATRIX_VECTOR) + piece % width) = p.v[i];
    }
}

/* A warp's sums: fragments one below and beside another. */
struct part {
    sums16 sums[2][2];
};

/* What one pair of tiles adds, for the part that begins at row y and column x of the block's. */
template <bool turned>
DEVICE_FN void multiply(struct part &part, const struct tiles &t, int y, int x, int fragments)
{
    using layout = std::conditional_t<turned, wmma::col_major, wmma::row_major>;
#pragma unroll
    for (int k = 0; k < PRODUCT_DEPTH; k += FRAGMENT) {
        left16 a[2];
        right16<layout> b[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int column = x + i * FRAGMENT;
            wmma::load_matrix_sync(
                a[i], (const __half *)t.left + (y + i * FRAGMENT) * LEFT_STEP + k, LEFT_STEP);
            wmma::load_matrix_sync(b[i],
                (const __half *)t.right +
                    (turned ? column * LEFT_STEP + k : k * RIGHT_STEP + column),
                turned ? LEFT_STEP : RIGHT_STEP);
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (i < fragments)
#pragma unroll
                for (int j = 0; j < 2; j++)
                    wmma::mma_sync(part.sums[i][j], a[i], b[j], part.sums[i][j]);
    }
}

/* V sums at (row, column), as the program leaves them. */
template <int V>
DEVICE_FN void finish(const struct product_params &p, struct pack<V> v, int row, int column)
{
    const int batch = blockIdx.z / p.heads, head = blockIdx.z % p.heads;
    for (int i = 0; i < p.length; i++) {
        const struct pointwise_instruction &in = p.program[i];
        struct pack<V> y = v;
        if (in.function >= POINTWISE_ADD) {
            const struct matrix16 &m = p.operands[in.y];
            y = load<V>(matrix_of(m, batch, head) + ((size_t)row * m.stride_row + column));
        }
        v = apply(in, v, y);
    }
    store(matrix_of(p.out, batch, head) + ((size_t)row * p.out.stride_row + column), v);
}

/* 1 if four columns of the output and of all operands can be read and written at once. */
DEVICE_FN int is_vector(const struct product_params &p)
{
    int vector = p.out.vector;
    for (int i = 0; i < p.length; i++)
        if (p.program[i].function >= POINTWISE_ADD)
            vector &= p.operands[p.program[i].y].vector;
    return vector;
}

/* A warp's part of the sums, which it has put into shared memory itself, to the output from (y, x) on. */
DEVICE_FN void bring(const struct product_params &p, const float *sums, int y, int x)
{
    const int vector = is_vector(p), lane = threadIdx.x % 32;
    const int column = lane % (PART / TENSOR_VECTOR) * TENSOR_VECTOR;
#pragma unroll 1
    for (int i = lane / (PART / TENSOR_VECTOR); i < PART && y + i < p.rows; i += LINES) {
        const float4 v = *(const float4 *)(sums + i * SUMS_STEP + column);
        const struct pack<4> four = {
            {
                v.x, v.y, v.z, v.w
            }
        };
        if (vector && x + column + TENSOR_VECTOR <= p.columns) {
            finish(p, four, y + i, x + column);
            continue;
        }
#pragma unroll
        for (int k = 0; k < TENSOR_VECTOR; k++)
            if (x + column + k < p.columns)
                finish(p, pack<1> { { four.v[k] } }, y + i, x + column + k);
    }
}

template <bool turned> DEVICE_FN void run(const struct product_params &p, struct tiles *tiles)
{
    constexpr int tall = turned ? PRODUCT_DEPTH : PRODUCT_TILE; /* b's tile's width */
    const int batch = blockIdx.z / p.heads, head = blockIdx.z % p.heads, warp = threadIdx.x / 32;
    const int row = blockIdx.y * PRODUCT_TILE, column = blockIdx.x * PRODUCT_TILE;
    const int y = warp / 2 * PART, x = warp % 2 * PART;
    const uint16_t *a = matrix_of(p.a, batch, head), *b = matrix_of(p.b, batch, head);
    const auto fetch_b = [&](int k) {
        return turned ? fetch<tall>(b, p.b, column, k, p.columns, p.depth)
                      : fetch<tall>(b, p.b, k, column, p.depth, p.columns);
    };
    struct part part;
    int fragments = 0; /* one below another, that the output has rows of */
#pragma unroll
    for (int i = 0; i < 2; i++) {
        fragments += row + y + i * FRAGMENT < p.rows;
#pragma unroll
        for (int j = 0; j < 2; j++)
            wmma::fill_fragment(part.sums[i][j], 0.0f);
    }
    put<PRODUCT_DEPTH>(tiles[0].left, fetch<PRODUCT_DEPTH>(a, p.a, row, 0, p.rows, p.depth));
    put<tall>(tiles[0].right, fetch_b(0));
    __syncthreads();
    for (int k = 0, now = 0; k < p.depth; k += PRODUCT_DEPTH, now ^= 1) {
        const int next = k + PRODUCT_DEPTH;
        struct pieces left = {}, right = {};
        if (next < p.depth) {
            left = fetch<PRODUCT_DEPTH>(a, p.a, row, next, p.rows, p.depth);
            right = fetch_b(next);
        }
        if (fragments)
            multiply<turned>(part, tiles[now], y, x, fragments);
        if (next < p.depth) {
            put<PRODUCT_DEPTH>(tiles[now ^ 1].left, left);
            put<tall>(tiles[now ^ 1].right, right);
        }
        __syncthreads();
    }
    float *sums = (float *)tiles + (y * SUMS_STEP + x);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 2; j++)
            wmma::store_matrix_sync(sums + (i * SUMS_STEP + j) * FRAGMENT, part.sums[i][j],
                SUMS_STEP, wmma::mem_row_major);
    __syncwarp();
    bring(p, sums, row + y, column + x);
}

KERNEL(product, PRODUCT_THREADS, 4)
{
    __shared__ __align__(128) struct tiles tiles[2];
    if (p.turned)
        run<true>(p, tiles);
    else
        run<false>(p, tiles);
}
