/* fill_math.h over a pyramid of byte planes that is made anew for every picture. */
#include "../fill_math.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"

enum { LEVELS = 16, WEIGHT = 3, PLANES }; /* planes of a level: FRAME_Y, FRAME_U, FRAME_V, WEIGHT */

/* Rows have an even stride, so that blocks of 2x2 can be read everywhere; what is beyond the width has no weight. */
struct level {
    int width, height, stride;
    uint8_t *plane[PLANES];
};

struct cpu_fill {
    int count;
    struct level level[LEVELS]; /* [0] is level 1 */
    uint8_t *weight[2], *none;  /* of two rows of the picture, and of a row that is not there */
    uint16_t *down;             /* fill_down() of a row, one more at each side */
    uint8_t *across;            /* a row of what unknown pixels would be */
};

static uint8_t *level_row(const struct level *l, int plane, int y)
{
    return l->plane[plane] + (ptrdiff_t)y * l->stride;
}

static int level_open(struct level *l, int width, int height)
{
    l->width = width;
    l->height = height;
    l->stride = width + (width & 1);
    size_t size = (size_t)l->stride * (size_t)height;
    l->plane[0] = calloc(PLANES, size);
    for (int i = 1; l->plane[0] && i < PLANES; i++)
        l->plane[i] = l->plane[0] + (size_t)i * size;
    return l->plane[0] ? 0 : -1;
}

struct cpu_fill *cpu_fill_open(int width, int height)
{
    struct cpu_fill *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    size_t row = (size_t)width + 3;
    f->weight[0] = calloc(row, 1);
    f->weight[1] = calloc(row, 1);
    f->none = calloc(row, 1);
    f->down = calloc(row, sizeof *f->down);
    f->across = calloc(row, 1);
    int failed = !f->weight[0] || !f->weight[1] || !f->none || !f->down || !f->across;
    do {
        width = (width + 1) / 2;
        height = (height + 1) / 2;
        failed |= level_open(&f->level[f->count++], width, height);
    } while (!failed && (width > 1 || height > 1));
    if (!failed)
        return f;
    cpu_fill_close(f);
    return NULL;
}

/* ---- finer to coarser: n blocks of two rows ---- */

static void mean_row(uint8_t *restrict to, const uint8_t *upper, const uint8_t *lower,
    const uint8_t *upper_weight, const uint8_t *lower_weight, int n)
{
    for (int i = 0; i < n; i++) {
        unsigned a = upper_weight[2 * i], b = upper_weight[2 * i + 1];
        unsigned c = lower_weight[2 * i], d = lower_weight[2 * i + 1];
        unsigned sum =
            a * upper[2 * i] + b * upper[2 * i + 1] + c * lower[2 * i] + d * lower[2 * i + 1];
        to[i] = fill_mean(sum, a + b + c + d);
    }
}

static void coarser_weights(
    uint8_t *restrict to, const uint8_t *upper_weight, const uint8_t *lower_weight, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = fill_coarser_weight((unsigned)upper_weight[2 * i] + upper_weight[2 * i + 1] +
                                    lower_weight[2 * i] + lower_weight[2 * i + 1]);
}

static void weigh(uint8_t *restrict to, const uint8_t *restrict alpha, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = (uint8_t)fill_weight(alpha[i]);
}

static void first_level(struct cpu_fill *f, const struct frame *p)
{
    struct level *l = &f->level[0];
    for (int y = 0; y < l->height; y++) {
        int last = 2 * y + 1 == p->height;
        const uint8_t *upper = frame_row(p, FRAME_Y, 2 * y);
        const uint8_t *lower = last ? upper : frame_row(p, FRAME_Y, 2 * y + 1);
        const uint8_t *lower_weight = last ? f->none : f->weight[1];
        weigh(f->weight[0], frame_row(p, FRAME_A, 2 * y), p->width);
        if (!last)
            weigh(f->weight[1], frame_row(p, FRAME_A, 2 * y + 1), p->width);
        mean_row(level_row(l, FRAME_Y, y), upper, lower, f->weight[0], lower_weight, l->width);
        coarser_weights(level_row(l, WEIGHT, y), f->weight[0], lower_weight, l->width);
        for (int i = FRAME_U; i <= FRAME_V; i++)
            memcpy(level_row(l, i, y), frame_row(p, i, y), (size_t)l->width);
    }
}

static void next_level(struct cpu_fill *f, const struct level *fine, struct level *l)
{
    for (int y = 0; y < l->height; y++) {
        int last = 2 * y + 1 == fine->height, below = last ? 2 * y : 2 * y + 1;
        const uint8_t *upper_weight = level_row(fine, WEIGHT, 2 * y);
        const uint8_t *lower_weight = last ? f->none : level_row(fine, WEIGHT, below);
        for (int i = FRAME_Y; i <= FRAME_V; i++)
            mean_row(level_row(l, i, y), level_row(fine, i, 2 * y), level_row(fine, i, below),
                upper_weight, lower_weight, l->width);
        coarser_weights(level_row(l, WEIGHT, y), upper_weight, lower_weight, l->width);
    }
}

/* ---- coarser to finer ---- */

/* Row y of the finer level, as a plane of the coarser one has it, into f->across. */
static void across_row(struct cpu_fill *f, const struct level *coarse, int plane, int y)
{
    int n = coarse->width, side = y & 1 ? y / 2 + 1 : y / 2 - 1;
    side = side < 0 ? 0 : side < coarse->height ? side : coarse->height - 1;
    const uint8_t *near = level_row(coarse, plane, y / 2), *far = level_row(coarse, plane, side);
    uint16_t *restrict down = f->down + 1;
    uint8_t *restrict across = f->across;
    for (int i = 0; i < n; i++)
        down[i] = (uint16_t)fill_down(near[i], far[i]);
    down[-1] = down[0];
    down[n] = down[n - 1];
    for (int i = 0; i < n; i++) {
        across[2 * i] = fill_across(down[i], down[i - 1]);
        across[2 * i + 1] = fill_across(down[i], down[i + 1]);
    }
}

/* Where known is 0. */
static void fill_row(
    uint8_t *restrict to, const uint8_t *restrict with, const uint8_t *restrict known, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = known[i] ? to[i] : with[i];
}

static void fill_level(struct cpu_fill *f, const struct level *coarse, struct level *l)
{
    for (int y = 0; y < l->height; y++)
        for (int i = FRAME_Y; i <= FRAME_V; i++) {
            across_row(f, coarse, i, y);
            fill_row(level_row(l, i, y), f->across, level_row(l, WEIGHT, y), l->width);
        }
}

static void fill_picture(struct cpu_fill *f, struct frame *p)
{
    const struct level *l = &f->level[0];
    for (int y = 0; y < p->height; y++) {
        across_row(f, l, FRAME_Y, y);
        fill_row(frame_row(p, FRAME_Y, y), f->across, frame_row(p, FRAME_A, y), p->width);
    }
    for (int y = 0; y < l->height; y++) {
        /* a chroma sample is filled where nothing of it is seen */
        const uint8_t *upper = frame_row(p, FRAME_A, 2 * y);
        const uint8_t *lower = 2 * y + 1 < p->height ? frame_row(p, FRAME_A, 2 * y + 1) : upper;
        uint8_t *seen = f->weight[0];
        int pairs = p->width / 2;
        for (int i = 0; i < pairs; i++)
            seen[i] = upper[2 * i] | upper[2 * i + 1] | lower[2 * i] | lower[2 * i + 1];
        if (p->width & 1)
            seen[pairs] = upper[2 * pairs] | lower[2 * pairs];
        for (int i = FRAME_U; i <= FRAME_V; i++)
            fill_row(frame_row(p, i, y), level_row(l, i, y), seen, l->width);
    }
}

void cpu_fill_run(struct cpu_fill *f, struct frame *picture)
{
    first_level(f, picture);
    for (int i = 1; i < f->count; i++)
        next_level(f, &f->level[i - 1], &f->level[i]);
    struct level *top = &f->level[f->count - 1];
    if (!*top->plane[WEIGHT]) { /* nothing is known */
        *top->plane[FRAME_Y] = (uint8_t)LUMA_BLACK;
        *top->plane[FRAME_U] = *top->plane[FRAME_V] = (uint8_t)CHROMA_GREY;
    }
    for (int i = f->count - 2; i >= 0; i--)
        fill_level(f, &f->level[i + 1], &f->level[i]);
    fill_picture(f, picture);
}

void cpu_fill_close(struct cpu_fill *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->count; i++)
        free(f->level[i].plane[0]);
    free(f->weight[0]);
    free(f->weight[1]);
    free(f->none);
    free(f->down);
    free(f->across);
    free(f);
}
