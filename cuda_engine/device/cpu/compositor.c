/* A compositor in its steps: cut out at the source's size, place on the canvas, fill what is transparent. */
#include "cpu.h"

#include <stdlib.h>

struct cpu_compositor {
    struct compositor base;
    struct cpu_cutout *cutout;
    struct cpu_place *place; /* NULL: the output is the cut-out itself */
    struct cpu_fill *fill;   /* NULL: opaque */
    struct frame_pool *pool; /* of one, the cut-out before it is placed */
    struct frame *cut;
};

/* The whole source, as it is, is the whole output. */
static int is_cutout(const struct compositor_params *p)
{
    const struct placement *at = &p->place;
    return !p->opaque && !at->x && !at->y && at->width == p->width && at->height == p->height &&
           p->canvas_width == p->width && p->canvas_height == p->height;
}

struct compositor *cpu_compositor_open(
    struct device *device, const struct compositor_params *p, struct error *e)
{
    struct frame_pool_params one = {
        .width = p->width, .height = p->height, .alpha = 1, .count = 1
    };
    struct cpu_compositor *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    int failed = !(c->cutout = cpu_cutout_open(p));
    if (!p->opaque)
        failed |= !(c->fill = cpu_fill_open(p->canvas_width, p->canvas_height));
    if (!is_cutout(p)) {
        failed |= !(c->place = cpu_place_open(p));
        failed |= !(c->pool = frame_pool_open(device, &one, e));
        failed |= !c->pool || !(c->cut = frame_take(c->pool, e));
    }
    if (!failed)
        return &c->base;
    cpu_compositor_close(&c->base);
    return NULL;
}

int cpu_compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e)
{
    (void)e;
    struct cpu_compositor *c = (struct cpu_compositor *)compositor;
    cpu_cutout_run(c->cutout, source, low, c->place ? c->cut : output);
    if (c->place)
        cpu_place_run(c->place, c->cut, output);
    if (c->fill)
        cpu_fill_run(c->fill, output);
    return 0;
}

void cpu_compositor_close(struct compositor *compositor)
{
    struct cpu_compositor *c = (struct cpu_compositor *)compositor;
    cpu_cutout_close(c->cutout);
    cpu_place_close(c->place);
    cpu_fill_close(c->fill);
    frame_release(c->cut);
    frame_pool_close(c->pool);
    free(c);
}
