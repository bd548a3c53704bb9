/*
 * Resizing is separable and planes stay apart until the end: a row of the result is first gathered from its source rows
 * at full width (a multiply-add over contiguous bytes, which the compiler vectorises), then narrowed; colour is
 * converted at the network's size, where there are few pixels.
 */
#include "cpu.h"

#include <math.h>
#include <stdlib.h>

/* For each result sample: the first source sample it takes and the weights of `most` following ones. */
struct taps {
    int count, most;
    int *first;
    float *weight;
};

struct cpu_sampler {
    struct sampler base;
    struct taps x[2], y[2]; /* luma, chroma */
    float *wide;            /* one row of a source plane */
    float *row[3];          /* Y, U, V of one row of the result */
};

/*
 * samples: of the source plane; span: how many of them (a fraction for chroma of an odd size) the picture covers.
 * Shrinking, a result sample is the mean over the source it covers; growing, it lies between its two neighbours.
 */
static int taps_open(struct taps *t, int samples, double span, int count)
{
    double scale = span / count;
    t->count = count;
    t->most = scale > 1 ? (int)ceil(scale) + 1 : 2;
    if (t->most > samples)
        t->most = samples;
    t->first = calloc((size_t)count, sizeof *t->first);
    t->weight = calloc((size_t)count * (size_t)t->most, sizeof *t->weight);
    if (!t->first || !t->weight)
        return -1;
    for (int i = 0; i < count; i++) {
        /* linear: a box of one source sample's width around the centre has the two neighbours' weights */
        double middle = (i + .5) * scale, half = scale > 1 ? scale / 2 : .5;
        double from = fmax(middle - half, 0), to = fmin(middle + half, samples), sum = 0;
        int first = (int)from;
        if (first > samples - t->most)
            first = samples - t->most;
        t->first[i] = first;
        float *weight = t->weight + (size_t)i * (size_t)t->most;
        for (int k = 0; k < t->most; k++) {
            double part = fmin(to, first + k + 1) - fmax(from, first + k);
            weight[k] = part > 0 ? (float)part : 0;
            sum += weight[k];
        }
        for (int k = 0; k < t->most; k++)
            weight[k] = (float)(weight[k] / sum);
    }
    return 0;
}

static void taps_close(struct taps *t)
{
    free(t->first);
    free(t->weight);
}

struct sampler *cpu_sampler_open(struct device *device, const struct sampler_params *p)
{
    (void)device;
    struct cpu_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    int failed = 0;
    for (int chroma = 0; chroma < 2; chroma++) {
        int shift = chroma;
        failed |= taps_open(&s->x[chroma], (p->width + shift) >> shift,
            chroma ? p->width / 2.0 : p->width, p->to_width);
        failed |= taps_open(&s->y[chroma], (p->height + shift) >> shift,
            chroma ? p->height / 2.0 : p->height, p->to_height);
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

static void narrow(float *restrict to, const float *restrict from, const struct taps *t)
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
    narrow(s->row[plane], s->wide, &s->x[chroma]);
}

void cpu_sampler_run(struct sampler *sampler, const struct frame *source, float *rgb)
{
    struct cpu_sampler *s = (struct cpu_sampler *)sampler;
    const struct sampler_params *p = &sampler->params;
    struct color_matrix m = cpu_matrix(p->matrix);
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
        float *restrict r = rgb + (size_t)y * (size_t)width, *restrict g = r + plane,
                        *restrict b = g + plane;
        for (int x = 0; x < width; x++) {
            float l = (luma[x] - LUMA_BLACK) * m.luma;
            float cb = u[x] - CHROMA_GREY, cr = v[x] - CHROMA_GREY;
            r[x] = clamp_to(l + m.red_v * cr, 0, 1) * scale[0] + bias[0];
            g[x] = clamp_to(l + m.green_u * cb + m.green_v * cr, 0, 1) * scale[1] + bias[1];
            b[x] = clamp_to(l + m.blue_u * cb, 0, 1) * scale[2] + bias[2];
        }
    }
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
