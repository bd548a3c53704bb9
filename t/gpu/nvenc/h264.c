#include "coder.h"

#include <stdio.h>
#include <stdlib.h>
#include <x264.h>

struct h264 {
    x264_t *x264;
    int width, height;
};

static void *h264_open(const struct coder_params *p)
{
    struct h264 *h = calloc(1, sizeof *h);
    x264_param_t x;
    if (!h || x264_param_default_preset(&x, "ultrafast", "zerolatency")) {
        free(h);
        return NULL;
    }
    x.i_log_level = X264_LOG_NONE;
    x.i_threads = 1;
    x.b_deterministic = 1;
    x.i_width = h->width = p->width;
    x.i_height = h->height = p->height;
    x.i_csp = X264_CSP_NV12;
    x.i_keyint_max = p->gop;
    x.i_fps_num = (uint32_t)p->rate_num;
    x.i_fps_den = (uint32_t)p->rate_den;
    x.b_vfr_input = 0;
    x.b_repeat_headers = 0;
    x.b_annexb = 1;
    x.rc.i_rc_method = p->qp || p->lossless ? X264_RC_CQP : p->quality ? X264_RC_CRF : X264_RC_ABR;
    x.rc.i_qp_constant = p->lossless ? 0 : p->qp;
    x.rc.f_rf_constant = (float)p->quality;
    x.rc.i_bitrate = p->bit_rate / 1000;
    x.vui.b_fullrange = p->full_range;
    if (p->has_color) {
        x.vui.i_colorprim = p->primaries;
        x.vui.i_transfer = p->transfer;
        x.vui.i_colmatrix = p->matrix;
    }
    h->x264 = x264_encoder_open(&x);
    if (h->x264)
        return h;
    free(h);
    return NULL;
}

static int h264_headers(void *coder, struct packet *to)
{
    struct h264 *h = coder;
    x264_nal_t *nal;
    int count, size = 0;
    if (x264_encoder_headers(h->x264, &nal, &count) < 0)
        return -1;
    for (int i = 0; i < count && nal[i].i_type != NAL_SEI; i++) /* which is long, and last */
        size += nal[i].i_payload;
    return packet_set(to, nal->p_payload, (size_t)size);
}

static int h264_encode(void *coder, const struct picture *from, struct packet *to)
{
    struct h264 *h = coder;
    x264_picture_t in, out;
    x264_nal_t *nal;
    int count, luma = h->width * h->height;
    x264_picture_init(&in);
    in.i_pts = from->number;
    in.i_type = from->key ? X264_TYPE_IDR : X264_TYPE_AUTO;
    in.img.i_csp = X264_CSP_NV12;
    in.img.i_plane = 2;
    in.img.plane[0] = from->nv12;
    in.img.plane[1] = from->nv12 + luma;
    in.img.i_stride[0] = in.img.i_stride[1] = h->width;
    int size = x264_encoder_encode(h->x264, &nal, &count, &in, &out);
    to->key = out.b_keyframe;
    return size <= 0 ? -1 : packet_set(to, nal->p_payload, (size_t)size);
}

static void h264_close(void *coder)
{
    struct h264 *h = coder;
    x264_encoder_close(h->x264);
    free(h);
}

const struct coder coder_h264 = {
    .guid = { 0x6bc82762, 0x4e63, 0x4ca4, { 0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf } },
    .open = h264_open,
    .headers = h264_headers,
    .encode = h264_encode,
    .close = h264_close,
};
