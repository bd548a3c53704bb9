/* The process of one job; what it says and hears is in job.h. */
#ifndef MATTE_WORKER_H
#define MATTE_WORKER_H

#include <stdint.h>

#include "../matte/manifest.h"

struct worker_params {
    int control;                             /* its end of the SOCK_SEQPACKET pair */
    const struct manifest *const *manifests; /* with open files */
    int manifest_count;
    const char
        *model;     /* API name, whose network is planned ahead; one that is not installed: any */
    int64_t budget; /* as in struct models; on a card there is none */
    const char *device;   /* as device_open() takes it */
    int turn;             /* as device_open_turn() takes it */
    int threads;          /* at least 1 */
    int64_t max_pixels;   /* of a job's pictures */
    int64_t memory_limit; /* bytes of address space; 0: none, as on a card */
    int sandbox;          /* 0: for debuggers only */
};

/*
 * Runs in the forked child, which has one thread: plans, shuts the sandbox, takes one job and returns the exit status: 0
 * once the job's end is reported, whatever it was; 1 when it could not start or the supervisor has gone.
 */
int worker_main(const struct worker_params *p);

#endif
