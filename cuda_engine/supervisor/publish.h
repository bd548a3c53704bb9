/*
 * Puts a finished output in its place, durably, by a child process: a disk may take its time over an fsync, and the loop
 * must not.
 */
#ifndef MATTE_PUBLISH_H
#define MATTE_PUBLISH_H

#include "storage.h"

struct publish;

/* storage_publish; done is called once, from the loop, unless it is cancelled before, with the output's key, or with why
 * there is none; *p is gone then. NULL and *e where no process can be made. */
struct publish *publish_start(const struct claim *c,
    void (*done)(void *data, const char *key, const struct error *why), void *data,
    struct error *e);

/* Where the output is then is not known: in tmp/, or in its place as an orphan. */
void publish_cancel(struct publish *p);

#endif
