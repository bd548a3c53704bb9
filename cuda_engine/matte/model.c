#include "model.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../nn/nn.h"

struct model {
    const struct manifest *manifest;
    int file;
    struct nn_net *net;
    struct nn_tensor input, alpha, foreground; /* foreground.data is NULL where there is none */
};

/* The installed file whose aspect ratio is nearest to the clip's, by their quotient; -1: none is installed. */
static int nearest_file(const struct manifest *m, const struct model_params *params)
{
    double least = INFINITY;
    int best = -1;
    for (int i = 0; i < m->file_count; i++) {
        double off = fabs(
            log((double)m->files[i].width / m->files[i].height * params->height / params->width));
        if (m->files[i].fd >= 0 && off < least) {
            least = off;
            best = i;
        }
    }
    return best;
}

/* Finds a tensor and checks its size. */
static int find(struct model *model, const char *label, const char *name, int c, int h, int w,
    struct nn_tensor *t, struct error *e)
{
    if (nn_tensor(model->net, name, t, e))
        return -1;
    if (t->n != 1 || t->c != c || t->h != h || t->w != w)
        return error_set(e, "bad_model", "%s: %s is of %d x %d x %d x %d, not of 1 x %d x %d x %d.",
            label, name, t->n, t->c, t->h, t->w, c, h, w);
    return 0;
}

static int find_tensors(struct model *model, const struct manifest *m, int file, struct error *e)
{
    const char *label = m->files[file].file;
    const int w = m->files[file].width, h = m->files[file].height;
    if (find(model, label, m->input, 3, h, w, &model->input, e) ||
        find(model, label, m->outputs.alpha, 1, h, w, &model->alpha, e) ||
        (*m->outputs.foreground &&
            find(model, label, m->outputs.foreground, 3, h, w, &model->foreground, e)))
        return -1;
    return 0;
}

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    if (!*m->outputs.alpha || m->fit != FIT_STRETCH || m->channels != CHANNELS_RGB) {
        error_set(
            e, "bad_model", "The network %s makes no alpha from a stretched RGB picture.", m->name);
        return NULL;
    }
    int file = nearest_file(m, params);
    if (file < 0) {
        error_set(
            e, "model_not_installed", "None of the files of the network %s is installed.", m->name);
        return NULL;
    }
    if (manifest_verify(&m->files[file], e))
        return NULL;
    struct model *model = calloc(1, sizeof *model);
    if (!model) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
        return NULL;
    }
    model->manifest = m;
    model->file = file;
    const char *states[MANIFEST_STATES][2];
    for (int i = 0; i < m->state_count; i++)
        for (int k = 0; k < 2; k++)
            states[i][k] = m->states[i][k];
    const struct nn_params net = { .threads = params->threads,
        .states = (const char *const(*)[2])states,
        .state_count = m->state_count };
    model->net = nn_open(m->files[file].fd, m->files[file].file, &net, e);
    if (!model->net || find_tensors(model, m, file, e)) {
        model_close(model);
        return NULL;
    }
    return model;
}

int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    return model->manifest == m && model->file == nearest_file(m, params);
}

float *model_input(struct model *model, int *width, int *height)
{
    *width = model->input.w;
    *height = model->input.h;
    return model->input.data;
}

/* The picture's largest value, of 0..1; 1 for a black one, which nothing can make brighter. */
static float largest_value(const struct model *model)
{
    const struct manifest *m = model->manifest;
    const int pixels = model->input.h * model->input.w;
    float largest = 0;
    for (int c = 0; c < 3; c++) {
        const float *in = model->input.data + (ptrdiff_t)c * pixels;
        float most = in[0];
        for (int i = 1; i < pixels; i++)
            most = in[i] > most ? in[i] : most;
        largest = fmaxf(largest, most * m->std[c] + m->mean[c]);
    }
    return largest > 0 ? largest : 1;
}

/* Multiplies the picture, which the input holds normalised, by gain. */
static void brighten(struct model *model, float gain)
{
    const struct manifest *m = model->manifest;
    const int pixels = model->input.h * model->input.w;
    for (int c = 0; c < 3; c++) {
        float *in = model->input.data + (ptrdiff_t)c * pixels;
        const float offset = (gain - 1) * m->mean[c] / m->std[c];
        for (int i = 0; i < pixels; i++)
            in[i] = in[i] * gain + offset;
    }
}

/* The input is given back as it was: whoever wrote it composes with it afterwards. */
static int run_by_range(struct model *model, struct error *e)
{
    const float largest = model->manifest->range == RANGE_PICTURE ? largest_value(model) : 1;
    if (largest == 1)
        return nn_run(model->net, e);
    brighten(model, 1 / largest);
    const int failed = nn_run(model->net, e);
    brighten(model, largest);
    return failed;
}

int model_run(struct model *model, struct model_output *out, struct error *e)
{
    if (run_by_range(model, e))
        return -1;
    *out = (struct model_output) { model->alpha.data, model->foreground.data };
    return 0;
}

void model_reset(struct model *model)
{
    nn_reset(model->net);
}

void model_close(struct model *model)
{
    if (!model)
        return;
    nn_close(model->net);
    free(model);
}
