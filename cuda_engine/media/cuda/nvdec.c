#include "../nvdec.h"

#include <libavutil/hwcontext.h>
#include <stdlib.h>

#include "../../device/cuda/transfer.h"
#include "../libav.h"
#include "hwcontext.h"

enum {
    STAGED = 2,       /* one is written while the other is copied */
    SURFACES = 2,     /* beside those that the codec needs: the one that is copied, and the next */
    H264_SIDE = 4096, /* before Blackwell */
    SIDE_MAX = 8192,
};

struct nvdec {
    struct device *device;
    const struct card *card;
    AVBufferRef *context;
    struct frame_pool *staged;
    struct frame_pool *fetched; /* of one frame of the size that was fetched last; NULL: none was */
    int fetched_width, fetched_height;
};

int nvdec_open(struct nvdec **nvdec, struct device *device, int width, int height, struct error *e)
{
    const struct card *card = card_of(device);
    *nvdec = NULL;
    if (!card)
        return 0;
    struct nvdec *n = calloc(1, sizeof *n);
    if (!n)
        return libav_error(e, "decode_error", "The video was not opened", AVERROR(ENOMEM));
    n->device = device;
    n->card = card;
    const struct frame_pool_params staged = {
        .width = width,
        .height = height,
        .count = STAGED,
        .layout = FRAME_NV12,
        .place = FRAME_HOST,
    };
    if (!cuda_enter(&card->cuda, e) && (n->context = hwcontext_open(card, card->decode, e)) &&
        (n->staged = frame_pool_open(device, &staged, e))) {
        *nvdec = n;
        return 0;
    }
    nvdec_close(n);
    return -1;
}

static int is_wanted(const AVCodecContext *c)
{
    int limit = c->codec_id == AV_CODEC_ID_H264 ? H264_SIDE : SIDE_MAX;
    switch (c->codec_id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_VP9:
        return c->pix_fmt == AV_PIX_FMT_YUV420P && c->color_range != AVCOL_RANGE_JPEG &&
               c->width <= limit && c->height <= limit;
    default: return 0;
    }
}

/* The first format is the software's where the card was asked and refused: FFmpeg asks again without it. */
static enum AVPixelFormat choose(AVCodecContext *c, const enum AVPixelFormat *offered)
{
    for (const enum AVPixelFormat *f = offered; *f != AV_PIX_FMT_NONE; f++)
        if (*f == AV_PIX_FMT_CUDA)
            return *f;
    return avcodec_default_get_format(c, offered);
}

int nvdec_attach(struct nvdec *nvdec, const struct picture *picture, AVCodecContext *decoder)
{
    if (!nvdec || !is_wanted(decoder) ||
        !picture_is_shown(picture, decoder->width, decoder->height))
        return 0;
    decoder->hw_device_ctx = av_buffer_ref(nvdec->context);
    if (!decoder->hw_device_ctx)
        return 0;
    decoder->get_format = choose;
    decoder->extra_hw_frames = SURFACES;
    decoder->thread_count = 1; /* each other would keep a surface */
    return 1;
}

static struct surface surface_of(const AVFrame *f)
{
    return (struct surface) {
        (CUdeviceptr)f->data[0],
        (CUdeviceptr)f->data[1],
        (size_t)f->linesize[0],
    };
}

static int is_nv12(const AVFrame *f)
{
    return ((const AVHWFramesContext *)f->hw_frames_ctx->data)->sw_format == AV_PIX_FMT_NV12;
}

/* The pool for pictures of from's size. */
static int open_fetched(struct nvdec *n, const AVFrame *from, struct error *e)
{
    if (n->fetched && n->fetched_width == from->width && n->fetched_height == from->height)
        return 0;
    frame_pool_close(n->fetched);
    const struct frame_pool_params p = {
        .width = n->fetched_width = from->width,
        .height = n->fetched_height = from->height,
        .count = 1,
        .layout = FRAME_NV12,
        .place = FRAME_HOST,
    };
    n->fetched = frame_pool_open(n->device, &p, e);
    return n->fetched ? 0 : -1;
}

/*
 * A picture that needs more than copying (one of another size in the middle of a stream, mostly) goes through the
 * processor: to host memory by our own copy, as av_hwframe_transfer_data() of FFmpeg 5.1 hides that one failed.
 */
static int convert_fetched(struct nvdec *n, struct picture *picture, const AVFrame *from,
    AVRational aspect, struct frame *to, struct error *e)
{
    if (!is_nv12(from))
        return error_set(e, "decode_error", "The card gave a picture of more than 8 bits.");
    if (open_fetched(n, from, e))
        return -1;
    struct frame *host = frame_take(n->fetched, e);
    if (!host)
        return -1;
    struct surface surface = surface_of(from);
    AVFrame *view = av_frame_alloc();
    int result = -1;
    if (!view || av_frame_copy_props(view, from) < 0) {
        libav_error(e, "decode_error", "A frame could not be converted", AVERROR(ENOMEM));
    } else if (!transfer_surface(&n->card->cuda, host, &surface, n->card->decode, e) &&
               !fence_host_read(host, e)) {
        view->format = AV_PIX_FMT_NV12;
        view->width = from->width;
        view->height = from->height;
        view->data[0] = host->plane[FRAME_Y];
        view->data[1] = host->plane[FRAME_U];
        view->linesize[0] = host->stride[FRAME_Y];
        view->linesize[1] = host->stride[FRAME_U];
        result = picture_convert(picture, view, aspect, to, e);
    }
    av_frame_free(&view);
    frame_release(host);
    return result;
}

static int upload(struct nvdec *n, struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e)
{
    struct frame *staged = frame_take(n->staged, e);
    if (!staged)
        return -1;
    int result = fence_host_write(staged, e);
    if (!result)
        result = from->format == AV_PIX_FMT_CUDA
                     ? convert_fetched(n, picture, from, aspect, staged, e)
                     : picture_convert(picture, from, aspect, staged, e);
    if (!result)
        result = transfer(&n->card->cuda, to, staged, n->card->decode, e);
    frame_release(staged);
    return result;
}

int nvdec_take(struct nvdec *nvdec, struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e)
{
    const struct cuda *c = &nvdec->card->cuda;
    if (cuda_enter(c, e))
        return -1;
    if (from->format != AV_PIX_FMT_CUDA || !is_nv12(from) || !picture_fits(picture, from, aspect))
        return upload(nvdec, picture, from, aspect, to, e);
    struct surface surface = surface_of(from);
    return transfer_surface(c, to, &surface, nvdec->card->decode, e);
}

void nvdec_close(struct nvdec *nvdec)
{
    if (!nvdec)
        return;
    frame_pool_close(nvdec->staged);
    frame_pool_close(nvdec->fetched);
    av_buffer_unref(&nvdec->context);
    free(nvdec);
}
