/*
 * For loops that are to be vectorised, and the exponential function in them.
 */
#ifndef MATTE_NN_DNNL_VECTORISED_H
#define MATTE_NN_DNNL_VECTORISED_H

#include <stdint.h>

/* glibc picks the widest at load time; sanitizers cannot instrument that */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORISED
#endif

/* e^x for |x| < 87 to 2 units in the last place: 2^n * e^r, r within ln 2 / 2 (Cephes' polynomial). */
static inline float exponential(float x)
{
    const float shift = 0x1.8p23f; /* rounds to an integer when added */
    float n = x * 1.44269504f + shift;
    union {
        float value;
        int32_t bits;
    } power = { n };
    power.bits = (power.bits - 0x4b400000 + 127) * (1 << 23);
    n -= shift;
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * r * r + r + 1) * power.value;
}

#endif
