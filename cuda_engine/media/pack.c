#include "pack.h"

#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdlib.h>

#include "libav.h"

static const char failed[] = "A frame could not be made into the output's pixels";

struct pack {
    struct pack_params params;
    const AVPixFmtDescriptor *format;
    struct SwsContext *colors;
};

/* The same pixels where alpha has a plane of its own: libswscale need not know of it. */
static enum AVPixelFormat without_alpha(enum AVPixelFormat format)
{
    return format == AV_PIX_FMT_YUVA444P10 ? AV_PIX_FMT_YUV444P10 : format;
}

struct pack *pack_open(const struct pack_params *params, struct error *e)
{
    struct pack *p = calloc(1, sizeof *p);
    if (!p) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    p->params = *params;
    p->format = av_pix_fmt_desc_get(params->pixel_format);
    p->colors = sws_getContext(params->width, params->height, AV_PIX_FMT_YUV420P, params->width,
        params->height, without_alpha(params->pixel_format),
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
    if (!p->colors) {
        libav_error(e, "encode_error", failed, AVERROR(EINVAL));
        pack_close(p);
        return NULL;
    }
    const int *table =
        sws_getCoefficients(params->matrix == MATRIX_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    sws_setColorspaceDetails(p->colors, table, 0, table, 0, 0, 1 << 16, 1 << 16);
    return p;
}

static void write_alpha(const struct pack *p, const struct frame *from, AVFrame *to)
{
    const AVComponentDescriptor *c = &p->format->comp[3];
    const int most = (1 << c->depth) - 1;
    for (int y = 0; y < from->height; y++) {
        const uint8_t *alpha = from->plane[FRAME_A] + (ptrdiff_t)y * from->stride[FRAME_A];
        uint8_t *row = to->data[c->plane] + (ptrdiff_t)y * to->linesize[c->plane] + c->offset;
        if (c->depth == 8) {
            for (int x = 0; x < from->width; x++)
                row[(ptrdiff_t)x * c->step] = alpha[x];
        } else {
            uint16_t *wide = (uint16_t *)row;
            for (int x = 0; x < from->width; x++)
                wide[x] = (uint16_t)((alpha[x] * most + 127) / 255);
        }
    }
}

int pack_run(struct pack *pack, const struct frame *from, AVFrame *to, struct error *e)
{
    to->format = pack->params.pixel_format;
    to->width = from->width;
    to->height = from->height;
    int result = av_frame_get_buffer(to, 0);
    if (result >= 0)
        result = sws_scale(pack->colors, (const uint8_t *const *)from->plane, from->stride, 0,
            from->height, to->data, to->linesize);
    if (result < 0)
        return libav_error(e, "encode_error", failed, result);
    if (pack->params.alpha)
        write_alpha(pack, from, to);
    return 0;
}

void pack_close(struct pack *pack)
{
    if (!pack)
        return;
    sws_freeContext(pack->colors);
    free(pack);
}
