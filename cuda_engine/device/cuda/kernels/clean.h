/* clean.cu: alpha without what stands far from the subject, and without holes that are not meant. */
#ifndef MATTE_KERNELS_CLEAN_H
#define MATTE_KERNELS_CLEAN_H

#include <stdint.h>

#include "../../clean_math.h"
#include "../extent.h"

enum { CLEAN_THREADS = 256, CLEAN_DECIDERS = 1024, CLEAN_CELLS = CLEAN_GRID * CLEAN_GRID };

/* Of a picture: clean_side() pixels a cell. */
struct clean_grid {
    int width, height; /* pixels */
    int side;
    int across, down; /* cells */
};

static inline struct clean_grid clean_grid(int width, int height)
{
    const int side = clean_side(width, height);
    const struct clean_grid g = { width, height, side, (width + side - 1) / side,
        (height + side - 1) / side };
    return g;
}

/* A warp measures a cell. */
struct clean_measure_params {
    struct clean_grid grid;
    const float *alpha; /* `step` floats from pixel to pixel */
    int step;
    struct clean_cell *cell;
};

static inline struct launch clean_measure_launch(const struct clean_measure_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->grid.across * p->grid.down), CLEAN_THREADS / 32), 1, 1 },
        { CLEAN_THREADS, 1, 1 },
        0,
    };
    return l;
}

/* One block decides about all cells. */
struct clean_decide_params {
    struct clean_grid grid;
    const struct clean_cell *cell;
    struct clean_state *state; /* the last frame's, and then this one's */
    int past;                  /* 1: there was one */
};

static inline struct launch clean_decide_launch(const struct clean_decide_params *p)
{
    (void)p;
    const struct launch l = { { 1, 1, 1 }, { CLEAN_DECIDERS, 1, 1 }, 0 };
    return l;
}

struct clean_apply_params {
    struct clean_grid grid;
    const struct clean_state *state;
    const float *alpha;
    int step;
    float *cleaned; /* one to a pixel */
    uint16_t *out;  /* the same as halves */
};

static inline struct launch clean_apply_launch(const struct clean_apply_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->grid.width * p->grid.height), CLEAN_THREADS), 1, 1 },
        { CLEAN_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
