/*
 * The gated average of device/temporal_math.h. A block takes the differences of the two pictures over its pixels and
 * two around them, four of a row to a thread, into shared memory, adds them up along rows and then, where alpha needs
 * it, along columns: two times five additions a pixel, not twenty-five. What lies outside the picture is not counted.
 */
#include "picture.cuh"
#include "temporal.h"

#include "../../temporal_math.h"

enum {
    ROWS = TEMPORAL_HEIGHT + 2 * TEMPORAL_RADIUS,
    LEFT = 4, /* columns before the block's: a whole word of them */
    COLUMNS = LEFT + TEMPORAL_WIDTH + 4,
};

KERNEL(temporal, TEMPORAL_THREADS)
{
    __shared__ float differences[ROWS][COLUMNS];
    __shared__ float sums[ROWS][TEMPORAL_WIDTH];
    const int width = p.picture.width, height = p.picture.height;
    const int left = blockIdx.x * TEMPORAL_WIDTH, top = blockIdx.y * TEMPORAL_HEIGHT;

    for (int i = threadIdx.x; i < ROWS * (COLUMNS / 4); i += TEMPORAL_THREADS) {
        const int column = i % (COLUMNS / 4) * 4, row = i / (COLUMNS / 4);
        const int x = left + column - LEFT, y = top + row - TEMPORAL_RADIUS;
        float *to = &differences[row][column];
        if (x < 0 || y < 0 || x >= width || y >= height) {
            to[0] = to[1] = to[2] = to[3] = 0;
            continue;
        }
        struct rgb a[4], b[4];
        colors(p.picture, x, y, a);
        colors(p.before, x, y, b);
#pragma unroll
        for (int k = 0; k < 4; k++)
            to[k] = x + k < width ? difference(a[k], b[k]) : 0;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < ROWS * TEMPORAL_WIDTH; i += TEMPORAL_THREADS) {
        const int row = i / TEMPORAL_WIDTH, x = i % TEMPORAL_WIDTH;
        float sum = 0;
        for (int k = -TEMPORAL_RADIUS; k <= TEMPORAL_RADIUS; k++)
            sum += differences[row][x + LEFT + k];
        sums[row][x] = sum;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < TEMPORAL_HEIGHT * TEMPORAL_WIDTH / 4; i += TEMPORAL_THREADS) {
        const int column = i % (TEMPORAL_WIDTH / 4) * 4, row = i / (TEMPORAL_WIDTH / 4);
        const int x = left + column, y = top + row;
        if (x >= width || y >= height)
            continue;
        const int rows = min(y + TEMPORAL_RADIUS, height - 1) - max(y - TEMPORAL_RADIUS, 0) + 1;
        const size_t at = (size_t)y * p.pitch + x;
        const uchar4 now = *(const uchar4 *)(p.alpha + at);
        const uchar4 before = *(const uchar4 *)(p.alpha_before + at);
        const unsigned char alpha[4] = { now.x, now.y, now.z, now.w };
        const unsigned char last[4] = { before.x, before.y, before.z, before.w };
        unsigned char result[4];
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const int end = min(x + k + TEMPORAL_RADIUS, width - 1);
            const int columns = end - max(x + k - TEMPORAL_RADIUS, 0) + 1;
            float sum = 0;
            for (int j = 0; j <= 2 * TEMPORAL_RADIUS; j++)
                sum += sums[row + j][column + k];
            result[k] = gate(alpha[k], last[k], sum / (float)max(columns * rows, 1));
        }
        *(uchar4 *)(p.alpha + at) = make_uchar4(result[0], result[1], result[2], result[3]);
    }
}
