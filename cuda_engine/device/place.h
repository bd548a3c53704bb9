/* What of a placed picture is to be seen, for every backend. */
#ifndef MATTE_PLACE_H
#define MATTE_PLACE_H

#include "device.h"
#include "taps.h"

struct placed {
    int x0, y0, x1, y1; /* the part of the canvas that shows the picture; x0 == x1: none */
    /*
     * 1: pixels and chroma samples are copied, moved by whole samples. 0: the picture is resized through light, which an
     * odd place of the same size needs, too, for its chroma.
     */
    int whole;
    struct taps x, y; /* unless whole: for the columns x0..x1 and the rows y0..y1, of luma */
};

/* -1: no memory; placed_close() in any case. */
int placed_open(struct placed *placed, const struct compositor_params *params);
void placed_close(struct placed *placed);

#endif
