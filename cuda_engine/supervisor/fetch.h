/*
 * Fetches a client's URL into a file, in a child process of its own: names, TLS and HTTP are handled where there is no
 * database connection, no other job and no right to start a program. Every address is judged when it is resolved and
 * again when it is connected to; redirects are followed by hand, at most three, each judged like the first URL.
 *
 * Errors: url_denied, fetch_unreachable, fetch_timeout, fetch_4xx, fetch_5xx, too_large, storage_error. Their texts
 * never hold the URL's query.
 */
#ifndef MATTE_FETCH_H
#define MATTE_FETCH_H

#include "address.h"
#include "loop.h"

struct fetch_params {
    const char *url;
    int file; /* written from its start; stays the caller's */
    int64_t max_bytes;
    int64_t timeout, connect_timeout; /* ms; timeout is for all redirects together */
    const struct address_policy *policy;
};

struct fetch_result {
    int64_t bytes;
    int32_t status; /* the last HTTP status, 0: none */
    int32_t failed;
    struct error error; /* where it failed */
};

struct fetch;

/* done is called once, from the loop, unless the fetch is cancelled before; *f is gone then. params are copied by the
 * fork. NULL and *e where no process can be made. */
struct fetch *fetch_start(const struct fetch_params *params,
    void (*done)(void *data, const struct fetch_result *result), void *data, struct error *e);
void fetch_cancel(struct fetch *f);

#endif
