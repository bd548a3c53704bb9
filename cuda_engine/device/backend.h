/* What a backend implements; for device/ only. */
#ifndef MATTE_DEVICE_BACKEND_H
#define MATTE_DEVICE_BACKEND_H

#include <stddef.h>

#include "device.h"

/*
 * Samplers, solvers and compositors are the backend's own structs that begin with these: device.c fills them after open. Memory
 * for frames is 64-byte aligned; NULL where there is none.
 */
struct device_backend {
    const char *name;
    int (*open)(struct device *device, struct error *e); /* 0; -1: not on this machine */
    void (*close)(struct device *device);
    void *(*allocate)(struct device *device, size_t bytes);
    void (*release)(struct device *device, void *memory);
    struct sampler *(*sampler_open)(struct device *device, const struct sampler_params *params);
    void (*sampler_run)(struct sampler *sampler, const struct frame *source, float *rgb);
    void (*sampler_close)(struct sampler *sampler);
    struct solver *(*solver_open)(struct device *device, const struct solver_params *params);
    void (*solver_run)(struct solver *solver, struct compositor_low *low);
    void (*solver_close)(struct solver *solver);
    struct compositor *(*compositor_open)(
        struct device *device, const struct compositor_params *params);
    void (*compositor_run)(struct compositor *compositor, const struct frame *source,
        const struct compositor_low *low, struct frame *output);
    void (*compositor_close)(struct compositor *compositor);
};

struct device {
    const struct device_backend *backend;
    void *context; /* the backend's own */
};

struct sampler {
    struct device *device;
    struct sampler_params params;
};

struct solver {
    struct device *device;
    struct solver_params params;
};

struct compositor {
    struct device *device;
    struct compositor_params params;
};

extern const struct device_backend device_cpu;

#endif
