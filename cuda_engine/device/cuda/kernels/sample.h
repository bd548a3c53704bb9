/* sample.cu: a picture to the input of a network. */
#ifndef MATTE_KERNELS_SAMPLE_H
#define MATTE_KERNELS_SAMPLE_H

#include "picture.h"
#include "taps.h"

enum {
    SAMPLE_THREADS = 256,
    SAMPLE_ROWS = 4,      /* of the result that a block makes */
    SAMPLE_TILE = 128,    /* columns of it, at most */
    SAMPLE_COLUMNS = 512, /* source samples of luma that they are made of, at most, and of chroma */
};

struct sample_picture_params {
    struct picture picture;
    struct axis x[2], y[2];  /* of luma, of chroma; device/taps.h */
    float scale[3], bias[3]; /* result = rgb * scale + bias */
    uint16_t *out;           /* halves, N,H,W,C with N = 1 */
    int width, height;       /* of the result */
    int channels;            /* 3 or more; those after the third become zero */
    int tile;                /* sample_tile() */
};

/* Columns of the result that a block can make; 0 where the picture is over about 120 times as wide as the result. */
static inline int sample_tile(int from, int to)
{
    const double scale = (double)from / to, least = scale > 2 ? scale : 2;
    /* but for what the last column reaches beyond the tile, u and v of it, and the ends of words */
    const double columns = (SAMPLE_COLUMNS - least - 20) / scale;
    return columns < 1 ? 0 : columns < SAMPLE_TILE ? (int)columns : (int)SAMPLE_TILE;
}

static inline struct launch sample_picture_launch(const struct sample_picture_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->width, (unsigned)p->tile),
            blocks_for((unsigned)p->height, SAMPLE_ROWS), 1 },
        { SAMPLE_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
