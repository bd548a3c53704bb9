/*
 * Where the subject is put: a canvas, one of nine anchors, a scale and an offset, as the API has them. The whole source is
 * placed; what falls outside the canvas is clipped.
 */
#ifndef MATTE_COMPOSITION_H
#define MATTE_COMPOSITION_H

#include <stdint.h>

#include "../device/device.h"

enum { CANVAS_MIN = 16, CANVAS_MAX = 7680 };

enum anchor {
    ANCHOR_CENTER,
    ANCHOR_TOP_LEFT,
    ANCHOR_TOP_CENTER,
    ANCHOR_TOP_RIGHT,
    ANCHOR_CENTER_LEFT,
    ANCHOR_CENTER_RIGHT,
    ANCHOR_BOTTOM_LEFT,
    ANCHOR_BOTTOM_CENTER,
    ANCHOR_BOTTOM_RIGHT,
    ANCHORS,
};

/* All zero is the default. */
struct composition {
    int canvas_width, canvas_height; /* 0: the source's size */
    enum anchor anchor;
    double scale;              /* 1 fits the whole source inside the canvas; 0 is 1 */
    double offset_x, offset_y; /* pixels from the anchor, to the right and down */
};

/* An anchor's API name, "top-left" and so on; -1: it is none. */
int anchor_of(const char *name);

struct layout {
    int width, height; /* of the canvas */
    struct placement place;
};

/*
 * For a source of width x height. even: both sides of the canvas must be even; without a canvas of the job's the source
 * then loses a row or a column, and is not scaled for it. -1 and *e: invalid_composition, too_large; they name the field.
 */
int composition_layout(const struct composition *composition, int width, int height, int even,
    int64_t max_pixels, struct layout *layout, struct error *e);

#endif
