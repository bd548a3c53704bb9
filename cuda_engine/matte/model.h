/*
 * A matting model over time: the network of a manifest at one size, with its recurrent states. Frames must come in
 * order; one model works on one clip at a time.
 */
#ifndef MATTE_MODEL_H
#define MATTE_MODEL_H

#include "manifest.h"

struct model;

struct model_params {
    int width, height;  /* of the clip, upright, square pixels */
    int threads;        /* as in nn_params */
    int64_t max_pixels; /* of the network's input, where its files leave a choice; 0: any number */
};

/* What a run gives, of the picture's size, values 0..1, planar; it belongs to the model until the next run. */
struct model_output {
    const float *alpha;      /* h * w */
    const float *foreground; /* 3 * h * w, R then G then B; NULL where the network predicts none */
};

/*
 * Which of a manifest's installed files is run: one whose aspect ratio is nearest to the clip's, and of those the largest
 * within max_pixels, or the smallest where none is. NULL: none is installed.
 */
const struct manifest_file *model_file(const struct manifest *m, const struct model_params *params);

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e);

/* 1 if model_open() would plan the same network again. */
int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params);

/*
 * Where the next frame's planar RGB (3 * h * w, normalised by the manifest's mean and std) is to be written, and its
 * size: the network's input, or what is left of it by the padding of a manifest with fit "pad".
 */
float *model_input(struct model *model, int *width, int *height);

int model_run(struct model *model, struct model_output *out, struct error *e);

/* Forgets the past: the next frame is a first one. */
void model_reset(struct model *model);

void model_close(struct model *model);

#endif
