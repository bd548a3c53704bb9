/*
 * What NanoDet sees in a picture: boxes, each with a score for every class of COCO. One thread.
 */
#ifndef MATTE_DETECTOR_H
#define MATTE_DETECTOR_H

#include "../device/device.h"
#include "manifest.h"

enum {
    DETECTOR_CLASSES = 80,
    DETECTOR_BINS = 8 + 3, /* distances of 0 to 10 strides that a side is spread over */
    DETECTOR_SCALES = 3,   /* strides 8, 16 and 32 */
    DETECTIONS = 64
};

/* In pixels of the picture; right and bottom are not in it any more. */
struct box {
    float left, top, right, bottom;
};

/* One thing. A class that was not seen in it has the score 0; label is the one with the highest. */
struct detection {
    struct box box;
    float score[DETECTOR_CLASSES];
    int label;
};

/* Intersection over union, 0 to 1. */
float box_overlap(const struct box *a, const struct box *b);

/* What the network answers, one scale after the other, in rows: cells of (width / stride) * (height / stride). */
struct detector_answer {
    const float *scores[DETECTOR_SCALES]; /* cells * DETECTOR_CLASSES, of 0..1 */
    const float *boxes[DETECTOR_SCALES];  /* cells * 4 * DETECTOR_BINS: left, top, right, bottom */
};

/*
 * Boxes of an answer to an input of width x height, best first, at most DETECTIONS; how many. A side's distance from the
 * cell's centre is the expectation of its bins under softmax, in strides (Li et al.: Generalized Focal Loss, 2020). Scores
 * below DETECTOR_SEEN are nothing; of a class' boxes that overlap by half the best stays; and boxes of several classes
 * that are nearly the same are one thing.
 */
#define DETECTOR_SEEN .2f
int detector_decode(const struct detector_answer *answer, int width, int height,
    struct detection found[DETECTIONS]);

/*
 * Leaves out boxes that hold two things of their class side by side, nearly as high, or one that is much surer; how many
 * stay.
 */
int detector_drop_groups(struct detection *found, int count);

struct detector;

/*
 * On a device, which outlives it, for pictures there of width x height as normalised by `from`. NULL and *e as model_open(),
 * and those of nn_open() where a card does not run the network.
 */
struct detector *detector_open(const struct manifest *m, const struct manifest *from,
    struct device *device, int width, int height, int threads, struct error *e);

/* Of a card's memory that it takes. */
int64_t detector_bytes(const struct detector *d);

/* How many it saw in the picture; -1 and *e. From a card nothing comes but the network's answer. */
int detector_run(struct detector *d, const struct raster *picture,
    struct detection found[DETECTIONS], struct error *e);

/* d may be NULL. */
void detector_close(struct detector *d);

#endif
