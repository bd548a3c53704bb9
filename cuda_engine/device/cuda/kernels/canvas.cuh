/* Writing a canvas: a thread makes blocks of 2x2 pixels, which share a chroma sample. */
#ifndef MATTE_KERNELS_CANVAS_CUH
#define MATTE_KERNELS_CANVAS_CUH

#include "canvas.h"
#include "picture.cuh"

DEVICE_FN int is_straight(const struct canvas &c)
{
    return c.a && !c.opaque;
}

/* Codes of the background at a pixel, and at a chroma sample. */
DEVICE_FN unsigned char back_luma(const struct canvas &c, int x, int y)
{
    const struct picture &b = c.background;
    return b.y ? b.y[(size_t)y * b.y_pitch + x] : c.color[0];
}

DEVICE_FN unsigned char back_chroma(const struct canvas &c, int plane, int x, int y)
{
    const struct picture &b = c.background;
    const size_t at = (size_t)y * b.uv_pitch + (x << b.interleaved);
    return b.y ? (plane == 1 ? b.u : b.v)[at] : c.color[plane];
}

DEVICE_FN void put_chroma(const struct canvas &c, int x, int y, unsigned char u, unsigned char v)
{
    const size_t at = (size_t)y * c.uv_pitch + (x << c.interleaved);
    if (c.interleaved && !((uintptr_t)(c.u + at) & 1)) {
        *(uchar2 *)(c.u + at) = make_uchar2(u, v);
        return;
    }
    c.u[at] = u;
    c.v[at] = v;
}

/* Four adjacent codes, of which the row has `count` or more. */
DEVICE_FN void put4(uint8_t *to, const unsigned char codes[4], int count)
{
    if (count >= 4 && !((uintptr_t)to & 3)) {
        *(uchar4 *)to = make_uchar4(codes[0], codes[1], codes[2], codes[3]);
        return;
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (k < count)
            to[k] = codes[k];
}

#endif
