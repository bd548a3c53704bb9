/*
 * The solver's planes are of the network's size. A sample is four floats, a colour times a weight and the weight, so that
 * a window's mean colour is one running sum; sums run down the columns, a row of them at a time, and then along the row.
 */
#include "../solve_math.h"
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

/* R, G, B times the weight, the weight: sums or means of them. */
typedef float sample __attribute__((vector_size(16)));

enum { R, G, B, WEIGHT };

/* Weighted means around every pixel: in a window, and in a wider one of a picture made smaller. */
struct means {
    sample *narrow, *wide;
};

struct cpu_solver {
    struct solver base;
    int small_width, small_height; /* of wide means */
    float *alpha, *before;         /* of this frame and of the one before */
    float *picture, *seen;         /* R, G, B planes likewise */
    float *motion;
    float *foreground;
    int past; /* before and seen hold a frame */
    sample *samples, *small, *sums;
    struct means of[2];
};

enum { FOREGROUND, BACKGROUND };

static int allocate(struct cpu_solver *s)
{
    const size_t n = (size_t)s->base.params.width * (size_t)s->base.params.height;
    const size_t small = (size_t)s->small_width * (size_t)s->small_height;
    s->alpha = malloc(n * sizeof *s->alpha);
    s->before = malloc(n * sizeof *s->before);
    s->picture = malloc(3 * n * sizeof *s->picture);
    s->seen = malloc(3 * n * sizeof *s->seen);
    s->motion = malloc(2 * n * sizeof *s->motion);
    s->foreground = malloc(3 * n * sizeof *s->foreground);
    s->samples = aligned_alloc(sizeof(sample), n * sizeof(sample));
    s->small = aligned_alloc(sizeof(sample), small * sizeof(sample));
    s->sums = aligned_alloc(sizeof(sample), (size_t)s->base.params.width * sizeof(sample));
    int failed = !s->alpha || !s->before || !s->picture || !s->seen || !s->motion ||
                 !s->foreground || !s->samples || !s->small || !s->sums;
    for (int i = 0; i < 2; i++) {
        s->of[i].narrow = aligned_alloc(sizeof(sample), n * sizeof(sample));
        s->of[i].wide = aligned_alloc(sizeof(sample), small * sizeof(sample));
        failed |= !s->of[i].narrow || !s->of[i].wide;
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
    s->small_width = (p->width + SOLVE_WIDER - 1) / SOLVE_WIDER;
    s->small_height = (p->height + SOLVE_WIDER - 1) / SOLVE_WIDER;
    if (!allocate(s))
        return &s->base;
    cpu_solver_close(&s->base);
    return NULL;
}

/* ---- windows ---- */

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

/* Means over windows of the whole size, to whose sums what lies outside the picture adds nothing. */
static void window_means(sample *restrict to, const sample *restrict from, sample *restrict sums,
    int width, int height, int radius)
{
    const float each = 1 / (float)((2 * radius + 1) * (2 * radius + 1));
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int y = 0; y < at_most(radius, height); y++)
        for (int x = 0; x < width; x++)
            sums[x] += from[(size_t)y * (size_t)width + (size_t)x];
    for (int y = 0; y < height; y++) {
        const sample *in = y + radius < height ? from + (size_t)(y + radius) * (size_t)width : NULL;
        const sample *out = y > radius ? from + (size_t)(y - radius - 1) * (size_t)width : NULL;
        for (int x = 0; in && x < width; x++)
            sums[x] += in[x];
        for (int x = 0; out && x < width; x++)
            sums[x] -= out[x];
        sample sum = { 0 };
        for (int x = 0; x < at_most(radius, width); x++)
            sum += sums[x];
        sample *row = to + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            if (x + radius < width)
                sum += sums[x + radius];
            if (x > radius)
                sum -= sums[x - radius - 1];
            row[x] = sum * each;
        }
    }
}

/* Means of SOLVE_WIDER x SOLVE_WIDER samples; what lies outside is nothing. */
static void shrink(const struct cpu_solver *s, sample *restrict to, const sample *restrict from)
{
    const int width = s->base.params.width, height = s->base.params.height;
    memset(to, 0, (size_t)s->small_width * (size_t)s->small_height * sizeof *to);
    for (int y = 0; y < height; y++) {
        sample *row = to + (size_t)(y / SOLVE_WIDER) * (size_t)s->small_width;
        for (int x = 0; x < width; x++)
            row[x / SOLVE_WIDER] += from[(size_t)y * (size_t)width + (size_t)x];
    }
    for (size_t i = 0; i < (size_t)s->small_width * (size_t)s->small_height; i++)
        to[i] *= 1.f / (SOLVE_WIDER * SOLVE_WIDER);
}

static void means_of(struct cpu_solver *s, struct means *m, int radius)
{
    const struct solver_params *p = &s->base.params;
    window_means(m->narrow, s->samples, s->sums, p->width, p->height, radius);
    shrink(s, s->small, s->samples);
    window_means(m->wide, s->small, s->sums, s->small_width, s->small_height, radius);
}

/* The mean colour at a pixel; *found: how much of it there is, as a mean weight of the wide window. */
static struct rgb mean_color(
    const struct cpu_solver *s, const struct means *m, int x, int y, float *found)
{
    const sample wide =
        m->wide[(size_t)(y / SOLVE_WIDER) * (size_t)s->small_width + (size_t)(x / SOLVE_WIDER)];
    sample c = m->narrow[(size_t)y * (size_t)s->base.params.width + (size_t)x];
    *found = wide[WEIGHT] > 0 ? wide[WEIGHT] : 0;
    c += wide * (SOLVE_WIDE / (*found + 1e-6f));
    const float weight = 1 / (c[WEIGHT] + 1e-9f);
    return (struct rgb) { c[R] * weight, c[G] * weight, c[B] * weight };
}

/* Pixel i of a picture of the network's size. */
static struct rgb color_of(const struct cpu_solver *s, const float *picture, size_t i)
{
    const size_t n = (size_t)s->base.params.width * (size_t)s->base.params.height;
    return (struct rgb) { picture[i], picture[n + i], picture[2 * n + i] };
}

static void take_samples(struct cpu_solver *s, size_t i, float weight)
{
    const struct rgb c = color_of(s, s->picture, i);
    s->samples[i] = (sample) { c.r, c.g, c.b, 1 } * weight;
}

/* ---- steps ---- */

/* What the network saw, as R'G'B'; the last picture becomes the one that was seen before. */
static void restore(struct cpu_solver *s, const float *input)
{
    const struct solver_params p = s->base.params;
    const size_t n = (size_t)p.width * (size_t)p.height;
    float *const last = s->picture;
    s->picture = s->seen;
    s->seen = last;
    for (int c = 0; c < 3; c++) {
        float *restrict to = s->picture + (size_t)c * n;
        const float *restrict from = input + (size_t)c * n;
        for (size_t i = 0; i < n; i++)
            to[i] = clamp_to(from[i] * p.std[c] + p.mean[c], 0, 1);
    }
}

/* Means over 5x5 pixels of how much the picture has changed, edges repeated. */
static void measure_motion(struct cpu_solver *s)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t n = (size_t)width * (size_t)height;
    float *restrict along = s->motion + n, *restrict motion = s->motion;
    for (size_t i = 0; i < n; i++)
        motion[i] = difference(color_of(s, s->picture, i), color_of(s, s->seen, i));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            float sum = 0;
            for (int k = -TEMPORAL_RADIUS; k <= TEMPORAL_RADIUS; k++) {
                int from = x + k < 0 ? 0 : at_most(x + k, width - 1);
                sum += motion[(size_t)y * (size_t)width + (size_t)from];
            }
            along[(size_t)y * (size_t)width + (size_t)x] = sum;
        }
    memset(motion, 0, n * sizeof *motion);
    const float each = 1.f / ((2 * TEMPORAL_RADIUS + 1) * (2 * TEMPORAL_RADIUS + 1));
    for (int y = 0; y < height; y++)
        for (int k = -TEMPORAL_RADIUS; k <= TEMPORAL_RADIUS; k++) {
            int from = y + k < 0 ? 0 : at_most(y + k, height - 1);
            for (int x = 0; x < width; x++)
                motion[(size_t)y * (size_t)width + (size_t)x] +=
                    along[(size_t)from * (size_t)width + (size_t)x] * each;
        }
}

/* s->alpha: the network's, and where nothing moves what it was. */
static void calm(struct cpu_solver *s, const float *alpha)
{
    const size_t n = (size_t)s->base.params.width * (size_t)s->base.params.height;
    if (s->past) {
        measure_motion(s);
        for (size_t i = 0; i < n; i++)
            s->alpha[i] = calm_alpha(alpha[i], s->before[i], s->motion[i]);
    } else {
        memcpy(s->alpha, alpha, n * sizeof *alpha);
    }
    memcpy(s->before, s->alpha, n * sizeof *s->alpha);
    s->past = 1;
}

/* Of nine pixels, how many are soft: four and more are an edge. */
static float softness(const struct cpu_solver *s, const float *alpha, int x, int y)
{
    const int width = s->base.params.width, height = s->base.params.height;
    int soft = 0;
    for (int j = y > 0 ? y - 1 : 0; j <= at_most(y + 1, height - 1); j++)
        for (int i = x > 0 ? x - 1 : 0; i <= at_most(x + 1, width - 1); i++)
            soft += solve_soft(alpha[(size_t)j * (size_t)width + (size_t)i]);
    return at_most(soft, 4) / 4.f;
}

static void solve_edges(struct cpu_solver *s)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t n = (size_t)width * (size_t)height;
    float *const soft = s->motion; /* alpha as it was; motion is not needed any more */
    memcpy(soft, s->alpha, n * sizeof *soft);
    for (int side = FOREGROUND; side <= BACKGROUND; side++) {
        for (size_t i = 0; i < n; i++)
            take_samples(s, i, solve_sure(side == FOREGROUND ? soft[i] : 1 - soft[i]));
        means_of(s, &s->of[side], SOLVE_ALPHA_RADIUS);
    }
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const size_t i = (size_t)y * (size_t)width + (size_t)x;
            float trust = softness(s, soft, x, y), front, back;
            if (trust == 0)
                continue;
            struct rgb foreground = mean_color(s, &s->of[FOREGROUND], x, y, &front);
            struct rgb background = mean_color(s, &s->of[BACKGROUND], x, y, &back);
            /* two hundredths of the wide window are enough to know a colour by */
            trust *= clamp_to(50 * (front < back ? front : back), 0, 1);
            s->alpha[i] =
                solve_alpha(soft[i], color_of(s, s->picture, i), foreground, background, trust);
        }
}

static void solve_colors(struct cpu_solver *s)
{
    const int width = s->base.params.width, height = s->base.params.height;
    const size_t n = (size_t)width * (size_t)height;
    float found;
    for (int side = FOREGROUND; side <= BACKGROUND; side++) {
        for (size_t i = 0; i < n; i++)
            take_samples(s, i, side == FOREGROUND ? s->alpha[i] : 1 - s->alpha[i]);
        means_of(s, &s->of[side], SOLVE_COLOR_RADIUS);
    }
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const size_t i = (size_t)y * (size_t)width + (size_t)x;
            const float alpha = s->alpha[i];
            struct rgb c = color_of(s, s->picture, i);
            if (alpha > 0 && alpha < 1) {
                struct rgb f = mean_color(s, &s->of[FOREGROUND], x, y, &found);
                struct rgb b = mean_color(s, &s->of[BACKGROUND], x, y, &found);
                c.r = solve_foreground(alpha, c.r, f.r, b.r);
                c.g = solve_foreground(alpha, c.g, f.g, b.g);
                c.b = solve_foreground(alpha, c.b, f.b, b.b);
            }
            s->foreground[i] = c.r;
            s->foreground[n + i] = c.g;
            s->foreground[2 * n + i] = c.b;
        }
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
    restore(s, low->input.data);
    if (p->refine & REFINE_CALM)
        calm(s, low->alpha.data);
    else
        memcpy(s->alpha, low->alpha.data, n * sizeof *s->alpha);
    if (p->refine & REFINE_EDGES)
        solve_edges(s);
    if (p->refine & REFINE_COLORS && !low->foreground.data) {
        solve_colors(s);
        low->foreground = raster_of(s, s->foreground, 3);
    }
    low->alpha = raster_of(s, s->alpha, 1);
    return 0;
}

void cpu_solver_close(struct solver *solver)
{
    struct cpu_solver *s = (struct cpu_solver *)solver;
    free(s->alpha);
    free(s->before);
    free(s->picture);
    free(s->seen);
    free(s->motion);
    free(s->foreground);
    free(s->samples);
    free(s->small);
    free(s->sums);
    for (int i = 0; i < 2; i++) {
        free(s->of[i].narrow);
        free(s->of[i].wide);
    }
    free(s);
}
