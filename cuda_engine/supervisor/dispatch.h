/*
 * Brings jobs and free workers together. A claim is made when something says that there may be a job (a ring, a
 * notification, the poll, a worker that has become free) and a worker is free; one claim is under way at a time, and
 * claims go on until they find nothing or no worker is free. Also reaps the leases of lost engines.
 */
#ifndef MATTE_DISPATCH_H
#define MATTE_DISPATCH_H

#include "doorbell.h"

struct dispatch_params {
    const char *engine_id;
    int64_t lease, poll;   /* ms */
    void (*stopped)(void); /* after dispatch_stop, once the last claim has been answered */
};

void dispatch_open(const struct dispatch_params *params);

/* No new claims; who rings is told `pending`. */
void dispatch_stop(void);

int dispatch_is_claiming(void);

/* There may be a job, or a worker for one. */
void dispatch_now(void);

/* Answers `processing` once exactly this job has been claimed here, else `pending`. */
void dispatch_ring(const struct doorbell_ring *ring);

#endif
