/*
 * `move` is any transposition, window, slice or repetition that steps can say. A thread finds its place by a division for
 * each dimension, which is little beside the 16 bytes that it then moves: networks with channels last hardly ever
 * transpose what is adjacent.
 */
#include "move.h"
#include "kernel.cuh"

KERNEL(move, TENSOR_THREADS)
{
    const int width = p.vector ? MOVE_VECTOR : 1;
    unsigned i = (blockIdx.x * TENSOR_THREADS + threadIdx.x) * width;
    int from = 0, to = 0;
#pragma unroll /* or the parameters would have to be copied to where they have addresses */
    for (int k = MOVE_RANK - 1; k >= 0; k--) {
        if (k >= p.rank)
            continue;
        const unsigned digit = i % p.dims[k];
        from += (int)digit * p.from[k];
        to += (int)digit * p.to[k];
        i /= p.dims[k];
    }
    if (i)
        return; /* beyond the first dimension */
    if (p.vector)
        *(uint4 *)(p.out + to) = *(const uint4 *)(p.in + from);
    else
        p.out[to] = p.in[from];
}
