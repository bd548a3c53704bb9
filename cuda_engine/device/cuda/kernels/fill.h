/* fill.cu: a colour for transparent pixels (device/fill_math.h). */
#ifndef MATTE_KERNELS_FILL_H
#define MATTE_KERNELS_FILL_H

#include "canvas.h"

enum { FILL_WIDTH = 64, FILL_HEIGHT = 4, FILL_THREADS = FILL_WIDTH * FILL_HEIGHT };

/* A level, dense: of each sample the bytes Y, U, V and W. */
struct fill_level {
    uint32_t *sample;
    int width, height;
};

/* Level 1 from a canvas with alpha; each coarser level from the one before, to one of 1x1. */
struct fill_first_params {
    struct canvas canvas;
    struct fill_level to;
};

struct fill_coarser_params {
    struct fill_level from, to;
};

/* What is unknown of a level from the coarser one, from 1x1 to level 1; and of the canvas. */
struct fill_finer_params {
    struct fill_level from, to;
};

struct fill_canvas_params {
    struct fill_level from;
    struct canvas canvas;
};

static inline struct fill_level fill_coarser_size(int width, int height)
{
    const struct fill_level l = { 0, (width + 1) / 2, (height + 1) / 2 };
    return l;
}

static inline struct launch fill_launch(const struct fill_level *over)
{
    const struct launch l = {
        { blocks_for((unsigned)over->width, FILL_WIDTH),
            blocks_for((unsigned)over->height, FILL_HEIGHT), 1 },
        { FILL_WIDTH, FILL_HEIGHT, 1 },
        0,
    };
    return l;
}

static inline struct launch fill_first_launch(const struct fill_first_params *p)
{
    return fill_launch(&p->to);
}

static inline struct launch fill_coarser_launch(const struct fill_coarser_params *p)
{
    return fill_launch(&p->to);
}

static inline struct launch fill_finer_launch(const struct fill_finer_params *p)
{
    return fill_launch(&p->to);
}

static inline struct launch fill_canvas_launch(const struct fill_canvas_params *p)
{
    return fill_launch(&p->from);
}

#endif
