/* Rows are added up at full width, then narrowed or widened, as the sampler's. */
#include "cpu.h"

#include <stdlib.h>

struct cpu_scaler {
    struct scaler base;
    struct taps x, y;
    float *wide; /* one row, as wide as the picture */
};

struct scaler *cpu_scaler_open(
    struct device *device, const struct scaler_params *p, struct error *e)
{
    (void)device, (void)e;
    const struct taps_params x = { p->width, p->across, p->to_width, 0, p->to_width };
    const struct taps_params y = { p->height, p->down, p->to_height, 0, p->to_height };
    struct cpu_scaler *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->wide = malloc((size_t)p->width * sizeof *s->wide);
    if (s->wide && !taps_open(&s->x, &x) && !taps_open(&s->y, &y))
        return &s->base;
    cpu_scaler_close(&s->base);
    return NULL;
}

static void add_row(float *restrict sum, const float *restrict row, float weight, int n)
{
    for (int i = 0; i < n; i++)
        sum[i] += weight * row[i];
}

static void scale_plane(
    struct cpu_scaler *s, const float *from, float *to, float gain, float offset)
{
    const int width = s->base.params.width;
    for (int y = 0; y < s->y.count; y++, to += s->x.count) {
        memset(s->wide, 0, (size_t)width * sizeof *s->wide);
        for (int k = 0; k < s->y.most; k++)
            add_row(s->wide, from + (ptrdiff_t)(s->y.first[y] + k) * width,
                s->y.weight[(ptrdiff_t)y * s->y.most + k], width);
        cpu_resize(to, s->wide, &s->x);
        for (int x = 0; x < s->x.count; x++)
            to[x] = to[x] * gain + offset;
    }
}

int cpu_scaler_run(struct scaler *scaler, const struct raster *picture, const struct raster *result,
    struct error *e)
{
    (void)e;
    const struct scaler_params *p = &scaler->params;
    const ptrdiff_t from = (ptrdiff_t)p->width * p->height;
    const ptrdiff_t to = (ptrdiff_t)p->to_width * p->to_height;
    for (int c = 0; c < 3; c++)
        scale_plane((struct cpu_scaler *)scaler, (const float *)picture->data + c * from,
            (float *)result->data + (p->reversed ? 2 - c : c) * to, p->gain[c], p->offset[c]);
    return 0;
}

void cpu_scaler_close(struct scaler *scaler)
{
    struct cpu_scaler *s = (struct cpu_scaler *)scaler;
    taps_close(&s->x);
    taps_close(&s->y);
    free(s->wide);
    free(s);
}
