/*
 * The device's frames as the pictures that encoders take: colour by libswscale, alpha by hand, as that library may move it
 * by one.
 */
#ifndef MATTE_PACK_H
#define MATTE_PACK_H

#include <libavutil/frame.h>

#include "../device/frame.h"

struct pack;

struct pack_params {
    int width, height;
    enum frame_matrix matrix;        /* of the frames; a Y'CbCr picture keeps it */
    enum AVPixelFormat pixel_format; /* of the pictures: 8 or 10 bits, planar or packed; */
    int alpha;                       /* 1: with the frame's; 0: opaque, if the format has alpha */
};

struct pack *pack_open(const struct pack_params *params, struct error *e);

/* Makes *to, an empty picture, one with pixels of its own. Times are left alone. */
int pack_run(struct pack *pack, const struct frame *from, AVFrame *to, struct error *e);

/* pack may be NULL. */
void pack_close(struct pack *pack);

#endif
