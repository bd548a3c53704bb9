/*
 * The CPU's sampler and compositor against references that share nothing with them: double precision, two-dimensional,
 * a pixel at a time, formulas written out again from the recommendations. Sizes are odd on purpose.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "device/device.h"

struct shape {
    int width, height, low_width, low_height;
    enum frame_matrix matrix;
};

static const struct shape shapes[] = {
    { 321, 181, 64, 36, MATRIX_BT601 },
    { 320, 180, 64, 36, MATRIX_BT709 },
    { 1, 1, 16, 16, MATRIX_BT709 },
    { 37, 53, 64, 36, MATRIX_BT601 },
    { 64, 36, 64, 36, MATRIX_BT709 },
    { 1280, 719, 512, 288, MATRIX_BT709 },
    { 3, 200, 32, 18, MATRIX_BT601 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };

static double fraction(void)
{
    return (double)rand() / RAND_MAX;
}

static struct device *device;

static int open_device(void **state)
{
    (void)state;
    struct error e;
    srand(1);
    device = device_open("auto", &e);
    return !device;
}

static int close_device(void **state)
{
    (void)state;
    device_close(device);
    return 0;
}

static struct frame_pool *pool_of(int width, int height, int alpha, int count)
{
    struct error e;
    struct frame_pool_params p = {
        .width = width, .height = height, .alpha = alpha, .count = count
    };
    struct frame_pool *pool = frame_pool_open(device, &p, &e);
    assert_non_null(pool);
    return pool;
}

static int plane_width(const struct frame *f, int plane)
{
    return plane == FRAME_U || plane == FRAME_V ? (f->width + 1) / 2 : f->width;
}

static int plane_height(const struct frame *f, int plane)
{
    return plane == FRAME_U || plane == FRAME_V ? (f->height + 1) / 2 : f->height;
}

static double at(const struct frame *f, int plane, int x, int y)
{
    int w = plane_width(f, plane), h = plane_height(f, plane);
    x = x < 0 ? 0 : x >= w ? w - 1 : x;
    y = y < 0 ? 0 : y >= h ? h - 1 : y;
    return f->plane[plane][y * f->stride[plane] + x];
}

/* Smooth shapes and some noise, within limited range. */
static void paint(struct frame *f)
{
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < plane_height(f, i); y++)
            for (int x = 0; x < plane_width(f, i); x++)
                f->plane[i][y * f->stride[i] + x] =
                    (uint8_t)(128 + 80 * sin(x * .07 + i) * cos(y * .05) + 20 * fraction());
}

/* ---- the sampler ---- */

static double overlap(double a0, double a1, double b0, double b1)
{
    double from = fmax(a0, b0), to = fmin(a1, b1);
    return to > from ? to - from : 0;
}

/* Mean of a plane over a box given in its samples; an axis that grows is a linear blend at the box's centre. */
static double average(const struct frame *f, int plane, double x0, double x1, double y0, double y1)
{
    double sum = 0, weight = 0;
    if (x1 - x0 < 1) {
        double c = (x0 + x1) / 2;
        x0 = c - .5;
        x1 = c + .5;
    }
    if (y1 - y0 < 1) {
        double c = (y0 + y1) / 2;
        y0 = c - .5;
        y1 = c + .5;
    }
    for (int y = (int)floor(y0); y < y1; y++)
        for (int x = (int)floor(x0); x < x1; x++) {
            if (x < 0 || y < 0 || x >= plane_width(f, plane) || y >= plane_height(f, plane))
                continue;
            double w = overlap(x0, x1, x, x + 1) * overlap(y0, y1, y, y + 1);
            sum += w * at(f, plane, x, y);
            weight += w;
        }
    return sum / weight;
}

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static void to_rgb(enum frame_matrix matrix, double y, double u, double v, double rgb[3])
{
    double kr = matrix == MATRIX_BT709 ? .2126 : .299, kb = matrix == MATRIX_BT709 ? .0722 : .114;
    double l = (y - 16) / 219, pb = (u - 128) / 224, pr = (v - 128) / 224;
    rgb[0] = l + 2 * (1 - kr) * pr;
    rgb[2] = l + 2 * (1 - kb) * pb;
    rgb[1] = (l - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
}

static void from_rgb(enum frame_matrix matrix, const double rgb[3], double yuv[3])
{
    double kr = matrix == MATRIX_BT709 ? .2126 : .299, kb = matrix == MATRIX_BT709 ? .0722 : .114;
    double l = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2];
    yuv[0] = 219 * l;
    yuv[1] = 224 * (rgb[2] - l) / (2 * (1 - kb));
    yuv[2] = 224 * (rgb[0] - l) / (2 * (1 - kr));
}

static void sampler_equals_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        const struct shape *s = &shapes[i];
        struct error e;
        struct frame_pool *pool = pool_of(s->width, s->height, 0, 1);
        struct frame *f = frame_take(pool, &e);
        paint(f);
        struct sampler_params p = { s->width, s->height, s->low_width, s->low_height, s->matrix,
            { mean[0], mean[1], mean[2] }, { std[0], std[1], std[2] } };
        struct sampler *sampler = sampler_open(device, &p, &e);
        int n = s->low_width * s->low_height;
        float *rgb = malloc(3 * (size_t)n * sizeof *rgb);
        struct raster raster = { rgb, s->low_width, s->low_height, 3, 0 };
        assert_int_equal(sampler_run(sampler, f, &raster, &e), 0);
        for (int y = 0; y < s->low_height; y++)
            for (int x = 0; x < s->low_width; x++) {
                double yuv[3], want[3];
                for (int k = 0; k < 3; k++) {
                    double w = k ? s->width / 2. : s->width, h = k ? s->height / 2. : s->height;
                    yuv[k] = average(f, k, x * w / s->low_width, (x + 1) * w / s->low_width,
                        y * h / s->low_height, (y + 1) * h / s->low_height);
                }
                to_rgb(s->matrix, yuv[0], yuv[1], yuv[2], want);
                for (int k = 0; k < 3; k++) {
                    double expected = (clip(want[k], 0, 1) - mean[k]) / std[k];
                    double got = rgb[k * n + y * s->low_width + x];
                    if (fabs(got - expected) > 2e-5 + fabs(expected) / 2048) /* it is a half */
                        fail_msg("%dx%d: %g instead of %g at %d, %d of plane %d", s->width,
                            s->height, got, expected, x, y, k);
                }
            }
        free(rgb);
        sampler_close(sampler);
        frame_release(f);
        frame_pool_close(pool);
    }
}

/* ---- the compositor ---- */

/* A small plane seen at (x, y) of 0..1. */
static double bilinear(const double *low, int w, int h, double x, double y)
{
    double fx = clip(x * w - .5, 0, w - 1), fy = clip(y * h - .5, 0, h - 1);
    int x0 = (int)fx, y0 = (int)fy, x1 = x0 + 1 < w ? x0 + 1 : x0, y1 = y0 + 1 < h ? y0 + 1 : y0;
    double a = fx - x0, b = fy - y0;
    return (1 - b) * ((1 - a) * low[y0 * w + x0] + a * low[y0 * w + x1]) +
           b * ((1 - a) * low[y1 * w + x0] + a * low[y1 * w + x1]);
}

struct scene {
    const struct shape *s;
    float *alpha, *foreground, *input;
    double *alpha_d, *diff[3];
    struct frame *source;
};

static double alpha_at(const struct scene *c, int x, int y)
{
    const struct shape *s = c->s;
    double a = bilinear(
        c->alpha_d, s->low_width, s->low_height, (x + .5) / s->width, (y + .5) / s->height);
    return a < .02 ? 0 : a > .98 ? 1 : a;
}

/* Near a level's threshold a rounding error decides. */
static int undecided(const struct scene *c, int x, int y)
{
    const struct shape *s = c->s;
    double a = bilinear(
        c->alpha_d, s->low_width, s->low_height, (x + .5) / s->width, (y + .5) / s->height);
    return fabs(a - .02) < 1e-5 || fabs(a - .98) < 1e-5;
}

static double foreground_at(const struct scene *c, int plane, int x, int y)
{
    const struct shape *s = c->s;
    double grain = plane ? 2 : 1, code = at(c->source, plane, x, y);
    if (c->foreground)
        code += bilinear(c->diff[plane], s->low_width, s->low_height,
            fmin((x + .5) * grain / s->width, 1), fmin((y + .5) * grain / s->height, 1));
    return clip(code, 16, plane ? 240 : 235);
}

/* -1: a rounding error decides */
static double chroma_alpha(const struct scene *c, int x, int y)
{
    double sum = 0;
    int n = 0;
    for (int dy = 0; dy < 2; dy++)
        for (int dx = 0; dx < 2; dx++)
            if (2 * x + dx < c->s->width && 2 * y + dy < c->s->height) {
                if (undecided(c, 2 * x + dx, 2 * y + dy))
                    return -1;
                sum += alpha_at(c, 2 * x + dx, 2 * y + dy);
                n++;
            }
    return sum / n;
}

static void make_scene(struct scene *c, const struct shape *s, int with_foreground)
{
    size_t n = (size_t)s->low_width * (size_t)s->low_height;
    memset(c, 0, sizeof *c);
    c->s = s;
    c->alpha = malloc(n * sizeof *c->alpha);
    c->alpha_d = malloc(n * sizeof *c->alpha_d);
    c->input = malloc(3 * n * sizeof *c->input);
    if (with_foreground)
        c->foreground = malloc(3 * n * sizeof *c->foreground);
    for (int k = 0; k < 3; k++)
        c->diff[k] = malloc(n * sizeof *c->diff[k]);
    for (size_t i = 0; i < n; i++) {
        c->alpha[i] = (float)clip(1.6 * fraction() - .3, 0, 1);
        c->alpha_d[i] = c->alpha[i];
        double d[3];
        for (size_t k = 0; k < 3; k++) {
            double seen = fraction(), is = clip(seen + .6 * (fraction() - .5), 0, 1);
            c->input[k * n + i] = (float)((seen - mean[k]) / std[k]);
            if (with_foreground)
                c->foreground[k * n + i] = (float)is;
            d[k] = is - seen;
        }
        double yuv[3];
        from_rgb(s->matrix, d, yuv);
        for (int k = 0; k < 3; k++)
            c->diff[k][i] = yuv[k];
    }
}

static void free_scene(struct scene *c)
{
    free(c->alpha);
    free(c->alpha_d);
    free(c->input);
    free(c->foreground);
    for (int k = 0; k < 3; k++)
        free(c->diff[k]);
}

static void expect(
    const struct scene *c, const struct frame *out, int plane, int x, int y, double want)
{
    double got = out->plane[plane][y * out->stride[plane] + x];
    if (fabs(got - want) > .5 + 1e-2) /* places are floats */
        fail_msg("%dx%d: %g instead of %.4f at %d, %d of plane %d", c->s->width, c->s->height, got,
            want, x, y, plane);
}

static void check_cutout(const struct scene *c, const struct frame *out)
{
    for (int y = 0; y < c->s->height; y++)
        for (int x = 0; x < c->s->width; x++) {
            if (undecided(c, x, y))
                continue;
            double a = alpha_at(c, x, y);
            expect(c, out, FRAME_A, x, y, 255 * a);
            if (255 * a > .5)
                expect(c, out, FRAME_Y, x, y, foreground_at(c, 0, x, y));
        }
    for (int plane = FRAME_U; plane <= FRAME_V; plane++)
        for (int y = 0; y < (c->s->height + 1) / 2; y++)
            for (int x = 0; x < (c->s->width + 1) / 2; x++)
                if (chroma_alpha(c, x, y) > 1. / 255)
                    expect(c, out, plane, x, y, foreground_at(c, plane, x, y));
}

static struct compositor_params whole(const struct shape *s, int opaque)
{
    return (struct compositor_params) {
        .width = s->width,
        .height = s->height,
        .low_width = s->low_width,
        .low_height = s->low_height,
        .canvas_width = s->width,
        .canvas_height = s->height,
        .place = { 0, 0, s->width, s->height },
        .matrix = s->matrix,
        .mean = { mean[0], mean[1], mean[2] },
        .std = { std[0], std[1], std[2] },
        .opaque = opaque,
        .color = { 0, 255, 17 },
    };
}

static void run_compositor(
    const struct compositor_params *p, const struct scene *c, struct frame *out)
{
    struct error e;
    struct compositor *compositor = compositor_open(device, p, &e);
    assert_non_null(compositor);
    const int w = c->s->low_width, h = c->s->low_height;
    const struct compositor_low low = { .alpha = { c->alpha, w, h, 1, 0 },
        .foreground = { c->foreground, w, h, 3, 0 },
        .input = { c->input, w, h, 3, 0 } };
    for (int twice = 0; twice < 2; twice++) /* nothing of a frame is left in the next */
        assert_int_equal(compositor_run(compositor, c->source, &low, out, &e), 0);
    compositor_close(compositor);
}

static void compositor_equals_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES * 2; i++) {
        const struct shape *s = &shapes[i / 2];
        struct error e;
        struct scene c;
        struct frame_pool *in = pool_of(s->width, s->height, 0, 1);
        struct frame_pool *pool = pool_of(s->width, s->height, 1, 1);
        make_scene(&c, s, i & 1);
        c.source = frame_take(in, &e);
        paint(c.source);
        c.source->pts = 40;
        c.source->duration = 33;
        struct frame *out = frame_take(pool, &e);
        struct compositor_params p = whole(s, 0);
        run_compositor(&p, &c, out);
        check_cutout(&c, out);
        assert_int_equal(out->pts, 40);
        assert_int_equal(out->duration, 33);
        frame_release(out);
        frame_release(c.source);
        free_scene(&c);
        frame_pool_close(in);
        frame_pool_close(pool);
    }
}

/* ---- the canvas ---- */

/* On canvases and at places that are odd, partly and wholly outside, smaller, larger and of the source's size. */
static const struct {
    int width, height;
    struct placement at;
} places[] = {
    { 320, 180, { 0, 0, 320, 180 } },
    { 400, 300, { 40, 60, 320, 180 } },
    { 401, 301, { 41, 60, 320, 180 } },
    { 100, 90, { -120, -30, 320, 180 } },
    { 320, 180, { 200, -100, 320, 180 } },
    { 320, 180, { 320, 0, 320, 180 } },
    { 320, 180, { -320, -180, 320, 180 } },
    { 90, 160, { 0, 55, 90, 51 } },
    { 91, 161, { -7, 55, 90, 51 } },
    { 200, 200, { 17, 23, 133, 77 } },
    { 640, 360, { 0, 0, 640, 360 } },
    { 333, 401, { -301, -99, 900, 507 } },
    { 20, 20, { 3, 3, 1, 1 } },
    { 64, 2, { 0, -90, 320, 180 } },
};

struct seen {
    double alpha, rgb[3]; /* R'G'B' multiplied by nothing */
};

/* Mean over what a rectangle of the source (in its pixels) shows, in linear light. */
static struct seen light_over(
    const struct frame *cut, enum frame_matrix matrix, double x0, double x1, double y0, double y1)
{
    double sum = 0, total[4] = { 0 };
    if (x1 - x0 < 1) {
        double middle = (x0 + x1) / 2;
        x0 = middle - .5;
        x1 = middle + .5;
    }
    if (y1 - y0 < 1) {
        double middle = (y0 + y1) / 2;
        y0 = middle - .5;
        y1 = middle + .5;
    }
    for (int y = (int)fmax(floor(y0), 0); y < y1 && y < cut->height; y++)
        for (int x = (int)fmax(floor(x0), 0); x < x1 && x < cut->width; x++) {
            double w = overlap(x0, x1, x, x + 1) * overlap(y0, y1, y, y + 1), rgb[3];
            double a = at(cut, FRAME_A, x, y) / 255;
            to_rgb(matrix, at(cut, FRAME_Y, x, y), at(cut, FRAME_U, x / 2, y / 2),
                at(cut, FRAME_V, x / 2, y / 2), rgb);
            for (int k = 0; k < 3; k++)
                total[k] += w * a * pow(clip(rgb[k], 0, 1), 2);
            total[3] += w * a;
            sum += w;
        }
    struct seen s = { total[3] / sum, { 0 } };
    for (int k = 0; k < 3; k++)
        s.rgb[k] = total[3] > 0 ? sqrt(clip(total[k] / total[3], 0, 1)) : 0;
    return s;
}

static struct seen canvas_at(
    const struct frame *cut, const struct compositor_params *p, int x, int y)
{
    const struct placement *a = &p->place;
    double sx = (double)cut->width / a->width, sy = (double)cut->height / a->height;
    if (x < a->x || y < a->y || x >= a->x + a->width || y >= a->y + a->height ||
        x >= p->canvas_width || y >= p->canvas_height)
        return (struct seen) { 0 };
    return light_over(
        cut, p->matrix, (x - a->x) * sx, (x - a->x + 1) * sx, (y - a->y) * sy, (y - a->y + 1) * sy);
}

/* What a chroma sample of the canvas shows: the light of the pixels under it. */
static struct seen block_at(
    const struct frame *cut, const struct compositor_params *p, int x, int y)
{
    double total[4] = { 0 };
    int n = 0;
    for (int dy = 0; dy < 2; dy++)
        for (int dx = 0; dx < 2; dx++) {
            if (2 * x + dx >= p->canvas_width || 2 * y + dy >= p->canvas_height)
                continue;
            struct seen s = canvas_at(cut, p, 2 * x + dx, 2 * y + dy);
            for (int k = 0; k < 3; k++)
                total[k] += s.alpha * s.rgb[k] * s.rgb[k];
            total[3] += s.alpha;
            n++;
        }
    struct seen s = { total[3] / n, { 0 } };
    for (int k = 0; k < 3; k++)
        s.rgb[k] = total[3] > 0 ? sqrt(total[k] / total[3]) : 0;
    return s;
}

/* A picture that is moved by whole chroma samples keeps its codes; any other is made of light. */
static int is_moved(const struct frame *cut, const struct compositor_params *p)
{
    const struct placement *a = &p->place;
    return a->width == cut->width && a->height == cut->height && !(a->x & 1) && !(a->y & 1);
}

static void check_canvas(
    const struct frame *cut, const struct frame *out, const struct compositor_params *p)
{
    double rgb[3] = { p->color[0] / 255., p->color[1] / 255., p->color[2] / 255. }, color[3];
    from_rgb(p->matrix, rgb, color);
    for (int plane = 0; plane < (out->plane[FRAME_A] ? 4 : 3); plane++)
        for (int y = 0; y < plane_height(out, plane); y++)
            for (int x = 0; x < plane_width(out, plane); x++) {
                int chroma = plane == FRAME_U || plane == FRAME_V;
                struct seen s = chroma ? block_at(cut, p, x, y) : canvas_at(cut, p, x, y);
                double got = at(out, plane, x, y), yuv[3], want;
                from_rgb(p->matrix, s.rgb, yuv);
                if (plane == FRAME_A) {
                    want = 255 * s.alpha; /* whatever is behind */
                } else {
                    want = yuv[plane] + (plane ? 128 : 16);
                    if (is_moved(cut, p) && s.alpha > 0)
                        want = chroma ? at(cut, plane, x - p->place.x / 2, y - p->place.y / 2)
                                      : at(cut, plane, x - p->place.x, y - p->place.y);
                    double back = p->background ? at(p->background, plane, x, y)
                                                : floor(color[plane] + (plane ? 128.5 : 16.5));
                    if (p->opaque)
                        want = s.alpha * want + (1 - s.alpha) * back;
                    else if (s.alpha < 2. / 255)
                        continue; /* filled, or nearly */
                }
                if (fabs(got - want) > .5 + 1e-2)
                    fail_msg("%dx%d at %d, %d on %dx%d: %g instead of %.4f at %d, %d of plane %d",
                        p->place.width, p->place.height, p->place.x, p->place.y, p->canvas_width,
                        p->canvas_height, got, want, x, y, plane);
            }
}

static void a_canvas_equals_the_reference(void **state)
{
    (void)state;
    static const struct shape shape = { 320, 180, 64, 36, MATRIX_BT709 };
    struct error e;
    struct scene c;
    struct frame_pool *in = pool_of(320, 180, 0, 1), *pool = pool_of(320, 180, 1, 1);
    make_scene(&c, &shape, 1);
    c.source = frame_take(in, &e);
    paint(c.source);
    struct frame *cut = frame_take(pool, &e);
    struct compositor_params straight = whole(&shape, 0);
    run_compositor(&straight, &c, cut);
    for (int i = 0; i < (int)(sizeof places / sizeof *places) * 3; i++) {
        enum { STRAIGHT, COLOR, IMAGE } kind = i % 3;
        const int alpha = kind == STRAIGHT || i / 3 % 2;
        struct compositor_params p = whole(&shape, kind != STRAIGHT);
        p.canvas_width = places[i / 3].width;
        p.canvas_height = places[i / 3].height;
        p.place = places[i / 3].at;
        struct frame_pool *images = pool_of(p.canvas_width, p.canvas_height, 0, 1);
        struct frame_pool *outputs = pool_of(p.canvas_width, p.canvas_height, alpha, 1);
        struct frame *image = frame_take(images, &e), *out = frame_take(outputs, &e);
        paint(image);
        p.background = kind == IMAGE ? image : NULL;
        run_compositor(&p, &c, out);
        check_canvas(cut, out, &p);
        frame_release(image);
        frame_release(out);
        frame_pool_close(images);
        frame_pool_close(outputs);
    }
    frame_release(cut);
    frame_release(c.source);
    free_scene(&c);
    frame_pool_close(in);
    frame_pool_close(pool);
}

/* ---- colour under what is transparent ---- */

struct pixel {
    int y, u, v, w;
};

/* A pixel of a level of the pyramid, by recursion from the picture; w is 0 outside. */
static struct pixel known(const struct frame *f, int level, int x, int y)
{
    int w = f->width, h = f->height, sum[3] = { 0 }, weight = 0;
    for (int i = 0; i < level; i++) {
        w = (w + 1) / 2;
        h = (h + 1) / 2;
    }
    if (x >= w || y >= h)
        return (struct pixel) { 0 };
    if (!level) {
        int a = (int)at(f, FRAME_A, x, y);
        return (struct pixel) { (int)at(f, FRAME_Y, x, y), 0, 0, a < 8 ? 0 : (a * a + 255) / 256 };
    }
    for (int i = 0; i < 4; i++) {
        struct pixel p = known(f, level - 1, 2 * x + i % 2, 2 * y + i / 2);
        int code[3] = { p.y, p.u, p.v };
        for (int k = 0; k < 3; k++)
            sum[k] += code[k] * p.w;
        weight += p.w;
    }
    struct pixel p = { 0, 0, 0, (weight + 3) / 4 };
    if (weight) {
        p.y = (2 * sum[0] + weight) / (2 * weight);
        p.u = (2 * sum[1] + weight) / (2 * weight);
        p.v = (2 * sum[2] + weight) / (2 * weight);
    }
    if (level == 1) {
        p.u = (int)at(f, FRAME_U, x, y);
        p.v = (int)at(f, FRAME_V, x, y);
    }
    return p;
}

static int clamped(int x, int size)
{
    return x < 0 ? 0 : x < size ? x : size - 1;
}

/* The same after the way back. */
static struct pixel filled(const struct frame *f, int level, int x, int y)
{
    int w = f->width, h = f->height;
    for (int i = 0; i < level; i++) {
        w = (w + 1) / 2;
        h = (h + 1) / 2;
    }
    struct pixel own = known(f, level, x, y);
    if (level && own.w)
        return own;
    if (w == 1 && h == 1)
        return (struct pixel) { 16, 128, 128, 0 };
    int cw = (w + 1) / 2, ch = (h + 1) / 2, code[3] = { 0 };
    for (int i = 0; i < 4; i++) {
        int sx = i & 1 ? (x & 1 ? 1 : -1) : 0, sy = i & 2 ? (y & 1 ? 1 : -1) : 0;
        int times = (sx ? 1 : 3) * (sy ? 1 : 3);
        struct pixel p = filled(f, level + 1, clamped(x / 2 + sx, cw), clamped(y / 2 + sy, ch));
        code[0] += times * p.y;
        code[1] += times * p.u;
        code[2] += times * p.v;
    }
    return (struct pixel) { (code[0] + 8) / 16, (code[1] + 8) / 16, (code[2] + 8) / 16, own.w };
}

/* Blobs of alpha with holes between them: the compositor's filled output equals the recursive definition to the bit. */
static void transparent_pixels_are_filled(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 33, 21 }, { 16, 16 }, { 1, 7 }, { 20, 5 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct shape s = { sizes[i][0], sizes[i][1], sizes[i][0], sizes[i][1], MATRIX_BT601 };
        struct error e;
        struct scene c;
        struct frame_pool *in = pool_of(s.width, s.height, 0, 1);
        struct frame_pool *pool = pool_of(s.width, s.height, 1, 1);
        make_scene(&c, &s, 0);
        for (int k = 0; k < s.width * s.height; k++)
            c.alpha[k] = fraction() < .8 ? 0 : (float)fraction();
        c.source = frame_take(in, &e);
        paint(c.source);
        struct frame *out = frame_take(pool, &e);
        struct compositor_params p = whole(&s, 0);
        run_compositor(&p, &c, out);
        /* the picture before it was filled: the source's colours, as there is no foreground of the network's */
        struct frame before = *c.source;
        before.plane[FRAME_A] = out->plane[FRAME_A];
        before.stride[FRAME_A] = out->stride[FRAME_A];
        for (int y = 0; y < s.height; y++)
            for (int x = 0; x < s.width; x++) {
                double want = at(out, FRAME_A, x, y) > 0 ? at(&before, FRAME_Y, x, y)
                                                         : filled(&before, 0, x, y).y;
                assert_int_equal((int)at(out, FRAME_Y, x, y), (int)want);
                double seen = 0;
                for (int k = 0; k < 4; k++)
                    seen += at(out, FRAME_A, x / 2 * 2 + k % 2, y / 2 * 2 + k / 2);
                struct pixel chroma = filled(&before, 1, x / 2, y / 2);
                if (seen <= 0) {
                    assert_int_equal((int)at(out, FRAME_U, x / 2, y / 2), chroma.u);
                    assert_int_equal((int)at(out, FRAME_V, x / 2, y / 2), chroma.v);
                } else {
                    assert_int_equal((int)at(out, FRAME_U, x / 2, y / 2),
                        (int)at(&before, FRAME_U, x / 2, y / 2));
                }
            }
        frame_release(out);
        frame_release(c.source);
        free_scene(&c);
        frame_pool_close(in);
        frame_pool_close(pool);
    }
}

/* A network that answers nonsense makes nonsense, not a crash or a colour out of range. */
static void not_a_number_is_nothing(void **state)
{
    (void)state;
    struct error e;
    float alpha[4] = { NAN, NAN, NAN, NAN }, rgb[12];
    for (int i = 0; i < 12; i++)
        rgb[i] = NAN;
    struct frame_pool *pool = pool_of(8, 8, 1, 2);
    struct frame *in = frame_take(pool, &e), *out = frame_take(pool, &e);
    paint(in);
    static const struct shape shape = { 8, 8, 2, 2, MATRIX_BT601 };
    struct compositor_params p = whole(&shape, 0);
    struct compositor *compositor = compositor_open(device, &p, &e);
    const struct compositor_low low = { .alpha = { alpha, 2, 2, 1, 0 },
        .foreground = { rgb, 2, 2, 3, 0 },
        .input = { rgb, 2, 2, 3, 0 } };
    assert_int_equal(compositor_run(compositor, in, &low, out, &e), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(out->plane[FRAME_A][i], 0);
        assert_int_equal(out->plane[FRAME_Y][i], 16);
        assert_int_equal(out->plane[FRAME_U][i / 2], 128);
    }
    compositor_close(compositor);
    frame_release(in);
    frame_release(out);
    frame_pool_close(pool);
}

static void *take_one(void *pool)
{
    struct error e;
    return frame_take(pool, &e);
}

static void an_empty_pool_waits(void **state)
{
    (void)state;
    struct error e;
    struct frame_pool *pool = pool_of(8, 8, 0, 1);
    struct frame *only = frame_take(pool, &e);
    pthread_t thread;
    void *got;
    struct timespec soon;
    assert_int_equal(pthread_create(&thread, NULL, take_one, pool), 0);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 1;
    assert_int_equal(pthread_timedjoin_np(thread, &got, &soon), ETIMEDOUT);
    frame_release(only);
    pthread_join(thread, &got);
    assert_ptr_equal(got, only);
    frame_release(got);
    frame_pool_close(pool);
}

static void a_pool_is_fixed_and_can_be_aborted(void **state)
{
    (void)state;
    struct error e;
    struct frame_pool *pool = pool_of(33, 17, 1, 2);
    struct frame *a = frame_take(pool, &e), *b = frame_take(pool, &e);
    assert_ptr_not_equal(a, b);
    for (int i = 0; i < FRAME_PLANES; i++) {
        assert_int_equal((uintptr_t)a->plane[i] % 64, 0);
        assert_int_equal(a->stride[i] % 64, 0);
    }
    frame_ref(b);
    frame_release(b);
    frame_release(a);
    assert_ptr_equal(frame_take(pool, &e), a); /* b is still out */
    frame_pool_abort(pool);
    assert_null(frame_take(pool, &e));
    assert_string_equal(e.code, "cancelled");
    frame_release(a);
    frame_release(b);
    frame_pool_close(pool);
    frame_pool_close(NULL);
}

static void impossible_arguments_are_refused(void **state)
{
    (void)state;
    struct error e;
    struct sampler_params s = { 0, 10, 10, 10, MATRIX_BT601, { 0 }, { 1, 1, 1 } };
    static const struct shape shape = { 10, 10, 10, 10, MATRIX_BT601 };
    assert_null(sampler_open(device, &s, &e));
    assert_string_equal(e.code, "too_large");
    for (int i = 0; i < 5; i++) {
        struct compositor_params c = whole(&shape, 0);
        int *wrong[] = { &c.low_height, &c.canvas_width, &c.place.width, &c.place.x, &c.height };
        *wrong[i] = i == 1 ? 0 : 1 << 25;
        assert_null(compositor_open(device, &c, &e));
        assert_string_equal(e.code, "too_large");
    }
    assert_null(device_open("abacus", &e));
    assert_string_equal(e.code, "device_unavailable");
    assert_string_equal(device_name(device), "cpu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampler_equals_the_reference),
        cmocka_unit_test(compositor_equals_the_reference),
        cmocka_unit_test(a_canvas_equals_the_reference),
        cmocka_unit_test(transparent_pixels_are_filled),
        cmocka_unit_test(not_a_number_is_nothing),
        cmocka_unit_test(an_empty_pool_waits),
        cmocka_unit_test(a_pool_is_fixed_and_can_be_aborted),
        cmocka_unit_test(impossible_arguments_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_device, close_device);
}
