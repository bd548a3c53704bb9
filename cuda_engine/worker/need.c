#include "need.h"

#define MIB ((int64_t)1 << 20)

enum {
    ROW = 256,                /* rows of frames are multiples of so many bytes, */
    SURFACE_ROW = 512,        /* surfaces' of so many */
    DECODER_SURFACES = 40,    /* pictures that a codec refers to, and as many that are shown */
    SAMPLE = 2,               /* bytes, of a surface */
    ENCODER_SURFACES = 8,     /* what it refers to and what it has under way */
    LOW_PIXELS = 1024 * 1024, /* of a network's picture at most ... */
    LOW_BYTES = 64,           /* ... of which answers, guide and solver hold so many each */
};

/* Context, modules, cuDNN's code. */
static const int64_t driver = 384 * MIB;

/* Planes of `halves` half bytes a pixel. */
static int64_t picture(int width, int height, int row, int halves)
{
    int64_t stride = ((int64_t)width + row - 1) / row * row;
    return stride * (height + 1) * halves / 2;
}

int64_t need_idle(int64_t network)
{
    return driver + network;
}

int64_t need_bytes(const struct need_params *p)
{
    const int plane = 2, nv12 = 3, alpha = 5,
              level = 3; /* halves of a byte; a pyramid of 4-byte levels is 8/3 */
    int64_t source = picture(p->width, p->height, ROW, nv12);
    int64_t output = picture(p->canvas_width, p->canvas_height, ROW, p->transparent ? alpha : nv12);
    int64_t bytes = need_idle(p->network) + (int64_t)LOW_PIXELS * LOW_BYTES;
    bytes += SOURCE_FRAMES * source;
    bytes += DECODER_SURFACES * picture(p->width * SAMPLE, p->height, SURFACE_ROW, nv12);
    bytes += picture(p->width, p->height, ROW, alpha); /* the cut-out before it is placed */
    bytes += picture(p->width * SAMPLE, p->height, ROW, plane);     /* the alpha that is held */
    bytes += picture(p->canvas_width, p->canvas_height, ROW, nv12); /* the background */
    if (p->transparent)
        bytes += picture(p->canvas_width, p->canvas_height, ROW, level);
    if (!p->on_card)
        return bytes + COMPOSED_FRAMES * output;
    return bytes + (OUTPUT_FRAMES + NVENC_FRAMES) * output +
           ENCODER_SURFACES * picture(p->canvas_width, p->canvas_height, SURFACE_ROW, nv12);
}
