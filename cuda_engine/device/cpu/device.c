#include "cpu.h"

#include <stdlib.h>

static int cpu_open(struct device *device, int ordinal, struct error *e)
{
    (void)device, (void)ordinal, (void)e;
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

const struct device_backend device_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .found = cpu_found,
    .alignment = ALIGNMENT,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .sampler_open = cpu_sampler_open,
    .sampler_run = cpu_sampler_run,
    .sampler_close = cpu_sampler_close,
    .compositor_open = cpu_compositor_open,
    .compositor_run = cpu_compositor_run,
    .compositor_close = cpu_compositor_close,
};
