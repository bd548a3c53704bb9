/* The archive of a sequence: a file for each picture, one of the sound, and manifest.json, which says when each is shown. */
#ifndef MATTE_PICTURES_H
#define MATTE_PICTURES_H

#include <libavformat/avformat.h>

#include "../error.h"

struct pictures;

/* As mux_open(). */
struct pictures *pictures_open(int fd, struct error *e);

/* Whose codecpar and time base say what the packets are. NULL: no memory. */
AVStream *pictures_stream(struct pictures *pictures);

/* One picture; its times are in the stream's time base. */
int pictures_add(struct pictures *pictures, const AVPacket *packet, struct error *e);

/* sound: an m4a file of size bytes, 0: none. *bytes: the size of the archive. */
int pictures_finish(
    struct pictures *pictures, const void *sound, size_t size, int64_t *bytes, struct error *e);

/* pictures may be NULL. */
void pictures_close(struct pictures *pictures);

#endif
