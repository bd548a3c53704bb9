/* compose.cu: a picture cut out, and put on a canvas of its own pixels. */
#ifndef MATTE_KERNELS_COMPOSE_H
#define MATTE_KERNELS_COMPOSE_H

#include "canvas.h"
#include "refine.h"

/* Where alpha comes from. */
enum compose_alpha {
    ALPHA_ENLARGED, /* the network's, between its samples */
    ALPHA_REFINED,  /* the network's, by the guided filter */
    ALPHA_GIVEN,    /* of the source's size: what refine and temporal made */
};

/* Bytes of dynamic shared memory that a launch asks for at most. */
enum { COMPOSE_SHARED = 2 * ENLARGE_SAMPLES * 4 * sizeof(float) };

struct compose_params {
    struct picture source;
    struct enlargement size; /* of the network's answer to the source */
    int alpha_from;
    const uint8_t *alpha; /* ALPHA_GIVEN */
    int alpha_pitch;
    struct guide guide;
    /* halves, N,H,W,C, of which three are R, G, B; NULL: the source's own colours are the foreground's */
    const uint16_t *foreground;
    int foreground_step;
    struct color_matrix matrix;
    struct canvas canvas;
    int x,
        y; /* of the source on the canvas, even, within +- 2^24; where nothing of it is seen, beyond it */
};

/* A block makes a tile of the canvas. */
static inline struct launch compose_launch(const struct compose_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->canvas.width, (unsigned)p->size.tile_width),
            blocks_for((unsigned)p->canvas.height, (unsigned)p->size.tile_height), 1 },
        { ENLARGE_THREADS, 1, 1 },
        (unsigned)COMPOSE_SHARED / (p->alpha_from == ALPHA_REFINED ? 1 : 2),
    };
    return l;
}

#endif
