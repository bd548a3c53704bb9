/* Rasters in device memory. What crosses to the host does so as floats: the card converts, a copy of one row is made. */
#include <stdlib.h>

#include "backend.h"
#include "kernels/copy.h"

/* What crossing takes, made when something first crosses: a card that keeps its networks to itself never needs it. */
struct crossing {
    struct module copy;
    KERNEL(to_floats);
    KERNEL(to_halves);
    CUdeviceptr floats;
    size_t bytes;
};

static int pixels_of(const struct raster *r)
{
    return r->width * r->height;
}

static size_t floats_of(const struct raster *r)
{
    return (size_t)pixels_of(r) * (size_t)r->channels * sizeof(float);
}

int cuda_raster_open(struct device *device, struct raster *raster, struct error *e)
{
    const struct cuda *c = &card_of(device)->cuda;
    CUdeviceptr memory = 0;
    raster->step = raster->channels == 3 ? 4 : raster->channels;
    if (cuda_enter(c, e) ||
        CUDA(c, e, cuMemAlloc, &memory,
            (size_t)pixels_of(raster) * (size_t)raster->step * sizeof(uint16_t)))
        return -1;
    raster->data = (void *)memory;
    return 0;
}

void cuda_raster_close(struct device *device, struct raster *raster)
{
    const struct cuda *c = &card_of(device)->cuda;
    cuda_enter(c, NULL);
    c->cuMemFree((CUdeviceptr)raster->data);
}

void crossing_close(struct card *card)
{
    struct crossing *x = card->crossing;
    if (!x)
        return;
    card->cuda.cuMemFree(x->floats);
    module_unload(&x->copy);
    free(x);
    card->crossing = NULL;
}

/* Makes room for a raster's floats. */
static int prepare(struct card *card, const struct raster *r, struct error *e)
{
    const struct cuda *c = &card->cuda;
    if (cuda_enter(c, e))
        return -1;
    if (!card->crossing) {
        struct crossing *x = card->crossing = calloc(1, sizeof *x);
        if (!x)
            return error_retry(e, "out_of_memory", "There is no memory for a copy.");
        if (module_load(&x->copy, c, copy_fatbin, e) ||
            KERNEL_FIND(&x->copy, &x->to_floats, to_floats, 0, e) ||
            KERNEL_FIND(&x->copy, &x->to_halves, to_halves, 0, e)) {
            crossing_close(card);
            return -1;
        }
    }
    struct crossing *x = card->crossing;
    if (x->bytes >= floats_of(r))
        return 0;
    c->cuMemFree(x->floats);
    x->floats = 0;
    x->bytes = 0;
    if (CUDA(c, e, cuMemAlloc, &x->floats, floats_of(r)))
        return -1;
    x->bytes = floats_of(r);
    return 0;
}

int cuda_raster_read(
    struct device *device, const struct raster *raster, float *planes, struct error *e)
{
    struct card *card = device->context;
    const struct cuda *c = &card->cuda;
    if (prepare(card, raster, e))
        return -1;
    const struct crossing *x = card->crossing;
    const struct to_floats_params params = {
        .in = raster->data,
        .out = (float *)x->floats,
        .n = 1,
        .c = raster->channels,
        .pixels = pixels_of(raster),
        .stride_n = pixels_of(raster) * raster->step,
        .stride_pixel = raster->step,
    };
    return RUN(x, to_floats, card->compute, &params, e) ||
                   CUDA(c, e, cuMemcpyDtoHAsync, planes, x->floats, floats_of(raster),
                       card->compute) ||
                   CUDA(c, e, cuStreamSynchronize, card->compute)
               ? -1
               : 0;
}

int cuda_raster_write(
    struct device *device, const struct raster *raster, const float *planes, struct error *e)
{
    struct card *card = device->context;
    const struct cuda *c = &card->cuda;
    if (prepare(card, raster, e))
        return -1;
    const struct crossing *x = card->crossing;
    const struct to_halves_params params = {
        .in = (const float *)x->floats,
        .out = raster->data,
        .n = 1,
        .c = raster->channels,
        .pixels = pixels_of(raster),
        .stride_n = pixels_of(raster) * raster->step,
        .stride_pixel = raster->step,
    };
    return CUDA(c, e, cuMemcpyHtoDAsync, x->floats, planes, floats_of(raster), card->compute) ||
                   RUN(x, to_halves, card->compute, &params, e)
               ? -1
               : 0;
}

int cuda_raster_copy(
    struct device *device, const struct raster *from, const struct raster *to, struct error *e)
{
    const struct card *card = card_of(device);
    const CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_DEVICE,
        .srcDevice = (CUdeviceptr)from->data,
        .srcPitch = (size_t)from->step * sizeof(uint16_t),
        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
        .dstDevice = (CUdeviceptr)to->data,
        .dstPitch = (size_t)to->step * sizeof(uint16_t),
        .WidthInBytes = (size_t)from->channels * sizeof(uint16_t),
        .Height = (size_t)pixels_of(from),
    };
    return cuda_enter(&card->cuda, e) || CUDA(&card->cuda, e, cuMemcpy2DAsync, &copy, card->compute)
               ? -1
               : 0;
}
