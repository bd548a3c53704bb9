/*
 * Which of the things seen now is which of those seen before. Things move as the picture does between two looks of the
 * detector, keep going while something hides them, and are known again when they come back. Boxes are in pixels of the
 * picture; times are counted in frames. A tracker is a value: no pointers, nothing to close. One thread.
 */
#ifndef MATTE_TRACK_H
#define MATTE_TRACK_H

#include "look.h"

enum { TRACKS = 32 };

enum track_state {
    TRACK_SEEN,   /* where its box is */
    TRACK_HIDDEN, /* behind another; its box goes on as it went */
    TRACK_LOST,   /* gone, not forgotten */
};

struct track {
    int id; /* from 1 on, never used again */
    enum track_state state;
    struct box box;
    float dx, dy;                  /* of its middle, a frame */
    float score[DETECTOR_CLASSES]; /* means over time */
    int label;                     /* the class of the highest */
    struct look look;
    int looks;          /* of the detector that saw it */
    int missed;         /* looks since that did not */
    int unseen;         /* frames since it was seen last */
    int cut;            /* 1: the scene has changed since */
    float was_x, was_y; /* its middle when it was seen last */
};

struct tracker {
    float width, height; /* of the picture */
    struct track tracks[TRACKS];
    int count;
    int next;  /* id */
    int since; /* frames since the detector looked last */
};

void tracker_start(struct tracker *t, int width, int height);

/* A frame has passed. What is hidden goes on, what is lost is forgotten in time. */
void tracker_pass(struct tracker *t);

/* A thing that is seen has moved this far, in pixels, and grown. What was cut by the picture's border stays so as it comes in. */
void tracker_move(const struct tracker *t, struct track *k, float dx, float dy, float scale);

/* 1: the picture's border cuts this thing, and it moves, so that more of it may come in. */
int tracker_comes_in(const struct tracker *t, const struct track *k);

/* The scene is another: nothing is where it was. */
void tracker_cut(struct tracker *t);

/* What the detector saw in this frame, and how that looks. */
void tracker_see(
    struct tracker *t, const struct detection *found, const struct look *looks, int count);

/* 1: this thing touches another one of its kind, so that one may be taken for the other. */
int tracker_touches(const struct tracker *t, const struct track *k);

#endif
