/*
 * A model for tests that are about anything but the network: alpha is a soft disc around the picture's centre, the
 * foreground is what was seen. Defining model.h and manifest.h here keeps the real ones out of the program.
 */
#ifndef MATTE_FAKE_MODEL_H
#define MATTE_FAKE_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "matte/model.h"

enum { FAKE_WIDTH = 64, FAKE_HEIGHT = 36, FAKE_PIXELS = FAKE_WIDTH * FAKE_HEIGHT };

struct model {
    struct device *device;
    struct raster input, alpha;
    int64_t runs;
};

static int64_t fake_fail_at = -1; /* the run that fails */
static int fake_finds = 1;        /* something that is to be kept */

struct manifest *manifest_open(const char *path, const char *folder, struct error *e)
{
    (void)path, (void)folder, (void)e;
    struct manifest *m = calloc(1, sizeof *m);
    if (m) {
        strcpy(m->name, "fake");
        strcpy(m->serves[0], "human");
        strcpy(m->serves[1], "human"); /* also where a test changes what it was made for */
        m->serve_count = 2;
        m->file_count = 1;
        for (int i = 0; i < 3; i++)
            m->std[i] = 1;
    }
    return m;
}

void manifest_close(struct manifest *m)
{
    free(m);
}

int manifest_serves(const struct manifest *m, const char *name)
{
    return strcmp(m->serves[0], name) == 0 || strcmp(m->serves[1], name) == 0;
}

const struct manifest_file *model_file(const struct manifest *m, const struct model_params *params)
{
    (void)params;
    return &m->files[0];
}

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    (void)m;
    float alpha[FAKE_PIXELS];
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return NULL;
    for (int y = 0; y < FAKE_HEIGHT; y++)
        for (int x = 0; x < FAKE_WIDTH; x++) {
            float dx = (x + .5f) / FAKE_WIDTH - .5f, dy = (y + .5f) / FAKE_HEIGHT - .5f;
            float a = 4 - 16 * (dx * dx + dy * dy) * 1.5f;
            alpha[y * FAKE_WIDTH + x] = a < 0 ? 0 : a > 1 ? 1 : a;
        }
    model->device = params->device;
    if (!raster_open(params->device, &model->input, FAKE_WIDTH, FAKE_HEIGHT, 3, e) &&
        !raster_open(params->device, &model->alpha, FAKE_WIDTH, FAKE_HEIGHT, 1, e) &&
        !raster_write(params->device, &model->alpha, alpha, e))
        return model;
    model_close(model);
    return NULL;
}

int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    (void)model, (void)m, (void)params;
    return 1;
}

const struct raster *model_input(const struct model *model)
{
    return &model->input;
}

int64_t model_card_bytes(const struct model *model)
{
    (void)model;
    return 0;
}

int model_run(struct model *model, struct model_output *out, struct error *e)
{
    if (model->runs++ == fake_fail_at)
        return error_set(e, "model_failed", "The fake model fails here.");
    out->alpha = model->alpha;
    out->foreground = model->input;
    return 0;
}

void model_ask(struct model *model, const struct prompt *prompt)
{
    (void)model, (void)prompt;
}

int model_things(const struct model *model, struct model_thing things[MODEL_THINGS], int *key)
{
    (void)model, (void)things;
    return *key = 0;
}

int model_found(const struct model *model)
{
    (void)model;
    return fake_finds;
}

int model_costs(const struct model *model, struct model_cost costs[MODEL_COSTS])
{
    (void)model, (void)costs;
    return 0;
}

void model_reset(struct model *model)
{
    model->runs = 0;
}

void model_close(struct model *model)
{
    raster_close(model->device, &model->input);
    raster_close(model->device, &model->alpha);
    free(model);
}

#endif
