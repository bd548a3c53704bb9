#include "mux.h"

#include <errno.h>
#include <libavutil/opt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libav.h"
#include "pictures.h"
#include "sink.h"

static const char failed[] = "The output could not be written";

enum { BUFFER = 64 << 10, INTERLEAVE_S = 10 };

struct mux {
    pthread_mutex_t lock;
    const struct format *format;
    AVFormatContext *context;  /* of an archive: its sound, in memory */
    struct pictures *pictures; /* of an archive */
    AVStream *stream[MUX_STREAMS];
    AVRational ticks[MUX_STREAMS];
    struct sink sink;
    struct sink again; /* a muxer reads what it wrote, to move it */
    int64_t last;      /* how long the last frame is shown, in its ticks */
};

/* ---- the file, for libavformat ---- */

static int write_some(void *opaque, uint8_t *data, int size)
{
    struct mux *m = opaque;
    int result = sink_write(&m->sink, data, (size_t)size);
    return result ? AVERROR(result) : size;
}

static int64_t seek_to(void *opaque, int64_t offset, int whence)
{
    struct sink *s = opaque;
    return whence & AVSEEK_SIZE ? s->size : sink_seek(s, offset, whence & ~AVSEEK_FORCE);
}

static int64_t seek_written(void *opaque, int64_t offset, int whence)
{
    struct mux *m = opaque;
    return seek_to(&m->sink, offset, whence);
}

static int64_t seek_again(void *opaque, int64_t offset, int whence)
{
    struct mux *m = opaque;
    return seek_to(&m->again, offset, whence);
}

static int read_again(void *opaque, uint8_t *data, int size)
{
    struct mux *m = opaque;
    ssize_t n;
    do
        n = pread(m->sink.fd, data, (size_t)size, m->again.at);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n ? AVERROR(errno) : AVERROR_EOF;
    m->again.at += n;
    return (int)n;
}

static AVIOContext *io_open(struct mux *m, int writes)
{
    uint8_t *buffer = av_malloc(BUFFER);
    AVIOContext *io = !buffer ? NULL
                      : writes
                          ? avio_alloc_context(buffer, BUFFER, 1, m, NULL, write_some, seek_written)
                          : avio_alloc_context(buffer, BUFFER, 0, m, read_again, NULL, seek_again);
    if (!io)
        av_free(buffer);
    return io;
}

static void io_close(AVIOContext *io)
{
    if (io)
        av_freep(&io->buffer);
    avio_context_free(&io);
}

/* A muxer may read its own output again, and open nothing else. */
static int open_again(
    AVFormatContext *context, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
    struct mux *m = context->opaque;
    (void)url, (void)options;
    if (flags != AVIO_FLAG_READ)
        return AVERROR(EACCES);
    m->again = (struct sink) { m->sink.fd, 0, m->sink.size };
    *io = io_open(m, 0);
    return *io ? 0 : AVERROR(ENOMEM);
}

static int close_again(AVFormatContext *context, AVIOContext *io)
{
    (void)context;
    io_close(io);
    return 0;
}

/* ---- */

static int open_context(struct mux *m)
{
    int result = avformat_alloc_output_context2(&m->context, NULL, m->format->muxer, NULL);
    if (result < 0)
        return result;
    if (m->format->archive)
        result = avio_open_dyn_buf(&m->context->pb);
    else if (!(m->context->pb = io_open(m, 1)))
        result = AVERROR(ENOMEM);
    m->context->opaque = m;
    m->context->url = av_strdup("");
    m->context->io_open = open_again;
    m->context->io_close2 = close_again;
    m->context->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    m->context->max_interleave_delta = (int64_t)INTERLEAVE_S * AV_TIME_BASE;
    return m->context->url ? result : AVERROR(ENOMEM);
}

struct mux *mux_open(int fd, const struct format *format, struct error *e)
{
    struct mux *m = calloc(1, sizeof *m);
    if (!m) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    pthread_mutex_init(&m->lock, NULL);
    m->format = format;
    m->sink.fd = fd;
    int result = open_context(m);
    if (result < 0)
        libav_error(e, "encode_error", failed, result);
    else if (!format->archive || (m->pictures = pictures_open(fd, e)))
        return m;
    mux_close(m);
    return NULL;
}

AVStream *mux_stream(struct mux *mux, enum mux_stream which, AVRational ticks, struct error *e)
{
    AVStream *stream = mux->pictures && which == MUX_VIDEO
                           ? pictures_stream(mux->pictures)
                           : avformat_new_stream(mux->context, NULL);
    if (!stream) {
        libav_error(e, "encode_error", failed, AVERROR(ENOMEM));
        return NULL;
    }
    stream->time_base = mux->ticks[which] = ticks;
    mux->stream[which] = stream;
    return stream;
}

int mux_start(struct mux *mux, struct error *e)
{
    AVDictionary *options = NULL;
    int result = 0;
    if (mux->format->muxer_options)
        result = av_dict_parse_string(&options, mux->format->muxer_options, "=", ":", 0);
    if (result >= 0 && mux->context->nb_streams)
        result = avformat_write_header(mux->context, &options);
    av_dict_free(&options);
    return result < 0 ? libav_error(e, "encode_error", failed, result) : 0;
}

static int write_stream(struct mux *m, enum mux_stream which, AVPacket *packet, struct error *e)
{
    if (which == MUX_VIDEO)
        m->last = packet->duration;
    packet->stream_index = m->stream[which]->index;
    packet->pos = -1;
    av_packet_rescale_ts(packet, m->ticks[which], m->stream[which]->time_base);
    int result = av_interleaved_write_frame(m->context, packet);
    if (result >= 0)
        result = m->context->pb->error;
    return result < 0 ? libav_error(e, "encode_error", failed, result) : 0;
}

int mux_write(struct mux *mux, enum mux_stream which, AVPacket *packet, struct error *e)
{
    pthread_mutex_lock(&mux->lock);
    int result;
    if (mux->pictures && which == MUX_VIDEO) {
        result = pictures_add(mux->pictures, packet, e);
        av_packet_unref(packet);
    } else {
        result = write_stream(mux, which, packet, e);
    }
    pthread_mutex_unlock(&mux->lock);
    return result;
}

int mux_finish(struct mux *mux, int64_t *bytes, struct error *e)
{
    int result = 0;
    if (mux->format->muxer_last)
        result = av_opt_set_int(mux->context->priv_data, mux->format->muxer_last, mux->last, 0);
    if (result >= 0 && mux->context->nb_streams)
        result = av_write_trailer(mux->context);
    if (result >= 0) {
        avio_flush(mux->context->pb);
        result = mux->context->pb->error;
    }
    *bytes = mux->sink.size;
    if (result < 0)
        return libav_error(e, "encode_error", failed, result);
    if (!mux->pictures)
        return 0;
    uint8_t *sound;
    int size = avio_close_dyn_buf(mux->context->pb, &sound);
    mux->context->pb = NULL;
    result = pictures_finish(mux->pictures, sound, (size_t)size, bytes, e);
    av_free(sound);
    return result;
}

static void close_context(struct mux *m)
{
    uint8_t *sound = NULL;
    if (!m->format->archive)
        io_close(m->context->pb);
    else if (m->context->pb)
        avio_close_dyn_buf(m->context->pb, &sound);
    av_free(sound);
    avformat_free_context(m->context);
}

void mux_close(struct mux *mux)
{
    if (!mux)
        return;
    if (mux->context)
        close_context(mux);
    pictures_close(mux->pictures);
    pthread_mutex_destroy(&mux->lock);
    free(mux);
}
