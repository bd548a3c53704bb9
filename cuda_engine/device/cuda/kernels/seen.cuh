#ifndef MATTE_KERNELS_SEEN_CUH
#define MATTE_KERNELS_SEEN_CUH

#include "kernel.cuh"
#include "seen.h"

#include "../../sample_math.h"

/* Of a pixel that there is, within 0..1. */
DEVICE_FN struct rgb color_seen(const struct seen &s, int x, int y)
{
    const float4 v = load_half4((const __half *)s.halves + ((size_t)y * s.width + x) * 4);
    const struct rgb c = { clamp_to(v.x * s.std[0] + s.mean[0], 0, 1),
        clamp_to(v.y * s.std[1] + s.mean[1], 0, 1), clamp_to(v.z * s.std[2] + s.mean[2], 0, 1) };
    return c;
}

/* The nearest of 0 to size - 1. */
DEVICE_FN int within(int at, int size)
{
    return max(0, min(at, size - 1));
}

#endif
