#include "coder.h"

#include <stdlib.h>
#include <string.h>
#include <x265.h>

struct hevc {
    x265_encoder *x265;
    x265_param *param;
    int width, height;
    uint8_t *chroma; /* Cb, then Cr */
};

static void hevc_close(void *coder)
{
    struct hevc *h = coder;
    if (h->x265)
        x265_encoder_close(h->x265);
    if (h->param)
        x265_param_free(h->param);
    free(h->chroma);
    free(h);
}

static void *hevc_open(const struct coder_params *p)
{
    struct hevc *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    x265_param *x = h->param = x265_param_alloc();
    h->chroma = malloc((size_t)p->width * (size_t)p->height / 2);
    if (!x || !h->chroma || x265_param_default_preset(x, "ultrafast", "zerolatency")) {
        hevc_close(h);
        return NULL;
    }
    x->logLevel = X265_LOG_NONE;
    x265_param_parse(x, "pools", "none");
    x->frameNumThreads = 1;
    x->bEnableWavefront = 0;
    x->sourceWidth = h->width = p->width;
    x->sourceHeight = h->height = p->height;
    x->internalCsp = X265_CSP_I420;
    x->keyframeMax = p->gop;
    x->fpsNum = (uint32_t)p->rate_num;
    x->fpsDenom = (uint32_t)p->rate_den;
    x->bRepeatHeaders = 0;
    x->bEmitInfoSEI = 0;
    x->rc.rateControlMode = p->qp ? X265_RC_CQP : p->quality ? X265_RC_CRF : X265_RC_ABR;
    x->bLossless = p->lossless;
    x->rc.qp = p->qp;
    x->rc.rfConstant = p->quality;
    x->rc.bitrate = p->bit_rate / 1000;
    x->vui.bEnableVideoSignalTypePresentFlag = 1;
    x->vui.bEnableVideoFullRangeFlag = p->full_range;
    if (p->has_color) {
        x->vui.bEnableColorDescriptionPresentFlag = 1;
        x->vui.colorPrimaries = p->primaries;
        x->vui.transferCharacteristics = p->transfer;
        x->vui.matrixCoeffs = p->matrix;
    }
    h->x265 = x265_encoder_open(x);
    if (h->x265)
        return h;
    hevc_close(h);
    return NULL;
}

/* NAL units follow each other in memory. */
static size_t bytes_of(const x265_nal *nal, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += nal[i].sizeBytes;
    return bytes;
}

static int hevc_headers(void *coder, struct packet *to)
{
    struct hevc *h = coder;
    x265_nal *nal;
    uint32_t count;
    if (x265_encoder_headers(h->x265, &nal, &count) <= 0)
        return -1;
    return packet_set(to, nal->payload, bytes_of(nal, count));
}

static int hevc_encode(void *coder, const struct picture *from, struct packet *to)
{
    struct hevc *h = coder;
    size_t luma = (size_t)h->width * (size_t)h->height, quarter = luma / 4;
    for (size_t i = 0; i < quarter; i++) {
        h->chroma[i] = from->nv12[luma + 2 * i];
        h->chroma[quarter + i] = from->nv12[luma + 2 * i + 1];
    }
    x265_picture in, out;
    x265_nal *nal;
    uint32_t count;
    x265_picture_init(h->param, &in);
    x265_picture_init(h->param, &out);
    in.pts = from->number;
    in.sliceType = from->key ? X265_TYPE_IDR : X265_TYPE_AUTO;
    in.planes[0] = from->nv12;
    in.planes[1] = h->chroma;
    in.planes[2] = h->chroma + quarter;
    in.stride[0] = h->width;
    in.stride[1] = in.stride[2] = h->width / 2;
    if (x265_encoder_encode(h->x265, &nal, &count, &in, &out) <= 0 || !count)
        return -1;
    to->key = out.sliceType == X265_TYPE_IDR;
    return packet_set(to, nal->payload, bytes_of(nal, count));
}

const struct coder coder_hevc = {
    .guid = { 0x790cdc88, 0x4522, 0x4d7b, { 0x94, 0x25, 0xbd, 0xa9, 0x97, 0x5f, 0x76, 0x03 } },
    .open = hevc_open,
    .headers = hevc_headers,
    .encode = hevc_encode,
    .close = hevc_close,
};
