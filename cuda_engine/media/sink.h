/* The output file as its writers see it: a descriptor and a place in it. One thread at a time. */
#ifndef MATTE_SINK_H
#define MATTE_SINK_H

#include <stddef.h>
#include <stdint.h>

struct sink {
    int fd;
    int64_t at, size; /* bytes: where the next one goes, and how many there are */
};

/* All of it; 0, or errno. */
int sink_write(struct sink *sink, const void *data, size_t size);

/* As lseek(2): the new place, or -1. */
int64_t sink_seek(struct sink *sink, int64_t offset, int whence);

#endif
