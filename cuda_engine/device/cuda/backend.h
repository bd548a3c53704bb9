/* Shared by the files of device/cuda that work on pictures. */
#ifndef MATTE_DEVICE_CUDA_BACKEND_H
#define MATTE_DEVICE_CUDA_BACKEND_H

#include "../backend.h"
#include "../taps.h"
#include "card.h"
#include "fence.h"
#include "kernel.h"
#include "kernels/picture.h"
#include "kernels/taps.h"

/* What nvcc made of kernels/, a file each. */
extern const unsigned long long sample_fatbin[], copy_fatbin[], compose_fatbin[], place_fatbin[],
    fill_fatbin[], fit_fatbin[], motion_fatbin[], calm_fatbin[], clean_fatbin[], spread_fatbin[],
    narrow_fatbin[], scale_fatbin[];

/* A frame in device memory as kernels read it. */
struct picture picture_of(const struct frame *f, enum frame_matrix matrix);

struct color_matrix matrix_of(enum frame_matrix matrix);

/* Tables of device/taps.h in device memory; all zeros is a closed one. */
struct device_axis {
    struct axis axis;
    CUdeviceptr memory;
};

/* -1 and *e; device_axis_close() is due in either case. The context must be current. */
int device_axis_open(struct device_axis *axis, const struct card *card,
    const struct taps_params *params, struct error *e);
int device_axis_copy(
    struct device_axis *axis, const struct card *card, const struct taps *taps, struct error *e);
void device_axis_close(struct device_axis *axis, const struct card *card);

int cuda_raster_open(struct device *device, struct raster *raster, struct error *e);
void cuda_raster_close(struct device *device, struct raster *raster);
int cuda_raster_read(
    struct device *device, const struct raster *raster, float *planes, struct error *e);
int cuda_raster_write(
    struct device *device, const struct raster *raster, const float *planes, struct error *e);
/* Of what the two above have made on card. */
void crossing_close(struct card *card);
int cuda_raster_copy(
    struct device *device, const struct raster *from, const struct raster *to, struct error *e);

struct sampler *cuda_sampler_open(
    struct device *device, const struct sampler_params *params, struct error *e);
int cuda_sampler_run(
    struct sampler *sampler, const struct frame *source, const struct raster *rgb, struct error *e);
void cuda_sampler_close(struct sampler *sampler);

struct fit *cuda_fit_open(struct device *device, const struct fit_params *params, struct error *e);
int cuda_fit_put(
    struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e);
int cuda_fit_take(
    struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e);
void cuda_fit_close(struct fit *fit);

struct scaler *cuda_scaler_open(
    struct device *device, const struct scaler_params *params, struct error *e);
int cuda_scaler_run(struct scaler *scaler, const struct raster *picture,
    const struct raster *result, struct error *e);
void cuda_scaler_close(struct scaler *scaler);

struct solver *cuda_solver_open(
    struct device *device, const struct solver_params *params, struct error *e);
int cuda_solver_run(struct solver *solver, struct compositor_low *low, struct error *e);
void cuda_solver_close(struct solver *solver);

struct compositor *cuda_compositor_open(
    struct device *device, const struct compositor_params *params, struct error *e);
int cuda_compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e);
void cuda_compositor_close(struct compositor *compositor);

#endif
