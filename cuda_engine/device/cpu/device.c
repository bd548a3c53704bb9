#include "cpu.h"

#include <stdlib.h>

static int cpu_open(struct device *device, struct error *e)
{
    (void)device;
    (void)e;
    return 0;
}

static void cpu_close(struct device *device)
{
    (void)device;
}

static void *cpu_allocate(struct device *device, size_t bytes)
{
    (void)device;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void cpu_release(struct device *device, void *memory)
{
    (void)device;
    free(memory);
}

const struct device_backend device_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .sampler_open = cpu_sampler_open,
    .sampler_run = cpu_sampler_run,
    .sampler_close = cpu_sampler_close,
    .solver_open = cpu_solver_open,
    .solver_run = cpu_solver_run,
    .solver_close = cpu_solver_close,
    .compositor_open = cpu_compositor_open,
    .compositor_run = cpu_compositor_run,
    .compositor_close = cpu_compositor_close,
};
