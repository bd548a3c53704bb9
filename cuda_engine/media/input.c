#include "input.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavutil/mathematics.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allowed.h"
#include "animation.h"
#include "correct.h"
#include "libav.h"
#include "nvdec.h"
#include "picture.h"

enum {
    BUFFER = 64 << 10,
    STREAMS = 16,
    PROBE_BYTES = 5 << 20,
    PROBE_S = 5,
    HD_LINES = 720,
    BLOCK = 128,
    RATE_USUAL = 25,      /* frames a second where the file says nothing to be believed, ... */
    RATE_MAX = 240,       /* ... as more than this is not */
    STALLED_READS = 1000, /* of a demuxer that asks to be called again */
};

static const AVRational milliseconds = { 1, 1000 };

struct input {
    struct input_params params;
    int64_t at, size; /* of the file */
    AVFormatContext *file;
    struct animation *animation; /* NULL: libavformat reads the file */
    AVStream *video, *audio;
    AVCodecContext *decoder;
    struct nvdec *nvdec; /* NULL: frames are in host memory */
    int on_card;         /* 1: the decoder may be NVDEC */
    struct correct *correct;
    struct picture *picture;
    AVPacket *packet;
    AVFrame *decoded;
    struct timeline timeline;
    input_audio_fn *take_audio;
    void *audio_data;
    int has_audio, file_ended, flushed, video_done, audio_done;
    int64_t last_at;     /* of the last decoded picture in the stream's time base */
    int64_t end;         /* of the last picture, in ticks */
    int64_t audio_end;   /* of the last audio packet that was read, in ticks */
    int64_t step;        /* from picture to picture, in ticks */
    int64_t declared_ms; /* of the video; 0: unknown */
    int64_t pictures, damaged;
};

/* ---- the file ---- */

static int read_some(void *opaque, uint8_t *data, int size)
{
    struct input *in = opaque;
    ssize_t n;
    do
        n = pread(in->params.fd, data, (size_t)size, in->at);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n ? AVERROR(errno) : AVERROR_EOF;
    in->at += n;
    return (int)n;
}

static int64_t seek_to(void *opaque, int64_t offset, int whence)
{
    struct input *in = opaque;
    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE: return in->size;
    case SEEK_SET: break;
    case SEEK_CUR: offset += in->at; break;
    case SEEK_END: offset += in->size; break;
    default: return AVERROR(EINVAL);
    }
    return offset < 0 ? AVERROR(EINVAL) : (in->at = offset);
}

/* Playlists and references name other files: there are none. */
static int refuse_open(
    AVFormatContext *context, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
    (void)context, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EACCES);
}

/* Pictures are not opened, and their owners should not have to guess why. NULL: it is none. */
static const char *image_kind(const struct input *in)
{
    static const struct {
        const char *name, *head;
        size_t at, length;
    } kinds[] = {
        { "PNG", "\x89PNG", 0, 4 },
        { "JPEG", "\xff\xd8\xff", 0, 3 },
        { "WebP", "WEBP", 8, 4 },
    };
    char head[12] = { 0 };
    if (pread(in->params.fd, head, sizeof head, 0) != sizeof head)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!memcmp(head + kinds[i].at, kinds[i].head, kinds[i].length))
            return kinds[i].name;
    return NULL;
}

static int open_file(struct input *in, struct error *e)
{
    struct stat st;
    if (fstat(in->params.fd, &st))
        return error_retry(e, "storage_error", "The input cannot be read: %s.", strerror(errno));
    in->size = st.st_size;
    if (!in->size)
        return error_set(e, "empty_input", "The input is empty (0 bytes).");

    AVFormatContext *f = in->file = avformat_alloc_context();
    if (f && animation_is(in->params.fd)) {
        in->animation = animation_open(in->params.fd, in->size, in->params.threads, e);
        return in->animation ? animation_describe(in->animation, f, e) : -1;
    }
    uint8_t *buffer = av_malloc(BUFFER);
    AVIOContext *io =
        f && buffer ? avio_alloc_context(buffer, BUFFER, 0, in, read_some, NULL, seek_to) : NULL;
    if (!io) {
        av_free(buffer);
        return libav_error(e, "unreadable_media", "The input was not opened", AVERROR(ENOMEM));
    }
    f->pb = io;
    f->flags |= AVFMT_FLAG_CUSTOM_IO;
    f->io_open = refuse_open;
    f->format_whitelist = av_strdup(allowed_formats);
    f->codec_whitelist = av_strdup(allowed_codecs);
    f->protocol_whitelist = av_strdup("");
    f->max_streams = STREAMS;
    f->probesize = PROBE_BYTES;
    f->max_analyze_duration = (int64_t)PROBE_S * AV_TIME_BASE;
    int result = avformat_open_input(&in->file, NULL, NULL, NULL);
    if (result < 0) {
        /* the context is gone, our reader is not */
        av_freep(&io->buffer);
        avio_context_free(&io);
        const char *image = image_kind(in);
        if (image)
            return error_set(e, "unreadable_media",
                "The input is a %s image: of images only GIF and animated WebP are read as videos.",
                image);
        return libav_error(e, "unreadable_media", "The input is not a video that can be read",
            result == AVERROR(EIO) ? AVERROR_INVALIDDATA : result);
    }
    return 0;
}

static int check_pixels(const struct input *in, int width, int height, struct error *e)
{
    if ((int64_t)width * height <= in->params.max_pixels)
        return 0;
    return error_set(e, "too_large", "The video is %dx%d, above the limit of %lld pixels a frame.",
        width, height, (long long)in->params.max_pixels);
}

static int is_video(const AVStream *s)
{
    return s->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           !(s->disposition & AV_DISPOSITION_ATTACHED_PIC);
}

/* Sizes that the container states are judged before anything is decoded. */
static int check_streams(const struct input *in, struct error *e)
{
    for (unsigned i = 0; i < in->file->nb_streams; i++) {
        const AVStream *s = in->file->streams[i];
        if (is_video(s) && check_pixels(in, s->codecpar->width, s->codecpar->height, e))
            return -1;
    }
    return 0;
}

static AVStream *find_video(const struct input *in)
{
    AVStream *found = NULL;
    for (unsigned i = 0; i < in->file->nb_streams; i++) {
        AVStream *s = in->file->streams[i];
        if (!is_video(s))
            continue;
        if (!found || (s->disposition & AV_DISPOSITION_DEFAULT) >
                          (found->disposition & AV_DISPOSITION_DEFAULT))
            found = s;
    }
    return found;
}

static int find_streams(struct input *in, struct error *e)
{
    if (check_streams(in, e))
        return -1;
    int result = in->animation ? 0 : avformat_find_stream_info(in->file, NULL);
    if (result < 0)
        return libav_error(
            e, "unreadable_media", "The input is not a video that can be read", result);
    if (check_streams(in, e))
        return -1;
    in->video = find_video(in);
    if (!in->video)
        return error_set(e, "no_video_stream", "The input has no video stream.");
    if (in->video->codecpar->width <= 0 || in->video->codecpar->height <= 0)
        return error_set(e, "unreadable_media", "The input's video has no size that can be found.");
    int audio = av_find_best_stream(in->file, AVMEDIA_TYPE_AUDIO, -1, in->video->index, NULL, 0);
    in->has_audio = audio >= 0;
    in->audio = audio < 0 || !in->params.sound ? NULL : in->file->streams[audio];
    for (unsigned i = 0; i < in->file->nb_streams; i++)
        if (in->file->streams[i] != in->video && in->file->streams[i] != in->audio)
            in->file->streams[i]->discard = AVDISCARD_ALL;
    return 0;
}

static int open_decoder(struct input *in, struct error *e)
{
    const AVCodec *codec = avcodec_find_decoder(in->video->codecpar->codec_id);
    const char *name = avcodec_get_name(in->video->codecpar->codec_id);
    if (!codec)
        return error_set(e, "unreadable_media", "There is no decoder for %s video.", name);
    AVCodecContext *c = in->decoder = avcodec_alloc_context3(codec);
    if (!c)
        return libav_error(e, "unreadable_media", "The video was not opened", AVERROR(ENOMEM));
    int result = avcodec_parameters_to_context(c, in->video->codecpar);
    if (result >= 0) {
        c->codec_whitelist = av_strdup(allowed_codecs); /* the list on the file does not bind it */
        /* codecs round sizes up to blocks; the exact limit is kept for every picture that comes out */
        c->max_pixels = in->params.max_pixels + (int64_t)BLOCK * (c->width + c->height + BLOCK);
        c->thread_count = in->params.threads;
        c->pkt_timebase = in->video->time_base;
        in->on_card = nvdec_attach(in->nvdec, in->picture, c);
        result = avcodec_open2(c, codec, NULL);
    }
    if (result < 0) {
        char what[96];
        snprintf(what, sizeof what, "The %s video cannot be decoded", name);
        return libav_error(e, "unreadable_media", what, result);
    }
    return 0;
}

/* ---- what it is ---- */

static enum frame_matrix matrix_of(const AVCodecParameters *p)
{
    return p->color_space == AVCOL_SPC_BT709 || p->height >= HD_LINES ? MATRIX_BT709 : MATRIX_BT601;
}

/* The earliest start of the streams that are kept is the output's time 0. */
static void find_start(struct input *in)
{
    struct timeline *t = &in->timeline;
    t->ticks = in->params.ticks;
    t->apart = in->params.apart;
    t->start = 0;
    t->start_base = in->video->time_base;
    int known = 0;
    AVStream *kept[] = { in->video, in->audio };
    for (int i = 0; i < 2; i++) {
        const AVStream *s = kept[i];
        if (!s || s->start_time == AV_NOPTS_VALUE)
            continue;
        if (known && av_compare_ts(s->start_time, s->time_base, t->start, t->start_base) >= 0)
            continue;
        t->start = s->start_time;
        t->start_base = s->time_base;
        known = 1;
    }
}

/* The file's own is that of its longest stream. */
static int64_t declared_ms(const struct input *in)
{
    if (in->video->duration > 0)
        return av_rescale_q(in->video->duration, in->video->time_base, milliseconds);
    if (in->file->duration > 0)
        return av_rescale_q(in->file->duration, AV_TIME_BASE_Q, milliseconds);
    return 0;
}

static void estimate(struct input *in, struct input_info *info)
{
    AVRational rate = in->video->avg_frame_rate;
    int has_rate = rate.num > 0 && rate.den > 0;
    int64_t ms = in->declared_ms, preview = in->params.preview_ms;
    int64_t frames = in->video->nb_frames;
    if (frames <= 0)
        frames = has_rate ? av_rescale(ms, rate.num, (int64_t)rate.den * 1000) : 0;
    if (preview > 0 && ms > preview) {
        frames = av_rescale_rnd(frames, preview, ms, AV_ROUND_UP);
        ms = preview;
    }
    info->frames = frames > 0 ? frames : 1;
    info->duration_ms = ms;
    if (!has_rate || av_cmp_q(rate, (AVRational) { RATE_MAX, 1 }) > 0)
        rate = (AVRational) { RATE_USUAL, 1 };
    info->rate = rate;
    in->step = av_rescale_q(1, av_inv_q(rate), in->params.ticks);
    if (in->step < in->params.apart)
        in->step = in->params.apart;
}

static int open_picture(struct input *in, struct input_info *info, struct error *e)
{
    const AVCodecParameters *par = in->video->codecpar;
    struct picture_params p = {
        .height = par->height,
        .orientation = orientation_of(
            (const int32_t *)av_stream_get_side_data(in->video, AV_PKT_DATA_DISPLAYMATRIX, NULL)),
        .matrix = matrix_of(par),
    };
    p.width = picture_square(par->width, av_guess_sample_aspect_ratio(in->file, in->video, NULL));
    if (check_pixels(in, p.width, p.height, e))
        return -1;
    info->width = p.orientation.transposed ? p.height : p.width;
    info->height = p.orientation.transposed ? p.width : p.height;
    info->matrix = p.matrix;
    in->picture = picture_open(&p, e);
    return in->picture ? nvdec_open(&in->nvdec, in->params.device, info->width, info->height, e)
                       : -1;
}

static int check_duration(const struct input *in, int64_t ms, struct error *e)
{
    if (ms <= in->params.max_ms)
        return 0;
    return error_set(e, "too_long", "The video lasts %.1f s, above the limit of %.1f s.",
        (double)ms / 1000, (double)in->params.max_ms / 1000);
}

static int open_all(struct input *in, struct input_info *info, struct error *e)
{
    if (open_file(in, e) || find_streams(in, e) || open_picture(in, info, e) || open_decoder(in, e))
        return -1;
    in->correct = correct_open(in->video->time_base, in->params.threads, e);
    if (!in->correct)
        return -1;
    in->packet = av_packet_alloc();
    in->decoded = av_frame_alloc();
    if (!in->packet || !in->decoded)
        return libav_error(e, "unreadable_media", "The video was not opened", AVERROR(ENOMEM));
    find_start(in);
    in->declared_ms = declared_ms(in);
    if (check_duration(in, in->declared_ms, e))
        return -1;
    estimate(in, info);
    info->audio = in->audio;
    info->has_audio = in->has_audio;
    info->timeline = in->timeline;
    return 0;
}

struct input *input_open(
    const struct input_params *params, struct input_info *info, struct error *e)
{
    struct input *in = calloc(1, sizeof *in);
    if (!in) {
        libav_error(e, "unreadable_media", "The input was not opened", AVERROR(ENOMEM));
        return NULL;
    }
    in->params = *params;
    in->last_at = AV_NOPTS_VALUE;
    in->audio_done = 1;
    if (!open_all(in, info, e))
        return in;
    input_close(in);
    return NULL;
}

void input_audio(struct input *input, input_audio_fn *take, void *data)
{
    input->take_audio = take;
    input->audio_data = data;
    input->audio_done = !input->audio;
}

/* ---- decoding ---- */

static int64_t time_of(const struct input *in, const AVFrame *f)
{
    if (f->best_effort_timestamp != AV_NOPTS_VALUE)
        return f->best_effort_timestamp;
    if (in->last_at == AV_NOPTS_VALUE)
        return av_rescale_q(in->timeline.start, in->timeline.start_base, in->video->time_base);
    return in->last_at + av_rescale_q(in->step, in->params.ticks, in->video->time_base);
}

/* 1: *frame is the decoded picture; 0: it is not wanted. */
static int take_picture(
    struct input *in, struct frame_pool *pool, struct frame **frame, struct error *e)
{
    const AVFrame *f = in->decoded;
    AVRational base = in->video->time_base;
    int64_t at = f->pts, ticks = timeline_ticks(&in->timeline, at, base);
    int64_t ms = av_rescale_q(ticks, in->params.ticks, milliseconds);
    if (in->params.preview_ms > 0 && ms >= in->params.preview_ms) {
        in->video_done = 1;
        return 0;
    }
    if (check_duration(in, ms, e) || check_pixels(in, f->width, f->height, e))
        return -1;
    int64_t tick = timeline_place(&in->timeline, at, base);
    if (tick == TIMELINE_DROP)
        return 0;
    struct frame *to = frame_take(pool, e);
    if (!to)
        return -1;
    AVRational aspect = av_guess_sample_aspect_ratio(in->file, in->video, in->decoded);
    if (in->nvdec ? nvdec_take(in->nvdec, in->picture, f, aspect, to, e)
                  : picture_convert(in->picture, f, aspect, to, e)) {
        frame_release(to);
        return -1;
    }
    int64_t duration = av_rescale_q(f->pkt_duration, base, in->params.ticks);
    if (duration > 0)
        in->step = duration > in->params.apart ? duration : in->params.apart;
    to->pts = tick;
    to->duration = in->step;
    in->end = tick + in->step;
    in->pictures++;
    *frame = to;
    return 1;
}

/* What is no fault of the file. */
static int is_ours(const struct input *in, int result)
{
    return result == AVERROR(ENOMEM) || (in->on_card && result == AVERROR_EXTERNAL);
}

static int fail(int result, struct error *e)
{
    if (result == AVERROR_EXTERNAL)
        return error_retry(e, "device_error", "The card did not decode the video.");
    return libav_error(e, "decode_error", "The video cannot be decoded", result);
}

static int send(struct input *in, const AVPacket *packet, struct error *e)
{
    int result = avcodec_send_packet(in->decoder, packet);
    if (is_ours(in, result))
        return fail(result, e);
    if (result < 0 && result != AVERROR_EOF)
        in->damaged++;
    return 0;
}

static void note_audio(struct input *in)
{
    const AVPacket *p = in->packet;
    if (p->pts == AV_NOPTS_VALUE)
        return;
    int64_t end = timeline_ticks(&in->timeline, p->pts + p->duration, in->audio->time_base);
    if (end > in->audio_end)
        in->audio_end = end;
}

/* One packet of the file to the decoder or the audio; at its end the decoder is told. */
static int feed(struct input *in, struct error *e)
{
    int result = AVERROR(EAGAIN);
    for (int i = 0; result == AVERROR(EAGAIN) && i < STALLED_READS; i++)
        result = in->animation ? animation_read(in->animation, in->packet)
                               : av_read_frame(in->file, in->packet);
    if (result == AVERROR(ENOMEM))
        return libav_error(e, "decode_error", "The video cannot be read", result);
    in->damaged += in->animation && result == AVERROR_INVALIDDATA; /* libavformat's are truncated */
    if (result < 0) {
        in->file_ended = 1;
        return 0;
    }
    result = 0;
    if (in->packet->stream_index == in->video->index) {
        if (!in->video_done)
            result = send(in, in->packet, e);
    } else if (in->audio && in->packet->stream_index == in->audio->index) {
        note_audio(in);
        if (!in->audio_done) {
            result = in->take_audio(in->audio_data, in->packet, e);
            in->audio_done = !result;
        }
    }
    av_packet_unref(in->packet);
    return result < 0 ? -1 : 0;
}

static int check_damage(const struct input *in, struct error *e)
{
    if (!in->pictures)
        return error_retry(e, "decode_error", "No frame of the video could be decoded.");
    if (in->damaged > in->pictures)
        return error_retry(e, "decode_error",
            "The video is damaged: %lld of its packets could not be decoded, %lld could.",
            (long long)in->damaged, (long long)in->pictures);
    return 0;
}

/* A picture on a card that needs more than copying is given to the processor. */
static int fetch(struct input *in, struct error *e)
{
    AVFrame *f = in->decoded;
    AVRational aspect = av_guess_sample_aspect_ratio(in->file, in->video, f);
    if (!in->nvdec || (correct_passes(in->correct, f) && picture_fits(in->picture, f, aspect)))
        return 0;
    return nvdec_fetch(in->nvdec, f, e);
}

/* What the decoder gives next, corrected: 1; 0: it wants more, or (*ended) all is out; -1 and *e. */
static int next_picture(struct input *in, int *ended, struct error *e)
{
    for (*ended = 0;;) {
        int got = correct_receive(in->correct, in->decoded, e);
        if (got || in->video_done) {
            *ended = !got;
            return got;
        }
        int result = avcodec_receive_frame(in->decoder, in->decoded);
        if (result >= 0) {
            if (fetch(in, e))
                return -1;
            in->decoded->pts = in->last_at = time_of(in, in->decoded);
            if (correct_send(in->correct, in->decoded, e))
                return -1;
        } else if (is_ours(in, result)) {
            return fail(result, e);
        } else if (result == AVERROR(EAGAIN) && !in->flushed) {
            return 0;
        } else {
            /* a decoder may fail for ever once nothing is fed */
            in->damaged += result != AVERROR_EOF && result != AVERROR(EAGAIN);
            if (result != AVERROR_EOF && !in->flushed)
                continue;
            in->video_done = 1;
            if (correct_send(in->correct, NULL, e))
                return -1;
        }
    }
}

int input_read(struct input *input, struct frame_pool *pool, struct frame **frame, struct error *e)
{
    struct input *in = input;
    for (;;) {
        int ended, got = next_picture(in, &ended, e);
        if (got > 0) {
            got = take_picture(in, pool, frame, e);
            av_frame_unref(in->decoded);
            if (got)
                return got;
        } else if (got < 0) {
            return -1;
        } else if (!in->file_ended && !(ended && in->audio_done)) {
            if (feed(in, e))
                return -1;
        } else if (ended) {
            return check_damage(in, e);
        } else {
            in->flushed = 1;
            if (send(in, NULL, e))
                return -1;
        }
    }
}

void input_outcome(const struct input *input, struct input_outcome *outcome)
{
    const struct input *in = input;
    int64_t expected = in->declared_ms;
    if (in->params.preview_ms > 0 && expected > in->params.preview_ms)
        expected = in->params.preview_ms;
    int64_t begin = in->video->start_time, end = in->end;
    int64_t first =
        begin == AV_NOPTS_VALUE ? 0 : timeline_ticks(&in->timeline, begin, in->video->time_base);
    if (in->video->duration > 0)
        end -= first > 0 ? first : 0; /* what is declared counts from there */
    else if (in->audio_end > end)
        end = in->audio_end;
    int64_t ms = av_rescale_q(end, in->params.ticks, milliseconds);
    outcome->truncated = ms * 10 < expected * 9;
    outcome->damaged = in->damaged;
}

void input_close(struct input *input)
{
    if (!input)
        return;
    avcodec_free_context(&input->decoder);
    if (input->file) {
        AVIOContext *io = input->file->pb;
        avformat_close_input(&input->file);
        if (io)
            av_freep(&io->buffer);
        avio_context_free(&io);
    }
    animation_close(input->animation);
    correct_close(input->correct);
    picture_close(input->picture);
    av_packet_free(&input->packet);
    av_frame_free(&input->decoded);
    nvdec_close(input->nvdec);
    free(input);
}
