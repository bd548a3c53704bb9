/* The card behind a device, for those who give it work themselves: media/ and nn/cudnn. */
#ifndef MATTE_DEVICE_CUDA_CARD_H
#define MATTE_DEVICE_CUDA_CARD_H

#include "../device.h"
#include "driver.h"

/*
 * Stages have a stream each, so that decoding, computing and encoding go on side by side; fences (fence.h) keep the order
 * of what they share.
 */
struct card {
    struct cuda cuda;
    CUstream decode, compute, encode;
    void *codecs[2]; /* held for FFmpeg, which loads them when there may be no files any more */
    struct crossing *crossing; /* raster.c's; NULL: nothing has crossed */
};

/* NULL: device is not a card. It lives as long as device. */
const struct card *card_of(const struct device *device);

#endif
