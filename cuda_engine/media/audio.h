/*
 * The sound of the clip: copied where the output format takes its codec, else decoded and encoded again, in sync by the
 * source's timestamps: a gap becomes silence, what overlaps is cut. Packets go straight to the muxer.
 */
#ifndef MATTE_AUDIO_H
#define MATTE_AUDIO_H

#include "mux.h"
#include "timeline.h"

struct audio;

struct audio_params {
    const AVStream *source;
    const struct format *format;
    struct timeline timeline; /* its start is time 0 */
    int64_t preview_ms;       /* > 0: only what is before it; 0: all */
    int64_t max_ms;           /* nothing after it either */
};

/* NULL and *e: this sound cannot be taken over (no decoder, no way into the format). */
struct audio *audio_open(const struct audio_params *params, struct error *e);

/* 1: encoded again; 0: copied. */
int audio_transcodes(const struct audio *audio);

/* Makes its stream in mux, before mux_start(). */
int audio_attach(struct audio *audio, struct mux *mux, struct error *e);

/* As input_audio_fn; damaged packets are skipped. Errors are the muxer's. */
int audio_packet(void *audio, AVPacket *packet, struct error *e);

/* After the last packet, once. */
int audio_finish(struct audio *audio, struct error *e);

/* audio may be NULL. */
void audio_close(struct audio *audio);

#endif
