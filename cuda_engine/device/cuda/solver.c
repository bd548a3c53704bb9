/* As device/cpu/solver.c, by kernels, and with its bits. What is kept is floats; what it gives is halves, as all rasters. */
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "kernels/calm.h"
#include "kernels/clean.h"
#include "kernels/motion.h"
#include "kernels/spread.h"

enum { MOTION, CALM, CLEAN, SPREAD, MODULES };

struct cuda_solver {
    struct solver base;
    struct device *device;
    const struct card *card;
    struct module modules[MODULES];
    KERNEL(motion_levels);
    KERNEL(motion_match);
    KERNEL(calm_soften);
    KERNEL(calm_weigh);
    KERNEL(calm_step);
    KERNEL(calm_settle);
    KERNEL(clean_measure);
    KERNEL(clean_decide);
    KERNEL(clean_apply);
    KERNEL(spread_push);
    KERNEL(spread_turn);
    KERNEL(spread_alpha);
    KERNEL(spread_color);
    CUdeviceptr memory; /* all that follows is in it but for the rasters */
    size_t bytes;
    struct motion_level motion[MOTION_LEVELS];
    float *softened[2]; /* of this frame and of the last one, by turns */
    struct calm *calm[2];
    struct calm_sums *sums;
    struct clean_grid grid;
    struct clean_cell *cell;
    struct clean_state *state;
    float *cleaned, *solved; /* alpha after that, and after its edges */
    struct spread_pyramid pyramid;
    struct raster alpha, foreground;
    int now, past; /* past: there is a last frame; what is kept by turns is in the other one */
};

static int load(struct cuda_solver *s, struct error *e)
{
    const struct cuda *c = &s->card->cuda;
    struct module *m = s->modules;
    return module_load(&m[MOTION], c, motion_fatbin, e) ||
                   module_load(&m[CALM], c, calm_fatbin, e) ||
                   module_load(&m[CLEAN], c, clean_fatbin, e) ||
                   module_load(&m[SPREAD], c, spread_fatbin, e) ||
                   KERNEL_FIND(&m[MOTION], &s->motion_levels, motion_levels, 0, e) ||
                   KERNEL_FIND(&m[MOTION], &s->motion_match, motion_match, 0, e) ||
                   KERNEL_FIND(&m[CALM], &s->calm_soften, calm_soften, 0, e) ||
                   KERNEL_FIND(&m[CALM], &s->calm_weigh, calm_weigh, 0, e) ||
                   KERNEL_FIND(&m[CALM], &s->calm_step, calm_step, 0, e) ||
                   KERNEL_FIND(&m[CALM], &s->calm_settle, calm_settle, 0, e) ||
                   KERNEL_FIND(&m[CLEAN], &s->clean_measure, clean_measure, 0, e) ||
                   KERNEL_FIND(&m[CLEAN], &s->clean_decide, clean_decide, 0, e) ||
                   KERNEL_FIND(&m[CLEAN], &s->clean_apply, clean_apply, 0, e) ||
                   KERNEL_FIND(&m[SPREAD], &s->spread_push, spread_push, 0, e) ||
                   KERNEL_FIND(&m[SPREAD], &s->spread_turn, spread_turn, 0, e) ||
                   KERNEL_FIND(&m[SPREAD], &s->spread_alpha, spread_alpha, 0, e) ||
                   KERNEL_FIND(&m[SPREAD], &s->spread_color, spread_color, 0, e)
               ? -1
               : 0;
}

/* The next bytes of the solver's memory; before it is there they are only counted. */
static void *part(struct cuda_solver *s, size_t bytes)
{
    const size_t at = s->bytes;
    s->bytes += (bytes + 255) / 256 * 256;
    return (void *)(s->memory + at);
}

static void lay_out_motion(struct cuda_solver *s, int width, int height)
{
    for (int i = 0; i < MOTION_LEVELS; i++) {
        const size_t pixels = (size_t)width * (size_t)height;
        struct motion_level *l = &s->motion[i];
        l->width = width;
        l->height = height;
        l->across = (width + MOTION_BLOCK - 1) / MOTION_BLOCK;
        l->down = (height + MOTION_BLOCK - 1) / MOTION_BLOCK;
        l->luma = part(s, pixels);
        l->before = part(s, pixels);
        l->vectors = part(s, (size_t)l->across * (size_t)l->down * sizeof *l->vectors);
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
}

static void lay_out_pyramid(struct cuda_solver *s, int width, int height)
{
    struct spread_pyramid *p = &s->pyramid;
    p->count = 0;
    do {
        struct spread_level *l = &p->level[p->count++];
        l->width = width = (width + 1) / 2;
        l->height = height = (height + 1) / 2;
        for (int side = 0; side < SPREAD_SIDES; side++)
            l->at[side] = part(s, (size_t)width * (size_t)height * sizeof(struct tint));
    } while (width > 1 || height > 1);
}

static void lay_out(struct cuda_solver *s, const struct solver_params *p)
{
    const size_t pixels = (size_t)p->width * (size_t)p->height;
    s->bytes = 0;
    for (int i = 0; i < 2; i++)
        s->calm[i] = part(s, pixels * sizeof *s->calm[i]);
    s->sums = part(s, sizeof *s->sums);
    if (p->refine & REFINE_CALM) {
        lay_out_motion(s, p->width, p->height);
        for (int i = 0; i < 2; i++)
            s->softened[i] = part(s, pixels * 4 * sizeof *s->softened[i]);
    }
    if (p->refine & REFINE_CLEAN) {
        s->grid = clean_grid(p->width, p->height);
        s->cell = part(s, CLEAN_CELLS * sizeof *s->cell);
        s->state = part(s, CLEAN_CELLS * sizeof *s->state);
        s->cleaned = part(s, pixels * sizeof *s->cleaned);
    }
    if (p->refine & (REFINE_EDGES | REFINE_COLORS)) {
        lay_out_pyramid(s, p->width, p->height);
        s->solved = part(s, pixels * sizeof *s->solved);
    }
}

static int open_all(struct cuda_solver *s, const struct solver_params *p, struct error *e)
{
    const struct cuda *c = &s->card->cuda;
    if (cuda_enter(c, e) || load(s, e))
        return -1;
    lay_out(s, p);
    if (CUDA(c, e, cuMemAlloc, &s->memory, s->bytes))
        return -1;
    lay_out(s, p);
    return raster_open(s->device, &s->alpha, p->width, p->height, 1, e) ||
                   raster_open(s->device, &s->foreground, p->width, p->height, 3, e)
               ? -1
               : 0;
}

struct solver *cuda_solver_open(
    struct device *device, const struct solver_params *p, struct error *e)
{
    struct cuda_solver *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->device = device;
    s->card = card_of(device);
    if (!open_all(s, p, e))
        return &s->base;
    cuda_solver_close(&s->base);
    return NULL;
}

static struct seen seen_of(const struct cuda_solver *s, const struct raster *input)
{
    struct seen seen = { .halves = input->data, .width = input->width, .height = input->height };
    memcpy(seen.mean, s->base.params.mean, sizeof seen.mean);
    memcpy(seen.std, s->base.params.std, sizeof seen.std);
    return seen;
}

/* Where this frame's pixels were in the last one, and what they are compared by. */
static int find_motion(struct cuda_solver *s, const struct seen *seen, struct error *e)
{
    CUstream stream = s->card->compute;
    struct calm_soften_params soften = { *seen, s->softened[s->now] };
    struct motion_levels_params levels = { .seen = *seen };
    for (int i = 0; i < MOTION_LEVELS; i++) {
        struct motion_level *l = &s->motion[i];
        uint8_t *const luma = (uint8_t *)l->before;
        l->before = l->luma;
        l->luma = luma;
        levels.level[i] = *l;
    }
    if (RUN(s, calm_soften, stream, &soften, e) || RUN(s, motion_levels, stream, &levels, e))
        return -1;
    for (int i = MOTION_LEVELS - 1; s->past && i >= 0; i--) {
        struct motion_match_params match = { .level = s->motion[i] };
        if (i < MOTION_LEVELS - 1)
            match.coarser = s->motion[i + 1];
        if (RUN(s, motion_match, stream, &match, e))
            return -1;
    }
    return 0;
}

/* How much there is of alpha now and of doubt in it, and was before. */
static int weigh(struct cuda_solver *s, const struct raster *alpha, struct error *e)
{
    struct calm_weigh_params weigh = { alpha->width, alpha->height, alpha->data, alpha->step,
        s->past ? s->calm[!s->now] : NULL, s->sums };
    const struct cuda *c = &s->card->cuda;
    CUstream stream = s->card->compute;
    return CUDA(c, e, cuMemsetD8Async, (CUdeviceptr)s->sums, 0, sizeof *s->sums, stream) ||
                   RUN(s, calm_weigh, stream, &weigh, e)
               ? -1
               : 0;
}

/* Alpha to s->calm[s->now], and as a raster. */
static int calm(
    struct cuda_solver *s, const struct seen *seen, const struct raster *alpha, struct error *e)
{
    const int calms = s->base.params.refine & REFINE_CALM;
    s->now = !s->now;
    if (weigh(s, alpha, e) || (calms && find_motion(s, seen, e)))
        return -1;
    struct calm_step_params step = {
        .width = alpha->width,
        .height = alpha->height,
        .alpha = alpha->data,
        .alpha_step = alpha->step,
        .softened = s->softened[s->now],
        .softened_before = s->past && calms ? s->softened[!s->now] : NULL,
        .vectors = s->motion[0].vectors,
        .across = s->motion[0].across,
        .sums = s->sums,
        .before = s->calm[!s->now],
        .now = s->calm[s->now],
        .out = s->alpha.data,
    };
    return RUN(s, calm_step, s->card->compute, &step, e);
}

static int clean(struct cuda_solver *s, struct alphas alpha, struct error *e)
{
    CUstream stream = s->card->compute;
    struct clean_measure_params measure = { s->grid, alpha.at, alpha.step, s->cell };
    struct clean_decide_params decide = { s->grid, s->cell, s->state, s->past };
    struct clean_apply_params apply = { s->grid, s->state, alpha.at, alpha.step, s->cleaned,
        s->alpha.data };
    return RUN(s, clean_measure, stream, &measure, e) || RUN(s, clean_decide, stream, &decide, e) ||
                   RUN(s, clean_apply, stream, &apply, e)
               ? -1
               : 0;
}

static int spread(struct cuda_solver *s, const struct spread_source *from, struct error *e)
{
    struct spread_push_params push = { *from, s->pyramid };
    struct spread_turn_params turn = { from->how, s->pyramid };
    return RUN(s, spread_push, s->card->compute, &push, e) ||
                   RUN(s, spread_turn, s->card->compute, &turn, e)
               ? -1
               : 0;
}

static int settle(struct cuda_solver *s, struct alphas alpha, struct error *e)
{
    struct calm_settle_params settle = { s->base.params.width, s->base.params.height, s->sums,
        s->calm[s->now], (float *)alpha.at, s->alpha.data };
    return RUN(s, calm_settle, s->card->compute, &settle, e);
}

int cuda_solver_run(struct solver *solver, struct compositor_low *low, struct error *e)
{
    struct cuda_solver *s = (struct cuda_solver *)solver;
    const unsigned refine = solver->params.refine;
    CUstream stream = s->card->compute;
    const struct seen seen = seen_of(s, &low->input);
    if (cuda_enter(&s->card->cuda, e) || calm(s, &seen, &low->alpha, e))
        return -1;
    struct alphas alpha = { &s->calm[s->now]->alpha, sizeof(struct calm) / sizeof(float) };
    if (refine & REFINE_CLEAN) {
        if (clean(s, alpha, e))
            return -1;
        alpha = (struct alphas) { s->cleaned, 1 };
    }
    if (refine & REFINE_EDGES) {
        const struct spread_source from = { seen, alpha, 0, spread_for_alpha() };
        struct spread_alpha_params edges = { from, s->pyramid, s->solved, s->alpha.data };
        if (spread(s, &from, e) || RUN(s, spread_alpha, stream, &edges, e))
            return -1;
        alpha = (struct alphas) { s->solved, 1 };
    }
    if (refine & (REFINE_CLEAN | REFINE_EDGES) && settle(s, alpha, e))
        return -1;
    if (refine & REFINE_COLORS) {
        const struct spread_source from = { seen, alpha, 1, spread_for_color() };
        struct spread_color_params colors = { from, s->pyramid, s->foreground.data };
        if (spread(s, &from, e) || RUN(s, spread_color, stream, &colors, e))
            return -1;
        low->foreground = s->foreground;
    }
    s->past = 1;
    low->alpha = s->alpha;
    return 0;
}

void cuda_solver_close(struct solver *solver)
{
    struct cuda_solver *s = (struct cuda_solver *)solver;
    const struct cuda *c = &s->card->cuda;
    cuda_enter(c, NULL);
    c->cuMemFree(s->memory);
    raster_close(s->device, &s->alpha);
    raster_close(s->device, &s->foreground);
    for (int i = 0; i < MODULES; i++)
        module_unload(&s->modules[i]);
    free(s);
}
