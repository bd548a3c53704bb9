#include "cpu.h"

#include <stdlib.h>
#include <string.h>

static int cpu_open(struct device *device, int ordinal, int turn, struct error *e)
{
    (void)device, (void)ordinal, (void)turn, (void)e;
    return 0;
}

static void cpu_close(struct device *device)
{
    (void)device;
}

static const char *cpu_found(const struct device *device)
{
    (void)device;
    return "The processor does all the work.";
}

enum { ALIGNMENT = 64 };

static void *cpu_allocate(struct device *device, enum frame_place place, size_t bytes)
{
    (void)device, (void)place;
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

static void cpu_release(struct device *device, enum frame_place place, void *memory)
{
    (void)device, (void)place;
    free(memory);
}

static size_t raster_bytes(const struct raster *r)
{
    return (size_t)r->width * (size_t)r->height * (size_t)r->channels * sizeof(float);
}

static int cpu_raster_open(struct device *device, struct raster *raster, struct error *e)
{
    (void)e;
    raster->data = cpu_allocate(device, FRAME_DEVICE, raster_bytes(raster));
    return raster->data ? 0 : -1;
}

static void cpu_raster_close(struct device *device, struct raster *raster)
{
    cpu_release(device, FRAME_DEVICE, raster->data);
}

static int cpu_raster_read(
    struct device *device, const struct raster *raster, float *planes, struct error *e)
{
    (void)device, (void)e;
    memcpy(planes, raster->data, raster_bytes(raster));
    return 0;
}

static int cpu_raster_write(
    struct device *device, const struct raster *raster, const float *planes, struct error *e)
{
    (void)e;
    memcpy(raster->data, planes, raster_bytes(raster));
    raster_round(device, raster);
    return 0;
}

static void cpu_raster_round(const struct raster *raster)
{
    const size_t count = raster_bytes(raster) / sizeof(float);
    float *values = raster->data;
    for (size_t i = 0; i < count; i++)
        values[i] = cpu_half(values[i]);
}

static int cpu_raster_copy(
    struct device *device, const struct raster *from, const struct raster *to, struct error *e)
{
    (void)device, (void)e;
    memcpy(to->data, from->data, raster_bytes(from));
    return 0;
}

const struct device_backend device_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .found = cpu_found,
    .alignment = ALIGNMENT,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .raster_open = cpu_raster_open,
    .raster_close = cpu_raster_close,
    .raster_read = cpu_raster_read,
    .raster_write = cpu_raster_write,
    .raster_round = cpu_raster_round,
    .raster_copy = cpu_raster_copy,
    .sampler_open = cpu_sampler_open,
    .sampler_run = cpu_sampler_run,
    .sampler_close = cpu_sampler_close,
    .fit_open = cpu_fit_open,
    .fit_put = cpu_fit_put,
    .fit_take = cpu_fit_take,
    .fit_close = cpu_fit_close,
    .scaler_open = cpu_scaler_open,
    .scaler_run = cpu_scaler_run,
    .scaler_close = cpu_scaler_close,
    .solver_open = cpu_solver_open,
    .solver_run = cpu_solver_run,
    .solver_close = cpu_solver_close,
    .compositor_open = cpu_compositor_open,
    .compositor_run = cpu_compositor_run,
    .compositor_close = cpu_compositor_close,
};
