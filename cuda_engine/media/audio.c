#include "audio.h"

#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/mathematics.h>
#include <libswresample/swresample.h>
#include <stdlib.h>

#include "allowed.h"
#include "libav.h"

static const char failed[] = "The audio could not be converted";

enum {
    RATE = 48000, /* of every Opus stream */
    CHANNELS_MAX = 8,
    BITS_PER_CHANNEL = 64000,
    BITS_LEAST = 96000,
    JITTER = RATE / 100, /* timestamps of containers with ms are this inexact */
};

struct audio {
    struct audio_params params;
    struct mux *mux;
    int64_t last_dts; /* of a copied packet */
    /* transcoding; NULL where it is copied */
    AVCodecContext *decoder, *encoder;
    SwrContext *convert;
    int rate, format; /* what convert was made for */
    AVChannelLayout layout;
    AVAudioFifo *fifo;
    float *mixed; /* one frame of it: the channels of a sample beside each other */
    AVFrame *decoded, *frame;
    AVPacket *packet;
    int64_t
        next; /* samples of the output's timeline that have been queued or skipped; -1: none yet */
    int64_t sent; /* samples given to the encoder, as a time */
};

/* These have a header that muxers need and some containers do not have. */
static int has_header(enum AVCodecID codec)
{
    return codec == AV_CODEC_ID_AAC || codec == AV_CODEC_ID_ALAC || codec == AV_CODEC_ID_OPUS ||
           codec == AV_CODEC_ID_VORBIS;
}

static int copies(const struct audio_params *p)
{
    const AVCodecParameters *par = p->source->codecpar;
    for (int i = 0; i < FORMAT_AUDIO && p->format->audio_copied[i] != AV_CODEC_ID_NONE; i++)
        if (p->format->audio_copied[i] == par->codec_id)
            return !has_header(par->codec_id) || par->extradata_size > 0;
    return 0;
}

static int open_decoder(struct audio *a)
{
    const AVCodec *codec = avcodec_find_decoder(a->params.source->codecpar->codec_id);
    if (!codec)
        return AVERROR_DECODER_NOT_FOUND;
    AVCodecContext *c = a->decoder = avcodec_alloc_context3(codec);
    if (!c)
        return AVERROR(ENOMEM);
    int result = avcodec_parameters_to_context(c, a->params.source->codecpar);
    if (result < 0)
        return result;
    c->codec_whitelist = av_strdup(allowed_codecs);
    c->max_samples = (int64_t)RATE * 10;
    c->thread_count = 1;
    c->pkt_timebase = a->params.source->time_base;
    return avcodec_open2(c, codec, NULL);
}

/* 5.1(side) and other orders become the plain layout of as many channels, which the encoder knows. */
static int open_encoder(struct audio *a)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(a->params.format->audio_encoder);
    if (!codec)
        return AVERROR_ENCODER_NOT_FOUND;
    AVCodecContext *c = a->encoder = avcodec_alloc_context3(codec);
    if (!c)
        return AVERROR(ENOMEM);
    int channels = a->decoder->ch_layout.nb_channels;
    av_channel_layout_default(
        &c->ch_layout, channels > 0 && channels <= CHANNELS_MAX ? channels : 2);
    channels = c->ch_layout.nb_channels;
    c->sample_rate = RATE;
    c->sample_fmt = codec->sample_fmts[0]; /* floats, planar or not */
    for (const enum AVSampleFormat *f = codec->sample_fmts; *f != AV_SAMPLE_FMT_NONE; f++)
        if (*f == AV_SAMPLE_FMT_FLT || *f == AV_SAMPLE_FMT_FLTP)
            c->sample_fmt = *f;
    c->bit_rate =
        channels * BITS_PER_CHANNEL > BITS_LEAST ? channels * BITS_PER_CHANNEL : BITS_LEAST;
    c->time_base = (AVRational) { 1, RATE };
    c->flags = AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    return avcodec_open2(c, codec, NULL);
}

static int open_transcoder(struct audio *a)
{
    int result = open_decoder(a);
    if (result >= 0)
        result = open_encoder(a);
    if (result < 0)
        return result;
    a->fifo = av_audio_fifo_alloc(
        AV_SAMPLE_FMT_FLT, a->encoder->ch_layout.nb_channels, a->encoder->frame_size);
    a->mixed = calloc((size_t)a->encoder->frame_size * (size_t)a->encoder->ch_layout.nb_channels,
        sizeof *a->mixed);
    a->decoded = av_frame_alloc();
    a->frame = av_frame_alloc();
    a->packet = av_packet_alloc();
    return a->fifo && a->mixed && a->decoded && a->frame && a->packet ? 0 : AVERROR(ENOMEM);
}

struct audio *audio_open(const struct audio_params *params, struct error *e)
{
    struct audio *a = calloc(1, sizeof *a);
    if (!a) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    a->params = *params;
    a->last_dts = AV_NOPTS_VALUE;
    a->next = -1;
    int result = copies(params) ? 0 : open_transcoder(a);
    if (result >= 0)
        return a;
    libav_error(e, "encode_error", failed, result);
    audio_close(a);
    return NULL;
}

int audio_transcodes(const struct audio *audio)
{
    return audio->encoder != NULL;
}

int audio_attach(struct audio *audio, struct mux *mux, struct error *e)
{
    struct audio *a = audio;
    AVStream *s = mux_stream(
        mux, MUX_AUDIO, a->encoder ? a->encoder->time_base : a->params.source->time_base, e);
    if (!s)
        return -1;
    int result = a->encoder ? avcodec_parameters_from_context(s->codecpar, a->encoder)
                            : avcodec_parameters_copy(s->codecpar, a->params.source->codecpar);
    if (result < 0)
        return libav_error(e, "encode_error", failed, result);
    s->codecpar->codec_tag = 0; /* the source container's */
    a->mux = mux;
    return 0;
}

/* Where the sound ends, in samples. */
static int64_t end_of(const struct audio *a)
{
    int64_t ms = a->params.preview_ms > 0 ? a->params.preview_ms : a->params.max_ms;
    return ms * (RATE / 1000);
}

/* In samples from the clip's start. */
static int64_t samples_at(const struct audio *a, int64_t at, AVRational base)
{
    struct timeline t = a->params.timeline;
    t.ticks = (AVRational) { 1, RATE };
    return timeline_ticks(&t, at, base);
}

/* ---- copying ---- */

static int copy(struct audio *a, AVPacket *packet, struct error *e)
{
    AVRational base = a->params.source->time_base;
    if (packet->dts == AV_NOPTS_VALUE)
        packet->dts = packet->pts;
    if (packet->dts == AV_NOPTS_VALUE ||
        (a->last_dts != AV_NOPTS_VALUE && packet->dts <= a->last_dts))
        return 1;
    if (samples_at(a, packet->dts, base) >= end_of(a))
        return 0;
    a->last_dts = packet->dts;
    const struct timeline *t = &a->params.timeline;
    int64_t start = av_rescale_q(t->start, t->start_base, base);
    packet->dts -= start;
    if (packet->pts != AV_NOPTS_VALUE)
        packet->pts -= start;
    return mux_write(a->mux, MUX_AUDIO, packet, e) ? -1 : 1;
}

/* ---- transcoding ---- */

static int drain(struct audio *a, struct error *e)
{
    int result;
    while ((result = avcodec_receive_packet(a->encoder, a->packet)) >= 0)
        if (mux_write(a->mux, MUX_AUDIO, a->packet, e))
            return -1;
    return result == AVERROR(EAGAIN) || result == AVERROR_EOF
               ? 0
               : libav_error(e, "encode_error", failed, result);
}

/* The fifo's order to the encoder's. */
static void part_channels(const struct audio *a, AVFrame *to)
{
    int channels = a->encoder->ch_layout.nb_channels, planar = av_sample_fmt_is_planar(to->format);
    for (int k = 0; k < channels; k++) {
        float *channel = (float *)to->extended_data[planar ? k : 0] + (planar ? 0 : k);
        for (int i = 0; i < to->nb_samples; i++)
            channel[i * (planar ? 1 : channels)] = a->mixed[i * channels + k];
    }
}

/* Gives the encoder count samples of the fifo, fewer than a frame only at the end. */
static int encode(struct audio *a, int count, struct error *e)
{
    AVFrame *f = a->frame;
    f->format = a->encoder->sample_fmt;
    f->sample_rate = RATE;
    f->nb_samples = count;
    int result = av_channel_layout_copy(&f->ch_layout, &a->encoder->ch_layout);
    if (result >= 0)
        result = av_frame_get_buffer(f, 0);
    if (result >= 0)
        result = av_audio_fifo_read(a->fifo, (void *[]) { a->mixed }, count);
    if (result >= 0)
        part_channels(a, f);
    f->pts = a->sent;
    a->sent += count;
    if (result >= 0)
        result = avcodec_send_frame(a->encoder, f);
    av_frame_unref(f);
    return result < 0 ? libav_error(e, "encode_error", failed, result) : drain(a, e);
}

static int encode_full(struct audio *a, struct error *e)
{
    while (av_audio_fifo_size(a->fifo) >= a->encoder->frame_size)
        if (encode(a, a->encoder->frame_size, e))
            return -1;
    return 0;
}

/* Queues samples (NULL: silence); they are encoded frame by frame, so the fifo stays short. */
static int queue(struct audio *a, const uint8_t *samples, int64_t count, struct error *e)
{
    int channels = a->encoder->ch_layout.nb_channels;
    float silence[CHANNELS_MAX * 1024] = { 0 };
    int64_t room = end_of(a) - a->next;
    if (count > room)
        count = room;
    while (count > 0) {
        int part = samples || count < 1024 ? (int)count : 1024;
        void *data[1] = { samples ? (void *)samples : silence };
        int result = av_audio_fifo_write(a->fifo, data, part);
        if (result < 0)
            return libav_error(e, "encode_error", failed, result);
        a->next += part;
        count -= part;
        if (samples)
            samples += (size_t)part * (size_t)channels * sizeof(float);
        if (encode_full(a, e))
            return -1;
    }
    return 0;
}

static int prepare(struct audio *a, const AVFrame *f)
{
    if (a->convert && f->sample_rate == a->rate && f->format == a->format &&
        !av_channel_layout_compare(&f->ch_layout, &a->layout))
        return 0;
    AVChannelLayout from = f->ch_layout;
    if (from.order == AV_CHANNEL_ORDER_UNSPEC)
        av_channel_layout_default(&from, f->ch_layout.nb_channels);
    swr_free(&a->convert);
    int result = swr_alloc_set_opts2(&a->convert, &a->encoder->ch_layout, AV_SAMPLE_FMT_FLT, RATE,
        &from, f->format, f->sample_rate, 0, NULL);
    if (result >= 0)
        result = swr_init(a->convert);
    a->rate = f->sample_rate;
    a->format = f->format;
    return result < 0 ? result : av_channel_layout_copy(&a->layout, &f->ch_layout);
}

/* samples, that belong at the time `at`, after what is queued: silence fills a gap, an overlap is cut. */
static int place(
    struct audio *a, const uint8_t *samples, int64_t count, int64_t at, struct error *e)
{
    if (a->next < 0)
        a->next = a->sent = at > 0 ? at : 0;
    int64_t gap = at - a->next;
    if (gap > JITTER) {
        if (queue(a, NULL, gap, e))
            return -1;
    } else if (gap < -JITTER) {
        int64_t cut = -gap < count ? -gap : count;
        samples += (size_t)cut * (size_t)a->encoder->ch_layout.nb_channels * sizeof(float);
        count -= cut;
    }
    return queue(a, samples, count, e);
}

static int convert(struct audio *a, struct error *e)
{
    const AVFrame *f = a->decoded;
    int result = prepare(a, f);
    if (result < 0)
        return libav_error(e, "encode_error", failed, result);
    /* what the resampler still holds comes out first */
    int64_t held = swr_get_delay(a->convert, RATE);
    int64_t at = f->best_effort_timestamp == AV_NOPTS_VALUE
                     ? a->next
                     : samples_at(a, f->best_effort_timestamp, a->params.source->time_base) - held;
    int most = swr_get_out_samples(a->convert, f->nb_samples);
    uint8_t *samples = NULL;
    result = av_samples_alloc(
        &samples, NULL, a->encoder->ch_layout.nb_channels, most, AV_SAMPLE_FMT_FLT, 0);
    if (result >= 0)
        result = swr_convert(
            a->convert, &samples, most, (const uint8_t **)f->extended_data, f->nb_samples);
    result = result < 0 ? libav_error(e, "encode_error", failed, result)
                        : place(a, samples, result, at, e);
    av_freep(&samples);
    return result;
}

static int decode(struct audio *a, const AVPacket *packet, struct error *e)
{
    int result = avcodec_send_packet(a->decoder, packet);
    if (result == AVERROR(ENOMEM))
        return libav_error(e, "encode_error", failed, result);
    while (result >= 0 && (result = avcodec_receive_frame(a->decoder, a->decoded)) >= 0) {
        int converted = convert(a, e);
        av_frame_unref(a->decoded);
        if (converted)
            return -1;
    }
    return 0;
}

int audio_packet(void *audio, AVPacket *packet, struct error *e)
{
    struct audio *a = audio;
    if (!a->encoder)
        return copy(a, packet, e);
    if (decode(a, packet, e))
        return -1;
    return a->next < end_of(a);
}

int audio_finish(struct audio *audio, struct error *e)
{
    struct audio *a = audio;
    if (!a->encoder)
        return 0;
    if (decode(a, NULL, e))
        return -1;
    int rest = av_audio_fifo_size(a->fifo);
    if (rest > 0 && encode(a, rest, e))
        return -1;
    int result = avcodec_send_frame(a->encoder, NULL);
    return result < 0 ? libav_error(e, "encode_error", failed, result) : drain(a, e);
}

void audio_close(struct audio *audio)
{
    if (!audio)
        return;
    avcodec_free_context(&audio->decoder);
    avcodec_free_context(&audio->encoder);
    swr_free(&audio->convert);
    av_channel_layout_uninit(&audio->layout);
    av_audio_fifo_free(audio->fifo);
    free(audio->mixed);
    av_frame_free(&audio->decoded);
    av_frame_free(&audio->frame);
    av_packet_free(&audio->packet);
    free(audio);
}
