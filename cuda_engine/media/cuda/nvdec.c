#include "../nvdec.h"

#include <libavutil/hwcontext.h>
#include <stdlib.h>

#include "../../device/cuda/narrow.h"
#include "../../device/cuda/transfer.h"
#include "../libav.h"
#include "hwcontext.h"

enum {
    STAGED = 2,   /* one is written while the other is copied */
    SURFACES = 2, /* beside those that the codec needs: the one that is copied, and the next */
    AHEAD = 4,    /* pictures under way: waited for one by one, each would cost all that it takes */
};

struct nvdec {
    struct device *device;
    const struct card *card;
    AVBufferRef *context;
    struct frame_pool *staged;
    struct narrow *narrow; /* NULL: surfaces are of 8 bits */
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

/* What some cards decode; whether this one does, FFmpeg asks it. */
static const struct {
    enum AVCodecID id;
    int side_max;
    int wide; /* 1: of 10 bits, too */
} codecs[] = {
    { AV_CODEC_ID_H264, 4096, 0 }, /* before Blackwell */
    { AV_CODEC_ID_HEVC, 8192, 1 },
    { AV_CODEC_ID_VP9, 8192, 1 },
};

static int is_wanted(const AVCodecContext *c)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (codecs[i].id == c->codec_id)
            return c->width <= codecs[i].side_max && c->height <= codecs[i].side_max &&
                   c->color_range != AVCOL_RANGE_JPEG &&
                   (c->pix_fmt == AV_PIX_FMT_YUV420P ||
                       (c->pix_fmt == AV_PIX_FMT_YUV420P10 && codecs[i].wide));
    return 0;
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
    if (decoder->pix_fmt != AV_PIX_FMT_YUV420P && !nvdec->narrow &&
        (cuda_enter(&nvdec->card->cuda, NULL) || !(nvdec->narrow = narrow_open(nvdec->card, NULL))))
        return 0;
    decoder->hw_device_ctx = av_buffer_ref(nvdec->context);
    if (!decoder->hw_device_ctx)
        return 0;
    decoder->get_format = choose;
    decoder->extra_hw_frames = SURFACES;
    if (decoder->thread_count > AHEAD) /* each keeps a surface */
        decoder->thread_count = AHEAD;
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

/* NV12 or P010; of anything else: not known. */
static enum AVPixelFormat format_of(const AVFrame *f)
{
    enum AVPixelFormat format = ((const AVHWFramesContext *)f->hw_frames_ctx->data)->sw_format;
    return format == AV_PIX_FMT_NV12 || format == AV_PIX_FMT_P010 ? format : AV_PIX_FMT_NONE;
}

/* By our own copy: av_hwframe_transfer_data() of FFmpeg 5.1 hides that one failed. */
static int copy_out(const struct nvdec *n, const AVFrame *from, AVFrame *to, struct error *e)
{
    const struct cuda *c = &n->card->cuda;
    int sample = to->format == AV_PIX_FMT_P010 ? 2 : 1; /* bytes */
    for (int i = 0; i < 2; i++) {
        CUDA_MEMCPY2D copy = {
            .srcMemoryType = CU_MEMORYTYPE_DEVICE,
            .srcDevice = (CUdeviceptr)from->data[i],
            .srcPitch = (size_t)from->linesize[i],
            .dstMemoryType = CU_MEMORYTYPE_HOST,
            .dstHost = to->data[i],
            .dstPitch = (size_t)to->linesize[i],
            .WidthInBytes = (size_t)(sample * (i ? (from->width + 1) / 2 * 2 : from->width)),
            .Height = (size_t)(i ? (from->height + 1) / 2 : from->height),
        };
        if (CUDA(c, e, cuMemcpy2DAsync, &copy, n->card->decode))
            return -1;
    }
    return CUDA(c, e, cuStreamSynchronize, n->card->decode);
}

int nvdec_fetch(struct nvdec *nvdec, AVFrame *picture, struct error *e)
{
    if (picture->format != AV_PIX_FMT_CUDA)
        return 0;
    enum AVPixelFormat format = format_of(picture);
    if (format == AV_PIX_FMT_NONE)
        return error_set(
            e, "decode_error", "The card gave a picture that is neither NV12 nor P010.");
    AVFrame *host = av_frame_alloc();
    int result = AVERROR(ENOMEM);
    if (host) {
        host->format = format;
        host->width = picture->width;
        host->height = picture->height;
        result = av_frame_get_buffer(host, 0);
        if (result >= 0)
            result = av_frame_copy_props(host, picture);
    }
    if (result < 0) {
        libav_error(e, "decode_error", "A frame could not be converted", result);
    } else if (cuda_enter(&nvdec->card->cuda, e) || copy_out(nvdec, picture, host, e)) {
        result = -1;
    } else {
        av_frame_unref(picture);
        av_frame_move_ref(picture, host);
    }
    av_frame_free(&host);
    return result < 0 ? -1 : 0;
}

static int upload(struct nvdec *n, struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e)
{
    struct frame *staged = frame_take(n->staged, e);
    if (!staged)
        return -1;
    int failed = fence_host_write(staged, e) || picture_convert(picture, from, aspect, staged, e) ||
                 transfer(&n->card->cuda, to, staged, n->card->decode, e);
    frame_release(staged);
    return failed ? -1 : 0;
}

int nvdec_take(struct nvdec *nvdec, struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e)
{
    const struct cuda *c = &nvdec->card->cuda;
    if (cuda_enter(c, e))
        return -1;
    if (from->format != AV_PIX_FMT_CUDA)
        return upload(nvdec, picture, from, aspect, to, e);
    struct surface surface = surface_of(from);
    return format_of(from) == AV_PIX_FMT_P010
               ? narrow_run(nvdec->narrow, to, &surface, nvdec->card->decode, e)
               : transfer_surface(c, to, &surface, nvdec->card->decode, e);
}

void nvdec_close(struct nvdec *nvdec)
{
    if (!nvdec)
        return;
    narrow_close(nvdec->narrow);
    frame_pool_close(nvdec->staged);
    av_buffer_unref(&nvdec->context);
    free(nvdec);
}
