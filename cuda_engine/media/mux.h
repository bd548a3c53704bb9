/*
 * Writes the output file: packets of the video and audio streams, interleaved by time, or an archive of pictures beside
 * their sound. Streams are added, the file is started, packets are written from any thread, and it is finished once, by
 * one thread.
 */
#ifndef MATTE_MUX_H
#define MATTE_MUX_H

#include <stdint.h>

#include "format.h"

enum mux_stream { MUX_VIDEO, MUX_AUDIO, MUX_STREAMS };

struct mux;

/* Writes into fd, from its beginning; fd must be readable and seekable and stays open and the caller's. */
struct mux *mux_open(int fd, const struct format *format, struct error *e);

/*
 * A new stream, whose codecpar the caller fills before mux_start(). ticks is the time base of the packets that will
 * come. The stream belongs to mux.
 */
AVStream *mux_stream(struct mux *mux, enum mux_stream which, AVRational ticks, struct error *e);

/* Writes the header. */
int mux_start(struct mux *mux, struct error *e);

/*
 * Takes the packet's content (unrefs it in any case). A packet waits inside for those of the other streams that come
 * before it, 10 s of time at most; an archive's sound waits in memory to the end. Any thread.
 */
int mux_write(struct mux *mux, enum mux_stream which, AVPacket *packet, struct error *e);

/* Writes what waits and the trailer. *bytes: the size of the file. */
int mux_finish(struct mux *mux, int64_t *bytes, struct error *e);

/* mux may be NULL. */
void mux_close(struct mux *mux);

#endif
