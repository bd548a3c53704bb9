#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "kernels/fit.h"

struct cuda_fit {
    struct fit base;
    const struct card *card;
    struct module fit;
    KERNEL(fit_largest);
    KERNEL(fit_put);
    KERNEL(fit_take);
    CUdeviceptr largest; /* FIT_PARTS floats; 0: not brightest */
};

static int open_all(struct cuda_fit *f, const struct fit_params *p, struct error *e)
{
    const struct cuda *c = &f->card->cuda;
    return cuda_enter(c, e) || module_load(&f->fit, c, fit_fatbin, e) ||
                   KERNEL_FIND(&f->fit, &f->fit_largest, fit_largest, 0, e) ||
                   KERNEL_FIND(&f->fit, &f->fit_put, fit_put, 0, e) ||
                   KERNEL_FIND(&f->fit, &f->fit_take, fit_take, 0, e) ||
                   (p->brightest && CUDA(c, e, cuMemAlloc, &f->largest, FIT_PARTS * sizeof(float)))
               ? -1
               : 0;
}

struct fit *cuda_fit_open(struct device *device, const struct fit_params *params, struct error *e)
{
    struct cuda_fit *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->card = card_of(device);
    if (!open_all(f, params, e))
        return &f->base;
    cuda_fit_close(&f->base);
    return NULL;
}

int cuda_fit_put(
    struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e)
{
    struct cuda_fit *f = (struct cuda_fit *)fit;
    const struct fit_params *p = &fit->params;
    CUstream stream = f->card->compute;
    struct fit_largest_params largest = {
        .picture = picture->data,
        .pixels = picture->width * picture->height,
        .largest = (float *)f->largest,
    };
    struct fit_put_params put = {
        .picture = picture->data,
        .width = picture->width,
        .height = picture->height,
        .largest = (const float *)f->largest,
        .reversed = p->reversed,
        .in = input->data,
        .in_width = input->width,
        .in_height = input->height,
    };
    memcpy(largest.mean, p->mean, sizeof p->mean);
    memcpy(largest.std, p->std, sizeof p->std);
    memcpy(put.mean, p->mean, sizeof p->mean);
    memcpy(put.std, p->std, sizeof p->std);
    return cuda_enter(&f->card->cuda, e) ||
                   (p->brightest && RUN(f, fit_largest, stream, &largest, e)) ||
                   RUN(f, fit_put, stream, &put, e)
               ? -1
               : 0;
}

int cuda_fit_take(
    struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e)
{
    struct cuda_fit *f = (struct cuda_fit *)fit;
    const struct fit_take_params take = {
        .out = output->data,
        .out_width = output->width,
        .out_step = output->step,
        .reversed = fit->params.reversed,
        .answer = answer->data,
        .width = answer->width,
        .height = answer->height,
        .channels = answer->channels,
        .step = answer->step,
    };
    return cuda_enter(&f->card->cuda, e) || RUN(f, fit_take, f->card->compute, &take, e) ? -1 : 0;
}

void cuda_fit_close(struct fit *fit)
{
    struct cuda_fit *f = (struct cuda_fit *)fit;
    const struct cuda *c = &f->card->cuda;
    cuda_enter(c, NULL);
    c->cuMemFree(f->largest);
    module_unload(&f->fit);
    free(f);
}
