/* A graph of libavfilter, one picture in and out, as some steps are best done by what is there. One thread. */
#ifndef MATTE_FILTER_H
#define MATTE_FILTER_H

#include <libavutil/frame.h>
#include <libavutil/rational.h>

#include "../error.h"

struct filter;

struct filter_params {
    const char *description; /* as the ffmpeg program takes it */
    int width, height;
    enum AVPixelFormat pixel_format;
    AVRational time_base; /* of the pictures' times */
    AVRational aspect;    /* of their pixels */
    int threads;
};

struct filter *filter_open(const struct filter_params *params, struct error *e);

/* Takes the picture's content. NULL: no more will come. 0, or libav's error. */
int filter_send(struct filter *filter, AVFrame *picture);

/* 0: a picture, its time in params.time_base; AVERROR(EAGAIN), AVERROR_EOF, or libav's error. */
int filter_receive(struct filter *filter, AVFrame *picture);

/* filter may be NULL. */
void filter_close(struct filter *filter);

#endif
