#include "../fit_math.h"
#include "cpu.h"

#include <stdlib.h>

struct fit *cpu_fit_open(struct device *device, const struct fit_params *params, struct error *e)
{
    (void)device, (void)params, (void)e;
    return calloc(1, sizeof(struct fit));
}

static float *plane_of(const struct raster *r, int channel)
{
    return (float *)r->data + (ptrdiff_t)channel * r->width * r->height;
}

/* The channel of the network's that is red (0), green or blue; or the only one. */
static int channel_of(const struct fit_params *p, const struct raster *r, int channel)
{
    return p->reversed && r->channels == 3 ? 2 - channel : channel;
}

static float largest_value(const struct fit_params *p, const struct raster *picture)
{
    float largest = 0;
    for (int c = 0; c < 3; c++) {
        const float *from = plane_of(picture, c);
        float most = from[0];
        for (int i = 1; i < picture->width * picture->height; i++)
            most = from[i] > most ? from[i] : most;
        largest = fmaxf(largest, most * p->std[c] + p->mean[c]);
    }
    return largest;
}

int cpu_fit_put(
    struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e)
{
    (void)e;
    const struct fit_params p = fit->params;
    const float gain = p.brightest ? fit_gain(largest_value(&p, picture)) : 1;
    memset(input->data, 0, 3 * (size_t)input->width * (size_t)input->height * sizeof(float));
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < p.height; y++) {
            const float *restrict from = plane_of(picture, c) + (ptrdiff_t)y * p.width;
            float *restrict to =
                plane_of(input, channel_of(&p, input, c)) + (ptrdiff_t)y * input->width;
            for (int x = 0; x < p.width; x++)
                to[x] = fit_bright(from[x], gain, p.mean[c], p.std[c]);
        }
    return 0;
}

int cpu_fit_take(
    struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e)
{
    (void)e;
    const struct fit_params *p = &fit->params;
    for (int c = 0; c < answer->channels; c++)
        for (int y = 0; y < p->height; y++)
            memcpy(plane_of(answer, c) + (ptrdiff_t)y * p->width,
                plane_of(output, channel_of(p, output, c)) + (ptrdiff_t)y * output->width,
                (size_t)p->width * sizeof(float));
    return 0;
}

void cpu_fit_close(struct fit *fit)
{
    free(fit);
}
