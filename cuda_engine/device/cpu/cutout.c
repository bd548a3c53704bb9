/*
 * What the network says, at full size: a picture of the source's size with straight alpha. The network's small planes are
 * enlarged bilinearly, half-pixel centres, in two passes: a small row is stretched to full width once and kept while it
 * is needed (few rows, an indexed load), then two stretched rows are blended for each row of the picture (many rows,
 * contiguous loads that the compiler vectorises). Nothing of full size is stored but the result.
 *
 * Where the picture is much larger than what the network saw, it is not alpha that is enlarged but, around every small
 * sample, alpha's dependence on colour, and that is applied to the picture's own colours.
 */
#include "../refine_math.h"
#include "../temporal_math.h"
#include "cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Along one axis: each full-size sample lies between small samples at[i] and at[i] + 1 (or the last, again). */
struct axis {
    int count, last;
    int *at;
    float *weight; /* of the second */
};

/* Two stretched rows of one small plane; row r lives in slot r & 1. */
struct stretch {
    const struct axis *x, *y;
    int index[2];
    float *row[2];
};

enum {
    LINE_R,
    LINE_G,
    LINE_B,
    LINE_C,
    LINES,
    ALPHA = LINE_C,
    DIFF_Y = LINES,
    DIFF_U,
    DIFF_V,
    STILL,
    LOW_PLANES
};

struct cpu_cutout {
    struct compositor_params params;
    struct axis x[2], y[2]; /* luma, chroma */
    float *diff;            /* small planes: foreground minus source, Y, U, V codes */
    struct stretch stretch[LOW_PLANES];
    float *alpha, *move;     /* one row of each, enlarged */
    struct cpu_guide *guide; /* NULL: alpha is enlarged as it is */
    struct decoding decoding;
    float *lines;      /* small planes */
    float *row[LINES]; /* one row of each, enlarged */
    uint16_t *held;    /* the last frame's guided alpha, of full size */
};

/* grain: full-size pixels per sample of this axis, 1 for luma and 2 for chroma; size: full-size pixels. */
static int axis_open(struct axis *a, int size, int grain, int low)
{
    a->count = (size + grain - 1) / grain;
    a->last = low - 1;
    a->at = malloc((size_t)a->count * sizeof *a->at);
    a->weight = malloc((size_t)a->count * sizeof *a->weight);
    if (!a->at || !a->weight)
        return -1;
    for (int i = 0; i < a->count; i++) {
        const float at = small_place_of((float)grain * ((float)i + .5f), size, low);
        a->at[i] = (int)at;
        a->weight[i] = at - (float)a->at[i];
    }
    return 0;
}

struct cpu_cutout *cpu_cutout_open(const struct compositor_params *p)
{
    struct cpu_cutout *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    size_t low = (size_t)p->low_width * (size_t)p->low_height, width = (size_t)p->width;
    int failed = 0;
    c->params = *p;
    for (int chroma = 0; chroma < 2; chroma++) {
        failed |= axis_open(&c->x[chroma], p->width, 1 + chroma, p->low_width);
        failed |= axis_open(&c->y[chroma], p->height, 1 + chroma, p->low_height);
    }
    for (int i = 0; i < LOW_PLANES; i++) {
        struct stretch *s = &c->stretch[i];
        int chroma = i == DIFF_U || i == DIFF_V;
        s->x = &c->x[chroma];
        s->y = &c->y[chroma];
        for (int k = 0; k < 2; k++) {
            s->row[k] = malloc(width * sizeof *s->row[k]);
            failed |= !s->row[k];
        }
    }
    c->diff = malloc(3 * low * sizeof *c->diff);
    c->alpha = malloc(width * sizeof *c->alpha);
    c->move = malloc(width * sizeof *c->move);
    failed |= !c->diff || !c->alpha || !c->move;
    if (p->guided && refine_guides(p->width, p->height, p->low_width, p->low_height)) {
        c->guide = cpu_guide_open(p->low_width, p->low_height);
        c->decoding = decoding(cpu_matrix(p->matrix), 0);
        c->lines = malloc(LINES * low * sizeof *c->lines);
        c->held = calloc(width * (size_t)p->height, sizeof *c->held);
        failed |= !c->guide || !c->lines || !c->held;
        for (int i = 0; i < LINES; i++)
            failed |= !(c->row[i] = malloc(width * sizeof *c->row[i]));
    }
    if (!failed)
        return c;
    cpu_cutout_close(c);
    return NULL;
}

static const float *stretched(struct stretch *s, const float *low, int row)
{
    float *restrict to = s->row[row & 1];
    if (s->index[row & 1] == row)
        return to;
    const struct axis *x = s->x;
    const float *restrict from = low + (ptrdiff_t)row * (x->last + 1);
    for (int i = 0; i < x->count; i++) {
        int at = x->at[i], next = at < x->last ? at + 1 : at;
        to[i] = mix(from[at], from[next], x->weight[i]);
    }
    s->index[row & 1] = row;
    return to;
}

static void blend(float *restrict to, const float *restrict upper, const float *restrict lower,
    float weight, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = mix(upper[i], lower[i], weight);
}

/* Row y of a small plane at full size. */
static void enlarge(struct stretch *s, const float *low, int y, float *to)
{
    int at = s->y->at[y], next = at < s->y->last ? at + 1 : at;
    const float *upper = stretched(s, low, at), *lower = stretched(s, low, next);
    blend(to, upper, lower, s->y->weight[y], s->x->count);
}

/* Differences of the network's foreground and what it saw, as codes. */
static void differences(struct cpu_cutout *c, const struct compositor_low *low)
{
    const struct compositor_params p = c->params; /* the loop's stores cannot change a copy */
    const struct color_matrix m = cpu_matrix(p.matrix);
    size_t n = (size_t)p.low_width * (size_t)p.low_height;
    float *restrict y = c->diff, *restrict u = y + n, *restrict v = u + n;
    const float *fr = low->foreground.data, *fg = fr + n, *fb = fg + n;
    const float *sr = low->input.data, *sg = sr + n, *sb = sg + n;
    for (size_t i = 0; i < n; i++) {
        float r = clamp_to(fr[i], 0, 1) - (sr[i] * p.std[0] + p.mean[0]);
        float g = clamp_to(fg[i], 0, 1) - (sg[i] * p.std[1] + p.mean[1]);
        float b = clamp_to(fb[i], 0, 1) - (sb[i] * p.std[2] + p.mean[2]);
        y[i] = m.y[0] * r + m.y[1] * g + m.y[2] * b;
        u[i] = m.u[0] * r + m.u[1] * g + m.u[2] * b;
        v[i] = m.v[0] * r + m.v[1] * g + m.v[2] * b;
    }
}

static void write_alpha(uint8_t *restrict to, const float *restrict alpha, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = round_code(level_alpha(alpha[i]) * 255);
}

static void write_luma(
    uint8_t *restrict to, const uint8_t *restrict source, const float *restrict move, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = round_code(foreground_luma(source[i], move[i]));
}

static void write_chroma(
    uint8_t *restrict to, const uint8_t *restrict source, const float *restrict move, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = round_code(foreground_chroma(source[i], move[i]));
}

/* Row y of alpha by the lines around it. */
static void guided_alpha(struct cpu_cutout *c, const struct frame *source, int y)
{
    const size_t plane = (size_t)c->params.low_width * (size_t)c->params.low_height;
    const uint8_t *luma = frame_row(source, FRAME_Y, y);
    const uint8_t *u = frame_row(source, FRAME_U, y / 2), *v = frame_row(source, FRAME_V, y / 2);
    const struct decoding d = c->decoding;
    float *restrict to = c->alpha;
    for (int i = 0; i < LINES; i++)
        enlarge(&c->stretch[LINE_R + i], c->lines + (size_t)i * plane, y, c->row[i]);
    const float *r = c->row[LINE_R], *g = c->row[LINE_G], *b = c->row[LINE_B], *k = c->row[LINE_C];
    for (int x = 0; x < c->params.width; x++) {
        const int half = x / 2;
        to[x] =
            line_at((struct line) { r[x], g[x], b[x], k[x] }, decode(d, luma[x], u[half], v[half]));
    }
}

/* Row y of guided alpha becomes a mean over time where the picture stands still. */
static void hold_alpha(struct cpu_cutout *c, const float *still, int y)
{
    const int width = c->params.width;
    uint16_t *restrict held = c->held + (ptrdiff_t)y * width;
    float *restrict const alpha = c->alpha;
    enlarge(&c->stretch[STILL], still, y, c->move);
    for (int x = 0; x < width; x++) {
        alpha[x] = held_alpha(alpha[x], held[x], c->move[x]);
        held[x] = held_code(alpha[x]);
    }
}

void cpu_cutout_run(struct cpu_cutout *c, const struct frame *source,
    const struct compositor_low *low, struct frame *to)
{
    const struct compositor_params *p = &c->params;
    size_t plane = (size_t)p->low_width * (size_t)p->low_height;
    for (int i = 0; i < LOW_PLANES; i++)
        c->stretch[i].index[0] = c->stretch[i].index[1] = -1;
    if (c->guide)
        cpu_guide_run(c->guide, p, low, c->lines);
    for (int y = 0; y < p->height; y++) {
        if (c->guide)
            guided_alpha(c, source, y);
        else
            enlarge(&c->stretch[ALPHA], low->alpha.data, y, c->alpha);
        if (c->guide && low->still.data)
            hold_alpha(c, low->still.data, y);
        write_alpha(frame_row(to, FRAME_A, y), c->alpha, p->width);
    }
    if (low->foreground.data)
        differences(c, low);
    else
        memset(c->move, 0, (size_t)p->width * sizeof *c->move);
    for (int i = FRAME_Y; i <= FRAME_V; i++) {
        int chroma = i != FRAME_Y, width = (p->width + chroma) >> chroma;
        for (int y = 0; y < (p->height + chroma) >> chroma; y++) {
            if (low->foreground.data)
                enlarge(&c->stretch[DIFF_Y + i], c->diff + (size_t)i * plane, y, c->move);
            (chroma ? write_chroma : write_luma)(
                frame_row(to, i, y), frame_row(source, i, y), c->move, width);
        }
    }
}

void cpu_cutout_close(struct cpu_cutout *c)
{
    if (!c)
        return;
    for (int i = 0; i < 2; i++) {
        free(c->x[i].at);
        free(c->x[i].weight);
        free(c->y[i].at);
        free(c->y[i].weight);
    }
    for (int i = 0; i < LOW_PLANES; i++) {
        free(c->stretch[i].row[0]);
        free(c->stretch[i].row[1]);
    }
    free(c->diff);
    cpu_guide_close(c->guide);
    free(c->lines);
    free(c->held);
    for (int i = 0; i < LINES; i++)
        free(c->row[i]);
    free(c->alpha);
    free(c->move);
    free(c);
}
