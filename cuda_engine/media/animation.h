/*
 * Animated WebP, which libavformat does not read: libwebp's demuxer and decoder behind a stream of raw pictures. A picture
 * that is shown for 10 ms or less is shown for 100, as browsers do it: so none can hold more than 91 a second.
 */
#ifndef MATTE_ANIMATION_H
#define MATTE_ANIMATION_H

#include <libavformat/avformat.h>
#include <stdint.h>

#include "../error.h"

struct animation;

enum {
    ANIMATION_PICTURES = 20000
}; /* at most: the time that libwebp takes to find one grows with their number */

/* 1 if the file begins as an animated WebP does. */
int animation_is(int fd);

/* The file's structure is read, no picture is decoded. fd stays the caller's. Errors: unreadable_media, too_long (pictures),
 * out_of_memory. */
struct animation *animation_open(int fd, int64_t size, int threads, struct error *e);

/* Adds its video stream to a file without one: RGB0, transparent pixels over black; times in ms, once through. */
int animation_describe(const struct animation *animation, AVFormatContext *file, struct error *e);

/* As av_read_frame(). The canvas is allocated at the first picture. */
int animation_read(struct animation *animation, AVPacket *packet);

/* animation may be NULL. */
void animation_close(struct animation *animation);

#endif
