#include "backend.h"

#include <assert.h>
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

struct device *device_open(const char *name, struct error *e)
{
    struct device *device = calloc(1, sizeof *device);
    if (!device) {
        error_retry(e, "out_of_memory", "There is no memory for a device.");
        return NULL;
    }
    error_set(e, "device_unavailable", "There is no device called %s.", name);
    for (const struct device_backend *const *b = backends; *b; b++) {
        int ordinal = -1;
        if (strcmp(name, "auto") != 0 && !is_named(name, *b, &ordinal))
            continue;
        device->backend = *b;
        if (!device->backend->open(device, ordinal, e))
            return device;
    }
    free(device);
    return NULL;
}

const char *device_name(const struct device *device)
{
    return device->backend->name;
}

const char *device_found(const struct device *device)
{
    return device->backend->found(device);
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

int sampler_run(struct sampler *sampler, const struct frame *source, float *rgb, struct error *e)
{
    assert(source->width == sampler->params.width && source->height == sampler->params.height);
    return sampler->device->backend->sampler_run(sampler, source, rgb, e);
}

void sampler_close(struct sampler *sampler)
{
    if (sampler)
        sampler->device->backend->sampler_close(sampler);
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
    output->pts = source->pts;
    output->duration = source->duration;
    return compositor->device->backend->compositor_run(compositor, source, low, output, e);
}

void compositor_close(struct compositor *compositor)
{
    if (compositor)
        compositor->device->backend->compositor_close(compositor);
}
