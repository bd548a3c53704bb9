/*
 * The models this process can run: manifests whose files are open, and one network planned ahead, so that a job of its
 * kind starts at once. One thread.
 */
#ifndef MATTE_MODELS_H
#define MATTE_MODELS_H

#include "../matte/model.h"

struct models {
    const struct manifest *const *manifests; /* the caller's */
    int manifest_count;
    int threads;                     /* as in nn_params */
    struct device *device;           /* as in model_params; models_close() goes before it */
    struct model *model;             /* planned; NULL: none */
    const struct manifest *manifest; /* model's */
};

/*
 * Makes models->model one for clips of width x height of the API model called name, planning it if the present one is
 * another. Errors: model_not_installed, and those of model_open().
 */
int models_use(struct models *models, const char *name, int width, int height, struct error *e);

void models_close(struct models *models);

#endif
