/* Numbers as cards hold them: IEEE 754 binary16, in 16 bits of an integer. */
#ifndef MATTE_NN_CUDNN_HALF_H
#define MATTE_NN_CUDNN_HALF_H

#include <stdint.h>
#include <string.h>

/* The nearest half, to even where two are; infinite beyond the largest. */
static inline uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* a multiple of 2^-24, which the sum of this and 0.5 is */
        float sum;
        memcpy(&sum, &magnitude, sizeof sum);
        sum += .5f;
        memcpy(&bits, &sum, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

#endif
