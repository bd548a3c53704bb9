/* narrow.cu: a picture of 10 bits to one of 8. */
#ifndef MATTE_KERNELS_NARROW_H
#define MATTE_KERNELS_NARROW_H

#include <stdint.h>

#include "../extent.h"

enum { NARROW_THREADS = 128, NARROW_SAMPLES = 4 }; /* of a thread */

/* Chroma is in pairs. Pitches in bytes; those and addresses are multiples of 8 on one side, of 4 on the other. */
struct narrow_params {
    const uint16_t *luma, *chroma; /* codes in the upper 10 bits */
    uint8_t *to_luma, *to_chroma;
    int pitch, luma_pitch, chroma_pitch; /* the first of both planes that are read */
    int width, height;                   /* in pixels; chroma has half of each, rounded up */
};

static inline struct launch narrow_launch(const struct narrow_params *p)
{
    const unsigned pairs = ((unsigned)p->width + 1) / 2, rows = ((unsigned)p->height + 1) / 2;
    const struct launch l = {
        { blocks_for(2 * pairs, NARROW_THREADS * NARROW_SAMPLES), (unsigned)p->height + rows, 1 },
        { NARROW_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
