/* place.cu: a cut-out resized onto a canvas. */
#ifndef MATTE_KERNELS_PLACE_H
#define MATTE_KERNELS_PLACE_H

#include "canvas.h"
#include "taps.h"

enum { PLACE_WIDTH = 32, PLACE_HEIGHT = 8, PLACE_THREADS = PLACE_WIDTH * PLACE_HEIGHT };

struct place_params {
    struct picture cut; /* 8 bits, limited range; as compose made it, straight */
    const uint8_t *alpha;
    int alpha_pitch;
    struct axis x, y;   /* device/place.h's, of the canvas' columns x0..x1 and rows y0..y1 */
    int x0, y0, x1, y1; /* the part of the canvas that shows the picture */
    struct color_matrix matrix;
    struct canvas canvas;
};

/* A thread for each chroma sample of the canvas. */
static inline struct launch place_launch(const struct place_params *p)
{
    const struct launch l = {
        { blocks_for(((unsigned)p->canvas.width + 1) / 2, PLACE_WIDTH),
            blocks_for(((unsigned)p->canvas.height + 1) / 2, PLACE_HEIGHT), 1 },
        { PLACE_WIDTH, PLACE_HEIGHT, 1 },
        0,
    };
    return l;
}

#endif
