#include <stdlib.h>

#include "backend.h"
#include "kernels/sample.h"

struct cuda_sampler {
    struct sampler base;
    const struct card *card;
    struct module sample;
    KERNEL(sample_picture);
    struct device_axis x[2], y[2]; /* luma, chroma */
    int tile;
};

static int open_axes(struct cuda_sampler *s, const struct sampler_params *p, struct error *e)
{
    for (int chroma = 0; chroma < 2; chroma++) {
        struct taps_params x = { (p->width + chroma) >> chroma, chroma ? p->width / 2.0 : p->width,
            p->to_width, 0, p->to_width };
        struct taps_params y = { (p->height + chroma) >> chroma,
            chroma ? p->height / 2.0 : p->height, p->to_height, 0, p->to_height };
        if (device_axis_open(&s->x[chroma], s->card, &x, e) ||
            device_axis_open(&s->y[chroma], s->card, &y, e))
            return -1;
    }
    return 0;
}

static int open_all(struct cuda_sampler *s, const struct sampler_params *p, struct error *e)
{
    const struct cuda *c = &s->card->cuda;
    s->tile = sample_tile(p->width, p->to_width);
    if (!s->tile)
        return error_set(e, "too_large",
            "A video of %dx%d is too large for a network of %dx%d on this card.", p->width,
            p->height, p->to_width, p->to_height);
    return cuda_enter(c, e) || module_load(&s->sample, c, sample_fatbin, e) ||
                   KERNEL_FIND(&s->sample, &s->sample_picture, sample_picture, 0, e) ||
                   open_axes(s, p, e)
               ? -1
               : 0;
}

struct sampler *cuda_sampler_open(
    struct device *device, const struct sampler_params *p, struct error *e)
{
    struct cuda_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->card = card_of(device);
    if (!open_all(s, p, e))
        return &s->base;
    cuda_sampler_close(&s->base);
    return NULL;
}

int cuda_sampler_run(
    struct sampler *sampler, const struct frame *source, const struct raster *rgb, struct error *e)
{
    struct cuda_sampler *s = (struct cuda_sampler *)sampler;
    const struct sampler_params *p = &sampler->params;
    const struct cuda *c = &s->card->cuda;
    CUstream stream = s->card->compute;
    struct sample_picture_params sample = {
        .picture = picture_of(source, p->matrix),
        .x = { s->x[0].axis, s->x[1].axis },
        .y = { s->y[0].axis, s->y[1].axis },
        .out = rgb->data,
        .width = p->to_width,
        .height = p->to_height,
        .channels = rgb->step,
        .tile = s->tile,
    };
    for (int i = 0; i < 3; i++) {
        sample.scale[i] = 1 / p->std[i];
        sample.bias[i] = -p->mean[i] / p->std[i];
    }
    return cuda_enter(c, e) || fence_read(source, stream, e) ||
                   RUN(s, sample_picture, stream, &sample, e) || fence_done(source, stream, e)
               ? -1
               : 0;
}

void cuda_sampler_close(struct sampler *sampler)
{
    struct cuda_sampler *s = (struct cuda_sampler *)sampler;
    cuda_enter(&s->card->cuda, NULL);
    for (int chroma = 0; chroma < 2; chroma++) {
        device_axis_close(&s->x[chroma], s->card);
        device_axis_close(&s->y[chroma], s->card);
    }
    module_unload(&s->sample);
    free(s);
}
