/* The processor's solver, by way of the host. */
#include <stdlib.h>
#include <string.h>

#include "backend.h"

enum { ALPHA, FOREGROUND, INPUT, RASTERS };

struct cuda_solver {
    struct solver base;
    struct device *card, *cpu;
    struct solver *solver;
    struct raster host[RASTERS], made[INPUT]; /* the processor's; what it made, on the card */
};

static int open_all(struct cuda_solver *s, const struct solver_params *p, struct error *e)
{
    static const int channels[RASTERS] = { 1, 3, 3 };
    if (!(s->cpu = device_open("cpu", e)) || !(s->solver = solver_open(s->cpu, p, e)))
        return -1;
    for (int i = 0; i < RASTERS; i++)
        if (raster_open(s->cpu, &s->host[i], p->width, p->height, channels[i], e) ||
            (i < INPUT && raster_open(s->card, &s->made[i], p->width, p->height, channels[i], e)))
            return -1;
    return 0;
}

struct solver *cuda_solver_open(
    struct device *device, const struct solver_params *p, struct error *e)
{
    struct cuda_solver *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->card = device;
    if (!open_all(s, p, e))
        return &s->base;
    cuda_solver_close(&s->base);
    return NULL;
}

int cuda_solver_run(struct solver *solver, struct compositor_low *low, struct error *e)
{
    struct cuda_solver *s = (struct cuda_solver *)solver;
    struct compositor_low host = { .alpha = s->host[ALPHA], .input = s->host[INPUT] };
    const int given = low->foreground.data != NULL;
    if (given)
        host.foreground = s->host[FOREGROUND];
    if (raster_read(s->card, &low->alpha, host.alpha.data, e) ||
        raster_read(s->card, &low->input, host.input.data, e) || solver_run(s->solver, &host, e) ||
        raster_write(s->card, &s->made[ALPHA], host.alpha.data, e) ||
        (host.foreground.data && !given &&
            raster_write(s->card, &s->made[FOREGROUND], host.foreground.data, e)))
        return -1;
    low->alpha = s->made[ALPHA];
    if (host.foreground.data && !given)
        low->foreground = s->made[FOREGROUND];
    return 0;
}

void cuda_solver_close(struct solver *solver)
{
    struct cuda_solver *s = (struct cuda_solver *)solver;
    for (int i = 0; i < INPUT; i++)
        raster_close(s->card, &s->made[i]);
    for (int i = 0; i < RASTERS && s->cpu; i++)
        raster_close(s->cpu, &s->host[i]);
    solver_close(s->solver);
    device_close(s->cpu);
    free(s);
}
