/*
 * place_math.h over rows. A whole picture is blended as it is. One that is resized is made into light, row by row: each
 * source row once, narrowed or widened at once and kept in a ring for as long as rows of the canvas take from it.
 */
#include "../place_math.h"

#include <stdlib.h>
#include <string.h>

#include "../place.h"
#include "cpu.h"

enum { R, G, B, A, LIGHTS };

struct cpu_place {
    struct compositor_params params;
    struct placed placed;
    uint8_t *color[3]; /* a row of the background, where that is a colour */
    float *mean;       /* alpha of a row of chroma samples, as 0..1 */
    /* unless the picture is placed whole */
    float *source; /* a source row: R, G, B, A, each as wide as the source */
    float *ring;   /* placed.y.most rows, each as wide as the placed part */
    int *held;     /* which source row is in each */
    float *row[2]; /* two rows of the canvas, as wide as that and a pixel more */
};

static int open_color(struct cpu_place *s)
{
    const struct compositor_params *p = &s->params;
    struct color_matrix m = cpu_matrix(p->matrix);
    struct codes c = color_codes(m, p->color[0] / 255.f, p->color[1] / 255.f, p->color[2] / 255.f);
    float code[3] = { c.y, c.u, c.v };
    for (int i = 0; i < 3; i++) {
        s->color[i] = malloc((size_t)p->canvas_width);
        if (!s->color[i])
            return -1;
        memset(s->color[i], round_code(code[i]), (size_t)p->canvas_width);
    }
    return 0;
}

static int open_light(struct cpu_place *s)
{
    const struct placed *at = &s->placed;
    size_t width = (size_t)s->params.canvas_width + 1, seen = (size_t)(at->x1 - at->x0);
    size_t most = (size_t)at->y.most;
    s->source = malloc(LIGHTS * (size_t)s->params.width * sizeof *s->source);
    s->ring = malloc(most * LIGHTS * seen * sizeof *s->ring);
    s->held = malloc(most * sizeof *s->held);
    for (int i = 0; i < 2; i++)
        s->row[i] = malloc(LIGHTS * width * sizeof *s->row[i]);
    return s->source && s->ring && s->held && s->row[0] && s->row[1] ? 0 : -1;
}

struct cpu_place *cpu_place_open(const struct compositor_params *p)
{
    struct cpu_place *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->params = *p;
    s->mean = malloc((size_t)p->canvas_width * sizeof *s->mean);
    if (!placed_open(&s->placed, p) && s->mean && !open_color(s) &&
        (s->placed.whole || !open_light(s)))
        return s;
    cpu_place_close(s);
    return NULL;
}

/* ---- rows of the background ---- */

static const uint8_t *back_row(const struct cpu_place *s, int plane, int y)
{
    const struct frame *b = s->params.background;
    return b ? frame_row(b, plane, y) : s->color[plane];
}

/* ---- a picture placed whole: what is left and right of it has been written ---- */

static void mean_alpha(float *restrict mean, const uint8_t *upper, const uint8_t *lower, int width)
{
    for (int i = 0; i < width / 2; i++)
        mean[i] = (float)(upper[2 * i] + upper[2 * i + 1] + lower[2 * i] + lower[2 * i + 1]) *
                  (1.0f / (4 * 255));
    if (width & 1)
        mean[width / 2] = (float)(upper[width - 1] + lower[width - 1]) * (1.0f / (2 * 255));
}

static void blend_luma(uint8_t *restrict to, const uint8_t *restrict back,
    const uint8_t *restrict front, const uint8_t *restrict alpha, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = over(back[i], front[i], (float)alpha[i] * (1.0f / 255));
}

static void blend_chroma(uint8_t *restrict to, const uint8_t *restrict back,
    const uint8_t *restrict front, const float *restrict mean, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = over(back[i], front[i], mean[i]);
}

static void whole_luma(struct cpu_place *s, const struct frame *cut, struct frame *out, int y)
{
    const struct placed *at = &s->placed;
    ptrdiff_t from = at->x0 - s->params.place.x;
    size_t width = (size_t)(at->x1 - at->x0);
    const uint8_t *front = frame_row(cut, FRAME_Y, y - s->params.place.y) + from;
    const uint8_t *alpha = frame_row(cut, FRAME_A, y - s->params.place.y) + from;
    if (out->plane[FRAME_A])
        memcpy(frame_row(out, FRAME_A, y) + at->x0, alpha, width);
    if (s->params.opaque)
        blend_luma(frame_row(out, FRAME_Y, y) + at->x0, back_row(s, FRAME_Y, y) + at->x0, front,
            alpha, (int)width);
    else
        memcpy(frame_row(out, FRAME_Y, y) + at->x0, front, width);
}

static void whole_chroma(struct cpu_place *s, const struct frame *cut, struct frame *out, int y)
{
    const struct placed *at = &s->placed;
    int from = at->x0 - s->params.place.x, top = 2 * y - s->params.place.y;
    int first = at->x0 / 2, width = at->x1 - at->x0, half = (width + 1) / 2;
    if (s->params.opaque)
        mean_alpha(s->mean, frame_row(cut, FRAME_A, top) + from,
            frame_row(cut, FRAME_A, 2 * y + 1 < at->y1 ? top + 1 : top) + from, width);
    for (int i = FRAME_U; i <= FRAME_V; i++) {
        const uint8_t *front = frame_row(cut, i, top / 2) + from / 2;
        uint8_t *to = frame_row(out, i, y) + first;
        if (s->params.opaque)
            blend_chroma(to, back_row(s, i, y) + first, front, s->mean, half);
        else
            memcpy(to, front, (size_t)half);
    }
}

/* ---- a picture that is resized ---- */

/* Row y of the cut-out as light, R, G, B, A one after the other. */
static void source_light(struct cpu_place *s, const struct frame *cut, int y)
{
    struct color_matrix m = cpu_matrix(s->params.matrix);
    int width = s->params.width;
    const uint8_t *restrict luma = frame_row(cut, FRAME_Y, y);
    const uint8_t *restrict u = frame_row(cut, FRAME_U, y / 2);
    const uint8_t *restrict v = frame_row(cut, FRAME_V, y / 2);
    const uint8_t *restrict alpha = frame_row(cut, FRAME_A, y);
    float *restrict r = s->source, *restrict g = r + width, *restrict b = g + width,
                    *restrict a = b + width;
    for (int x = 0; x < width; x++) {
        struct light p = light_of(m, luma[x], u[x / 2], v[x / 2], alpha[x]);
        r[x] = p.r;
        g[x] = p.g;
        b[x] = p.b;
        a[x] = p.a;
    }
}

static const float *ring_row(struct cpu_place *s, const struct frame *cut, int y)
{
    size_t seen = (size_t)(s->placed.x1 - s->placed.x0);
    int slot = y % s->placed.y.most;
    float *row = s->ring + (size_t)slot * LIGHTS * seen;
    if (s->held[slot] == y)
        return row;
    s->held[slot] = y;
    source_light(s, cut, y);
    for (int i = 0; i < LIGHTS; i++)
        cpu_resize(
            row + (size_t)i * seen, s->source + (ptrdiff_t)i * s->params.width, &s->placed.x);
    return row;
}

static void add(float *restrict sum, const float *restrict from, float weight, int n)
{
    for (int i = 0; i < n; i++)
        sum[i] += weight * from[i];
}

/* Row y of the canvas as light; nothing where the picture is not. */
static void canvas_light(struct cpu_place *s, const struct frame *cut, int y, float *row)
{
    const struct placed *at = &s->placed;
    int stride = s->params.canvas_width + 1, seen = at->x1 - at->x0;
    memset(row, 0, LIGHTS * (size_t)stride * sizeof *row);
    if (y < at->y0 || y >= at->y1)
        return;
    const float *weight = at->y.weight + (ptrdiff_t)(y - at->y0) * at->y.most;
    for (int k = 0; k < at->y.most; k++) {
        if (weight[k] <= 0)
            continue;
        const float *from = ring_row(s, cut, at->y.first[y - at->y0] + k);
        for (int i = 0; i < LIGHTS; i++)
            add(row + (ptrdiff_t)i * stride + at->x0, from + (ptrdiff_t)i * seen, weight[k], seen);
    }
}

static struct light light_at(const float *row, int stride, int x)
{
    return (struct light) { row[x], row[stride + x], row[2 * stride + x], row[3 * stride + x] };
}

static void light_luma(struct cpu_place *s, const float *restrict row, struct frame *out, int y)
{
    struct color_matrix m = cpu_matrix(s->params.matrix);
    int stride = s->params.canvas_width + 1, x1 = s->placed.x1;
    uint8_t *restrict to = frame_row(out, FRAME_Y, y);
    if (out->plane[FRAME_A]) {
        uint8_t *restrict alpha = frame_row(out, FRAME_A, y);
        for (int x = s->placed.x0; x < x1; x++)
            alpha[x] = round_code(light_at(row, stride, x).a * 255);
    }
    if (s->params.opaque) {
        const uint8_t *restrict back = back_row(s, FRAME_Y, y);
        for (int x = s->placed.x0; x < x1; x++) {
            struct light p = light_at(row, stride, x);
            to[x] = over(back[x], codes_of(m, p).y, p.a);
        }
        return;
    }
    for (int x = s->placed.x0; x < x1; x++)
        to[x] = round_code(codes_of(m, light_at(row, stride, x)).y);
}

static void light_chroma(struct cpu_place *s, struct frame *out, int y)
{
    struct color_matrix m = cpu_matrix(s->params.matrix);
    int width = s->params.canvas_width, stride = width + 1;
    int rows = 2 * y + 1 < s->params.canvas_height ? 2 : 1, end = (s->placed.x1 + 1) / 2;
    const float *restrict upper = s->row[0], *restrict lower = s->row[1];
    uint8_t *restrict to_u = frame_row(out, FRAME_U, y), *restrict to_v =
                                                             frame_row(out, FRAME_V, y);
    const uint8_t *restrict back_u = back_row(s, FRAME_U, y);
    const uint8_t *restrict back_v = back_row(s, FRAME_V, y);
    for (int x = s->placed.x0 / 2; x < end; x++) {
        struct light p = mean_light(light_at(upper, stride, 2 * x),
            light_at(upper, stride, 2 * x + 1), light_at(lower, stride, 2 * x),
            light_at(lower, stride, 2 * x + 1), rows * (2 * x + 1 < width ? 2 : 1));
        struct codes c = codes_of(m, p);
        to_u[x] = s->params.opaque ? over(back_u[x], c.u, p.a) : round_code(c.u);
        to_v[x] = s->params.opaque ? over(back_v[x], c.v, p.a) : round_code(c.v);
    }
}

/* ---- all of it ---- */

/* What is seen where the picture is not. */
static void clear(struct cpu_place *s, struct frame *out)
{
    const struct compositor_params *p = &s->params;
    for (int y = 0; out->plane[FRAME_A] && y < p->canvas_height; y++)
        memset(frame_row(out, FRAME_A, y), 0, (size_t)p->canvas_width);
    for (int i = FRAME_Y; p->opaque && i <= FRAME_V; i++) {
        int chroma = i != FRAME_Y;
        for (int y = 0; y < (p->canvas_height + chroma) >> chroma; y++)
            memcpy(frame_row(out, i, y), back_row(s, i, y),
                (size_t)((p->canvas_width + chroma) >> chroma));
    }
}

static void place_whole(struct cpu_place *s, const struct frame *cut, struct frame *out)
{
    for (int y = s->placed.y0; y < s->placed.y1; y++)
        whole_luma(s, cut, out, y);
    for (int y = s->placed.y0 / 2; y < (s->placed.y1 + 1) / 2; y++)
        whole_chroma(s, cut, out, y);
}

static void place_light(struct cpu_place *s, const struct frame *cut, struct frame *out)
{
    for (int i = 0; i < s->placed.y.most; i++)
        s->held[i] = -1;
    for (int y = s->placed.y0 / 2; y < (s->placed.y1 + 1) / 2; y++) {
        for (int i = 0; i < 2; i++) {
            canvas_light(s, cut, 2 * y + i, s->row[i]);
            if (2 * y + i >= s->placed.y0 && 2 * y + i < s->placed.y1)
                light_luma(s, s->row[i], out, 2 * y + i);
        }
        light_chroma(s, out, y);
    }
}

void cpu_place_run(struct cpu_place *s, const struct frame *cutout, struct frame *output)
{
    clear(s, output);
    if (s->placed.whole)
        place_whole(s, cutout, output);
    else
        place_light(s, cutout, output);
}

void cpu_place_close(struct cpu_place *s)
{
    if (!s)
        return;
    placed_close(&s->placed);
    for (int i = 0; i < 3; i++)
        free(s->color[i]);
    for (int i = 0; i < 2; i++)
        free(s->row[i]);
    free(s->mean);
    free(s->source);
    free(s->ring);
    free(s->held);
    free(s);
}
