/* Shared by the files of device/cpu. */
#ifndef MATTE_DEVICE_CPU_H
#define MATTE_DEVICE_CPU_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../backend.h"
#include "../sample_math.h"
#include "../taps.h"

static inline struct color_matrix cpu_matrix(enum frame_matrix matrix)
{
    return matrix == MATRIX_BT709 ? color_matrix(.2126f, .0722f) : color_matrix(.299f, .114f);
}

static inline uint8_t *frame_row(const struct frame *f, int plane, int y)
{
    return f->plane[plane] + (ptrdiff_t)y * f->stride[plane];
}

/* To the nearest half, of two the even one; x is within what halves can hold. */
static inline float cpu_half(float x)
{
    uint32_t bits;
    float rounded;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~(uint32_t)0x1fff;
    memcpy(&rounded, &bits, sizeof bits);
    return fabsf(x) < 0x1p-14f
               ? x + .75f - .75f
               : rounded; /* below it they lie as close as from 1/2 to 1 floats do */
}

/* The nearest of 0 to size - 1. */
static inline int cpu_within(int at, int size)
{
    return at < 0 ? 0 : at < size ? at : size - 1;
}

/* Pixel i of planes of n pixels. */
static inline struct rgb cpu_color(const float *planes, size_t n, size_t i)
{
    return (struct rgb) { planes[i], planes[n + i], planes[2 * n + i] };
}

/* One row along its axis. */
static inline void cpu_resize(float *restrict to, const float *restrict from, const struct taps *t)
{
    const float *weight = t->weight;
    for (int i = 0; i < t->count; i++, weight += t->most) {
        const float *at = from + t->first[i];
        float sum = 0;
        for (int k = 0; k < t->most; k++)
            sum += weight[k] * at[k];
        to[i] = sum;
    }
}

struct sampler *cpu_sampler_open(
    struct device *device, const struct sampler_params *params, struct error *e);
int cpu_sampler_run(
    struct sampler *sampler, const struct frame *source, const struct raster *rgb, struct error *e);
void cpu_sampler_close(struct sampler *sampler);

struct fit *cpu_fit_open(struct device *device, const struct fit_params *params, struct error *e);
int cpu_fit_put(
    struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e);
int cpu_fit_take(
    struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e);
void cpu_fit_close(struct fit *fit);

struct scaler *cpu_scaler_open(
    struct device *device, const struct scaler_params *params, struct error *e);
int cpu_scaler_run(struct scaler *scaler, const struct raster *picture, const struct raster *result,
    struct error *e);
void cpu_scaler_close(struct scaler *scaler);

struct solver *cpu_solver_open(
    struct device *device, const struct solver_params *params, struct error *e);
int cpu_solver_run(struct solver *solver, struct compositor_low *low, struct error *e);
void cpu_solver_close(struct solver *solver);

/* The steps of a compositor; NULL: no memory. Each may be closed as NULL. */

struct cpu_cutout;
struct cpu_cutout *cpu_cutout_open(const struct compositor_params *params);
void cpu_cutout_run(struct cpu_cutout *cutout, const struct frame *source,
    const struct compositor_low *low, struct frame *to);
void cpu_cutout_close(struct cpu_cutout *cutout);

/* lines: R, G, B and constant planes of the network's size, alpha as a linear function of colour around each sample. */
struct cpu_guide;
struct cpu_guide *cpu_guide_open(int width, int height);
void cpu_guide_run(struct cpu_guide *guide, const struct compositor_params *params,
    const struct compositor_low *low, float *lines);
void cpu_guide_close(struct cpu_guide *guide);

/* cutout: of the source's size, with alpha. output: of the canvas' size; its alpha is written where it has it. */
struct cpu_place;
struct cpu_place *cpu_place_open(const struct compositor_params *params);
void cpu_place_run(struct cpu_place *place, const struct frame *cutout, struct frame *output);
void cpu_place_close(struct cpu_place *place);

/* In place, of the canvas' size. */
struct cpu_fill;
struct cpu_fill *cpu_fill_open(int width, int height);
void cpu_fill_run(struct cpu_fill *fill, struct frame *picture);
void cpu_fill_close(struct cpu_fill *fill);

struct compositor *cpu_compositor_open(
    struct device *device, const struct compositor_params *params, struct error *e);
int cpu_compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e);
void cpu_compositor_close(struct compositor *compositor);

#endif
