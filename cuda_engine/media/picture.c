#include "picture.h"

#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libav.h"

static const char failed[] = "A frame could not be converted";

enum { ASPECT_MAX = 16, BLACK_Y = 16, BLACK_C = 128 };

struct picture {
    struct picture_params params;
    struct SwsContext *scale;
    /* what scale was made for */
    int width, height, format, space, full_range;
    int box_x, box_y, box_width, box_height;
    uint8_t *stored[4]; /* where planes wait that must be turned or interleaved; NULL: none has */
    int stride[4];
};

struct orientation orientation_of(const int32_t *m)
{
    struct orientation o = { 0, 0, 0 };
    if (!m)
        return o;
    /* (x, y) is shown at (m[0] x + m[3] y, m[1] x + m[4] y) */
    o.transposed = llabs(m[1]) > llabs(m[0]);
    o.flip_x = (o.transposed ? m[3] : m[0]) < 0;
    o.flip_y = (o.transposed ? m[1] : m[4]) < 0;
    return o;
}

int picture_square(int width, AVRational aspect)
{
    if (aspect.num <= 0 || aspect.den <= 0 || aspect.num == aspect.den)
        return width;
    double ratio = av_q2d(aspect);
    if (ratio > ASPECT_MAX || ratio < 1.0 / ASPECT_MAX || fabs(width * ratio - width) < 1)
        return width;
    int even = (int)(width * ratio / 2 + .5) * 2;
    return even > 2 ? even : 2;
}

static int is_turned(struct orientation o)
{
    return o.transposed || o.flip_x || o.flip_y;
}

struct picture *picture_open(const struct picture_params *params, struct error *e)
{
    struct picture *p = calloc(1, sizeof *p);
    if (!p) {
        libav_error(e, "decode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    p->params = *params;
    p->format = AV_PIX_FMT_NONE;
    return p;
}

static int space_of(const struct picture *p, const AVFrame *f)
{
    if (f->colorspace != AVCOL_SPC_UNSPECIFIED && f->colorspace != AVCOL_SPC_RESERVED)
        return f->colorspace;
    return p->params.matrix == MATRIX_BT709 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
}

static int is_full_range(const AVFrame *f)
{
    switch (f->format) {
    case AV_PIX_FMT_YUVJ411P:
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUVJ440P:
    case AV_PIX_FMT_YUVJ444P: return 1;
    default: return f->color_range == AVCOL_RANGE_JPEG;
    }
}

/* The largest even-placed box of the picture's shape inside the result. */
static void fit(struct picture *p, int width, int height)
{
    int to_width = p->params.width, to_height = p->params.height;
    p->box_x = p->box_y = 0;
    p->box_width = to_width;
    p->box_height = to_height;
    if ((int64_t)width * to_height > (int64_t)height * to_width) {
        int64_t h = (int64_t)height * to_width / width / 2 * 2;
        p->box_height = h > 2 ? (int)h : to_height < 2 ? to_height : 2;
        p->box_y = (to_height - p->box_height) / 4 * 2;
    } else if ((int64_t)width * to_height < (int64_t)height * to_width) {
        int64_t w = (int64_t)width * to_height / height / 2 * 2;
        p->box_width = w > 2 ? (int)w : to_width < 2 ? to_width : 2;
        p->box_x = (to_width - p->box_width) / 4 * 2;
    }
}

/* swscale knows the table of BT.601 and BT.709 by these. */
static const int *table_of(int space)
{
    return sws_getCoefficients(space == AVCOL_SPC_RGB ? SWS_CS_DEFAULT : space);
}

static int prepare(struct picture *p, const AVFrame *f, AVRational aspect, struct error *e)
{
    int space = space_of(p, f), full = is_full_range(f);
    if (f->width == p->width && f->height == p->height && f->format == p->format &&
        space == p->space && full == p->full_range)
        return 0;
    int square_width = picture_square(f->width, aspect);
    if (p->params.stretched || (square_width == p->params.width && f->height == p->params.height))
        fit(p, p->params.width, p->params.height);
    else
        fit(p, square_width, f->height);
    sws_freeContext(p->scale);
    p->scale = sws_getContext(f->width, f->height, f->format, p->box_width, p->box_height,
        AV_PIX_FMT_YUV420P, SWS_BICUBIC | SWS_ACCURATE_RND, NULL, NULL, NULL);
    if (!p->scale)
        return error_set(e, "unreadable_media", "Frames of %dx%d %s pixels cannot be read.",
            f->width, f->height, av_get_pix_fmt_name(f->format));
    sws_setColorspaceDetails(p->scale, table_of(space), full,
        table_of(p->params.matrix == MATRIX_BT709 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M), 0, 0,
        1 << 16, 1 << 16);
    p->width = f->width;
    p->height = f->height;
    p->format = f->format;
    p->space = space;
    p->full_range = full;
    return 0;
}

static int samples_of(const struct picture *p, int plane)
{
    int chroma = plane > 0;
    return (p->params.width + chroma) >> chroma;
}

static void blacken(const struct picture *p, uint8_t *const plane[3], const int stride[3])
{
    for (int i = 0; i < 3; i++) {
        int shift = i > 0;
        for (int y = 0; y < (p->params.height + shift) >> shift; y++)
            memset(plane[i] + (ptrdiff_t)y * stride[i], shift ? BLACK_C : BLACK_Y,
                (size_t)samples_of(p, i));
    }
}

static int is_whole(const struct picture *p)
{
    return p->box_width == p->params.width && p->box_height == p->params.height;
}

static int is_same_space(const struct picture *p, int space)
{
    return p->params.matrix == MATRIX_BT709
               ? space == AVCOL_SPC_BT709
               : space == AVCOL_SPC_SMPTE170M || space == AVCOL_SPC_BT470BG;
}

int picture_is_shown(const struct picture *p, int width, int height)
{
    return !is_turned(p->params.orientation) && width == p->params.width &&
           height == p->params.height;
}

int picture_fits(const struct picture *p, const AVFrame *f, AVRational aspect)
{
    return picture_is_shown(p, f->width, f->height) && !is_full_range(f) &&
           is_same_space(p, space_of(p, f)) && picture_square(f->width, aspect) == f->width;
}

/* Nothing to compute: the picture is already what is asked for. */
static int is_plain(const struct picture *p)
{
    return is_same_space(p, p->space) && !p->full_range && p->format == AV_PIX_FMT_YUV420P &&
           p->width == p->params.width && p->height == p->params.height;
}

static int scale_to(
    struct picture *p, const AVFrame *f, uint8_t *const plane[3], const int stride[3])
{
    if (is_plain(p)) {
        for (int i = 0; i < 3; i++) {
            int shift = i > 0;
            av_image_copy_plane(plane[i], stride[i], f->data[i], f->linesize[i], samples_of(p, i),
                (p->height + shift) >> shift);
        }
        return 0;
    }
    if (!is_whole(p))
        blacken(p, plane, stride);
    uint8_t *box[4] = { NULL };
    int box_stride[4] = { 0 };
    for (int i = 0; i < 3; i++) {
        int shift = i > 0;
        box[i] = plane[i] + (ptrdiff_t)(p->box_y >> shift) * stride[i] + (p->box_x >> shift);
        box_stride[i] = stride[i];
    }
    return sws_scale(
        p->scale, (const uint8_t *const *)f->data, f->linesize, 0, f->height, box, box_stride);
}

/*
 * The source is read along rows in the order that its tiles stay in the cache. step: from pixel to pixel of the result,
 * in samples.
 */
static void turn(uint8_t *to, ptrdiff_t to_stride, int step, const uint8_t *from,
    ptrdiff_t from_stride, int width, int height, struct orientation o)
{
    enum { TILE = 32 };
    ptrdiff_t step_x = o.transposed ? from_stride : 1, step_y = o.transposed ? 1 : from_stride;
    if (o.flip_x) {
        from += (width - 1) * step_x;
        step_x = -step_x;
    }
    if (o.flip_y) {
        from += (height - 1) * step_y;
        step_y = -step_y;
    }
    for (int top = 0; top < height; top += TILE)
        for (int left = 0; left < width; left += TILE)
            for (int y = top; y < height && y < top + TILE; y++)
                for (int x = left; x < width && x < left + TILE; x++)
                    to[y * to_stride + (ptrdiff_t)x * step] = from[y * step_y + x * step_x];
}

/* Interleaved chroma is made of planes, so that a layout says nothing of a code. */
static int is_aside(const struct picture *p, const struct frame *to, int plane)
{
    return is_turned(p->params.orientation) || (to->layout == FRAME_NV12 && plane > 0);
}

int picture_convert(struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e)
{
    struct picture *p = picture;
    uint8_t *plane[3];
    int stride[3];
    if (is_aside(p, to, 1) && !p->stored[0] &&
        av_image_alloc(
            p->stored, p->stride, p->params.width, p->params.height, AV_PIX_FMT_YUV420P, 64) < 0)
        return libav_error(e, "decode_error", failed, AVERROR(ENOMEM));
    for (int i = 0; i < 3; i++) {
        plane[i] = is_aside(p, to, i) ? p->stored[i] : to->plane[i];
        stride[i] = is_aside(p, to, i) ? p->stride[i] : to->stride[i];
    }
    if (prepare(p, from, aspect, e))
        return -1;
    int result = scale_to(p, from, plane, stride);
    if (result < 0)
        return libav_error(e, "decode_error", failed, result);
    for (int i = 0; i < 3; i++) {
        int shift = i > 0, step = to->layout == FRAME_NV12 && shift ? 2 : 1;
        if (is_aside(p, to, i))
            turn(to->plane[i], to->stride[i], step, plane[i], stride[i],
                (to->width + shift) >> shift, (to->height + shift) >> shift, p->params.orientation);
    }
    return 0;
}

void picture_close(struct picture *picture)
{
    if (!picture)
        return;
    sws_freeContext(picture->scale);
    av_freep(&picture->stored[0]);
    free(picture);
}
