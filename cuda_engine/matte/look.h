/*
 * How a thing looks, so that it is known again: how its colours are spread, and which of the prompt's colours it has.
 */
#ifndef MATTE_LOOK_H
#define MATTE_LOOK_H

#include <stdint.h>

#include "detector.h"

enum { LOOK_LEVELS = 4, LOOK_BINS = LOOK_LEVELS * LOOK_LEVELS * LOOK_LEVELS };

struct look {
    float bins[LOOK_BINS]; /* parts of its pixels, the sum is 1; all 0: nothing was seen */
};

/* A small picture, R, G, B of 0..255 interleaved. */
struct look_picture {
    const uint8_t *rgb;
    int width, height;
};

/* Of what is in the box, in pixels of the picture; its corners, which show what is behind, are left out. */
void look_take(struct look *l, const struct look_picture *p, const struct box *box);

/* 0: nothing in common, to 1: the same (Bhattacharyya's coefficient). */
float look_likeness(const struct look *a, const struct look *b);

/* Moves l towards now by a part of the way. */
void look_learn(struct look *l, const struct look *now, float part);

/* The colours, of enum prompt_colour, that a quarter of the pixels have for which mask, of the picture's size, is above 0. */
unsigned look_colours(const struct look_picture *p, const float *mask);

/* Which of enum prompt_colour that is; of 0..255. */
unsigned look_colour(int r, int g, int b);

#endif
