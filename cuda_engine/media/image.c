#include "image.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libav.h"
#include "picture.h"

static const char failed[] = "background.image_url cannot be read";

enum { HEAD = 12, BLOCK = 128 };

static enum AVCodecID codec_of(const uint8_t *head)
{
    if (!memcmp(head, "\x89PNG\r\n\x1a\n", 8))
        return AV_CODEC_ID_PNG;
    if (!memcmp(head, "\xff\xd8\xff", 3))
        return AV_CODEC_ID_MJPEG;
    if (!memcmp(head, "RIFF", 4) && !memcmp(head + 8, "WEBP", 4))
        return AV_CODEC_ID_WEBP;
    return AV_CODEC_ID_NONE;
}

/* The whole file. */
static int read_file(const struct image_params *p, AVPacket *packet, struct error *e)
{
    struct stat st;
    if (fstat(p->fd, &st))
        return error_retry(e, "storage_error", "%s: %s.", failed, strerror(errno));
    if (st.st_size > p->max_bytes)
        return error_set(e, "too_large", "background.image_url is larger than %lld bytes.",
            (long long)p->max_bytes);
    if (av_new_packet(packet, (int)st.st_size))
        return libav_error(e, "unreadable_image", failed, AVERROR(ENOMEM));
    for (int at = 0; at < packet->size;) {
        ssize_t n = pread(p->fd, packet->data + at, (size_t)(packet->size - at), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_retry(e, "storage_error", "%s: it ends early.", failed);
        at += (int)n;
    }
    return 0;
}

static int check_pixels(int width, int height, int64_t max_pixels, struct error *e)
{
    if ((int64_t)width * height <= max_pixels)
        return 0;
    return error_set(e, "too_large",
        "background.image_url is %dx%d, above the limit of %lld pixels.", width, height,
        (long long)max_pixels);
}

static int decode_packet(
    AVCodecContext *c, const AVPacket *packet, int64_t max_pixels, AVFrame *image, struct error *e)
{
    c->thread_count = 1;
    c->max_pixels = max_pixels + (int64_t)BLOCK * BLOCK;
    int result = avcodec_open2(c, NULL, NULL);
    if (result >= 0)
        result = avcodec_send_packet(c, packet);
    if (result >= 0)
        result = avcodec_send_packet(c, NULL);
    if (result >= 0)
        result = avcodec_receive_frame(c, image);
    /* a decoder that was told too large a size says only that it is invalid */
    if (result < 0 && c->width > 0 && check_pixels(c->width, c->height, max_pixels, e))
        return -1;
    return result < 0 ? libav_error(e, "unreadable_image", failed, result)
                      : check_pixels(image->width, image->height, max_pixels, e);
}

static int decode(const AVPacket *packet, int64_t max_pixels, AVFrame *image, struct error *e)
{
    enum AVCodecID id = packet->size > HEAD ? codec_of(packet->data) : AV_CODEC_ID_NONE;
    if (id == AV_CODEC_ID_NONE)
        return error_set(
            e, "unreadable_image", "background.image_url is no PNG, JPEG or WebP picture.");
    AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(id));
    if (!c)
        return libav_error(e, "unreadable_image", failed, AVERROR(ENOMEM));
    int result = decode_packet(c, packet, max_pixels, image, e);
    avcodec_free_context(&c);
    return result;
}

/* What is left of a transparent image over black; *image is replaced. */
static int flatten(AVFrame *image, struct error *e)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(image->format);
    if (!(d->flags & AV_PIX_FMT_FLAG_ALPHA) && image->format != AV_PIX_FMT_PAL8)
        return 0;
    AVFrame *flat = av_frame_alloc();
    struct SwsContext *scale = sws_getContext(image->width, image->height, image->format,
        image->width, image->height, AV_PIX_FMT_RGBA, SWS_POINT, NULL, NULL, NULL);
    int result = flat && scale ? 0 : AVERROR(ENOMEM);
    if (result >= 0) {
        av_frame_copy_props(flat, image);
        flat->format = AV_PIX_FMT_RGBA;
        flat->width = image->width;
        flat->height = image->height;
        flat->colorspace = AVCOL_SPC_RGB;
        flat->color_range = AVCOL_RANGE_JPEG;
        result = av_frame_get_buffer(flat, 0);
    }
    if (result >= 0)
        result = sws_scale(scale, (const uint8_t *const *)image->data, image->linesize, 0,
            image->height, flat->data, flat->linesize);
    for (int y = 0; result >= 0 && y < flat->height; y++) {
        uint8_t *row = flat->data[0] + (ptrdiff_t)y * flat->linesize[0];
        for (int x = 0; x < flat->width; x++, row += 4) {
            for (int k = 0; k < 3; k++)
                row[k] = (uint8_t)((row[k] * row[3] + 127) / 255);
            row[3] = 255;
        }
    }
    if (result >= 0) {
        av_frame_unref(image);
        av_frame_move_ref(image, flat);
    }
    sws_freeContext(scale);
    av_frame_free(&flat);
    return result < 0 ? libav_error(e, "unreadable_image", failed, result) : 0;
}

/* Leaves of the image what has the shape of width x height, from its centre. */
static int crop(AVFrame *image, int width, int height)
{
    int64_t kept_width = (int64_t)image->height * width / height;
    int64_t kept_height = (int64_t)image->width * height / width;
    size_t left = 0, top = 0;
    if (kept_width < image->width)
        left = (size_t)(image->width - (kept_width > 1 ? kept_width : 1));
    else if (kept_height < image->height)
        top = (size_t)(image->height - (kept_height > 1 ? kept_height : 1));
    image->crop_left = left / 2;
    image->crop_right = left - left / 2;
    image->crop_top = top / 2;
    image->crop_bottom = top - top / 2;
    return av_frame_apply_cropping(image, AV_FRAME_CROP_UNALIGNED);
}

static int cover(AVFrame *image, enum frame_matrix matrix, struct frame *to, struct error *e)
{
    const AVFrameSideData *side = av_frame_get_side_data(image, AV_FRAME_DATA_DISPLAYMATRIX);
    struct picture_params p = {
        .orientation = orientation_of(side ? (const int32_t *)side->data : NULL),
        .matrix = matrix,
    };
    p.width = p.orientation.transposed ? to->height : to->width;
    p.height = p.orientation.transposed ? to->width : to->height;
    if (flatten(image, e))
        return -1;
    int result = crop(image, p.width, p.height);
    if (result < 0)
        return libav_error(e, "unreadable_image", failed, result);
    p.stretched = 1; /* by less than a pixel */
    struct picture *picture = picture_open(&p, e);
    if (!picture)
        return -1;
    result = picture_convert(picture, image, (AVRational) { 1, 1 }, to, e);
    picture_close(picture);
    return result;
}

int image_cover(const struct image_params *params, struct frame *to, struct error *e)
{
    AVPacket *packet = av_packet_alloc();
    AVFrame *image = av_frame_alloc();
    int result = -1;
    if (!packet || !image)
        libav_error(e, "unreadable_image", failed, AVERROR(ENOMEM));
    else if (!read_file(params, packet, e) && !decode(packet, params->max_pixels, image, e))
        result = cover(image, params->matrix, to, e);
    av_packet_free(&packet);
    av_frame_free(&image);
    return result;
}
