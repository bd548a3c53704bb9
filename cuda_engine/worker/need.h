/*
 * What a job takes of a card's memory, known before it begins: its frames in their pools, what decoder and encoder keep,
 * tables and levels of sampler and compositor, the network, and the driver's own. The last is an
 * estimate, and with it the sum was 16 to 84 MiB above what an H100 showed in use. The rest is not exceeded
 * (t/gpu_matted.t).
 */
#ifndef MATTE_NEED_H
#define MATTE_NEED_H

#include <stdint.h>

/* Frames of a pipeline's pools: what its queues hold, and what its stages and the encoder have in their hands. */
enum {
    SOURCE_FRAMES = 6,
    OUTPUT_FRAMES = 7,
    NVENC_FRAMES = 4,    /* inside the encoder, beside them */
    COMPOSED_FRAMES = 3, /* where they are fetched from the card at once */
};

struct need_params {
    int width, height;               /* of the video */
    int canvas_width, canvas_height; /* of the output */
    int transparent;                 /* 1: with alpha, filled */
    int on_card;                     /* 1: a card encodes it */
    int64_t network;                 /* bytes of the card that it holds already */
};

int64_t need_bytes(const struct need_params *p);

/* What a worker without a job holds. */
int64_t need_idle(int64_t network);

#endif
