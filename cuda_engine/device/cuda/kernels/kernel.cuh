/*
 * What every kernel file begins with. KERNEL(name, threads) is the head of a kernel that takes `const struct
 * name_params p` and is launched with at most that many threads a block; a third number is how many blocks a
 * multiprocessor should have registers for at least. Compiled by nvcc for cards, and by g++ for the executor of
 * t/gpu, which lists the kernel as well (CUEMU).
 */
#ifndef MATTE_KERNEL_CUH
#define MATTE_KERNEL_CUH

#include <cuda_fp16.h>

#ifdef CUEMU
#define KERNEL(name, ...)                                                                          \
    extern "C" void name(const struct name##_params p);                                            \
    static cuemu_registration<struct name##_params, name> name##_registration(#name, __VA_ARGS__); \
    extern "C" void name(const struct name##_params p)
#define DYNAMIC_SHARED(type, name) type *name = (type *)cuemu_now->dynamic
#else
#define KERNEL(name, ...) \
    extern "C" __global__ void __launch_bounds__(__VA_ARGS__) name(const struct name##_params p)
#define DYNAMIC_SHARED(type, name)                         \
    extern __shared__ __align__(16) char dynamic_shared[]; \
    type *name = (type *)dynamic_shared
#endif

#define DEVICE_FN static __device__ __forceinline__

/* Four halves in one access of 8 bytes. */
DEVICE_FN float4 load_half4(const __half *from)
{
    const uint2 bits = *(const uint2 *)from;
    const __half2 low = *(const __half2 *)&bits.x, high = *(const __half2 *)&bits.y;
    const float2 a = __half22float2(low), b = __half22float2(high);
    return make_float4(a.x, a.y, b.x, b.y);
}

DEVICE_FN void store_half4(__half *to, float4 v)
{
    const __half2 low = __floats2half2_rn(v.x, v.y), high = __floats2half2_rn(v.z, v.w);
    *(uint2 *)to = make_uint2(*(const unsigned *)&low, *(const unsigned *)&high);
}

#endif
