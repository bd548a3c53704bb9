/* An output picture in device memory: 8 bits, limited range, 4:2:0, in planes or as NV12. */
#ifndef MATTE_KERNELS_CANVAS_H
#define MATTE_KERNELS_CANVAS_H

#include "picture.h"

struct canvas {
    uint8_t *y, *u, *v, *a; /* interleaved chroma: v is u + 1. a: NULL where it is not wanted */
    int y_pitch, uv_pitch, a_pitch;
    int interleaved;
    int width, height;
    int opaque; /* 1: over what is behind it, as where a is NULL; 0: straight alpha */
    /* what is behind the picture where it is opaque: a picture of the canvas' size, or (y NULL) a colour's codes */
    struct picture background;
    uint8_t color[3];
};

#endif
