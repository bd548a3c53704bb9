/*
 * P010 to NV12. What two bits are lost is dithered over squares of 2x2 samples of a plane, in the order and with the end
 * of range that libswscale has for planes of 10 bits, so that a video is the same whoever decodes it. A row of blocks
 * makes a row of one plane; each thread reads four samples in one access of 8 bytes and writes them in one of 4, but for
 * those at the end of a row.
 */
#include "kernel.cuh"
#include "narrow.h"

/* Sample x of row y of a plane. */
DEVICE_FN unsigned char narrowed(unsigned short code, int x, int y)
{
    const int threshold = y & 1 ? (x & 1 ? 0 : 3) : (x & 1 ? 2 : 1);
    const int c = ((code >> 6) + threshold) >> 2;
    return (unsigned char)(c - (c >> 8));
}

KERNEL(narrow, NARROW_THREADS)
{
    const int chroma = (int)blockIdx.y >= p.height, y = blockIdx.y - chroma * p.height;
    const int count = chroma ? (p.width + 1) / 2 * 2 : p.width;
    const int at = (blockIdx.x * NARROW_THREADS + threadIdx.x) * NARROW_SAMPLES;
    const char *row = (const char *)(chroma ? p.chroma : p.luma) + (size_t)y * p.pitch;
    const unsigned short *from = (const unsigned short *)row + at;
    uint8_t *to = chroma ? p.to_chroma + (size_t)y * p.chroma_pitch + at
                         : p.to_luma + (size_t)y * p.luma_pitch + at;
    if (at + NARROW_SAMPLES <= count) {
        const ushort4 c = *(const ushort4 *)from;
        *(uchar4 *)to =
            make_uchar4(narrowed(c.x, at >> chroma, y), narrowed(c.y, (at + 1) >> chroma, y),
                narrowed(c.z, (at + 2) >> chroma, y), narrowed(c.w, (at + 3) >> chroma, y));
    } else {
        for (int i = 0; at + i < count; i++)
            to[i] = narrowed(from[i], (at + i) >> chroma, y);
    }
}
