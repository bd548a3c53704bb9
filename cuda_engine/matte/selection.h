/*
 * Which things a prompt keeps. What a place ("left", "the largest") or a number says is decided when a thing that may be
 * meant is first seen, and stays with that thing wherever it goes. A selection is a value. One thread.
 */
#ifndef MATTE_SELECTION_H
#define MATTE_SELECTION_H

#include "prompt.h"
#include "track.h"

/* What was decided of a thing; phrases are bits by their order. */
struct chosen {
    int id;                 /* of its track */
    uint32_t judged, named; /* by phrases: whether was decided, and that it was yes */
    int coloured;           /* colours are known */
    unsigned colours;       /* of enum prompt_colour */
};

struct selection {
    struct prompt prompt;
    uint32_t keeping, excluding; /* the phrases that do */
    int undecided;               /* nothing was asked for, and nothing seen yet */
    struct chosen chosen[TRACKS];
    int count;
};

/*
 * p: NULL or with no phrases: the main subject, that is all persons, and where the first things that are seen are no
 * persons, the largest of them.
 */
void selection_start(struct selection *c, const struct prompt *p);

/* The colours of a thing that is in view, of enum prompt_colour; asked once a thing, where a phrase names some. */
typedef unsigned selection_colours_fn(void *data, const struct track *k);

/* The detector has looked. */
void selection_update(
    struct selection *c, const struct tracker *t, selection_colours_fn *colours, void *data);

enum selection_verdict { SELECTION_UNNAMED, SELECTION_KEPT, SELECTION_EXCLUDED };

enum selection_verdict selection_of(const struct selection *c, const struct track *k);

#endif
