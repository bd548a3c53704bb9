/*
 * Pictures as they were meant to be seen on an ordinary screen: whole ones of interlaced fields, standard range of a high
 * one. What needs nothing passes untouched and at once.
 */
#ifndef MATTE_CORRECT_H
#define MATTE_CORRECT_H

#include <libavutil/frame.h>
#include <libavutil/rational.h>

#include "../error.h"

struct correct;

/* time_base: of the pictures' pts. */
struct correct *correct_open(AVRational time_base, int threads, struct error *e);

/* Would the picture pass untouched? */
int correct_passes(const struct correct *correct, const AVFrame *picture);

/* Takes the picture's content; NULL: no more will come. Then correct_receive() is asked until it has nothing. */
int correct_send(struct correct *correct, AVFrame *picture, struct error *e);

/* 1: *picture; 0: nothing yet, or after the NULL no more; -1 and *e. */
int correct_receive(struct correct *correct, AVFrame *picture, struct error *e);

/* correct may be NULL. */
void correct_close(struct correct *correct);

#endif
