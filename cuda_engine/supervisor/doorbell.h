/*
 * The Unix socket on which the API's servers ring: `start <n> <job>` and `cancel <n> <job>`, one message a datagram.
 * It carries hints only: what is lost or wrong costs a second of waiting, so bad messages are dropped and counted.
 */
#ifndef MATTE_DOORBELL_H
#define MATTE_DOORBELL_H

#include <stdint.h>

#include "../error.h"

/* Where an answer goes. */
struct doorbell_ring {
    uint64_t connection; /* never used twice */
    uint64_t n;
    char job[37];
};

struct doorbell_events {
    void (*start)(void *data, const struct doorbell_ring *ring);
    void (*cancel)(void *data, const struct doorbell_ring *ring);
};

/* A socket that no process answers on any more is replaced; one that is answered is an error. */
int doorbell_open(const char *path, unsigned mode, const struct doorbell_events *events, void *data,
    struct error *e);
void doorbell_close(void);

/* `<n> <word>` to who rang, unless it has gone. */
void doorbell_answer(const struct doorbell_ring *ring, const char *word);

#endif
