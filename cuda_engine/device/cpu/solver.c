/* The solver's planes are of the network's size. */
#include <stdlib.h>
#include <string.h>

#include "../temporal_math.h"
#include "clean.h"
#include "cpu.h"
#include "motion.h"
#include "spread.h"

enum { FOREGROUND, BACKGROUND };

struct cpu_solver {
    struct solver base;
    float *picture; /* R, G, B planes */
    float *alpha;
    float *foreground;
    float *soft; /* alpha as it was before its edges were solved */
    struct cpu_clean *clean;
    struct cpu_spread *spread[2];
    /* over time; `now` is this frame's of two */
    struct cpu_motion *motion;
    float *softened[2], *calm[2], *frames[2];
    float *moved, *along, *edged; /* edged: one row and what is beside it */
    int now, past;                /* past: the other one holds a frame */
};

static int allocate(struct cpu_solver *s)
{
    const struct solver_params *p = &s->base.params;
    const size_t n = (size_t)p->width * (size_t)p->height;
    s->picture = malloc(3 * n * sizeof *s->picture);
    s->alpha = malloc(n * sizeof *s->alpha);
    s->foreground = malloc(3 * n * sizeof *s->foreground);
    s->soft = malloc(n * sizeof *s->soft);
    s->moved = malloc(n * sizeof *s->moved);
    s->along = malloc(n * sizeof *s->along);
    s->edged = malloc(((size_t)p->width + 2 * TEMPORAL_RADIUS) * sizeof *s->edged);
    s->clean = cpu_clean_open(p->width, p->height);
    s->motion = cpu_motion_open(p->width, p->height);
    int failed = !s->picture || !s->alpha || !s->foreground || !s->soft || !s->moved || !s->along ||
                 !s->edged || !s->clean || !s->motion;
    for (int i = 0; i < 2; i++) {
        s->spread[i] = cpu_spread_open(p->width, p->height);
        s->softened[i] = malloc(3 * n * sizeof *s->softened[i]);
        s->calm[i] = malloc(n * sizeof *s->calm[i]);
        s->frames[i] = malloc(n * sizeof *s->frames[i]);
        failed |= !s->spread[i] || !s->softened[i] || !s->calm[i] || !s->frames[i];
    }
    return failed;
}

struct solver *cpu_solver_open(
    struct device *device, const struct solver_params *p, struct error *e)
{
    (void)device, (void)e;
    struct cpu_solver *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->base.params = *p;
    if (!allocate(s))
        return &s->base;
    cpu_solver_close(&s->base);
    return NULL;
}

/* What the network saw, as R'G'B'. */
static void restore(struct cpu_solver *s, const float *input)
{
    const struct solver_params p = s->base.params;
    const size_t n = (size_t)p.width * (size_t)p.height;
    for (int c = 0; c < 3; c++) {
        float *restrict to = s->picture + (size_t)c * n;
        const float *restrict from = input + (size_t)c * n;
        for (size_t i = 0; i < n; i++)
            to[i] = clamp_to(from[i] * p.std[c] + p.mean[c], 0, 1);
    }
}

/* ---- over time ---- */

/* Sums over the pixels within radius along a row, and then of those along a column; outside is the nearest pixel. */
static void window_sums(
    struct cpu_solver *s, float *restrict to, const float *restrict from, int radius)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t row = (size_t)width;
    float *restrict const edged = s->edged, *restrict const along = s->along;
    for (int y = 0; y < height; y++) {
        const float *in = from + (size_t)y * row;
        float *restrict out = along + (size_t)y * row;
        for (int k = 0; k < radius; k++) {
            edged[k] = in[0];
            edged[width + radius + k] = in[width - 1];
        }
        memcpy(edged + radius, in, row * sizeof *in);
        memcpy(out, edged, row * sizeof *out);
        for (int k = 1; k <= 2 * radius; k++)
            for (int x = 0; x < width; x++)
                out[x] += edged[x + k];
    }
    for (int y = 0; y < height; y++) {
        float *restrict out = to + (size_t)y * row;
        memcpy(out, along + (size_t)cpu_within(y - radius, height) * row, row * sizeof *out);
        for (int k = 1 - radius; k <= radius; k++) {
            const float *in = along + (size_t)cpu_within(y + k, height) * row;
            for (int x = 0; x < width; x++)
                out[x] += in[x];
        }
    }
}

/* Of all alpha: how much of it there is, and how much doubt is in it. */
struct weight {
    long long all, doubt;
};

static struct weight weigh(const float *alpha, size_t n)
{
    struct weight w = { 0, 0 };
    for (size_t i = 0; i < n; i++) {
        const int code = temporal_code(alpha[i]);
        w.all += code;
        w.doubt += temporal_doubt_of(code);
    }
    return w;
}

/* s->alpha: the network's, and where the picture is as it was what it was there. */
static void calm(struct cpu_solver *s, const float *alpha, long long all)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t n = (size_t)width * (size_t)height;
    const int now = s->now = !s->now, before = !now;
    const int area = (2 * TEMPORAL_SOFTEN + 1) * (2 * TEMPORAL_SOFTEN + 1);
    for (size_t c = 0; c < 3; c++)
        window_sums(s, s->softened[now] + c * n, s->picture + c * n, TEMPORAL_SOFTEN);
    cpu_motion_run(s->motion, s->picture);
    if (s->past) {
        float *const difference = s->soft;
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                const size_t i = (size_t)y * (size_t)width + (size_t)x;
                difference[i] = temporal_difference(cpu_color(s->softened[now], n, i),
                    cpu_color(s->softened[before], n, cpu_motion_from(s->motion, x, y)), area);
            }
        window_sums(s, s->moved, difference, TEMPORAL_RADIUS);
        const float shift = temporal_shift(all, weigh(s->calm[before], n).all);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                const size_t i = (size_t)y * (size_t)width + (size_t)x;
                const size_t from = cpu_motion_from(s->motion, x, y);
                const struct calm was = { s->calm[before][from], s->frames[before][from] };
                const struct calm is = calm_alpha(alpha[i], was, s->moved[i], shift);
                s->calm[now][i] = is.alpha;
                s->frames[now][i] = is.frames;
            }
    } else {
        memcpy(s->calm[now], alpha, n * sizeof *alpha);
        for (size_t i = 0; i < n; i++)
            s->frames[now][i] = 1;
    }
    s->past = 1;
    memcpy(s->alpha, s->calm[now], n * sizeof *s->alpha);
}

/* ---- by colour ---- */

static void spread(struct cpu_solver *s, struct spread how, const float *alpha)
{
    for (int side = FOREGROUND; side <= BACKGROUND; side++)
        cpu_spread_run(s->spread[side], how, s->picture, alpha, side);
}

/* How many of the nine pixels around are soft. */
static float softness(const struct cpu_solver *s, int x, int y)
{
    const int width = s->base.params.width, height = s->base.params.height;
    float soft = 0;
    for (int j = y > 0 ? y - 1 : 0; j <= cpu_within(y + 1, height); j++)
        for (int i = x > 0 ? x - 1 : 0; i <= cpu_within(x + 1, width); i++)
            soft += solve_soft(s->soft[(size_t)j * (size_t)width + (size_t)i]);
    return soft;
}

static void solve_edges(struct cpu_solver *s)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t n = (size_t)width * (size_t)height;
    memcpy(s->soft, s->alpha, n * sizeof *s->soft);
    spread(s, spread_for_alpha(), s->soft);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const size_t i = (size_t)y * (size_t)width + (size_t)x;
            const float soft = softness(s, x, y);
            if (soft == 0)
                continue;
            const struct tint front = cpu_spread_at(s->spread[FOREGROUND], x, y);
            const struct tint back = cpu_spread_at(s->spread[BACKGROUND], x, y);
            s->alpha[i] = solve_alpha(s->soft[i], cpu_color(s->picture, n, i), front, back,
                solve_trust(soft, front.weight, back.weight));
        }
}

static void solve_colors(struct cpu_solver *s)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t n = (size_t)width * (size_t)height;
    float *const leveled = s->soft;
    for (size_t i = 0; i < n; i++)
        leveled[i] = level_alpha(s->alpha[i]);
    spread(s, spread_for_color(), leveled);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const size_t i = (size_t)y * (size_t)width + (size_t)x;
            struct rgb c = cpu_color(s->picture, n, i);
            if (leveled[i] < 1)
                c = solve_foreground(leveled[i], c, cpu_spread_at(s->spread[FOREGROUND], x, y),
                    cpu_spread_at(s->spread[BACKGROUND], x, y));
            s->foreground[i] = c.r;
            s->foreground[n + i] = c.g;
            s->foreground[2 * n + i] = c.b;
        }
}

/* Back towards what it was before it was cleaned and its edges solved, as far as the network was in doubt. */
static void settle(struct cpu_solver *s, const float *before, float doubt)
{
    const size_t n = (size_t)s->base.params.width * (size_t)s->base.params.height;
    for (size_t i = 0; i < n; i++)
        s->alpha[i] = mix(s->alpha[i], before[i], doubt);
}

static struct raster raster_of(const struct cpu_solver *s, float *planes, int channels)
{
    const struct solver_params *p = &s->base.params;
    return (struct raster) {
        .data = planes, .width = p->width, .height = p->height, .channels = channels
    };
}

int cpu_solver_run(struct solver *solver, struct compositor_low *low, struct error *e)
{
    (void)e;
    struct cpu_solver *s = (struct cpu_solver *)solver;
    const struct solver_params *p = &s->base.params;
    const size_t n = (size_t)p->width * (size_t)p->height;
    const float *before = low->alpha.data;
    const struct weight weight = weigh(before, n);
    restore(s, low->input.data);
    if (p->refine & REFINE_CALM) {
        calm(s, before, weight.all);
        before = s->calm[s->now];
    } else {
        memcpy(s->alpha, before, n * sizeof *s->alpha);
    }
    if (p->refine & REFINE_CLEAN)
        cpu_clean_run(s->clean, s->alpha);
    if (p->refine & REFINE_EDGES)
        solve_edges(s);
    if (p->refine & (REFINE_CLEAN | REFINE_EDGES))
        settle(s, before, temporal_doubt(weight.doubt, weight.all));
    if (p->refine & REFINE_COLORS) {
        solve_colors(s);
        low->foreground = raster_of(s, s->foreground, 3);
    }
    low->alpha = raster_of(s, s->alpha, 1);
    return 0;
}

void cpu_solver_close(struct solver *solver)
{
    struct cpu_solver *s = (struct cpu_solver *)solver;
    free(s->picture);
    free(s->alpha);
    free(s->foreground);
    free(s->soft);
    free(s->moved);
    free(s->along);
    free(s->edged);
    cpu_clean_close(s->clean);
    cpu_motion_close(s->motion);
    for (int i = 0; i < 2; i++) {
        cpu_spread_close(s->spread[i]);
        free(s->softened[i]);
        free(s->calm[i]);
        free(s->frames[i]);
    }
    free(s);
}
