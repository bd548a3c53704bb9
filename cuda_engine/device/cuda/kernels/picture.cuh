/* Reading pictures: four samples of a row in one access where their address allows it. */
#ifndef MATTE_KERNELS_PICTURE_CUH
#define MATTE_KERNELS_PICTURE_CUH

#include "kernel.cuh"
#include "picture.h"

/* Sample x of a row, in units of 8-bit codes. */
DEVICE_FN float sample(const uint8_t *row, int wide, int x)
{
    return wide ? (float)((const uint16_t *)row)[x] * (1.0f / 256) : (float)row[x];
}

/* Samples x to x + 3 of a row of count; those after its end repeat the last. */
DEVICE_FN float4 sample4(const uint8_t *row, int wide, int x, int count)
{
    const uint8_t *at = row + (wide ? 2 * x : x);
    if (x + 3 < count && !wide && !((uintptr_t)at & 3)) {
        const uchar4 c = *(const uchar4 *)at;
        return make_float4(c.x, c.y, c.z, c.w);
    }
    if (x + 3 < count && wide && !((uintptr_t)at & 7)) {
        const ushort4 c = *(const ushort4 *)at;
        const float unit = 1.0f / 256;
        return make_float4(c.x * unit, c.y * unit, c.z * unit, c.w * unit);
    }
    const int last = count - 1;
    return make_float4(sample(row, wide, min(x, last)), sample(row, wide, min(x + 1, last)),
        sample(row, wide, min(x + 2, last)), sample(row, wide, min(x + 3, last)));
}

/* The chroma that pixels x to x + 3 of row y are under, x a multiple of 4: u, v of the first two and of the others. */
DEVICE_FN float4 chroma2(const struct picture &p, int x, int y)
{
    const int count = (p.width + 1) / 2, first = x / 2, second = min(first + 1, count - 1);
    const size_t at = (size_t)(y / 2) * p.uv_pitch;
    if (p.interleaved && first + 1 < count)
        return sample4(p.u + at, p.wide, 2 * first, 2 * count);
    const int step = 1 + p.interleaved;
    return make_float4(sample(p.u + at, p.wide, first * step),
        sample(p.v + at, p.wide, first * step), sample(p.u + at, p.wide, second * step),
        sample(p.v + at, p.wide, second * step));
}

/* R'G'B' of pixels x to x + 3 of row y, x a multiple of 4; those outside the picture repeat its last. */
DEVICE_FN void colors(const struct picture &p, int x, int y, struct rgb out[4])
{
    const float4 l = sample4(p.y + (size_t)y * p.y_pitch, p.wide, x, p.width);
    const float4 c = chroma2(p, x, y);
    out[0] = decode(p.decoding, l.x, c.x, c.y);
    out[1] = decode(p.decoding, l.y, c.x, c.y);
    out[2] = decode(p.decoding, l.z, c.z, c.w);
    out[3] = decode(p.decoding, l.w, c.z, c.w);
}

#endif
