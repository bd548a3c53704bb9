/*
 * Resizing is separable and planes stay apart until the end: a row of the result is first gathered from its source rows
 * at full width (a multiply-add over contiguous bytes, which the compiler vectorises), then narrowed; colour is
 * converted at the network's size, where there are few pixels.
 */
#include "../sample_math.h"

#include "cpu.h"

#include <stdlib.h>

struct cpu_sampler {
    struct sampler base;
    struct taps x[2], y[2]; /* luma, chroma */
    float *wide;            /* one row of a source plane */
    float *row[3];          /* Y, U, V of one row of the result */
};

struct sampler *cpu_sampler_open(
    struct device *device, const struct sampler_params *p, struct error *e)
{
    (void)device, (void)e;
    struct cpu_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    int failed = 0;
    for (int chroma = 0; chroma < 2; chroma++) {
        struct taps_params x = { (p->width + chroma) >> chroma, chroma ? p->width / 2.0 : p->width,
            p->to_width, 0, p->to_width };
        struct taps_params y = { (p->height + chroma) >> chroma,
            chroma ? p->height / 2.0 : p->height, p->to_height, 0, p->to_height };
        failed |= taps_open(&s->x[chroma], &x);
        failed |= taps_open(&s->y[chroma], &y);
    }
    s->wide = malloc((size_t)p->width * sizeof *s->wide);
    failed |= !s->wide;
    for (int i = 0; i < 3; i++) {
        s->row[i] = malloc((size_t)p->to_width * sizeof *s->row[i]);
        failed |= !s->row[i];
    }
    if (!failed)
        return &s->base;
    cpu_sampler_close(&s->base);
    return NULL;
}

static void gather(float *restrict sum, const uint8_t *restrict source, float weight, int n)
{
    for (int i = 0; i < n; i++)
        sum[i] += weight * (float)source[i];
}

static void resize_row(struct cpu_sampler *s, const struct frame *f, int plane, int y)
{
    int chroma = plane != FRAME_Y, width = (f->width + chroma) >> chroma;
    const struct taps *t = &s->y[chroma];
    for (int i = 0; i < width; i++)
        s->wide[i] = 0;
    for (int k = 0; k < t->most; k++) {
        float weight = t->weight[(size_t)y * (size_t)t->most + (size_t)k];
        if (weight > 0)
            gather(s->wide, f->plane[plane] + (ptrdiff_t)(t->first[y] + k) * f->stride[plane],
                weight, width);
    }
    cpu_resize(s->row[plane], s->wide, &s->x[chroma]);
}

int cpu_sampler_run(
    struct sampler *sampler, const struct frame *source, const struct raster *rgb, struct error *e)
{
    (void)e;
    struct cpu_sampler *s = (struct cpu_sampler *)sampler;
    const struct sampler_params *p = &sampler->params;
    struct decoding d = decoding(cpu_matrix(p->matrix), 0);
    int width = p->to_width;
    size_t plane = (size_t)width * (size_t)p->to_height;
    float scale[3], bias[3];
    for (int i = 0; i < 3; i++) {
        scale[i] = 1 / p->std[i];
        bias[i] = -p->mean[i] / p->std[i];
    }
    for (int y = 0; y < p->to_height; y++) {
        for (int i = 0; i < 3; i++)
            resize_row(s, source, i, y);
        const float *restrict luma = s->row[0], *restrict u = s->row[1], *restrict v = s->row[2];
        float *restrict r = (float *)rgb->data + (size_t)y * (size_t)width, *restrict g = r + plane,
                        *restrict b = g + plane;
        for (int x = 0; x < width; x++) {
            struct rgb c = decode(d, luma[x], u[x], v[x]);
            r[x] = cpu_half(c.r * scale[0] + bias[0]);
            g[x] = cpu_half(c.g * scale[1] + bias[1]);
            b[x] = cpu_half(c.b * scale[2] + bias[2]);
        }
    }
    return 0;
}

void cpu_sampler_close(struct sampler *sampler)
{
    struct cpu_sampler *s = (struct cpu_sampler *)sampler;
    for (int i = 0; i < 2; i++) {
        taps_close(&s->x[i]);
        taps_close(&s->y[i]);
    }
    free(s->wide);
    for (int i = 0; i < 3; i++)
        free(s->row[i]);
    free(s);
}
