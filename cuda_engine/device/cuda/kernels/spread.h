/* spread.cu: alpha and the foreground's colours by colours that are spread from where they are sure. */
#ifndef MATTE_KERNELS_SPREAD_H
#define MATTE_KERNELS_SPREAD_H

#include "../../solve_math.h"
#include "../extent.h"
#include "seen.h"

enum {
    SPREAD_THREADS = 256,
    SPREAD_TILE = 32,   /* pixels a side of a block ... */
    SPREAD_LOCAL = 5,   /* ... which makes so many levels of it by itself */
    SPREAD_LEVELS = 15, /* of a picture of 2^14 pixels a side, from level 1 on */
    SPREAD_SIDES = 2,   /* foreground, background */
};

struct spread_level {
    float *at[SPREAD_SIDES]; /* struct tint of each pixel, 16-byte aligned */
    int width, height;
};

/* level[0] is level 1; the last is of 1x1. */
struct spread_pyramid {
    struct spread_level level[SPREAD_LEVELS];
    int count;
};

/* What is spread: the colours of a picture by alpha. */
struct spread_source {
    struct seen seen;
    struct alphas alpha;
    int leveled; /* 1: level_alpha() first */
    struct spread how;
};

static inline int spread_local(const struct spread_pyramid *p)
{
    return p->count < SPREAD_LOCAL ? p->count : (int)SPREAD_LOCAL;
}

static inline struct launch spread_launch(const struct seen *s)
{
    const struct launch l = {
        { blocks_for((unsigned)s->width, SPREAD_TILE), blocks_for((unsigned)s->height, SPREAD_TILE),
            1 },
        { SPREAD_THREADS, 1, 1 },
        0,
    };
    return l;
}

/* Levels 1 to SPREAD_LOCAL, as far as there are. */
struct spread_push_params {
    struct spread_source from;
    struct spread_pyramid to;
};

static inline struct launch spread_push_launch(const struct spread_push_params *p)
{
    return spread_launch(&p->from.seen);
}

/* The levels above, and back to the last of those. One block. */
struct spread_turn_params {
    struct spread how;
    struct spread_pyramid pyramid;
};

static inline struct launch spread_turn_launch(const struct spread_turn_params *p)
{
    (void)p;
    const struct launch l = { { 1, 1, 1 }, { SPREAD_THREADS, 1, 1 }, 0 };
    return l;
}

/* The rest of the way back, and what is made of the colours: alpha, ... */
struct spread_alpha_params {
    struct spread_source from;
    struct spread_pyramid pyramid;
    float *alpha;  /* one to a pixel; NULL: not wanted */
    uint16_t *out; /* the same as halves */
};

static inline struct launch spread_alpha_launch(const struct spread_alpha_params *p)
{
    return spread_launch(&p->from.seen);
}

/* ... or the foreground's colours. */
struct spread_color_params {
    struct spread_source from;
    struct spread_pyramid pyramid;
    uint16_t *out; /* halves, H,W,C, four to a pixel, of which three are R, G, B */
};

static inline struct launch spread_color_launch(const struct spread_color_params *p)
{
    return spread_launch(&p->from.seen);
}

#endif
