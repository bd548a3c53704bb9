#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "kernels/scale.h"

struct cuda_scaler {
    struct scaler base;
    const struct card *card;
    struct module scale;
    KERNEL(scale_picture);
    struct device_axis x, y;
};

static int open_all(struct cuda_scaler *s, const struct scaler_params *p, struct error *e)
{
    const struct cuda *c = &s->card->cuda;
    const struct taps_params x = { p->width, p->across, p->to_width, 0, p->to_width };
    const struct taps_params y = { p->height, p->down, p->to_height, 0, p->to_height };
    return cuda_enter(c, e) || module_load(&s->scale, c, scale_fatbin, e) ||
                   KERNEL_FIND(&s->scale, &s->scale_picture, scale_picture, 0, e) ||
                   device_axis_open(&s->x, s->card, &x, e) ||
                   device_axis_open(&s->y, s->card, &y, e)
               ? -1
               : 0;
}

struct scaler *cuda_scaler_open(
    struct device *device, const struct scaler_params *params, struct error *e)
{
    struct cuda_scaler *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->card = card_of(device);
    if (!open_all(s, params, e))
        return &s->base;
    cuda_scaler_close(&s->base);
    return NULL;
}

int cuda_scaler_run(struct scaler *scaler, const struct raster *picture,
    const struct raster *result, struct error *e)
{
    struct cuda_scaler *s = (struct cuda_scaler *)scaler;
    const struct scaler_params *p = &scaler->params;
    struct scale_picture_params scale = {
        .picture = picture->data,
        .width = picture->width,
        .x = s->x.axis,
        .y = s->y.axis,
        .reversed = p->reversed,
        .out = result->data,
        .to_width = result->width,
        .to_height = result->height,
    };
    memcpy(scale.gain, p->gain, sizeof scale.gain);
    memcpy(scale.offset, p->offset, sizeof scale.offset);
    return cuda_enter(&s->card->cuda, e) || RUN(s, scale_picture, s->card->compute, &scale, e) ? -1
                                                                                               : 0;
}

void cuda_scaler_close(struct scaler *scaler)
{
    struct cuda_scaler *s = (struct cuda_scaler *)scaler;
    cuda_enter(&s->card->cuda, NULL);
    device_axis_close(&s->x, s->card);
    device_axis_close(&s->y, s->card);
    module_unload(&s->scale);
    free(s);
}
