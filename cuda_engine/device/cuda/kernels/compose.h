/* compose.cu: a picture cut out, and put on a canvas of its own pixels. */
#ifndef MATTE_KERNELS_COMPOSE_H
#define MATTE_KERNELS_COMPOSE_H

#include "canvas.h"
#include "enlarge.h"
#include "guide.h"

/* Bytes of dynamic shared memory that a launch asks for at most. */
enum { COMPOSE_SHARED = 2 * ENLARGE_SAMPLES * 4 * sizeof(float) };

struct compose_params {
    struct picture source;
    struct enlargement size; /* of the network's answer to the source */
    struct guide guide;
    int guided; /* 1: alpha by the guided filter; 0: between the network's samples */
    /* of a guided one, halves: of how many frames past it is a mean too; NULL: of none */
    const uint16_t *still;
    uint16_t *held; /* the last frame's, of each pixel of the source, and then this one's */
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
        (unsigned)COMPOSE_SHARED / (p->guided ? 1 : 2),
    };
    return l;
}

#endif
