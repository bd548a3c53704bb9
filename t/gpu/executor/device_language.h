/*
 * Stands for the device language where g++ compiles a .cu; it is included before it (-include). The toolkit's own
 * vector_types.h and cuda_fp16.h are used as they are. CUEMU is defined.
 *
 * Every thread of a warp must name the full mask or the same one, as on a card. What kernels do not use is not here.
 */
#pragma once
#define CUEMU 1

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <vector_types.h>
#include <vector_functions.h>

#include "cuemu.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuemu_shared")))

/* What a thread knows of itself. */
struct cuemu_thread {
    uint3 thread, block;
    dim3 block_size, grid_size;
    unsigned lane;
    void *dynamic;
};

enum cuemu_warp { CUEMU_SHUFFLE, CUEMU_BALLOT, CUEMU_SYNC };

extern "C" {
extern struct cuemu_thread *cuemu_now;

/* How many threads of the block came with a predicate that holds. */
int cuemu_barrier(int predicate, const char *file, int line);
unsigned long long cuemu_exchange(unsigned mask, enum cuemu_warp kind, unsigned long long value,
    unsigned source, const char *file, int line);

/* the linker's bounds of the section of shared variables */
extern char __start_cuemu_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_cuemu_shared[] __attribute__((weak, visibility("hidden")));
}

#define threadIdx (cuemu_now->thread)
#define blockIdx  (cuemu_now->block)
#define blockDim  (cuemu_now->block_size)
#define gridDim   (cuemu_now->grid_size)
#define warpSize  32

/* Where the caller is, for what the executor says. */
#define CUEMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(CUEMU_HERE)
{
    cuemu_barrier(0, file, line);
}

static inline int __syncthreads_count(int predicate, CUEMU_HERE)
{
    return cuemu_barrier(predicate, file, line);
}

static inline int __syncthreads_or(int predicate, CUEMU_HERE)
{
    return cuemu_barrier(predicate, file, line) != 0;
}

static inline int __syncthreads_and(int predicate, CUEMU_HERE)
{
    return cuemu_barrier(!predicate, file, line) == 0;
}

static inline void __syncwarp(unsigned mask = 0xffffffff, CUEMU_HERE)
{
    cuemu_exchange(mask, CUEMU_SYNC, 0, 0, file, line);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, CUEMU_HERE)
{
    return (unsigned)cuemu_exchange(mask, CUEMU_BALLOT, predicate != 0, 0, file, line);
}

static inline int __any_sync(unsigned mask, int predicate, CUEMU_HERE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, CUEMU_HERE)
{
    return __ballot_sync(mask, !predicate, file, line) == 0;
}

template <class T>
static inline T cuemu_shuffle(unsigned mask, T value, unsigned source, const char *file, int line)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = cuemu_exchange(mask, CUEMU_SHUFFLE, bits, source, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUEMU_HERE)
{
    const unsigned lane = cuemu_now->lane, part = (unsigned)width - 1;
    return cuemu_shuffle(mask, value, (lane & ~part) | ((unsigned)source & part), file, line);
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, CUEMU_HERE)
{
    const unsigned lane = cuemu_now->lane, place = lane & ((unsigned)width - 1);
    return cuemu_shuffle(mask, value, place >= by ? lane - by : lane, file, line);
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, CUEMU_HERE)
{
    const unsigned lane = cuemu_now->lane, place = lane & ((unsigned)width - 1);
    return cuemu_shuffle(mask, value, place + by < (unsigned)width ? lane + by : lane, file, line);
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, CUEMU_HERE)
{
    const unsigned lane = cuemu_now->lane, to = lane ^ (unsigned)with;
    const unsigned end = (lane & ~((unsigned)width - 1)) + (unsigned)width;
    return cuemu_shuffle(mask, value, to < end ? to : lane, file, line);
}

/* Atomics: relaxed, as on a card. */
template <class T, class F> static inline T cuemu_atomic(T *at, F change)
{
    T before, after;
    __atomic_load(at, &before, __ATOMIC_RELAXED);
    do
        after = change(before);
    while (!__atomic_compare_exchange(at, &before, &after, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}

#define CUEMU_ATOMIC(name, expression)                                      \
    template <class T> static inline T name(T *at, std::common_type_t<T> y) \
    {                                                                       \
        return cuemu_atomic(at, [y](T x) -> T {                             \
            (void)x;                                                        \
            return expression;                                              \
        });                                                                 \
    }
CUEMU_ATOMIC(atomicAdd, x + y)
CUEMU_ATOMIC(atomicSub, x - y)
CUEMU_ATOMIC(atomicMin, x < y ? x : y)
CUEMU_ATOMIC(atomicMax, x > y ? x : y)
CUEMU_ATOMIC(atomicAnd, x &y)
CUEMU_ATOMIC(atomicOr, x | y)
CUEMU_ATOMIC(atomicExch, y)
#undef CUEMU_ATOMIC

template <class T>
static inline T atomicCAS(T *at, std::common_type_t<T> expected, std::common_type_t<T> y)
{
    return cuemu_atomic(at, [=](T x) { return x == expected ? y : x; });
}

template <class T> static inline T __ldg(const T *at)
{
    return *at;
}

#define CUEMU_LIMITS(T)           \
    static inline T min(T x, T y) \
    {                             \
        return x < y ? x : y;     \
    }                             \
    static inline T max(T x, T y) \
    {                             \
        return x > y ? x : y;     \
    }
CUEMU_LIMITS(int)
CUEMU_LIMITS(unsigned)
CUEMU_LIMITS(long long)
CUEMU_LIMITS(float)
#undef CUEMU_LIMITS

static inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}

/* KERNEL() of kernels/kernel.cuh ends here: one entry of the executor's list. */
template <class P, void (*F)(const P)> struct cuemu_registration {
    static constexpr size_t bytes = sizeof(P);
    struct cuemu_kernel kernel = {};

    static void invoke(void *const *args)
    {
        F(*(const P *)args[0]);
    }

    cuemu_registration(const char *name, unsigned threads, unsigned blocks = 1)
    {
        (void)blocks;
        kernel.name = name;
        kernel.invoke = invoke;
        kernel.parameters = 1;
        kernel.parameter_bytes = &bytes;
        kernel.shared_from = __start_cuemu_shared;
        kernel.shared_to = __stop_cuemu_shared;
        kernel.threads_max = threads;
        kernel.dynamic_max = 48 << 10;
        cuemu_register(&kernel);
    }
};
