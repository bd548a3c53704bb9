#include "encoder.h"

#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "libav.h"
#include "nvenc.h"
#include "pack.h"

static const char failed[] = "The video could not be encoded";

/* Encoders do not hand durations through; those of the frames inside are remembered. */
enum { DELAY_MAX = 64 };

struct encoder {
    const struct track *track;
    AVCodecContext *codec;
    struct nvenc *nvenc;   /* NULL: the codec is one of the processor */
    struct pack *pack;     /* NULL: the codec takes the frames' own memory */
    struct filter *filter; /* NULL: there is none */
    AVFrame *picture;
    uint8_t *grey; /* one chroma row, for the alpha track */
    int64_t sent;
    int64_t start, end; /* of what was sent, in ticks */
    int flushed; /* the codec knows that no more will come, though a filter stands before it */
    struct {
        int64_t pts, duration;
    } times[DELAY_MAX];
};

/* Of libavcodec; what a card refuses may go well elsewhere or later. */
static int fail(const struct encoder *n, int result, struct error *e)
{
    char text[AV_ERROR_MAX_STRING_SIZE];
    if (!n->nvenc || result == AVERROR(ENOMEM))
        return libav_error(e, "encode_error", failed, result);
    av_strerror(result, text, sizeof text);
    return error_retry(e, "device_error", "The card did not encode the video: %s.", text);
}

/* Pictures of R, G and B say what those that cannot say it mean: sRGB. A reader would correct other colours by their tags. */
static void set_rgb(AVCodecContext *c)
{
    c->color_range = AVCOL_RANGE_JPEG;
    c->colorspace = AVCOL_SPC_RGB;
    c->color_primaries = AVCOL_PRI_BT709;
    c->color_trc = AVCOL_TRC_IEC61966_2_1;
}

static void set_yuv(AVCodecContext *c, enum frame_matrix matrix)
{
    int hd = matrix == MATRIX_BT709;
    c->color_range = AVCOL_RANGE_MPEG;
    c->colorspace = hd ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    c->color_primaries = hd ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
    c->color_trc = AVCOL_TRC_BT709; /* BT.601's is the same, and not every file can name it */
}

static int open_codec(struct encoder *n, const struct encoder_params *p, struct error *e)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(p->track->encoder);
    if (!codec)
        return error_set(e, "encode_error", "This engine has no %s encoder.", p->track->encoder);
    AVCodecContext *c = n->codec = avcodec_alloc_context3(codec);
    if (!c)
        return libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
    c->width = p->width;
    c->height = p->height;
    c->pix_fmt = p->track->filter ? p->track->encoded_format : p->track->pixel_format;
    c->sample_aspect_ratio = (AVRational) { 1, 1 };
    c->time_base = p->ticks;
    c->framerate = p->rate;
    c->gop_size = c->keyint_min = p->track->gop;
    c->thread_count = p->threads;
    c->flags = AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    if (av_pix_fmt_desc_get(p->track->pixel_format)->flags & AV_PIX_FMT_FLAG_RGB)
        set_rgb(c);
    else
        set_yuv(c, p->matrix);
    if (p->track->planes == TRACK_ALPHA)
        c->color_range = AVCOL_RANGE_JPEG;
    if (c->pix_fmt == AV_PIX_FMT_CUDA && !(n->nvenc = nvenc_open(p->device, c, e)))
        return -1;
    const struct track *t = p->track;
    int result =
        av_set_options_string(c, p->lossless && t->lossless ? t->lossless : t->options, "=", ":");
    if (result >= 0)
        result = avcodec_open2(c, codec, NULL);
    return result < 0 ? fail(n, result, e) : 0;
}

/* Pixel formats whose pictures are frames as they are. */
static int is_frame(enum AVPixelFormat format)
{
    return format == AV_PIX_FMT_YUV420P || format == AV_PIX_FMT_NV12 || format == AV_PIX_FMT_CUDA;
}

/* What stands before the codec. */
static int open_steps(struct encoder *n, const struct encoder_params *p, struct error *e)
{
    const struct track *t = p->track;
    struct pack_params pack = { p->width, p->height, p->matrix, t->pixel_format,
        t->planes == TRACK_BOTH };
    struct filter_params filter = { t->filter, p->width, p->height, t->pixel_format, p->ticks,
        { 1, 1 }, p->threads };
    if (!is_frame(t->pixel_format) && !(n->pack = pack_open(&pack, e)))
        return -1;
    return t->filter && !(n->filter = filter_open(&filter, e)) ? -1 : 0;
}

struct encoder *encoder_open(const struct encoder_params *params, struct error *e)
{
    struct encoder *n = calloc(1, sizeof *n);
    if (!n) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    n->track = params->track;
    n->picture = av_frame_alloc();
    /* one plane for both: rows of stride width, all grey */
    size_t grey = (size_t)((params->width + 1) / 2) * (size_t)((params->height + 1) / 2);
    if (params->track->planes == TRACK_ALPHA && (n->grey = malloc(grey)))
        memset(n->grey, 128, grey);
    if (!n->picture || (params->track->planes == TRACK_ALPHA && !n->grey))
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
    else if (!open_steps(n, params, e) && !open_codec(n, params, e))
        return n;
    encoder_close(n);
    return NULL;
}

int encoder_describe(const struct encoder *encoder, AVCodecParameters *parameters, struct error *e)
{
    int result = avcodec_parameters_from_context(parameters, encoder->codec);
    return result < 0 ? libav_error(e, "encode_error", failed, result) : 0;
}

static void give_back(void *frame, uint8_t *data)
{
    (void)data;
    frame_release(frame);
}

/* The codec gets the pool's memory itself, with a reference that ends when it is done with it. */
static int wrap(struct encoder *n, struct frame *f, AVFrame *to, struct error *e)
{
    int width = n->codec->width, height = n->codec->height;
    to->buf[0] =
        n->nvenc ? nvenc_buffer(n->nvenc, f)
                 : av_buffer_create(f->plane[FRAME_Y], 1, give_back, f, AV_BUFFER_FLAG_READONLY);
    if (!to->buf[0])
        frame_release(f);
    else if (n->nvenc)
        to->hw_frames_ctx = av_buffer_ref(n->codec->hw_frames_ctx);
    if (!to->buf[0] || (n->nvenc && !to->hw_frames_ctx))
        return libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
    if (n->nvenc ? nvenc_await(n->nvenc, f, e) : frame_wait(f, e))
        return -1;
    to->format = n->codec->pix_fmt;
    to->width = width;
    to->height = height;
    for (int i = 0; i < (f->layout == FRAME_NV12 ? 2 : 3); i++) {
        int plane = n->track->planes == TRACK_COLOR ? i : FRAME_A;
        to->data[i] = f->plane[plane];
        to->linesize[i] = f->stride[plane];
    }
    if (n->track->planes == TRACK_ALPHA) {
        to->data[1] = to->data[2] = n->grey;
        to->linesize[1] = to->linesize[2] = (width + 1) / 2;
    }
    return 0;
}

static int pack(struct encoder *n, struct frame *f, AVFrame *to, struct error *e)
{
    int result = frame_wait(f, e) ? -1 : pack_run(n->pack, f, to, e);
    frame_release(f);
    return result;
}

static int make_picture(struct encoder *n, struct frame *f, AVFrame *to, struct error *e)
{
    int64_t pts = f->pts, duration = f->duration;
    if ((n->pack ? pack : wrap)(n, f, to, e))
        return -1;
    to->pts = pts;
    to->pict_type = n->sent % n->track->gop ? AV_PICTURE_TYPE_NONE : AV_PICTURE_TYPE_I;
    to->color_range = n->codec->color_range;
    to->colorspace = n->codec->colorspace;
    to->color_primaries = n->codec->color_primaries;
    to->color_trc = n->codec->color_trc;
    n->times[n->sent % DELAY_MAX].pts = pts;
    n->times[n->sent % DELAY_MAX].duration = duration;
    n->start = n->sent ? n->start : pts;
    n->end = pts + duration;
    n->sent++;
    return 0;
}

int encoder_send(struct encoder *encoder, struct frame *frame, struct error *e)
{
    struct encoder *n = encoder;
    AVFrame *picture = frame ? n->picture : NULL;
    int result = frame ? make_picture(n, frame, picture, e) : 0;
    if (!result) {
        result =
            n->filter ? filter_send(n->filter, picture) : avcodec_send_frame(n->codec, picture);
        result = result < 0 ? fail(n, result, e) : 0;
    }
    av_frame_unref(n->picture);
    return result;
}

/* What the filter has ready, to the codec; AVERROR(EAGAIN): nothing. */
static int feed(struct encoder *n)
{
    int result = filter_receive(n->filter, n->picture);
    if (result >= 0) {
        result = avcodec_send_frame(n->codec, n->picture);
    } else if (result == AVERROR_EOF && !n->flushed) {
        n->flushed = 1;
        result = avcodec_send_frame(n->codec, NULL);
    }
    av_frame_unref(n->picture);
    return result;
}

int encoder_receive(struct encoder *encoder, AVPacket *packet, struct error *e)
{
    int result;
    while ((result = avcodec_receive_packet(encoder->codec, packet)) == AVERROR(EAGAIN))
        if (!encoder->filter || (result = feed(encoder)) < 0)
            break;
    if (result == AVERROR(EAGAIN) || result == AVERROR_EOF)
        return 0;
    if (result < 0)
        return fail(encoder, result, e);
    for (int i = 0; i < DELAY_MAX && i < encoder->sent; i++)
        if (encoder->times[i].pts == packet->pts)
            packet->duration = encoder->times[i].duration;
    result = encoder->track->last ? encoder->track->last(packet, encoder->end - encoder->start) : 0;
    return result < 0 ? fail(encoder, result, e) : 1;
}

void encoder_close(struct encoder *encoder)
{
    if (!encoder)
        return;
    avcodec_free_context(&encoder->codec);
    nvenc_close(encoder->nvenc);
    pack_close(encoder->pack);
    filter_close(encoder->filter);
    av_frame_free(&encoder->picture);
    free(encoder->grey);
    free(encoder);
}
