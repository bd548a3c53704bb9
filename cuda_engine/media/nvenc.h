/*
 * Encoding on a card: libavcodec's NVENC encoders on frames of the layout NV12 in device memory. Used by encoder.c, which
 * is the same for every encoder but for what is here.
 */
#ifndef MATTE_NVENC_H
#define MATTE_NVENC_H

#include <libavcodec/avcodec.h>

#include "../device/device.h"
#include "format.h"

struct nvenc;

#ifdef WITH_CUDA

/*
 * The encoder that does on a card what a track's does on the processor, opened but for avcodec_open2(): *codec is its
 * context, for frames of width x height. NULL and no error (e->code is empty): there is none, or device is no card.
 */
struct nvenc *nvenc_open(struct device *device, const struct track *track, int width, int height,
    AVCodecContext **codec, struct error *e);

/* Makes *to the frame, whose reference it takes, for avcodec_send_frame(). */
int nvenc_wrap(struct nvenc *nvenc, struct frame *frame, AVFrame *to, struct error *e);

/* After the codec; nvenc may be NULL. */
void nvenc_close(struct nvenc *nvenc);

#endif
#endif
