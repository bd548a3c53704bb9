/*
 * The solver's kernels: each step against a reference in double precision that is written from what the headers of
 * device/ say, a pixel at a time. That they are the CPU's to the bit is cuda_solver.c's to show.
 */
#include "device/cpu/clean.h"
#include "device/cpu/motion.h"
#include "device/cuda/kernels/calm.h"
#include "device/cuda/kernels/clean.h"
#include "device/cuda/kernels/motion.h"
#include "device/cuda/kernels/spread.h"
#include "kernel.h"

static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };

static const int sizes[][2] = { { 1, 1 }, { 5, 3 }, { 32, 32 }, { 61, 43 }, { 97, 70 },
    { 200, 33 } };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* A picture as the kernels see it, and as planes of R'G'B' that are the same to the bit. */
struct view {
    struct seen seen;
    uint16_t *halves;
    float *planes;
    int n;
};

/* Smooth shapes, moved by dx, dy, and noise. */
static struct view view_of(int width, int height, double dx, double dy, double noise)
{
    struct view v = { .n = width * height };
    v.halves = malloc((size_t)v.n * 4 * sizeof *v.halves);
    v.planes = malloc((size_t)v.n * 3 * sizeof *v.planes);
    v.seen = (struct seen) { .halves = v.halves, .width = width, .height = height };
    memcpy(v.seen.mean, mean, sizeof mean);
    memcpy(v.seen.std, std, sizeof std);
    for (int i = 0; i < v.n; i++)
        for (int c = 0; c < 4; c++) {
            const double x = i % width - dx, y = i / width - dy;
            const double value = .5 + .3 * sin(x * .23 + c) * cos(y * .31 - c) +
                                 .2 * (sin(x * .9) * sin(y * .7) > 0) + noise * (fraction() - .5);
            v.halves[i * 4 + c] = half_of((value - mean[c % 3]) / std[c % 3]);
            if (c < 3)
                v.planes[c * v.n + i] =
                    clamp_to(value_of(v.halves[i * 4 + c]) * std[c] + mean[c], 0, 1);
        }
    return v;
}

static void free_view(struct view *v)
{
    free(v->halves);
    free(v->planes);
}

static int nearest(int at, int size)
{
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

/* ---- motion ---- */

struct pyramid {
    struct motion_level level[MOTION_LEVELS];
};

static struct pyramid pyramid_of(int width, int height)
{
    struct pyramid p;
    for (int i = 0; i < MOTION_LEVELS; i++) {
        struct motion_level *l = &p.level[i];
        *l = (struct motion_level) { .width = width,
            .height = height,
            .across = (width + MOTION_BLOCK - 1) / MOTION_BLOCK,
            .down = (height + MOTION_BLOCK - 1) / MOTION_BLOCK };
        l->luma = malloc((size_t)(width * height));
        l->before = malloc((size_t)(width * height));
        l->vectors = malloc((size_t)(l->across * l->down) * sizeof *l->vectors);
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
    return p;
}

static void free_pyramid(struct pyramid *p)
{
    for (int i = 0; i < MOTION_LEVELS; i++) {
        free(p->level[i].luma);
        free((void *)p->level[i].before);
        free(p->level[i].vectors);
    }
}

static void see(struct pyramid *p, const struct seen *seen)
{
    struct motion_levels_params params = { .seen = *seen };
    for (int i = 0; i < MOTION_LEVELS; i++) {
        uint8_t *const luma = (uint8_t *)p->level[i].before;
        p->level[i].before = p->level[i].luma;
        p->level[i].luma = luma;
        params.level[i] = p->level[i];
    }
    RUN(motion_levels, &params);
}

static void match(struct pyramid *p)
{
    for (int i = MOTION_LEVELS - 1; i >= 0; i--) {
        struct motion_match_params params = { .level = p->level[i] };
        if (i < MOTION_LEVELS - 1)
            params.coarser = p->level[i + 1];
        RUN(motion_match, &params);
    }
}

/* The luma of a level, by its definition. */
static int luma_of(const struct view *v, int level, int x, int y)
{
    int width = v->seen.width, height = v->seen.height;
    if (!level) {
        const float *c = v->planes + y * width + x;
        return (int)(((double)c[0] + 2 * (double)c[v->n] + (double)c[2 * v->n]) * 255 / 4 + .5);
    }
    for (int i = 1; i < level; i++) {
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
    const int right = nearest(2 * x + 1, width), bottom = nearest(2 * y + 1, height);
    return (luma_of(v, level - 1, 2 * x, 2 * y) + luma_of(v, level - 1, right, 2 * y) +
               luma_of(v, level - 1, 2 * x, bottom) + luma_of(v, level - 1, right, bottom) + 2) /
           4;
}

static void motion_is_the_cpus(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        const int width = sizes[i][0], height = sizes[i][1];
        struct view first = view_of(width, height, 0, 0, .03);
        struct view second = view_of(width, height, 2 + i % 3, -1 - i, .03);
        struct pyramid p = pyramid_of(width, height);
        struct cpu_motion *cpu = cpu_motion_open(width, height);
        see(&p, &first.seen);
        cpu_motion_run(cpu, first.planes);
        for (int k = 0; k < MOTION_LEVELS; k++) {
            const struct motion_level *l = &p.level[k];
            int off = 0; /* a code that lies between two in one arithmetic and not in the other */
            for (int j = 0; j < l->width * l->height; j++)
                off += abs(l->luma[j] - luma_of(&first, k, j % l->width, j / l->width)) > k / 2;
            assert_true(off <= l->width * l->height / 500);
        }
        see(&p, &second.seen);
        cpu_motion_run(cpu, second.planes);
        match(&p);
        const struct motion_level *l = &p.level[0];
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                const struct vector v = l->vectors[y / MOTION_BLOCK * l->across + x / MOTION_BLOCK];
                const size_t from =
                    (size_t)(nearest(y + v.y, height) * width + nearest(x + v.x, width));
                if (from != cpu_motion_from(cpu, x, y) && !contracts())
                    fail_msg("%dx%d: %d, %d goes by %d, %d", width, height, x, y, v.x, v.y);
            }
        cpu_motion_close(cpu);
        free_pyramid(&p);
        free_view(&first);
        free_view(&second);
    }
}

/* ---- calm ---- */

struct past {
    struct view now, before;
    struct vector *vectors;
    int across;
};

static int came_from(const struct past *p, int x, int y)
{
    const struct vector v = p->vectors[y / MOTION_BLOCK * p->across + x / MOTION_BLOCK];
    const int width = p->now.seen.width;
    return nearest(y + v.y, p->now.seen.height) * width + nearest(x + v.x, width);
}

/* The sum of a channel over the 3x3 pixels around i. */
static double softened(const struct view *v, int channel, int i)
{
    const int width = v->seen.width, height = v->seen.height;
    double sum = 0;
    for (int k = 0; k < 9; k++)
        sum += (double)v->planes[channel * v->n + nearest(i / width + k / 3 - 1, height) * width +
                                 nearest(i % width + k % 3 - 1, width)];
    return sum;
}

static double difference(const struct past *p, int x, int y)
{
    const int width = p->now.seen.width, from = came_from(p, x, y);
    double most = 0;
    for (int c = 0; c < 3; c++)
        most =
            fmax(most, fabs(softened(&p->now, c, y * width + x) - softened(&p->before, c, from)));
    return most / 9;
}

static double sureness(double alpha)
{
    return pow(2 * alpha - 1, 2) + .6;
}

/* How much of its past a pixel keeps that differs so much from it, where all alpha has become so much of what it was. */
static double kept(double rise, double growth)
{
    const double shift = fmin(fmax(fabs(growth) / .05 - 1, 0), 1);
    if (growth > 0)
        return 1 - shift * fmin(fmax(rise / .2, 0), 1);
    return rise < 0 ? 1 - shift * fmin(fmax((rise + .5) / .2, 0), 1) : 1;
}

static void alpha_is_calmed(void **state)
{
    (void)state;
    static const double share[3] = { .6, 1, .93 }; /* of what alpha is now, as it was before */
    for (int i = 0; i < SIZES; i++) {
        const int width = sizes[i][0], height = sizes[i][1], n = width * height;
        struct past p = { .now = view_of(width, height, 0, 0, .05),
            .before = view_of(width, height, 1, 0, .05),
            .across = (width + MOTION_BLOCK - 1) / MOTION_BLOCK };
        const int blocks = p.across * ((height + MOTION_BLOCK - 1) / MOTION_BLOCK);
        const int step = 1 + i % 3;
        p.vectors = malloc((size_t)blocks * sizeof *p.vectors);
        for (int k = 0; k < blocks; k++)
            p.vectors[k] =
                (struct vector) { (short)(random_below(5) - 2), (short)(random_below(5) - 2) };
        uint16_t *alpha = random_halves((size_t)(n * step), 0, 1),
                 *out = random_halves((size_t)n, 0, 1), *still = random_halves((size_t)n, 0, 9);
        struct calm *before = malloc((size_t)n * sizeof *before),
                    *now = malloc((size_t)n * sizeof *now);
        for (int k = 0; k < n; k++)
            before[k] =
                (struct calm) { (float)(share[i % 3] * fraction()), (float)(1 + 4 * fraction()) };
        double weights[2] = { 0, 0 }, doubts = 0;
        for (int k = 0; k < n; k++) {
            const double a = value_of(alpha[k * step]);
            weights[0] += a;
            doubts += fmin(a, 1 - a);
            weights[1] += (double)before[k].alpha;
        }
        struct calm_soften_params soft[2] = {
            { p.now.seen, malloc((size_t)n * 4 * sizeof(float)) },
            { p.before.seen, malloc((size_t)n * 4 * sizeof(float)) },
        };
        RUN(calm_soften, &soft[0]);
        RUN(calm_soften, &soft[1]);
        for (int k = 0; k < n; k++)
            for (int c = 0; c < 3; c++)
                assert_float_equal(soft[0].softened[k * 4 + c], softened(&p.now, c, k), 1e-5);
        struct calm_sums sums = { 0, 0, 0 };
        struct calm_weigh_params weigh = { width, height, alpha, step, before, &sums };
        RUN(calm_weigh, &weigh);
        assert_float_equal((double)sums.now, 255 * weights[0], .5 * n);
        assert_float_equal((double)sums.doubt, 255 * doubts, .5 * n);
        assert_float_equal((double)sums.before, 255 * weights[1], .5 * n);
        const double growth = ((double)sums.now - (double)sums.before) / ((double)sums.before + 1);
        struct calm_step_params params = { width, height, alpha, step, soft[0].softened,
            soft[1].softened, p.vectors, p.across, &sums, before, now, out, still };
        RUN(calm_step, &params);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                const int at = y * width + x;
                const struct calm was = before[came_from(&p, x, y)];
                const double a = value_of(alpha[at * step]);
                double moved = 0;
                for (int k = 0; k < 25; k++)
                    moved += difference(
                        &p, nearest(x + k % 5 - 2, width), nearest(y + k / 5 - 2, height));
                const double past = (double)was.frames *
                                    (1 - fmin(moved / 25 / (double)TEMPORAL_MOTION, 1)) *
                                    kept(a - (double)was.alpha, growth);
                const double weight = past * sureness((double)was.alpha) / sureness(a);
                const double want = (a + weight * (double)was.alpha) / (1 + weight);
                assert_float_equal(now[at].alpha, want, 2e-4);
                assert_float_equal(now[at].frames, fmin(1 + past, TEMPORAL_FRAMES), 2e-3);
                assert_int_equal(out[at], half_of((double)now[at].alpha));
                const int own = came_from(&p, x, y) == at && now[at].frames > 3;
                assert_int_equal(still[at], half_of(own ? (double)now[at].frames - 3 : 0));
            }
        for (int k = 0; k < 3; k++) { /* in no doubt, in some, in nothing else */
            static const double left[3] = { 1, .5, 0 };
            struct calm_sums doubted = { 100000, (unsigned long long[]) { 20000, 24000, 28000 }[k],
                0 };
            float *made = malloc((size_t)n * sizeof *made);
            for (int j = 0; j < n; j++)
                made[j] = 1 - now[j].alpha;
            struct calm_settle_params settle = { width, height, &doubted, now, made, out };
            RUN(calm_settle, &settle);
            for (int j = 0; j < n; j++) {
                const double was = (double)now[j].alpha;
                assert_float_equal(made[j], was + left[k] * (1 - 2 * was), 1e-3);
                assert_int_equal(out[j], half_of((double)made[j]));
            }
            free(made);
        }
        params.softened_before = NULL; /* a first frame */
        params.out = NULL;
        RUN(calm_step, &params);
        for (int k = 0; k < n; k++) {
            assert_float_equal(now[k].alpha, value_of(alpha[k * step]), 0);
            assert_float_equal(now[k].frames, 1, 0);
            assert_int_equal(still[k], 0);
        }
        free(still);
        free(soft[0].softened);
        free(soft[1].softened);
        free(alpha);
        free(out);
        free(before);
        free(now);
        free(p.vectors);
        free_view(&p.now);
        free_view(&p.before);
    }
}

/* ---- clean ---- */

/* Blobs that come and go, a ring whose hole is not quite meant, and noise. */
static void blobs(float *alpha, int width, int height, int frame)
{
    for (int i = 0; i < width * height; i++) {
        const double x = i % width / (double)width, y = i / width / (double)height;
        const double ring = fabs(hypot(x - .4, y - .5) - .25) < .1,
                     inside = hypot(x - .4, y - .5) < .2;
        const double wave = sin(x * 29 + frame) * sin(y * 23 - frame) > .9;
        alpha[i] = (float)clip((ring        ? 1
                                   : inside ? .4 + .1 * frame
                                   : wave   ? .8
                                            : 0) +
                                   .1 * (fraction() - .5),
            0, 1);
    }
}

/* All of it is decided in integers: it is the CPU's, to the bit. */
static void clean_is_the_cpus(void **state)
{
    (void)state;
    for (int i = 1; i < SIZES; i += 2) {
        const int width = sizes[i][0], height = sizes[i][1], n = width * height;
        struct cpu_clean *cpu = cpu_clean_open(width, height);
        const struct clean_grid grid = clean_grid(width, height);
        struct clean_cell *cell = malloc((size_t)(grid.across * grid.down) * sizeof *cell);
        struct clean_state *kept = malloc((size_t)(grid.across * grid.down) * sizeof *kept);
        float *alpha = malloc((size_t)n * sizeof *alpha),
              *cleaned = malloc((size_t)n * sizeof *cleaned);
        uint16_t *out = malloc((size_t)n * sizeof *out);
        int changed = 0;
        for (int frame = 0; frame < 4; frame++) {
            blobs(alpha, width, height, frame);
            struct clean_measure_params measure = { grid, alpha, 1, cell };
            struct clean_decide_params decide = { grid, cell, kept, frame > 0 };
            struct clean_apply_params apply = { grid, kept, alpha, 1, cleaned, out };
            RUN(clean_measure, &measure);
            RUN(clean_decide, &decide);
            RUN(clean_apply, &apply);
            for (int k = 0; k < n; k++)
                changed += cleaned[k] != alpha[k];
            cpu_clean_run(cpu, alpha);
            for (int k = 0; k < n; k++) {
                assert_float_equal(cleaned[k], alpha[k], contracts() ? 1e-6 : 0);
                assert_int_equal(out[k], half_of((double)cleaned[k]));
            }
        }
        assert_true(changed || n < 1000);
        cpu_clean_close(cpu);
        free(cell);
        free(kept);
        free(alpha);
        free(cleaned);
        free(out);
    }
}

/* ---- spread colours ---- */

static struct spread_pyramid levels_of(int width, int height)
{
    struct spread_pyramid p = { .count = 0 };
    do {
        struct spread_level *l = &p.level[p.count++];
        l->width = width = (width + 1) / 2;
        l->height = height = (height + 1) / 2;
        for (int side = 0; side < SPREAD_SIDES; side++)
            l->at[side] =
                aligned_alloc(sizeof(struct tint), (size_t)(width * height) * sizeof(struct tint));
    } while (width > 1 || height > 1);
    return p;
}

static void free_levels(struct spread_pyramid *p)
{
    for (int i = 0; i < p->count; i++)
        for (int side = 0; side < SPREAD_SIDES; side++)
            free(p->level[i].at[side]);
}

static double level(double alpha)
{
    return alpha > .02 ? alpha < .98 ? alpha : 1 : 0;
}

struct colors {
    const struct view *view;
    const float *alpha;
    int leveled;
    struct spread how;
    double *up[2][SPREAD_LEVELS + 1][4], *down[2][SPREAD_LEVELS + 1][4]; /* R, G, B, weight */
    int width[SPREAD_LEVELS + 1], height[SPREAD_LEVELS + 1], count;
};

static double alpha_of(const struct colors *c, int i)
{
    return c->leveled ? level((double)c->alpha[i]) : (double)c->alpha[i];
}

/* Level after level, as solve_math.h says in words. */
static void spread(struct colors *c)
{
    int w = c->view->seen.width, h = c->view->seen.height;
    for (c->count = 0;; c->count++) {
        const int k = c->count;
        c->width[k] = w;
        c->height[k] = h;
        for (int side = 0; side < 2; side++)
            for (int j = 0; j < 4; j++) {
                c->up[side][k][j] = calloc((size_t)(w * h), sizeof(double));
                c->down[side][k][j] = calloc((size_t)(w * h), sizeof(double));
            }
        for (int i = 0; i < w * h; i++)
            for (int side = 0; side < 2; side++) {
                double sum[4] = { 0 };
                if (!k) {
                    const double a = alpha_of(c, i);
                    sum[3] = pow(side ? 1 - a : a, pow(2, c->how.squarings));
                    for (int j = 0; j < 3; j++)
                        sum[j] = sum[3] * (double)c->view->planes[j * c->view->n + i];
                }
                for (int q = 0; k && q < 4; q++) {
                    const int x = 2 * (i % w) + q % 2, y = 2 * (i / w) + q / 2;
                    for (int j = 0; j < 4; j++)
                        if (x < c->width[k - 1] && y < c->height[k - 1])
                            sum[j] += c->up[side][k - 1][j][y * c->width[k - 1] + x];
                }
                for (int j = 0; j < 4; j++)
                    c->up[side][k][j][i] = sum[j] / (k ? fmax(1, sum[3]) : 1);
            }
        if (w == 1 && h == 1 && k)
            break;
        w = (w + 1) / 2;
        h = (h + 1) / 2;
    }
    for (int k = c->count; k >= 0; k--)
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < c->width[k] * c->height[k]; i++) {
                const double weight = c->up[side][k][3][i];
                const double known = k == c->count ? 1 : fmin(1, weight / (double)c->how.known);
                const int x = i % c->width[k], y = i / c->width[k];
                for (int j = 0; j < 4; j++) {
                    double own =
                        j == 3 ? k == c->count ? weight : 1
                               : c->up[side][k][j][i] / (weight + (k == c->count ? 1e-6 : 1e-9));
                    double far = 0;
                    for (int q = 0; k < c->count && q < 4; q++) {
                        const int fx =
                            q % 2 ? nearest(x / 2 + (x % 2 ? 1 : -1), c->width[k + 1]) : x / 2;
                        const int fy =
                            q / 2 ? nearest(y / 2 + (y % 2 ? 1 : -1), c->height[k + 1]) : y / 2;
                        far += (q % 2 ? 1 : 3) * (q / 2 ? 1 : 3) / 16. *
                               c->down[side][k + 1][j][fy * c->width[k + 1] + fx];
                    }
                    c->down[side][k][j][i] = known * own + (1 - known) * far * (j == 3 ? .5 : 1);
                }
            }
}

static void free_colors(struct colors *c)
{
    for (int k = 0; k <= c->count; k++)
        for (int i = 0; i < 8; i++) {
            free(c->up[i / 4][k][i % 4]);
            free(c->down[i / 4][k][i % 4]);
        }
}

static double solved_alpha(const struct colors *c, int x, int y)
{
    const int w = c->view->seen.width, h = c->view->seen.height, at = y * w + x;
    double span = 0, along = 0, off = 0, soft = 0;
    const double a = alpha_of(c, at);
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++)
            if (i >= 0 && j >= 0 && i < w && j < h) {
                const double b = alpha_of(c, j * w + i);
                soft += clip(fmin(b, 1 - b) * 25 - .75, 0, 1);
            }
    for (int j = 0; j < 3; j++) {
        const double f = c->down[0][0][j][at], b = c->down[1][0][j][at];
        span += pow(f - b, 2);
        along += ((double)c->view->planes[j * c->view->n + at] - b) * (f - b);
    }
    const double told = clip(along / (span + 1e-6), 0, 1);
    for (int j = 0; j < 3; j++) {
        const double f = c->down[0][0][j][at], b = c->down[1][0][j][at];
        off += pow((double)c->view->planes[j * c->view->n + at] - b - told * (f - b), 2) / .02;
    }
    const double known = fmin(c->down[0][0][3][at], c->down[1][0][3][at]);
    const double trust = clip(soft / 4, 0, 1) * clip(known * 32, 0, 1);
    return a + (told - a) * trust * span / (span + .2) / (1 + off + .5 * off * off);
}

static double solved_color(const struct colors *c, int channel, int at)
{
    const double f = c->down[0][0][channel][at], b = c->down[1][0][channel][at];
    const double a = alpha_of(c, at), color = (double)c->view->planes[channel * c->view->n + at];
    return a < 1 ? clip(f + a * (color - a * f - (1 - a) * b), 0, 1) : color;
}

/* A soft disc, and what is sure beside it. */
static float *disc(int width, int height, int step)
{
    float *alpha = malloc((size_t)(width * height * step) * sizeof *alpha);
    for (int i = 0; i < width * height * step; i++) {
        const double x = i / step % width - .5 * width, y = i / step / width - .4 * height;
        alpha[i] = (float)clip(.5 - (hypot(x, y) - .3 * height) / 8 + .2 * (fraction() - .5), 0, 1);
    }
    return alpha;
}

static void colours_are_spread(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * SIZES; i++) {
        const int width = sizes[i / 2][0], height = sizes[i / 2][1], n = width * height;
        const int solves = i & 1, step = solves ? 1 : 2;
        struct view v = view_of(width, height, 0, 0, .1);
        float *alphas = disc(width, height, step), *alpha = malloc((size_t)n * sizeof *alpha);
        for (int k = 0; k < n; k++)
            alpha[k] = alphas[k * step];
        struct spread_source from = { v.seen, { alphas, step }, solves,
            solves ? spread_for_color() : spread_for_alpha() };
        struct spread_pyramid pyramid = levels_of(width, height);
        struct spread_push_params push = { from, pyramid };
        struct spread_turn_params turn = { from.how, pyramid };
        struct colors c = { .view = &v, .alpha = alpha, .leveled = solves, .how = from.how };
        float *solved = malloc((size_t)n * sizeof *solved);
        uint16_t *out = malloc((size_t)n * 4 * sizeof *out);
        RUN(spread_push, &push);
        RUN(spread_turn, &turn);
        spread(&c);
        if (solves) {
            struct spread_color_params p = { from, pyramid, out };
            RUN(spread_color, &p);
            for (int k = 0; k < 3 * n; k++)
                assert_float_equal(
                    value_of(out[k % n * 4 + k / n]), solved_color(&c, k / n, k % n), 2e-3);
        } else {
            struct spread_alpha_params p = { from, pyramid, solved, out };
            RUN(spread_alpha, &p);
            for (int k = 0; k < n; k++) {
                assert_float_equal(solved[k], solved_alpha(&c, k % width, k / width), 1e-3);
                assert_int_equal(out[k], half_of((double)solved[k]));
            }
        }
        free_colors(&c);
        free_levels(&pyramid);
        free(alphas);
        free(alpha);
        free(solved);
        free(out);
        free_view(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(motion_is_the_cpus),
        cmocka_unit_test(alpha_is_calmed),
        cmocka_unit_test(clean_is_the_cpus),
        cmocka_unit_test(colours_are_spread),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
