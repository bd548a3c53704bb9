/*
 * Source pictures on a card. What the card can decode, it decodes (NVDEC), and the picture is copied into the job's frame
 * at once, so that the decoder has its surface back; every other picture is made by the processor in pinned memory and
 * copied to the card while the next one is made. One thread.
 */
#ifndef MATTE_NVDEC_H
#define MATTE_NVDEC_H

#include <libavcodec/avcodec.h>

#include "../device/device.h"
#include "picture.h"

struct nvdec;

#ifdef WITH_CUDA

/* For frames of width x height. *nvdec is NULL where device is no card. -1 and *e. */
int nvdec_open(struct nvdec **nvdec, struct device *device, int width, int height, struct error *e);

/*
 * Before avcodec_open2(): 1: the card is asked to decode such a stream, and libavcodec does if it says no; 0: it is not, as
 * it cannot or would not give what frames hold: upright 8-bit 4:2:0 of limited range.
 */
int nvdec_attach(struct nvdec *nvdec, const struct picture *picture, AVCodecContext *decoder);

/* Makes a picture that is on the card one in host memory, for whoever must look at it; another is left as it is. */
int nvdec_fetch(struct nvdec *nvdec, AVFrame *picture, struct error *e);

/* As picture_convert(), which does the processor's part, into a frame of the device with the layout NV12. A picture on
 * the card fits (picture_fits()). */
int nvdec_take(struct nvdec *nvdec, struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e);

/* After the decoder that it was attached to; nvdec may be NULL. */
void nvdec_close(struct nvdec *nvdec);

#else /* no device is a card */

static inline int nvdec_open(
    struct nvdec **nvdec, struct device *device, int width, int height, struct error *e)
{
    (void)device, (void)width, (void)height, (void)e;
    *nvdec = NULL;
    return 0;
}

static inline int nvdec_attach(
    struct nvdec *nvdec, const struct picture *picture, AVCodecContext *decoder)
{
    (void)nvdec, (void)picture, (void)decoder;
    return 0;
}

static inline int nvdec_fetch(struct nvdec *nvdec, AVFrame *picture, struct error *e)
{
    (void)nvdec, (void)picture, (void)e;
    return 0;
}

static inline int nvdec_take(struct nvdec *nvdec, struct picture *picture, const AVFrame *from,
    AVRational aspect, struct frame *to, struct error *e)
{
    (void)nvdec;
    return picture_convert(picture, from, aspect, to, e);
}

static inline void nvdec_close(struct nvdec *nvdec)
{
    (void)nvdec;
}

#endif
#endif
