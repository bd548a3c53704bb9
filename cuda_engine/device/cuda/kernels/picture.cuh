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

/* Samples x to x + 3 of a row of count; those outside repeat its first or last. */
DEVICE_FN float4 sample4(const uint8_t *row, int wide, int x, int count)
{
    const uint8_t *at = row + (wide ? 2 * x : x);
    if (x >= 0 && x + 3 < count && !wide && !((uintptr_t)at & 3)) {
        const uchar4 c = *(const uchar4 *)at;
        return make_float4(c.x, c.y, c.z, c.w);
    }
    if (x >= 0 && x + 3 < count && wide && !((uintptr_t)at & 7)) {
        const ushort4 c = *(const ushort4 *)at;
        const float unit = 1.0f / 256;
        return make_float4(c.x * unit, c.y * unit, c.z * unit, c.w * unit);
    }
    const int last = count - 1;
    return make_float4(sample(row, wide, max(min(x, last), 0)),
        sample(row, wide, max(min(x + 1, last), 0)), sample(row, wide, max(min(x + 2, last), 0)),
        sample(row, wide, max(min(x + 3, last), 0)));
}

/* Chroma samples x and x + 1 of chroma row y: u, v of the first, u, v of the second; as with sample4(). */
DEVICE_FN float4 chroma2(const struct picture &p, int x, int y)
{
    const int count = (p.width + 1) / 2, step = 1 + p.interleaved;
    const int first = max(min(x, count - 1), 0) * step,
              second = max(min(x + 1, count - 1), 0) * step;
    const uint8_t *u = p.u + (size_t)y * p.uv_pitch, *v = p.v + (size_t)y * p.uv_pitch;
    if (p.interleaved && x >= 0 && x + 1 < count)
        return sample4(u, p.wide, 2 * x, 2 * count);
    return make_float4(sample(u, p.wide, first), sample(v, p.wide, first),
        sample(u, p.wide, second), sample(v, p.wide, second));
}

/* R'G'B' of pixels x to x + 3 of row y, x a multiple of 4; those outside the picture repeat its last. */
DEVICE_FN void colors(const struct picture &p, int x, int y, struct rgb out[4])
{
    const float4 l = sample4(p.y + (size_t)y * p.y_pitch, p.wide, x, p.width);
    const float4 c = chroma2(p, x / 2, y / 2);
    out[0] = decode(p.decoding, l.x, c.x, c.y);
    out[1] = decode(p.decoding, l.y, c.x, c.y);
    out[2] = decode(p.decoding, l.z, c.z, c.w);
    out[3] = decode(p.decoding, l.w, c.z, c.w);
}

#endif
