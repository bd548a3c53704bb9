/* Shared by the files of device/cpu. */
#ifndef MATTE_DEVICE_CPU_H
#define MATTE_DEVICE_CPU_H

#include "../backend.h"
#include "../compose_math.h"

static inline struct color_matrix cpu_matrix(enum frame_matrix matrix)
{
    return matrix == MATRIX_BT709 ? color_matrix(.2126f, .0722f) : color_matrix(.299f, .114f);
}

struct sampler *cpu_sampler_open(struct device *device, const struct sampler_params *params);
void cpu_sampler_run(struct sampler *sampler, const struct frame *source, float *rgb);
void cpu_sampler_close(struct sampler *sampler);

struct compositor *cpu_compositor_open(
    struct device *device, const struct compositor_params *params);
void cpu_compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output);
void cpu_compositor_close(struct compositor *compositor);

#endif
