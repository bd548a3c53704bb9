#include "model.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../nn/nn.h"

struct model {
    const struct manifest *manifest;
    const struct manifest_file *file;
    struct nn_net *net;
    struct nn_tensor input, alpha, foreground; /* foreground.data is NULL where there is none */
    int width, height; /* of the picture: the input's, less what is padded */
    float *
        picture; /* where it is written; NULL: right into the input, which is as large and R, G, B */
    float *answer; /* with picture: alpha and foreground of its size, in the order R, G, B */
};

/* 1 if a is the better one of two files of one shape. */
static int is_better_size(
    const struct manifest_file *a, const struct manifest_file *b, int64_t max_pixels)
{
    const int64_t pixels[2] = { (int64_t)a->width * a->height, (int64_t)b->width * b->height };
    const int fits[2] = { !max_pixels || pixels[0] <= max_pixels,
        !max_pixels || pixels[1] <= max_pixels };
    if (fits[0] != fits[1])
        return fits[0];
    return fits[0] ? pixels[0] > pixels[1] : pixels[0] < pixels[1];
}

const struct manifest_file *model_file(const struct manifest *m, const struct model_params *params)
{
    double least = INFINITY;
    const struct manifest_file *best = NULL;
    for (int i = 0; i < m->file_count; i++) {
        const struct manifest_file *f = &m->files[i];
        /* of aspect ratios the quotient tells how far they are from each other */
        double off = fabs(log((double)f->width / f->height * params->height / params->width));
        if (f->fd >= 0 && (off < least || (best && off == least &&
                                              is_better_size(f, best, params->max_pixels)))) {
            least = off;
            best = f;
        }
    }
    return best;
}

/* How large a clip is in a network's input. */
static void picture_size(const struct manifest *m, const struct manifest_file *f,
    const struct model_params *params, int *width, int *height)
{
    const double scale = fmin((double)f->width / params->width, (double)f->height / params->height);
    *width = f->width;
    *height = f->height;
    if (m->fit == FIT_PAD) {
        *width = (int)fmax(1, floor(params->width * scale + .5));
        *height = (int)fmax(1, floor(params->height * scale + .5));
    }
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

static int find_tensors(struct model *model, struct error *e)
{
    const struct manifest *m = model->manifest;
    const char *label = model->file->file;
    const int w = model->file->width, h = model->file->height;
    if (find(model, label, m->input, 3, h, w, &model->input, e) ||
        find(model, label, m->outputs.alpha, 1, h, w, &model->alpha, e) ||
        (*m->outputs.foreground &&
            find(model, label, m->outputs.foreground, 3, h, w, &model->foreground, e)))
        return -1;
    return 0;
}

/* For a picture that is not the input as it is. -1 and *e. */
static int make_room(struct model *model, const struct model_params *params, struct error *e)
{
    const struct manifest *m = model->manifest;
    const struct manifest_file *f = model->file;
    picture_size(m, f, params, &model->width, &model->height);
    if (model->width == f->width && model->height == f->height && m->channels == CHANNELS_RGB)
        return 0;
    const size_t pixels = (size_t)model->width * model->height;
    model->picture = calloc(3 * pixels, sizeof *model->picture);
    model->answer = calloc(4 * pixels, sizeof *model->answer);
    if (!model->picture || !model->answer)
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
    return 0;
}

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    if (!*m->outputs.alpha) {
        error_set(e, "bad_model", "The network %s makes no alpha.", m->name);
        return NULL;
    }
    const struct manifest_file *file = model_file(m, params);
    if (!file) {
        error_set(
            e, "model_not_installed", "None of the files of the network %s is installed.", m->name);
        return NULL;
    }
    if (manifest_verify(file, e))
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
    model->net = nn_open(file->fd, file->file, &net, e);
    if (!model->net || find_tensors(model, e) || make_room(model, params, e)) {
        model_close(model);
        return NULL;
    }
    return model;
}

int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    int width, height;
    if (model->manifest != m || model->file != model_file(m, params))
        return 0;
    picture_size(m, model->file, params, &width, &height);
    return model->width == width && model->height == height;
}

float *model_input(struct model *model, int *width, int *height)
{
    *width = model->width;
    *height = model->height;
    return model->picture ? model->picture : model->input.data;
}

/* The picture's largest value, of 0..1; 1 for a black one, which nothing can make brighter. */
static float largest_value(const struct manifest *m, const float *picture, int pixels)
{
    float largest = 0;
    for (int c = 0; c < 3; c++, picture += pixels) {
        float most = picture[0];
        for (int i = 1; i < pixels; i++)
            most = picture[i] > most ? picture[i] : most;
        largest = fmaxf(largest, most * m->std[c] + m->mean[c]);
    }
    return largest > 0 ? largest : 1;
}

/* Multiplies a normalised picture by gain. */
static void brighten(const struct manifest *m, float *picture, int pixels, float gain)
{
    for (int c = 0; c < 3; c++, picture += pixels) {
        const float offset = (gain - 1) * m->mean[c] / m->std[c];
        for (int i = 0; i < pixels; i++)
            picture[i] = picture[i] * gain + offset;
    }
}

/* The plane of a network that holds red (0), green or blue. */
static int plane_of(const struct model *model, int colour)
{
    return model->manifest->channels == CHANNELS_BGR ? 2 - colour : colour;
}

/* From or to the picture's part of a plane of the network's size. */
static void copy_plane(
    const struct model *model, float *to, int to_width, const float *from, int from_width)
{
    for (int y = 0; y < model->height; y++)
        memcpy(to + (ptrdiff_t)y * to_width, from + (ptrdiff_t)y * from_width,
            model->width * sizeof *to);
}

/* The padding was zeros from the beginning and stays. */
static void put_picture(const struct model *model)
{
    const ptrdiff_t pixels = (ptrdiff_t)model->width * model->height;
    const int w = model->input.w, h = model->input.h;
    for (int c = 0; c < 3; c++)
        copy_plane(model, model->input.data + (ptrdiff_t)plane_of(model, c) * w * h, w,
            model->picture + c * pixels, model->width);
}

static struct model_output take_answer(const struct model *model)
{
    const ptrdiff_t pixels = (ptrdiff_t)model->width * model->height;
    const int w = model->input.w, h = model->input.h;
    float *foreground = model->foreground.data ? model->answer + pixels : NULL;
    copy_plane(model, model->answer, model->width, model->alpha.data, w);
    for (int c = 0; c < 3 && foreground; c++)
        copy_plane(model, foreground + c * pixels, model->width,
            model->foreground.data + (ptrdiff_t)plane_of(model, c) * w * h, w);
    return (struct model_output) { model->answer, foreground };
}

/* The picture is left as it was: whoever wrote it composes with it afterwards. */
int model_run(struct model *model, struct model_output *out, struct error *e)
{
    const struct manifest *m = model->manifest;
    int width, height;
    float *picture = model_input(model, &width, &height);
    const int pixels = width * height;
    const float largest = m->range == RANGE_PICTURE ? largest_value(m, picture, pixels) : 1;
    if (largest != 1)
        brighten(m, picture, pixels, 1 / largest);
    if (model->picture)
        put_picture(model);
    const int failed = nn_run(model->net, e);
    if (largest != 1)
        brighten(m, picture, pixels, largest);
    if (failed)
        return -1;
    *out = model->picture ? take_answer(model)
                          : (struct model_output) { model->alpha.data, model->foreground.data };
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
    free(model->picture);
    free(model->answer);
    free(model);
}
