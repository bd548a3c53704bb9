/* A zip file of files that are stored as they are, written as they come; only its list of contents is kept in memory. */
#ifndef MATTE_ARCHIVE_H
#define MATTE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct archive;

/* Writes into fd, from its beginning; fd must be seekable and stays open and the caller's. */
struct archive *archive_open(int fd, struct error *e);

/* A file that is there at once. */
int archive_add(
    struct archive *archive, const char *name, const void *data, size_t size, struct error *e);

/* Writes the list of contents. *bytes: the size of the file. */
int archive_finish(struct archive *archive, int64_t *bytes, struct error *e);

/* archive may be NULL. */
void archive_close(struct archive *archive);

#endif
