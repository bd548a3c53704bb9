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
    struct device *device; /* where its pictures are; it outlives the model */
};

/* What a run gives, of the picture's size, values 0..1; it belongs to the model until the next run. */
struct model_output {
    struct raster alpha;
    struct raster foreground; /* none where the network predicts none */
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
 * Where the next frame's R, G, B, normalised by the manifest's mean and std, are to be written: of the network's size, or
 * what is left of it by the padding of a manifest with fit "pad".
 */
const struct raster *model_input(const struct model *model);

int model_run(struct model *model, struct model_output *out, struct error *e);

/* Forgets the past: the next frame is a first one. */
void model_reset(struct model *model);

void model_close(struct model *model);

#endif
