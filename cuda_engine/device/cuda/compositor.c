/*
 * As device/cpu/compositor.c, by kernels: cut out and put on the canvas in one pass where pixels stay what they are, else
 * cut out, then resize onto it; and fill what is transparent, over a pyramid of levels.
 */
#include <stdlib.h>
#include <string.h>

#include "../place.h"
#include "../place_math.h"
#include "../refine_math.h"
#include "backend.h"
#include "kernels/compose.h"
#include "kernels/fill.h"
#include "kernels/place.h"
#include "transfer.h"

enum { LEVELS = 16 }; /* of a picture of 2^15 pixels a side */

struct cuda_compositor {
    struct compositor base;
    const struct card *card;
    struct module modules[3];
    KERNEL(compose);
    KERNEL(place);
    KERNEL(fill_first);
    KERNEL(fill_coarser);
    KERNEL(fill_finer);
    KERNEL(fill_canvas);
    struct enlargement size;
    struct placed placed;
    struct device_axis x, y;               /* unless placed.whole */
    struct frame_pool *cuts, *backgrounds; /* of one */
    struct frame *cut;                     /* the cut-out before it is placed; NULL: never */
    struct frame *background;              /* NULL: a colour, or none */
    struct fill_level level[LEVELS];
    CUdeviceptr level_memory[LEVELS];
    int levels;       /* 0: opaque */
    CUdeviceptr held; /* the last frame's guided alpha */
};

static int load(struct cuda_compositor *o, struct error *e)
{
    const struct cuda *c = &o->card->cuda;
    struct module *m = o->modules;
    return module_load(&m[0], c, compose_fatbin, e) || module_load(&m[1], c, place_fatbin, e) ||
                   module_load(&m[2], c, fill_fatbin, e) ||
                   KERNEL_FIND(&m[0], &o->compose, compose, COMPOSE_SHARED, e) ||
                   KERNEL_FIND(&m[1], &o->place, place, 0, e) ||
                   KERNEL_FIND(&m[2], &o->fill_first, fill_first, 0, e) ||
                   KERNEL_FIND(&m[2], &o->fill_coarser, fill_coarser, 0, e) ||
                   KERNEL_FIND(&m[2], &o->fill_finer, fill_finer, 0, e) ||
                   KERNEL_FIND(&m[2], &o->fill_canvas, fill_canvas, 0, e)
               ? -1
               : 0;
}

static int open_size(struct cuda_compositor *o, const struct compositor_params *p, struct error *e)
{
    o->size = enlargement(p->width, p->height, p->low_width, p->low_height);
    if (o->size.tile_width && o->size.tile_height)
        return 0;
    return error_set(e, "device_unsuited",
        "A video of %dx%d is too small for a network of %dx%d on this card.", p->width, p->height,
        p->low_width, p->low_height);
}

static int guides(const struct compositor_params *p)
{
    return p->guided && refine_guides(p->width, p->height, p->low_width, p->low_height);
}

static int open_held(struct cuda_compositor *o, const struct compositor_params *p, struct error *e)
{
    const struct cuda *c = &o->card->cuda;
    const size_t bytes = (size_t)p->width * (size_t)p->height * sizeof(uint16_t);
    return guides(p) && (CUDA(c, e, cuMemAlloc, &o->held, bytes) ||
                            CUDA(c, e, cuMemsetD8Async, o->held, 0, bytes, o->card->compute))
               ? -1
               : 0;
}

static int open_levels(
    struct cuda_compositor *o, const struct compositor_params *p, struct error *e)
{
    int width = p->canvas_width, height = p->canvas_height;
    if (p->opaque)
        return 0;
    do {
        struct fill_level *l = &o->level[o->levels];
        *l = fill_coarser_size(width, height);
        width = l->width;
        height = l->height;
        if (CUDA(&o->card->cuda, e, cuMemAlloc, &o->level_memory[o->levels],
                (size_t)width * (size_t)height * sizeof *l->sample))
            return -1;
        l->sample = (uint32_t *)o->level_memory[o->levels++];
    } while (width > 1 || height > 1);
    return 0;
}

static struct frame *open_frame(struct frame_pool **pool, struct device *device, int width,
    int height, int alpha, struct error *e)
{
    struct frame_pool_params one = { .width = width, .height = height, .alpha = alpha, .count = 1 };
    *pool = frame_pool_open(device, &one, e);
    return *pool ? frame_take(*pool, e) : NULL;
}

static int open_places(struct cuda_compositor *o, struct device *device,
    const struct compositor_params *p, struct error *e)
{
    if (placed_open(&o->placed, p))
        return -1;
    if (!o->placed.whole && (!(o->cut = open_frame(&o->cuts, device, p->width, p->height, 1, e)) ||
                                device_axis_copy(&o->x, o->card, &o->placed.x, e) ||
                                device_axis_copy(&o->y, o->card, &o->placed.y, e)))
        return -1;
    if (!p->background)
        return 0;
    o->background = open_frame(&o->backgrounds, device, p->canvas_width, p->canvas_height, 0, e);
    return o->background
               ? transfer(&o->card->cuda, o->background, p->background, o->card->compute, e)
               : -1;
}

struct compositor *cuda_compositor_open(
    struct device *device, const struct compositor_params *p, struct error *e)
{
    struct cuda_compositor *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->card = card_of(device);
    if (!cuda_enter(&o->card->cuda, e) && !load(o, e) && !open_size(o, p, e) &&
        !open_held(o, p, e) && !open_levels(o, p, e) && !open_places(o, device, p, e))
        return &o->base;
    cuda_compositor_close(&o->base);
    return NULL;
}

static struct canvas canvas_of(const struct cuda_compositor *o, const struct frame *f)
{
    const struct compositor_params *p = &o->base.params;
    const struct color_matrix m = matrix_of(p->matrix);
    struct codes color =
        color_codes(m, p->color[0] / 255.f, p->color[1] / 255.f, p->color[2] / 255.f);
    struct canvas canvas = {
        .y = f->plane[FRAME_Y],
        .u = f->plane[FRAME_U],
        .v = f->plane[FRAME_V],
        .a = f->plane[FRAME_A],
        .y_pitch = f->stride[FRAME_Y],
        .uv_pitch = f->stride[FRAME_U],
        .a_pitch = f->stride[FRAME_A],
        .interleaved = f->layout == FRAME_NV12,
        .width = f->width,
        .height = f->height,
        .opaque = p->opaque,
        .color = { round_code(color.y), round_code(color.u), round_code(color.v) },
    };
    if (o->background)
        canvas.background = picture_of(o->background, p->matrix);
    return canvas;
}

static int cut_out(struct cuda_compositor *o, const struct frame *source,
    const struct compositor_low *low, const struct canvas *canvas, int x, int y, struct error *e)
{
    const struct compositor_params *p = &o->base.params;
    struct compose_params compose = {
        .source = picture_of(source, p->matrix),
        .size = o->size,
        .guide = {
            .color = low->input.data,
            .alpha = low->alpha.data,
            .color_step = low->input.step,
            .alpha_step = low->alpha.step,
        },
        .guided = guides(p),
        .still = low->still.data,
        .held = (uint16_t *)o->held,
        .foreground = low->foreground.data,
        .foreground_step = low->foreground.step,
        .matrix = matrix_of(p->matrix),
        .canvas = *canvas,
        .x = x,
        .y = y,
    };
    memcpy(compose.guide.mean, p->mean, sizeof p->mean);
    memcpy(compose.guide.std, p->std, sizeof p->std);
    return RUN(o, compose, o->card->compute, &compose, e);
}

static int put(struct cuda_compositor *o, const struct canvas *canvas, struct error *e)
{
    const struct compositor_params *p = &o->base.params;
    struct place_params place = {
        .cut = picture_of(o->cut, p->matrix),
        .alpha = o->cut->plane[FRAME_A],
        .alpha_pitch = o->cut->stride[FRAME_A],
        .x = o->x.axis,
        .y = o->y.axis,
        .x0 = o->placed.x0,
        .y0 = o->placed.y0,
        .x1 = o->placed.x1,
        .y1 = o->placed.y1,
        .matrix = matrix_of(p->matrix),
        .canvas = *canvas,
    };
    return RUN(o, place, o->card->compute, &place, e);
}

static int fill(struct cuda_compositor *o, const struct canvas *canvas, struct error *e)
{
    CUstream stream = o->card->compute;
    struct fill_first_params first = { *canvas, o->level[0] };
    int failed = RUN(o, fill_first, stream, &first, e);
    for (int i = 1; !failed && i < o->levels; i++) {
        struct fill_coarser_params coarser = { o->level[i - 1], o->level[i] };
        failed = RUN(o, fill_coarser, stream, &coarser, e);
    }
    for (int i = o->levels - 1; !failed && i > 0; i--) {
        struct fill_finer_params finer = { o->level[i], o->level[i - 1] };
        failed = RUN(o, fill_finer, stream, &finer, e);
    }
    struct fill_canvas_params last = { o->level[0], *canvas };
    return failed ? -1 : RUN(o, fill_canvas, stream, &last, e);
}

static int make(struct cuda_compositor *o, const struct frame *source,
    const struct compositor_low *low, const struct frame *output, struct error *e)
{
    const struct placement *at = &o->base.params.place;
    struct canvas canvas = canvas_of(o, output);
    if (o->cut) {
        struct canvas cut = canvas_of(o, o->cut);
        cut.opaque = 0;
        if (cut_out(o, source, low, &cut, 0, 0, e) || put(o, &canvas, e))
            return -1;
    } else {
        int unseen = o->placed.x0 == o->placed.x1;
        int x = unseen ? (canvas.width + 1) / 2 * 2 : at->x, y = unseen ? 0 : at->y;
        if (cut_out(o, source, low, &canvas, x, y, e))
            return -1;
    }
    return o->levels ? fill(o, &canvas, e) : 0;
}

int cuda_compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e)
{
    struct cuda_compositor *o = (struct cuda_compositor *)compositor;
    CUstream stream = o->card->compute;
    return cuda_enter(&o->card->cuda, e) || fence_write(output, stream, e) ||
                   fence_read(source, stream, e) || make(o, source, low, output, e) ||
                   fence_done(source, stream, e) || fence_written(output, stream, e)
               ? -1
               : 0;
}

void cuda_compositor_close(struct compositor *compositor)
{
    struct cuda_compositor *o = (struct cuda_compositor *)compositor;
    const struct cuda *c = &o->card->cuda;
    cuda_enter(c, NULL);
    c->cuMemFree(o->held);
    for (int i = 0; i < LEVELS; i++)
        c->cuMemFree(o->level_memory[i]);
    device_axis_close(&o->x, o->card);
    device_axis_close(&o->y, o->card);
    placed_close(&o->placed);
    frame_release(o->cut);
    frame_release(o->background);
    frame_pool_close(o->cuts);
    frame_pool_close(o->backgrounds);
    for (size_t i = 0; i < sizeof o->modules / sizeof *o->modules; i++)
        module_unload(&o->modules[i]);
    free(o);
}
