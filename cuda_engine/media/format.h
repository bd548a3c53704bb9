/*
 * The output formats: one table entry each, in the file of its name. A format is a muxer, the audio it takes, and one or
 * two video tracks that libavcodec encodes from the compositor's frames; what is special about it is data, but for
 * join().
 */
#ifndef MATTE_FORMAT_H
#define MATTE_FORMAT_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "../error.h"

enum { FORMAT_TRACKS = 2, FORMAT_AUDIO = 4 };

/* Which planes of a frame a track encodes. */
enum track_planes { TRACK_COLOR, TRACK_ALPHA };

struct track {
    const char *encoder; /* NULL: the format has no such track */
    enum track_planes planes;
    enum AVPixelFormat pixel_format;
    int gop;             /* a key frame every so many frames, on every track at the same ones */
    const char *options; /* of the encoder: key=value:key=value */
};

struct format {
    const char *name;      /* API name */
    const char *extension; /* without a dot */
    const char *muxer;
    AVRational ticks;                          /* its time base */
    int transparency;                          /* 1: it can carry alpha */
    struct track color;                        /* over an opaque background the only track */
    struct track alpha;                        /* beside color for a transparent one */
    enum AVCodecID audio_copied[FORMAT_AUDIO]; /* AV_CODEC_ID_NONE ends the list */
    const char *audio_encoder;                 /* for every other codec */
    /* Completes the muxer's video stream before its header is written. */
    int (*describe)(AVStream *stream, int transparent, struct error *e);
    /* Puts the alpha track's packet into the colour track's, both of the same frame. */
    int (*join)(AVPacket *color, const AVPacket *alpha, struct error *e);
};

extern const struct format format_webm;

/* By API name, or by the extension of a file name; NULL and *e (unsupported_format). */
const struct format *format_find(const char *name, struct error *e);
const struct format *format_of_file(const char *path, struct error *e);

#endif
