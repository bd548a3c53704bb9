#include "still.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <string.h>
#include <unistd.h>

static int write_all(int fd, const uint8_t *bytes, int size, struct error *e)
{
    while (size > 0) {
        const ssize_t n = write(fd, bytes, (size_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(
                e, "storage_error", "A picture cannot be written: %s.", strerror(errno));
        bytes += n;
        size -= (int)n;
    }
    return 0;
}

static int encode(AVCodecContext *coder, AVFrame *frame, AVPacket *packet, const uint8_t *rgb)
{
    frame->format = coder->pix_fmt;
    frame->width = coder->width;
    frame->height = coder->height;
    if (av_frame_get_buffer(frame, 0) < 0)
        return -1;
    for (int y = 0; y < frame->height; y++)
        memcpy(frame->data[0] + (ptrdiff_t)y * frame->linesize[0],
            rgb + (ptrdiff_t)y * 3 * frame->width, 3 * (size_t)frame->width);
    return avcodec_open2(coder, NULL, NULL) < 0 || avcodec_send_frame(coder, frame) < 0 ||
                   avcodec_receive_packet(coder, packet) < 0
               ? -1
               : 0;
}

int still_write(int fd, const uint8_t *rgb, int width, int height, struct error *e)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
    AVCodecContext *coder = codec ? avcodec_alloc_context3(codec) : NULL;
    AVFrame *frame = av_frame_alloc();
    AVPacket *packet = av_packet_alloc();
    int failed = 1;
    if (coder && frame && packet) {
        coder->width = width;
        coder->height = height;
        coder->pix_fmt = AV_PIX_FMT_RGB24;
        coder->time_base = (AVRational) { 1, 1 };
        failed = encode(coder, frame, packet, rgb);
    }
    if (failed)
        error_set(
            e, "encode_error", "A picture of %dx%d cannot be made a PNG file.", width, height);
    else
        failed = write_all(fd, packet->data, packet->size, e);
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&coder);
    return failed ? -1 : 0;
}
