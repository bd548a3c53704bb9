/*
 * Encoding on a card (NVENC): what encoder.c needs beside libavcodec to give it frames of the layout NV12 that are in
 * device memory.
 */
#ifndef MATTE_NVENC_H
#define MATTE_NVENC_H

#include <libavcodec/avcodec.h>

#include "../device/device.h"
#include "format.h"

struct nvenc;

#ifdef WITH_CUDA

/* The track that says the same to a card as `software` to the processor; NULL: cards do not encode that. */
const struct track *nvenc_track(const struct track *software);

/* Makes codec, of which the size is set and which is not open yet, take frames of device. NULL and *e. */
struct nvenc *nvenc_open(struct device *device, AVCodecContext *codec, struct error *e);

/* A buffer for an AVFrame that takes the reference to frame; NULL: there is no memory. */
AVBufferRef *nvenc_buffer(struct nvenc *nvenc, struct frame *frame);

/* What the encoder is given after this it sees as frame is when all work on it that was queued has been done. */
int nvenc_await(struct nvenc *nvenc, struct frame *frame, struct error *e);

/* After the codec; nvenc may be NULL. */
void nvenc_close(struct nvenc *nvenc);

#else /* no device is a card */

static inline const struct track *nvenc_track(const struct track *software)
{
    (void)software;
    return NULL;
}

static inline struct nvenc *nvenc_open(
    struct device *device, AVCodecContext *codec, struct error *e)
{
    (void)device, (void)codec, (void)e;
    return NULL;
}

static inline AVBufferRef *nvenc_buffer(struct nvenc *nvenc, struct frame *frame)
{
    (void)nvenc, (void)frame;
    return NULL;
}

static inline int nvenc_await(struct nvenc *nvenc, struct frame *frame, struct error *e)
{
    (void)nvenc, (void)frame, (void)e;
    return 0;
}

static inline void nvenc_close(struct nvenc *nvenc)
{
    (void)nvenc;
}

#endif
#endif
