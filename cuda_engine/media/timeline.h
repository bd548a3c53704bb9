/*
 * The output's clock: source times, counted from the clip's start, become ticks of the output format that strictly
 * increase, because frames nearer together than a tick would otherwise collide.
 */
#ifndef MATTE_TIMELINE_H
#define MATTE_TIMELINE_H

#include <libavutil/rational.h>
#include <stdint.h>

struct timeline {
    AVRational ticks;
    int apart;             /* from one frame to the next, at least; 1 or more */
    int64_t start;         /* of the clip, ... */
    AVRational start_base; /* ... in this time base */
    int64_t next;          /* the first tick that is free */
};

enum { TIMELINE_DROP = -1 };

/* When at (in base) is, in ticks from the start; negative: before it. */
int64_t timeline_ticks(const struct timeline *t, int64_t at, AVRational base);

/*
 * Places a frame: its tick, the first free one where that is taken, or TIMELINE_DROP for a frame before the start and for
 * one that would come more than 20 ms late, as no player shows so many frames a second.
 */
int64_t timeline_place(struct timeline *t, int64_t at, AVRational base);

#endif
