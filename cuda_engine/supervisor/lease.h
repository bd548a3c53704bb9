/*
 * The right to one job, for as long as the database hears from us. It is counted from the moment the last answered
 * heartbeat was sent, so it ends here before it ends there: a job whose lease is lost has been stopped before another
 * engine can take it.
 */
#ifndef MATTE_LEASE_H
#define MATTE_LEASE_H

#include "loop.h"
#include "database.h"

struct lease {
    const struct claim *claim;
    int64_t until;       /* loop_now() at which work must have stopped */
    int64_t frames_done; /* its owner keeps this; heartbeats carry it */
    int64_t ttl, beat;
    int asked; /* a heartbeat has no answer yet */
    struct timer next, guard;
    void (*lost)(void *data);      /* stop at once and write nothing; the lease has been closed */
    void (*cancelled)(void *data); /* somebody asked for the job to be cancelled */
    void *data;
};

/* sent: when the claim was sent. claim must outlive the lease. The callbacks are set by the caller beforehand. */
void lease_open(
    struct lease *l, const struct claim *claim, int64_t sent, int64_t ttl, int64_t beat);

/* A heartbeat now. */
void lease_beat(struct lease *l);

/* No more heartbeats, as the job is being ended; lost is still called at `until`. */
void lease_finish(struct lease *l);

void lease_close(struct lease *l);

#endif
