#include "backend.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct device_backend *const backends[] = {
#ifdef WITH_CUDA
    &device_cuda,
#endif
    &device_cpu,
    NULL,
}; /* best first */

enum {
    SIDE_MAX = 16384,     /* of a picture, in pixels */
    PLACED_MAX = 1 << 24, /* of a picture that lies mostly outside its canvas: exact in float */
    ORDINAL_DIGITS = 3,
};

/* Is name one of backend's, alone or with a number after a colon? ordinal is -1 without. */
static int is_named(const char *name, const struct device_backend *backend, int *ordinal)
{
    size_t length = strlen(backend->name);
    *ordinal = -1;
    if (strncmp(name, backend->name, length) != 0 || !name[length])
        return strcmp(name, backend->name) == 0;
    const char *digits = name + length + 1;
    size_t count = strspn(digits, "0123456789");
    if (!backend->numbered || name[length] != ':' || !count || count > ORDINAL_DIGITS ||
        digits[count])
        return 0;
    *ordinal = (int)strtol(digits, NULL, 10);
    return 1;
}

/* In the place of a better one. */
static void say_why(struct device *device, const struct error *why)
{
    snprintf(device->found, sizeof device->found, "%.255s %s", device->backend->found(device),
        why->text);
}

struct device *device_open(const char *name, struct error *e)
{
    return device_open_turn(name, 0, e);
}

struct device *device_open_turn(const char *name, int turn, struct error *e)
{
    struct device *device = calloc(1, sizeof *device);
    if (!device) {
        error_retry(e, "out_of_memory", "There is no memory for a device.");
        return NULL;
    }
    device->automatic = strcmp(name, "auto") == 0;
    struct error why;
    int refused = 0;
    error_set(&why, "device_unavailable", "There is no device called %s.", name);
    for (const struct device_backend *const *b = backends; *b; b++) {
        int ordinal = -1;
        if (!device->automatic && !is_named(name, *b, &ordinal))
            continue;
        device->backend = *b;
        if (!device->backend->open(device, ordinal, turn, &why)) {
            if (refused)
                say_why(device, &why);
            return device;
        }
        refused = 1;
    }
    free(device);
    if (e)
        *e = why;
    return NULL;
}

int device_fall_back(struct device *device, const struct error *why)
{
    if (!device->automatic || device->backend == &device_cpu)
        return -1;
    device->backend->close(device);
    device->backend = &device_cpu;
    say_why(device, why);
    return device->backend->open(device, -1, 0, NULL);
}

const char *device_name(const struct device *device)
{
    return device->backend->name;
}

const char *device_found(const struct device *device)
{
    return *device->found ? device->found : device->backend->found(device);
}

struct device_card device_card(const struct device *device)
{
    return device->backend->card ? device->backend->card(device) : (struct device_card) { 0 };
}

int device_is_apart(const struct device *device)
{
    return device->backend->fetch != NULL;
}

void device_close(struct device *device)
{
    if (!device)
        return;
    device->backend->close(device);
    free(device);
}

static int check_side(int side)
{
    return side > 0 && side <= SIDE_MAX;
}

static int check_placement(const struct compositor_params *p, struct error *e)
{
    const struct placement *at = &p->place;
    if (check_side(p->canvas_width) && check_side(p->canvas_height) && at->width > 0 &&
        at->height > 0 && at->width <= PLACED_MAX && at->height <= PLACED_MAX &&
        abs(at->x) <= PLACED_MAX && abs(at->y) <= PLACED_MAX)
        return 0;
    return error_set(e, "too_large",
        "A picture of %dx%d at %d, %d of a canvas of %dx%d is outside what can be placed.",
        at->width, at->height, at->x, at->y, p->canvas_width, p->canvas_height);
}

unsigned refinement(const char *name)
{
    static const struct {
        const char *name;
        enum refinement bit;
    } table[] = {
        { "calm", REFINE_CALM },
        { "edges", REFINE_EDGES },
        { "colors", REFINE_COLORS },
        { "guide", REFINE_GUIDE },
        { "clean", REFINE_CLEAN },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(name, table[i].name) == 0)
            return table[i].bit;
    return 0;
}

static int check_sizes(int width, int height, int low_width, int low_height, struct error *e)
{
    if (check_side(width) && check_side(height) && check_side(low_width) && check_side(low_height))
        return 0;
    return error_set(e, "too_large",
        "A picture of %dx%d for a network of %dx%d is outside 1 to %d pixels a side.", width,
        height, low_width, low_height, SIDE_MAX);
}

int raster_open(struct device *device, struct raster *raster, int width, int height, int channels,
    struct error *e)
{
    assert(width > 0 && height > 0 && channels > 0);
    *raster = (struct raster) { .width = width, .height = height, .channels = channels };
    error_retry(e, "out_of_memory", "There is no memory for a raster of %dx%d.", width, height);
    return device->backend->raster_open(device, raster, e);
}

void raster_close(struct device *device, struct raster *raster)
{
    if (raster->data)
        device->backend->raster_close(device, raster);
    raster->data = NULL;
}

int raster_read(struct device *device, const struct raster *raster, float *planes, struct error *e)
{
    return device->backend->raster_read(device, raster, planes, e);
}

int raster_write(
    struct device *device, const struct raster *raster, const float *planes, struct error *e)
{
    return device->backend->raster_write(device, raster, planes, e);
}

void raster_round(struct device *device, const struct raster *raster)
{
    if (device->backend->raster_round)
        device->backend->raster_round(raster);
}

int raster_copy(
    struct device *device, const struct raster *from, const struct raster *to, struct error *e)
{
    assert(from->width == to->width && from->height == to->height);
    assert(from->channels == to->channels);
    return device->backend->raster_copy(device, from, to, e);
}

struct sampler *sampler_open(
    struct device *device, const struct sampler_params *params, struct error *e)
{
    if (check_sizes(params->width, params->height, params->to_width, params->to_height, e))
        return NULL;
    error_retry(e, "out_of_memory", "There is no memory to resize %dx%d pictures.", params->width,
        params->height);
    struct sampler *sampler = device->backend->sampler_open(device, params, e);
    if (!sampler)
        return NULL;
    sampler->device = device;
    sampler->params = *params;
    return sampler;
}

static int is_of(const struct raster *raster, int width, int height, int channels)
{
    return raster->data && raster->width == width && raster->height == height &&
           raster->channels == channels;
}

int sampler_run(
    struct sampler *sampler, const struct frame *source, const struct raster *rgb, struct error *e)
{
    const struct sampler_params *p = &sampler->params;
    assert(source->width == p->width && source->height == p->height);
    assert(is_of(rgb, p->to_width, p->to_height, 3));
    return sampler->device->backend->sampler_run(sampler, source, rgb, e);
}

void sampler_close(struct sampler *sampler)
{
    if (sampler)
        sampler->device->backend->sampler_close(sampler);
}

struct fit *fit_open(struct device *device, const struct fit_params *params, struct error *e)
{
    assert(params->width <= params->to_width && params->height <= params->to_height);
    error_retry(e, "out_of_memory", "There is no memory to fit %dx%d pictures into %dx%d.",
        params->width, params->height, params->to_width, params->to_height);
    struct fit *fit = device->backend->fit_open(device, params, e);
    if (!fit)
        return NULL;
    fit->device = device;
    fit->params = *params;
    return fit;
}

int fit_put(
    struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e)
{
    const struct fit_params *p = &fit->params;
    assert(is_of(picture, p->width, p->height, 3));
    assert(is_of(input, p->to_width, p->to_height, 3) && input->step == picture->step);
    return fit->device->backend->fit_put(fit, picture, input, e);
}

int fit_take(
    struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e)
{
    const struct fit_params *p = &fit->params;
    assert(is_of(answer, p->width, p->height, answer->channels));
    assert(is_of(output, p->to_width, p->to_height, answer->channels));
    return fit->device->backend->fit_take(fit, output, answer, e);
}

void fit_close(struct fit *fit)
{
    if (fit)
        fit->device->backend->fit_close(fit);
}

struct scaler *scaler_open(
    struct device *device, const struct scaler_params *params, struct error *e)
{
    assert(check_side(params->width) && check_side(params->height));
    assert(check_side(params->to_width) && check_side(params->to_height));
    error_retry(e, "out_of_memory", "There is no memory to scale %dx%d pictures to %dx%d.",
        params->width, params->height, params->to_width, params->to_height);
    struct scaler *scaler = device->backend->scaler_open(device, params, e);
    if (!scaler)
        return NULL;
    scaler->device = device;
    scaler->params = *params;
    return scaler;
}

int scaler_run(struct scaler *scaler, const struct raster *picture, const struct raster *result,
    struct error *e)
{
    const struct scaler_params *p = &scaler->params;
    assert(is_of(picture, p->width, p->height, 3));
    assert(is_of(result, p->to_width, p->to_height, 3) && result->step == picture->step);
    return scaler->device->backend->scaler_run(scaler, picture, result, e);
}

void scaler_close(struct scaler *scaler)
{
    if (scaler)
        scaler->device->backend->scaler_close(scaler);
}

static int is_low(const struct compositor_low *low, int width, int height)
{
    return is_of(&low->alpha, width, height, 1) && is_of(&low->input, width, height, 3) &&
           (!low->foreground.data || is_of(&low->foreground, width, height, 3)) &&
           (!low->still.data || is_of(&low->still, width, height, 1));
}

struct solver *solver_open(
    struct device *device, const struct solver_params *params, struct error *e)
{
    assert(check_side(params->width) && check_side(params->height));
    error_retry(e, "out_of_memory", "There is no memory to refine an alpha of %dx%d.",
        params->width, params->height);
    struct solver *solver = device->backend->solver_open(device, params, e);
    if (!solver)
        return NULL;
    solver->device = device;
    solver->params = *params;
    return solver;
}

int solver_run(struct solver *solver, struct compositor_low *low, struct error *e)
{
    assert(is_low(low, solver->params.width, solver->params.height));
    if (solver->device->backend->solver_run(solver, low, e))
        return -1;
    raster_round(solver->device, &low->alpha);
    if (low->foreground.data)
        raster_round(solver->device, &low->foreground);
    if (low->still.data)
        raster_round(solver->device, &low->still);
    return 0;
}

void solver_close(struct solver *solver)
{
    if (solver)
        solver->device->backend->solver_close(solver);
}

struct compositor *compositor_open(
    struct device *device, const struct compositor_params *params, struct error *e)
{
    if (check_sizes(params->width, params->height, params->low_width, params->low_height, e) ||
        check_placement(params, e))
        return NULL;
    error_retry(e, "out_of_memory", "There is no memory to compose %dx%d pictures.", params->width,
        params->height);
    struct compositor *compositor = device->backend->compositor_open(device, params, e);
    if (!compositor)
        return NULL;
    compositor->device = device;
    compositor->params = *params;
    return compositor;
}

int compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e)
{
    const struct compositor_params *p = &compositor->params;
    assert(source->width == p->width && source->height == p->height);
    assert(output->width == p->canvas_width && output->height == p->canvas_height);
    assert(p->opaque || output->plane[FRAME_A]);
    assert(is_low(low, p->low_width, p->low_height));
    output->pts = source->pts;
    output->duration = source->duration;
    return compositor->device->backend->compositor_run(compositor, source, low, output, e);
}

void compositor_close(struct compositor *compositor)
{
    if (compositor)
        compositor->device->backend->compositor_close(compositor);
}
