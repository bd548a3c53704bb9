/* What a backend implements; for device/ only. */
#ifndef MATTE_DEVICE_BACKEND_H
#define MATTE_DEVICE_BACKEND_H

#include <stddef.h>

#include "device.h"

/*
 * Samplers, fits, scalers, solvers and compositors are the backend's own structs that begin with these: device.c fills them after open.
 * *e says that there is no memory unless the backend knows better. Memory for frames is aligned to `alignment` bytes, as
 * their rows are; NULL where there is none. A backend that works on frames after a call has returned gives each a fence;
 * the others leave these functions NULL. raster_open() sets data and step, the rest is filled in.
 */
struct device_backend {
    const char *name;
    int numbered; /* 1: there may be several, called name:0, name:1 ... */
    /* ordinal -1: any, the turn-th of them first. -1 and *e: not on this machine */
    int (*open)(struct device *device, int ordinal, int turn, struct error *e);
    void (*close)(struct device *device);
    const char *(*found)(const struct device *device);
    struct device_card (*card)(const struct device *device); /* NULL: it is none */
    int alignment;                                           /* a multiple of 64 */
    void *(*allocate)(struct device *device, enum frame_place place, size_t bytes);
    void (*release)(struct device *device, enum frame_place place, void *memory);
    void *(*fence_open)(struct device *device); /* NULL: there is no memory */
    void (*fence_close)(void *fence);
    /* frame_fetch(); NULL: device memory is the host's */
    int (*fetch)(
        const struct device *device, struct frame *to, const struct frame *from, struct error *e);
    int (*fence_wait)(
        const struct device *device, struct frame *frame, struct error *e); /* frame_wait() */
    int (*raster_open)(struct device *device, struct raster *raster, struct error *e);
    void (*raster_close)(struct device *device, struct raster *raster);
    int (*raster_read)(
        struct device *device, const struct raster *raster, float *planes, struct error *e);
    int (*raster_write)(
        struct device *device, const struct raster *raster, const float *planes, struct error *e);
    void (*raster_round)(const struct raster *raster); /* NULL: there are only halves */
    int (*raster_copy)(
        struct device *device, const struct raster *from, const struct raster *to, struct error *e);
    struct sampler *(*sampler_open)(
        struct device *device, const struct sampler_params *params, struct error *e);
    int (*sampler_run)(struct sampler *sampler, const struct frame *source,
        const struct raster *rgb, struct error *e);
    void (*sampler_close)(struct sampler *sampler);
    struct fit *(*fit_open)(
        struct device *device, const struct fit_params *params, struct error *e);
    int (*fit_put)(
        struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e);
    int (*fit_take)(
        struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e);
    void (*fit_close)(struct fit *fit);
    struct scaler *(*scaler_open)(
        struct device *device, const struct scaler_params *params, struct error *e);
    int (*scaler_run)(struct scaler *scaler, const struct raster *picture,
        const struct raster *result, struct error *e);
    void (*scaler_close)(struct scaler *scaler);
    struct solver *(*solver_open)(
        struct device *device, const struct solver_params *params, struct error *e);
    int (*solver_run)(struct solver *solver, struct compositor_low *low, struct error *e);
    void (*solver_close)(struct solver *solver);
    struct compositor *(*compositor_open)(
        struct device *device, const struct compositor_params *params, struct error *e);
    int (*compositor_run)(struct compositor *compositor, const struct frame *source,
        const struct compositor_low *low, struct frame *output, struct error *e);
    void (*compositor_close)(struct compositor *compositor);
};

struct device {
    const struct device_backend *backend;
    void *context;    /* the backend's own */
    int automatic;    /* 1: another may take its place */
    char found[1280]; /* device_found() where it took another's place; empty: the backend says it */
};

struct sampler {
    struct device *device;
    struct sampler_params params;
};

struct fit {
    struct device *device;
    struct fit_params params;
};

struct scaler {
    struct device *device;
    struct scaler_params params;
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
extern const struct device_backend
    device_cuda; /* where the build has the driver's header: WITH_CUDA */

#endif
