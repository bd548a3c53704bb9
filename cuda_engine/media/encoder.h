/* One video track: frames in, packets out. Belongs to one thread at a time. */
#ifndef MATTE_ENCODER_H
#define MATTE_ENCODER_H

#include "../device/device.h"
#include "format.h"

struct encoder;

/*
 * The track's pixel format says what frames it takes: AV_PIX_FMT_CUDA those in the memory of device, with the layout NV12;
 * AV_PIX_FMT_NV12 the same in host memory; every other planar ones in host memory.
 */
struct encoder_params {
    const struct track *track;
    int lossless; /* 1: by the track's own way, where it has one */
    struct device *device;
    int width, height;
    enum frame_matrix matrix;
    AVRational ticks; /* of frame->pts, and of the packets */
    AVRational rate;  /* frames a second, about: encoders spend their bits by it */
    int threads;
};

struct encoder *encoder_open(const struct encoder_params *params, struct error *e);

/* For the muxer's stream. */
int encoder_describe(const struct encoder *encoder, AVCodecParameters *parameters, struct error *e);

/* Takes the reference to frame, also when it fails. NULL: no more will come. */
int encoder_send(struct encoder *encoder, struct frame *frame, struct error *e);

/* 1: a packet, which the caller unrefs; 0: send more, or (after the NULL) all is out; -1 and *e. */
int encoder_receive(struct encoder *encoder, AVPacket *packet, struct error *e);

/* Releases the frames it holds; encoder may be NULL. */
void encoder_close(struct encoder *encoder);

#endif
