/*
 * A decoded picture of 4:2:0 in device memory: NV12, P010, or three planes of 8 bits. Pitches and addresses may be
 * any; those that are multiples of 8 are read fastest. Nothing outside the picture is read.
 */
#ifndef MATTE_KERNELS_PICTURE_H
#define MATTE_KERNELS_PICTURE_H

#include <stdint.h>

#include "../../sample_math.h"
#include "../extent.h"

struct picture {
    const uint8_t *y, *u, *v; /* interleaved chroma: v is one sample after u */
    int y_pitch, uv_pitch;    /* bytes from row to row */
    int width, height;        /* chroma has half of each, rounded up */
    int wide;                 /* 1: samples of 16 bits, codes in the upper ones */
    int interleaved;          /* 1: u and v alternate */
    struct decoding decoding; /* of its codes in units of 8 bits */
};

#endif
