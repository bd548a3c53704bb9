/*
 * POSTs webhooks, many at once, from a child process of its own that lasts: one libcurl multi handle on one event loop,
 * so that names, TLS and HTTP of servers that nobody here knows are handled where there is no database connection, no
 * secret and no right to start a program, and where a slow resolver stops no heartbeat. (libcurl resolves names in
 * threads. A process that forks workers, as the supervisor does, had better have none.)
 *
 * The process is started when it is first needed and again after it has died, which ends what was under way with an
 * error. A name is resolved once a POST, and each address judged when it is connected to (egress.h); a redirect is
 * an answer like another.
 */
#ifndef MATTE_SENDER_H
#define MATTE_SENDER_H

#include <stddef.h>

#include "../error.h"
#include "address.h"

enum { SENDER_BYTES = 96 * 1024 }; /* of one POST at most: URL, headers and body together */

struct sender_params {
    const struct address_policy *policy;
    int64_t timeout; /* ms, of a POST from the name to the status */
    int connections; /* POSTs under way at once */
};

struct sender_result {
    uint64_t id;
    int32_t status;      /* of HTTP; 0: no answer */
    int32_t retry_after; /* s, as the server asks; 0: it does not */
    int32_t ms;
    struct error error; /* where there is no answer */
};

/* done is called once for each POST that sender_post has taken, from the loop; it does not call sender_post. */
void sender_open(const struct sender_params *params,
    void (*done)(void *data, const struct sender_result *result), void *data);

/* Ends the process. What is under way is not answered any more. */
void sender_close(void);

/* Takes a POST: headers are lines, each with its '\n'. -1 and *e: no process can be made, or it is too large. */
int sender_post(uint64_t id, const char *url, const char *headers, const char *body,
    size_t body_bytes, struct error *e);

#endif
