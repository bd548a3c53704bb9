/*
 * The source video: a file of a stranger, opened by descriptor, demuxed and decoded into the device's pictures. Nothing in
 * it can name another file; containers and codecs are those of a list; every size is checked.
 *
 * Errors: empty_input, unreadable_media, no_video_stream, too_large (pixels), too_long, decode_error (retry: the first
 * time may be a fault of ours), out_of_memory, device_error and device_lost (retry).
 */
#ifndef MATTE_INPUT_H
#define MATTE_INPUT_H

#include <libavformat/avformat.h>
#include <stdint.h>

#include "../device/device.h"
#include "timeline.h"

struct input;

struct input_params {
    int fd;           /* seekable; stays open and the caller's */
    AVRational ticks; /* of the output format */
    int apart;        /* as in struct timeline */
    int sound; /* 0: the output takes none; then only the video tells where the clip starts */
    int64_t max_pixels;    /* of one picture, stored or upright */
    int64_t max_ms;        /* of the clip */
    int64_t preview_ms;    /* > 0: only what is before it; 0: all */
    int threads;           /* for decoding */
    struct device *device; /* on which the frames are */
};

struct input_info {
    int width, height; /* upright, square pixels */
    enum frame_matrix matrix;
    int64_t frames;        /* an estimate of what will come, at least 1 */
    int64_t duration_ms;   /* of what will come; 0: the file does not say */
    AVRational rate;       /* frames a second, about */
    const AVStream *audio; /* the stream that goes with the video, wanted or not; NULL: none does */
    struct timeline timeline;
};

struct input *input_open(
    const struct input_params *params, struct input_info *info, struct error *e);

/*
 * Takes the packets of info.audio as they come between pictures; without it they are skipped. It returns 1 for more, 0
 * for enough, -1 and *e to end input_read().
 */
typedef int input_audio_fn(void *data, AVPacket *packet, struct error *e);
void input_audio(struct input *input, input_audio_fn *take, void *data);

/*
 * The next picture, with its time, in a frame of pool: 1; 0: no more (then the audio is out, too); -1 and *e. Pictures
 * before the start are skipped. duration is > 0.
 */
int input_read(struct input *input, struct frame_pool *pool, struct frame **frame, struct error *e);

/* What happened, after input_read() returned 0. */
struct input_outcome {
    int truncated;   /* less than 9/10 of what the file declares came out */
    int64_t damaged; /* packets that could not be decoded */
};

void input_outcome(const struct input *input, struct input_outcome *outcome);

/* input may be NULL. */
void input_close(struct input *input);

#endif
