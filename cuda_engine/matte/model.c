#include "kind.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "../nn/nn.h"

enum { ALPHA, FOREGROUND, ANSWERS };

/*
 * A picture on its way into the network, or what it answers on the way out: on the device; of the same size where the
 * network runs; the network's own tensor. What need not be copied is the same raster. All zeros: there is none.
 */
struct way {
    struct raster device, home, net;
};

struct network {
    struct model base;
    const struct manifest *manifest;
    const struct manifest_file *file;
    struct device *device; /* of pictures */
    struct device
        *home; /* of the network: the same, or the processor where the card does not run it */
    struct nn_net *net;
    struct fit *fit; /* NULL: the picture is the network's input as it is */
    struct way input, answer[ANSWERS];
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
    if (m->kind == KIND_PROMPTED)
        return model_file(m->parts.encoder, params);
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
static int find(struct network *model, const char *label, const char *name, int c, int h, int w,
    struct raster *raster, struct error *e)
{
    struct nn_tensor t;
    if (nn_tensor(model->net, name, &t, e))
        return -1;
    if (t.n != 1 || t.c != c || t.h != h || t.w != w)
        return error_set(e, "bad_model", "%s: %s is of %d x %d x %d x %d, not of 1 x %d x %d x %d.",
            label, name, t.n, t.c, t.h, t.w, c, h, w);
    *raster = (struct raster) { t.halves ? (void *)t.halves : (void *)t.data, w, h, c,
        t.halves ? t.step : 0 };
    return 0;
}

static int find_tensors(struct network *model, struct error *e)
{
    const struct manifest *m = model->manifest;
    const char *label = model->file->file;
    const int w = model->file->width, h = model->file->height;
    struct way *answer = model->answer;
    if (find(model, label, m->input, 3, h, w, &model->input.net, e) ||
        find(model, label, m->outputs.alpha, 1, h, w, &answer[ALPHA].net, e) ||
        (*m->outputs.foreground &&
            find(model, label, m->outputs.foreground, 3, h, w, &answer[FOREGROUND].net, e)))
        return -1;
    return 0;
}

/* On the device; where that is a card which does not run this network, on the processor. */
static int open_net(struct network *model, int threads, struct error *e)
{
    const struct manifest *m = model->manifest;
    const struct manifest_file *f = model->file;
    const char *states[MANIFEST_STATES][2];
    for (int i = 0; i < m->state_count; i++)
        for (int k = 0; k < 2; k++)
            states[i][k] = m->states[i][k];
    struct nn_params net = { .device = model->device,
        .threads = threads,
        .states = (const char *const(*)[2])states,
        .state_count = m->state_count };
    model->home = model->device;
    model->net = nn_open(f->fd, f->file, &net, e);
    if (!model->net && device_is_apart(model->device) && kind_refused(e)) {
        log_event(LOG_WARN, "network_on_processor", log_str("network", m->name),
            log_str("reason", e->text));
        if (!(model->home = device_open("cpu", e)))
            return -1;
        net.device = model->home;
        model->net = nn_open(f->fd, f->file, &net, e);
    }
    return model->net ? find_tensors(model, e) : -1;
}

/* The rasters of a way that are not the network's. -1 and *e. */
static int open_way(struct network *model, struct way *way, int width, int height, struct error *e)
{
    const int channels = way->net.channels;
    if (!way->net.data)
        return 0;
    way->home = way->net;
    if (model->fit && raster_open(model->home, &way->home, width, height, channels, e))
        return -1;
    way->device = way->home;
    return model->home == model->device
               ? 0
               : raster_open(model->device, &way->device, width, height, channels, e);
}

static void close_way(struct network *model, struct way *way)
{
    if (way->device.data != way->home.data)
        raster_close(model->device, &way->device);
    if (way->home.data != way->net.data)
        raster_close(model->home, &way->home);
}

/* -1 and *e. */
static int open_ways(struct network *model, const struct model_params *params, struct error *e)
{
    const struct manifest *m = model->manifest;
    const struct manifest_file *f = model->file;
    struct fit_params fit = { .to_width = f->width,
        .to_height = f->height,
        .reversed = m->channels == CHANNELS_BGR,
        .brightest = m->range == RANGE_PICTURE };
    picture_size(m, f, params, &fit.width, &fit.height);
    memcpy(fit.mean, m->mean, sizeof fit.mean);
    memcpy(fit.std, m->std, sizeof fit.std);
    if (fit.width != f->width || fit.height != f->height || fit.reversed || fit.brightest) {
        model->fit = fit_open(model->home, &fit, e);
        if (!model->fit)
            return -1;
    }
    if (open_way(model, &model->input, fit.width, fit.height, e))
        return -1;
    for (int i = 0; i < ANSWERS; i++)
        if (open_way(model, &model->answer[i], fit.width, fit.height, e))
            return -1;
    return 0;
}

static void network_close(struct model *base);

static struct model *network_open(
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
    struct network *model = calloc(1, sizeof *model);
    if (!model) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
        return NULL;
    }
    model->manifest = m;
    model->file = file;
    model->device = params->device;
    if (open_net(model, params->threads, e) || open_ways(model, params, e)) {
        network_close(&model->base);
        return NULL;
    }
    return &model->base;
}

static int network_suits(
    const struct model *base, const struct manifest *m, const struct model_params *params)
{
    const struct network *model = (const struct network *)base;
    const struct manifest_file *file = model_file(m, params);
    int width, height;
    if (!file || model->manifest != m || model->file != file || model->device != params->device)
        return 0;
    picture_size(m, file, params, &width, &height);
    return model->input.device.width == width && model->input.device.height == height;
}

static const struct raster *network_input(const struct model *base)
{
    return &((const struct network *)base)->input.device;
}

static int give_picture(struct network *model, struct error *e)
{
    struct way *way = &model->input;
    if (model->home != model->device && raster_read(model->device, &way->device, way->home.data, e))
        return -1;
    return model->fit ? fit_put(model->fit, &way->home, &way->net, e) : 0;
}

static int take_answer(struct network *model, struct way *way, struct error *e)
{
    if (!way->net.data)
        return 0;
    if (model->fit && fit_take(model->fit, &way->net, &way->home, e))
        return -1;
    raster_round(model->home, &way->home);
    return model->home == model->device
               ? 0
               : raster_write(model->device, &way->device, way->home.data, e);
}

/* The picture is left as it was: whoever wrote it composes with it afterwards. */
static int network_run(struct model *base, struct model_output *out, struct error *e)
{
    struct network *model = (struct network *)base;
    struct way *answer = model->answer;
    if (give_picture(model, e) || nn_run(model->net, e) || take_answer(model, &answer[ALPHA], e) ||
        take_answer(model, &answer[FOREGROUND], e))
        return -1;
    *out = (struct model_output) { answer[ALPHA].device, answer[FOREGROUND].device };
    return 0;
}

static int64_t network_card_bytes(const struct model *base)
{
    return nn_card_bytes(((const struct network *)base)->net);
}

static void network_reset(struct model *base)
{
    nn_reset(((struct network *)base)->net);
}

static void network_close(struct model *base)
{
    struct network *model = (struct network *)base;
    close_way(model, &model->input);
    for (int i = 0; i < ANSWERS; i++)
        close_way(model, &model->answer[i]);
    fit_close(model->fit);
    if (model->net)
        nn_close(model->net);
    if (model->home != model->device)
        device_close(model->home);
    free(model);
}

const struct model_kind model_network = {
    .open = network_open,
    .suits = network_suits,
    .input = network_input,
    .run = network_run,
    .card_bytes = network_card_bytes,
    .reset = network_reset,
    .close = network_close,
};
