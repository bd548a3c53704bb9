/* calm.cu: alpha averaged over time, where the picture is as it was. */
#ifndef MATTE_KERNELS_CALM_H
#define MATTE_KERNELS_CALM_H

#include "../../motion_math.h"
#include "../../temporal_math.h"
#include "../extent.h"
#include "seen.h"

enum { CALM_THREADS = 256, CALM_WIDTH = 32, CALM_HEIGHT = 8 };

static inline struct launch calm_launch(int width, int height)
{
    const struct launch l = {
        { blocks_for((unsigned)width, CALM_WIDTH), blocks_for((unsigned)height, CALM_HEIGHT), 1 },
        { CALM_THREADS, 1, 1 },
        0,
    };
    return l;
}

/* Sums over 3x3 pixels: R, G, B and a float that means nothing, of each. */
struct calm_soften_params {
    struct seen seen;
    float *softened;
};

static inline struct launch calm_soften_launch(const struct calm_soften_params *p)
{
    return calm_launch(p->seen.width, p->seen.height);
}

/* Of all alpha, by temporal_code(): this frame's, its temporal_doubt_of(), and the last frame's. Zeros before calm_weigh,
 * which adds to it. */
struct calm_sums {
    unsigned long long now, doubt, before;
};

enum { CALM_WEIGHED = 16 * CALM_THREADS }; /* pixels to a block */

struct calm_weigh_params {
    int width, height;
    const uint16_t *alpha; /* halves */
    int alpha_step;
    const struct calm *before; /* NULL: its sum is not wanted */
    struct calm_sums *sums;
};

static inline struct launch calm_weigh_launch(const struct calm_weigh_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)(p->width * p->height), CALM_WEIGHED), 1, 1 },
        { CALM_THREADS, 1, 1 },
        0,
    };
    return l;
}

struct calm_step_params {
    int width, height;
    const uint16_t *alpha; /* halves */
    int alpha_step;
    const float *softened, *softened_before; /* the latter NULL: a first frame */
    const struct vector *vectors;            /* of motion_match on level 0 */
    int across;
    const struct calm_sums *sums; /* of calm_weigh; not read of a first frame */
    const struct calm *before;
    struct calm *now;
    uint16_t *out;   /* halves; NULL: only now is wanted */
    uint16_t *still; /* temporal_still() as halves; NULL: not wanted */
};

/* What is made of calmed alpha goes back towards it, as far as the network was in doubt. */
struct calm_settle_params {
    int width, height;
    const struct calm_sums *sums;
    const struct calm *calmed;
    float *alpha;  /* one to a pixel */
    uint16_t *out; /* the same as halves */
};

static inline struct launch calm_settle_launch(const struct calm_settle_params *p)
{
    return calm_launch(p->width, p->height);
}

static inline struct launch calm_step_launch(const struct calm_step_params *p)
{
    return calm_launch(p->width, p->height);
}

#endif
