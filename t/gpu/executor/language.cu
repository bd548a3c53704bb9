/* What the executor itself is tested with: the device language's own words, each with a result that is known. */
#include "device/cuda/kernels/kernel.cuh"
#include "language.h"

/* A row of results for each thread. */
KERNEL(warp_words, 64)
{
    const unsigned all = 0xffffffff, lane = threadIdx.x % 32;
    int *out = p.out + threadIdx.x * WARP_WORDS;
    out[0] = __shfl_sync(all, (int)threadIdx.x, 5);
    out[1] = __shfl_sync(all, (int)threadIdx.x, 5, 8);
    out[2] = __shfl_up_sync(all, (int)threadIdx.x, 3);
    out[3] = __shfl_down_sync(all, (int)threadIdx.x, 3, 16);
    out[4] = __shfl_xor_sync(all, (int)threadIdx.x, 9);
    out[5] = (int)__ballot_sync(all, lane % 3 == 0);
    out[6] = __any_sync(all, threadIdx.x == 40);
    out[7] = __all_sync(all, threadIdx.x < 50);
    __syncwarp();
    out[8] = (int)__shfl_xor_sync(all, (double)threadIdx.x + .5, 1);
}

KERNEL(block_words, 64)
{
    DYNAMIC_SHARED(int, shared);
    int *out = p.out + threadIdx.x * BLOCK_WORDS;
    shared[threadIdx.x] = (int)threadIdx.x;
    out[0] = __syncthreads_count(threadIdx.x % 2);
    out[1] = __syncthreads_or(threadIdx.x == 9);
    out[2] = __syncthreads_and(threadIdx.x == 9);
    out[3] = shared[63 - threadIdx.x];
    atomicAdd(p.total + 0, 2);
    atomicSub(p.total + 1, 1);
    atomicMax(p.total + 2, (int)threadIdx.x);
    atomicMin(p.total + 3, -(int)threadIdx.x);
    atomicOr(p.total + 4, 1 << threadIdx.x % 8);
    atomicAnd(p.total + 5, ~(1 << threadIdx.x % 8));
    atomicCAS(p.total + 6, 0, 7);
    atomicExch(p.total + 7, 8);
}
