/* temporal.cu: alpha averaged over time where the picture stands still. */
#ifndef MATTE_KERNELS_TEMPORAL_H
#define MATTE_KERNELS_TEMPORAL_H

#include "picture.h"

enum { TEMPORAL_THREADS = 256, TEMPORAL_WIDTH = 64, TEMPORAL_HEIGHT = 16 }; /* pixels of a block */

/* A first frame, and the first after a cut, is not given to it: its alpha is what refine made. */
struct temporal_params {
    struct picture picture, before; /* of the same size: this frame, the last */
    const uint8_t *alpha_before;    /* 0..255: what this made of the last frame */
    uint8_t *alpha;                 /* as refine made it, in place; both 4-byte aligned */
    int pitch; /* of both, bytes from row to row, a multiple of 4, the width rounded up or more */
};

static inline struct launch temporal_launch(const struct temporal_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->picture.width, TEMPORAL_WIDTH),
            blocks_for((unsigned)p->picture.height, TEMPORAL_HEIGHT), 1 },
        { TEMPORAL_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
