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
    int threads;           /* as in nn_params */
    int64_t budget;        /* pixels that a network may see of a second of video, where its
                                        files leave a choice; 0: any number */
    struct device *device; /* as in model_params; models_close() goes before it */
    struct model *model;   /* planned; NULL: none */
    const struct manifest *manifest; /* model's */
};

/* What runs a job. */
struct choice {
    const struct manifest *manifest;
    const struct manifest_file *file; /* NULL: none is installed, and models_use() says so */
    struct model_params params;
    int is_substitute; /* the network was made for another model, whose own is not installed */
};

/*
 * For clips of width x height with rate frames a second and the API model called name; NULL: any. Error:
 * model_not_installed.
 */
int models_choose(const struct models *models, const char *name, int width, int height, double rate,
    struct choice *choice, struct error *e);

/*
 * Makes models->model the chosen one, planning it if the present one is another, and asks it for what prompt names
 * (model_ask()). Errors: those of model_open(), and invalid_request where it takes no prompt.
 */
int models_use(struct models *models, const struct choice *choice, const struct prompt *prompt,
    struct error *e);

void models_close(struct models *models);

#endif
