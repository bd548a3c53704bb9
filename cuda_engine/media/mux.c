#include "mux.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "libav.h"

static const char failed[] = "The output could not be written";

enum { MUX_STREAMS = 4, BUFFER = 64 << 10, INTERLEAVE_S = 10 };

struct mux {
    pthread_mutex_t lock;
    AVFormatContext *context;
    AVRational ticks[MUX_STREAMS];
    int fd;
    int64_t at, size;
};

static int write_some(void *opaque, uint8_t *data, int size)
{
    struct mux *m = opaque;
    for (int done = 0; done < size;) {
        ssize_t n = pwrite(m->fd, data + done, (size_t)(size - done), m->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? AVERROR(errno) : AVERROR(EIO);
        done += (int)n;
        m->at += n;
        if (m->at > m->size)
            m->size = m->at;
    }
    return size;
}

static int64_t seek_to(void *opaque, int64_t offset, int whence)
{
    struct mux *m = opaque;
    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE: return m->size;
    case SEEK_SET: break;
    case SEEK_CUR: offset += m->at; break;
    case SEEK_END: offset += m->size; break;
    default: return AVERROR(EINVAL);
    }
    return offset < 0 ? AVERROR(EINVAL) : (m->at = offset);
}

/* Some muxers open further files; ours may not. */
static int refuse_open(
    AVFormatContext *context, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
    (void)context, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EACCES);
}

static int open_context(struct mux *m, const struct format *format)
{
    int result = avformat_alloc_output_context2(&m->context, NULL, format->muxer, NULL);
    if (result < 0)
        return result;
    uint8_t *buffer = av_malloc(BUFFER);
    m->context->pb = avio_alloc_context(buffer, BUFFER, 1, m, NULL, write_some, seek_to);
    if (!m->context->pb) {
        av_free(buffer);
        return AVERROR(ENOMEM);
    }
    m->context->io_open = refuse_open;
    m->context->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    m->context->max_interleave_delta = (int64_t)INTERLEAVE_S * AV_TIME_BASE;
    return 0;
}

struct mux *mux_open(int fd, const struct format *format, struct error *e)
{
    struct mux *m = calloc(1, sizeof *m);
    if (!m) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    pthread_mutex_init(&m->lock, NULL);
    m->fd = fd;
    int result = open_context(m, format);
    if (result >= 0)
        return m;
    libav_error(e, "encode_error", failed, result);
    mux_close(m);
    return NULL;
}

AVStream *mux_stream(struct mux *mux, AVRational ticks, struct error *e)
{
    AVStream *stream =
        mux->context->nb_streams < MUX_STREAMS ? avformat_new_stream(mux->context, NULL) : NULL;
    if (!stream) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    stream->time_base = mux->ticks[stream->index] = ticks;
    return stream;
}

int mux_start(struct mux *mux, struct error *e)
{
    int result = avformat_write_header(mux->context, NULL);
    return result < 0 ? libav_error(e, "encode_error", failed, result) : 0;
}

int mux_write(struct mux *mux, int stream, AVPacket *packet, struct error *e)
{
    packet->stream_index = stream;
    packet->pos = -1;
    pthread_mutex_lock(&mux->lock);
    av_packet_rescale_ts(packet, mux->ticks[stream], mux->context->streams[stream]->time_base);
    int result = av_interleaved_write_frame(mux->context, packet);
    if (result >= 0)
        result = mux->context->pb->error;
    pthread_mutex_unlock(&mux->lock);
    return result < 0 ? libav_error(e, "encode_error", failed, result) : 0;
}

int mux_finish(struct mux *mux, int64_t *bytes, struct error *e)
{
    int result = av_write_trailer(mux->context);
    if (result >= 0) {
        avio_flush(mux->context->pb);
        result = mux->context->pb->error;
    }
    *bytes = mux->size;
    return result < 0 ? libav_error(e, "encode_error", failed, result) : 0;
}

void mux_close(struct mux *mux)
{
    if (!mux)
        return;
    if (mux->context) {
        if (mux->context->pb)
            av_freep(&mux->context->pb->buffer);
        avio_context_free(&mux->context->pb);
        avformat_free_context(mux->context);
    }
    pthread_mutex_destroy(&mux->lock);
    free(mux);
}
