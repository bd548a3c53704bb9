/*
 * A matting model over time: the network of a manifest at one size, with its recurrent states, or networks that find what
 * a prompt names. Frames must come in order; one model works on one clip at a time.
 */
#ifndef MATTE_MODEL_H
#define MATTE_MODEL_H

#include "manifest.h"
#include "prompt.h"

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

/* What is to be kept; NULL, or without phrases: the main subject. Forgets the past. A model without prompts does nothing. */
void model_ask(struct model *model, const struct prompt *prompt);

/* What a model with prompts saw in the last frame. */
enum { MODEL_THINGS = 32 };

struct model_thing {
    int id;           /* the same through the clip; from 1 on */
    const char *name; /* of its class */
    float score;      /* 0..1 */
    int kept, hidden;
    float left, top, right, bottom; /* in parts of the picture */
};

/* How many; 0 of a model that sees no things. *key: 1 where one of its networks has looked at that frame. */
int model_things(const struct model *model, struct model_thing things[MODEL_THINGS], int *key);

/* 1 unless nothing that is to be kept has been seen since the beginning of the clip. */
int model_found(const struct model *model);

/* What its parts have cost since the beginning of the clip. */
enum { MODEL_COSTS = 8 };

struct model_cost {
    const char *name;
    int64_t runs;
    double ms; /* of all runs */
};

/* How many; 0 of a model that has no parts. */
int model_costs(const struct model *model, struct model_cost costs[MODEL_COSTS]);

/* Forgets the past: the next frame is a first one. */
void model_reset(struct model *model);

void model_close(struct model *model);

#endif
