#include "animation.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <webp/demux.h>

#include "libav.h"

static const char failed[] = "The input is no WebP animation that can be read";

enum { HEAD = 21, SHORTEST_MS = 10, USUAL_MS = 100, BYTES = 4 /* of a pixel */ };

struct animation {
    WebPData data; /* the file, mapped */
    int threads;
    WebPDemuxer *demuxer;
    WebPAnimDecoder *decoder; /* NULL: nothing is decoded yet */
    int width, height, frames;
    int at;       /* the next picture, from 0 */
    int64_t time; /* its, in ms */
};

int animation_is(int fd)
{
    enum { ANIMATED = 2 }; /* of VP8X' flags */
    uint8_t head[HEAD];
    return pread(fd, head, sizeof head, 0) == sizeof head && !memcmp(head, "RIFF", 4) &&
           !memcmp(head + 8, "WEBPVP8X", 8) && head[20] & ANIMATED;
}

/* How long a picture is shown, in ms. */
static int duration(const struct animation *a, int picture)
{
    WebPIterator it;
    const int ms = WebPDemuxGetFrame(a->demuxer, picture + 1, &it) ? it.duration : 0;
    WebPDemuxReleaseIterator(&it);
    return ms > SHORTEST_MS ? ms : USUAL_MS;
}

struct animation *animation_open(int fd, int64_t size, int threads, struct error *e)
{
    struct animation *a = calloc(1, sizeof *a);
    void *bytes = a ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) {
        free(a);
        libav_error(e, "unreadable_media", failed, AVERROR(ENOMEM));
        return NULL;
    }
    a->data = (WebPData) { bytes, (size_t)size };
    a->threads = threads;
    a->demuxer = WebPDemux(&a->data);
    if (!a->demuxer) {
        animation_close(a);
        error_set(e, "unreadable_media", "%s: its end is missing, or a part is broken.", failed);
        return NULL;
    }
    a->width = (int)WebPDemuxGetI(a->demuxer, WEBP_FF_CANVAS_WIDTH);
    a->height = (int)WebPDemuxGetI(a->demuxer, WEBP_FF_CANVAS_HEIGHT);
    a->frames = (int)WebPDemuxGetI(a->demuxer, WEBP_FF_FRAME_COUNT);
    if (a->frames <= ANIMATION_PICTURES)
        return a;
    error_set(e, "too_long", "The animation has %d pictures, above the limit of %d.", a->frames,
        ANIMATION_PICTURES);
    animation_close(a);
    return NULL;
}

int animation_describe(const struct animation *a, AVFormatContext *file, struct error *e)
{
    int64_t total = 0;
    for (int i = 0; i < a->frames; i++)
        total += duration(a, i);
    AVStream *s = avformat_new_stream(file, NULL);
    if (!s)
        return libav_error(e, "unreadable_media", failed, AVERROR(ENOMEM));
    s->time_base = (AVRational) { 1, 1000 };
    s->start_time = 0;
    s->duration = total;
    s->nb_frames = a->frames;
    av_reduce(
        &s->avg_frame_rate.num, &s->avg_frame_rate.den, a->frames * INT64_C(1000), total, INT_MAX);
    s->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
    s->codecpar->codec_id = AV_CODEC_ID_RAWVIDEO;
    s->codecpar->format = AV_PIX_FMT_RGB0;
    s->codecpar->width = a->width;
    s->codecpar->height = a->height;
    return 0;
}

static int open_decoder(struct animation *a)
{
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options))
        return AVERROR_EXTERNAL;
    options.color_mode = MODE_rgbA; /* multiplied by alpha: what is left of it over black */
    options.use_threads = a->threads > 1;
    a->decoder = WebPAnimDecoderNew(&a->data, &options);
    return a->decoder ? 0 : AVERROR(ENOMEM);
}

int animation_read(struct animation *a, AVPacket *packet)
{
    uint8_t *canvas;
    int end;
    if (a->at == a->frames)
        return AVERROR_EOF;
    int result = a->decoder ? 0 : open_decoder(a);
    if (result >= 0)
        result = WebPAnimDecoderGetNext(a->decoder, &canvas, &end) ? 0 : AVERROR_INVALIDDATA;
    if (result >= 0)
        result = av_new_packet(packet, a->width * a->height * BYTES);
    if (result < 0)
        return result;
    memcpy(packet->data, canvas, (size_t)packet->size);
    packet->stream_index = 0;
    packet->flags |= AV_PKT_FLAG_KEY;
    packet->pts = packet->dts = a->time;
    packet->duration = duration(a, a->at++);
    a->time += packet->duration;
    return 0;
}

void animation_close(struct animation *a)
{
    if (!a)
        return;
    WebPAnimDecoderDelete(a->decoder);
    WebPDemuxDelete(a->demuxer);
    munmap((void *)a->data.bytes, a->data.size);
    free(a);
}
