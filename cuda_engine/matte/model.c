#include "model.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../nn/nn.h"

struct model {
    const struct manifest *manifest;
    int file;
    struct device *device; /* NULL, or one that is not apart: rasters are planes of the host's */
    struct nn_net *net;
    struct nn_tensor input, alpha, foreground; /* foreground.data is NULL where there is none */
    struct raster seen;       /* the picture: of the input's size, less what is padded */
    struct model_output made; /* of that size */
    float *picture; /* in host memory; NULL: it is right in the input, being R, G, B as well */
    float *answer;  /* with picture: alpha and foreground, in the order R, G, B */
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

static float *host_picture(const struct model *model)
{
    return model->picture ? model->picture : model->input.data;
}

static float *host_alpha(const struct model *model)
{
    return model->answer ? model->answer : model->alpha.data;
}

/* NULL where there is none. */
static float *host_foreground(const struct model *model)
{
    return model->answer && model->foreground.data
               ? model->answer + (ptrdiff_t)model->seen.width * model->seen.height
               : model->foreground.data;
}

static int is_apart(const struct model *model)
{
    return model->device && device_is_apart(model->device);
}

/* A raster on the device for planes of the host, or of these planes. */
static int open_raster(struct model *model, struct raster *raster, float *planes, int width,
    int height, int channels, struct error *e)
{
    if (planes && is_apart(model))
        return raster_open(model->device, raster, width, height, channels, e);
    *raster = (struct raster) { planes, width, height, channels, 0 };
    return 0;
}

/* -1 and *e. */
static int make_room(struct model *model, const struct model_params *params, struct error *e)
{
    const struct manifest *m = model->manifest;
    const struct manifest_file *f = &m->files[model->file];
    int width, height;
    picture_size(m, f, params, &width, &height);
    if (width != f->width || height != f->height || m->channels != CHANNELS_RGB) {
        const size_t pixels = (size_t)width * height;
        model->picture = calloc(3 * pixels, sizeof *model->picture);
        model->answer = calloc(4 * pixels, sizeof *model->answer);
        if (!model->picture || !model->answer)
            return error_retry(
                e, "out_of_memory", "There is no memory for the network %s.", m->name);
    }
    if (open_raster(model, &model->seen, host_picture(model), width, height, 3, e) ||
        open_raster(model, &model->made.alpha, host_alpha(model), width, height, 1, e))
        return -1;
    return open_raster(model, &model->made.foreground, host_foreground(model), width, height, 3, e);
}

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    if (!*m->outputs.alpha) {
        error_set(e, "bad_model", "The network %s makes no alpha.", m->name);
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
    model->device = params->device;
    const char *states[MANIFEST_STATES][2];
    for (int i = 0; i < m->state_count; i++)
        for (int k = 0; k < 2; k++)
            states[i][k] = m->states[i][k];
    const struct nn_params net = { .threads = params->threads,
        .states = (const char *const(*)[2])states,
        .state_count = m->state_count };
    model->net = nn_open(m->files[file].fd, m->files[file].file, &net, e);
    if (!model->net || find_tensors(model, m, file, e) || make_room(model, params, e)) {
        model_close(model);
        return NULL;
    }
    return model;
}

int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    int width, height;
    if (model->manifest != m || model->file != nearest_file(m, params) ||
        model->device != params->device)
        return 0;
    picture_size(m, &m->files[model->file], params, &width, &height);
    return model->seen.width == width && model->seen.height == height;
}

const struct raster *model_input(const struct model *model)
{
    return &model->seen;
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
    for (int y = 0; y < model->seen.height; y++)
        memcpy(to + (ptrdiff_t)y * to_width, from + (ptrdiff_t)y * from_width,
            model->seen.width * sizeof *to);
}

/* The padding was zeros from the beginning and stays. */
static void put_picture(const struct model *model)
{
    const int width = model->seen.width, w = model->input.w, h = model->input.h;
    const ptrdiff_t pixels = (ptrdiff_t)width * model->seen.height;
    for (int c = 0; c < 3; c++)
        copy_plane(model, model->input.data + (ptrdiff_t)plane_of(model, c) * w * h, w,
            model->picture + c * pixels, width);
}

static void take_answer(const struct model *model)
{
    const int width = model->seen.width, w = model->input.w, h = model->input.h;
    const ptrdiff_t pixels = (ptrdiff_t)width * model->seen.height;
    float *foreground = host_foreground(model);
    copy_plane(model, model->answer, width, model->alpha.data, w);
    for (int c = 0; c < 3 && foreground; c++)
        copy_plane(model, foreground + c * pixels, width,
            model->foreground.data + (ptrdiff_t)plane_of(model, c) * w * h, w);
}

/* The picture in host memory to the answers there. It is left as it was: whoever wrote it composes with it afterwards. */
static int run_net(struct model *model, struct error *e)
{
    const struct manifest *m = model->manifest;
    float *picture = host_picture(model);
    const int pixels = model->seen.width * model->seen.height;
    const float largest = m->range == RANGE_PICTURE ? largest_value(m, picture, pixels) : 1;
    if (largest != 1)
        brighten(m, picture, pixels, 1 / largest);
    if (model->picture)
        put_picture(model);
    const int failed = nn_run(model->net, e);
    if (largest != 1)
        brighten(m, picture, pixels, largest);
    if (model->answer && !failed)
        take_answer(model);
    return failed;
}

int model_run(struct model *model, struct model_output *out, struct error *e)
{
    struct model_output *made = &model->made;
    if (is_apart(model) && raster_read(model->device, &model->seen, host_picture(model), e))
        return -1;
    if (run_net(model, e))
        return -1;
    if (is_apart(model) &&
        (raster_write(model->device, &made->alpha, host_alpha(model), e) ||
            (made->foreground.data &&
                raster_write(model->device, &made->foreground, host_foreground(model), e))))
        return -1;
    *out = *made;
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
    if (is_apart(model)) {
        raster_close(model->device, &model->seen);
        raster_close(model->device, &model->made.alpha);
        raster_close(model->device, &model->made.foreground);
    }
    nn_close(model->net);
    free(model->picture);
    free(model->answer);
    free(model);
}
