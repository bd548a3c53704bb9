/*
 * The output formats: one table entry each, in the file of its name. A format is a muxer, the audio it takes, and one or
 * two video tracks that libavcodec encodes from the compositor's frames; what is special about it is data, but for
 * describe() and join().
 */
#ifndef MATTE_FORMAT_H
#define MATTE_FORMAT_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "../error.h"

enum { FORMAT_TRACKS = 2, FORMAT_AUDIO = 12 };

/* Which planes of a frame a track encodes. */
enum track_planes { TRACK_COLOR, TRACK_ALPHA, TRACK_BOTH };

struct track {
    const char *encoder; /* NULL: there is no such track */
    enum track_planes planes;
    enum AVPixelFormat pixel_format;
    int gop;             /* a key frame every so many frames, on every track at the same ones */
    const char *options; /* of the encoder: key=value:key=value */
    const char *filter;  /* libavfilter's description of what comes before the encoder; or NULL */
    enum AVPixelFormat encoded_format; /* that the filter makes of pixel_format */
    const char
        *lossless; /* in the place of options, where the job wants its alpha exact; or NULL */
    /* Of an encoder that makes one packet of all frames: has it last so many ticks; or NULL. */
    int (*last)(AVPacket *packet, int64_t ticks);
};

struct format {
    const char *name;          /* API name */
    const char *extension;     /* without a dot */
    const char *muxer;         /* of an archive: of its sound */
    const char *muxer_options; /* key=value:key=value; or NULL */
    const char *muxer_last;    /* its option for the last frame's ticks; NULL: the packet says it */
    int archive; /* 1: a zip file that holds a file for each packet, one of the sound, and a list */
    AVRational ticks;                          /* its time base */
    int apart;                                 /* ticks from a frame to the next, at least */
    int max_side;                              /* pixels */
    int even;                                  /* 1: both sides are even */
    struct track opaque;                       /* over a background */
    struct track transparent[FORMAT_TRACKS];   /* [0].encoder NULL: the format has no alpha */
    enum AVCodecID audio_copied[FORMAT_AUDIO]; /* AV_CODEC_ID_NONE ends the list */
    const char *audio_encoder;                 /* for every other codec; NULL: there is no sound */
    /* Completes the muxer's video stream before its header is written; or NULL. */
    int (*describe)(AVStream *stream, int transparent, struct error *e);
    /* Puts the second track's packet into the first's, both of the same frame; NULL: there is one track. */
    int (*join)(AVPacket *color, const AVPacket *alpha, struct error *e);
};

extern const struct format format_webm, format_mov, format_mp4, format_gif, format_webp,
    format_png_sequence;

/* Not among those that can be asked for by name: what goes beside one of them. Its ticks are that one's. */
extern const struct format format_alpha;

/* By API name, or by the extension of a file name; NULL and *e (unsupported_format). */
const struct format *format_find(const char *name, struct error *e);
const struct format *format_of_file(const char *path, struct error *e);

/* The tracks for a transparent or an opaque background, and how many; 0 and *e (unsupported_combination). */
int format_tracks(
    const struct format *format, int transparent, const struct track **tracks, struct error *e);

#endif
