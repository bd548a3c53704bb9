/* compose.cu: a picture cut out, and put on a canvas of its own pixels. */
#ifndef MATTE_KERNELS_COMPOSE_H
#define MATTE_KERNELS_COMPOSE_H

#include "canvas.h"
#include "enlarge.h"

enum { COMPOSE_THREADS = 256 };

struct compose_params {
    struct picture source;
    struct enlargement size; /* of the network's answer to the source */
    /* alpha at the source's size, as refine makes it; or NULL, and low_alpha is enlarged as it is */
    const uint8_t *alpha;
    int alpha_pitch;
    /* halves, N,H,W,C, and halves from sample to sample; foreground NULL: the source's colours are the foreground's */
    const uint16_t *low_alpha, *foreground, *input;
    int low_alpha_step, foreground_step, input_step;
    float mean[3], std[3]; /* rgb = input * std + mean */
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
        { COMPOSE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
