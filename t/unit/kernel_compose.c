/*
 * The kernels that make the output picture: against a reference in double precision of what one pixel is, and all of
 * them together against the CPU's compositor, over placements, backgrounds and odd sizes.
 */
#include "device/cpu/cpu.h"
#include "device/cuda/kernels/compose.h"
#include "device/cuda/kernels/fill.h"
#include "device/cuda/kernels/place.h"
#include "device/place.h"
#include "device/place_math.h"
#include "device/refine_math.h"
#include "kernel_picture.h"

static struct device *cpu;

static int open_all(void **state)
{
    struct error e;
    cpu = device_open("cpu", &e);
    return load_kernels(state);
}

static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };

/* What a network answered, as halves in N,H,W,C and as planes of the same floats. */
struct low {
    int width, height;
    uint16_t *alpha, *foreground, *input;
    float *alphas, *foregrounds, *inputs;
};

enum { STEP = 4 };

static struct low make_low(int width, int height, int with_foreground)
{
    const size_t n = (size_t)(width * height);
    struct low l = { .width = width, .height = height };
    l.alpha = random_halves(n, -.2, 1.2);
    l.input = random_halves(n * STEP, -2, 2.5);
    l.foreground = with_foreground ? random_halves(n * STEP, -.1, 1.1) : NULL;
    l.alphas = malloc(n * sizeof(float));
    l.inputs = malloc(3 * n * sizeof(float));
    l.foregrounds = malloc(3 * n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        l.alphas[i] = value_of(l.alpha[i]);
        for (size_t k = 0; k < 3; k++) {
            l.inputs[k * n + i] = value_of(l.input[i * STEP + k]);
            l.foregrounds[k * n + i] = with_foreground ? value_of(l.foreground[i * STEP + k]) : 0;
        }
    }
    return l;
}

static void free_low(struct low *l)
{
    free(l->alpha);
    free(l->input);
    free(l->foreground);
    free(l->alphas);
    free(l->inputs);
    free(l->foregrounds);
}

/* Planes of the exact size. */
static struct canvas make_canvas(int width, int height, int alpha, int interleaved)
{
    struct canvas c = { .width = width, .height = height, .interleaved = interleaved };
    const int half = (width + 1) / 2, high = (height + 1) / 2;
    c.y_pitch = width + random_below(5);
    c.a_pitch = width + random_below(5);
    c.uv_pitch = (half << interleaved) + random_below(5);
    const size_t chroma = (size_t)(c.uv_pitch * (high - 1) + (half << interleaved));
    c.y = malloc((size_t)(c.y_pitch * (height - 1) + width));
    c.a = alpha ? malloc((size_t)(c.a_pitch * (height - 1) + width)) : NULL;
    c.u = malloc(chroma);
    c.v = interleaved ? c.u + 1 : malloc(chroma);
    return c;
}

static void free_canvas(struct canvas *c)
{
    free(c->y);
    free(c->a);
    free(c->u);
    if (!c->interleaved)
        free(c->v);
}

static int canvas_at(const struct canvas *c, int plane, int x, int y)
{
    if (plane == FRAME_Y)
        return c->y[y * c->y_pitch + x];
    if (plane == FRAME_A)
        return c->a[y * c->a_pitch + x];
    return (plane == FRAME_U ? c->u : c->v)[y * c->uv_pitch + (x << c->interleaved)];
}

static struct compose_params params_of(
    const struct picture *source, const struct low *low, const struct canvas *canvas, int hd)
{
    struct compose_params p = { .source = *source,
        .size = enlargement(source->width, source->height, low->width, low->height),
        .guide = { low->input, low->alpha, STEP, 1, { 0 }, { 0 } },
        .foreground = low->foreground,
        .foreground_step = STEP,
        .matrix = hd ? color_matrix(.2126f, .0722f) : color_matrix(.299f, .114f),
        .canvas = *canvas };
    memcpy(p.guide.mean, mean, sizeof mean);
    memcpy(p.guide.std, std, sizeof std);
    assert_true(p.size.tile_width && p.size.tile_height);
    return p;
}

/* ---- one pixel, in double precision ---- */

static double between(const double *low, int w, int h, double x, double y)
{
    const double fx = clip(x * w - .5, 0, w - 1), fy = clip(y * h - .5, 0, h - 1);
    const int x0 = (int)fx, y0 = (int)fy;
    const int x1 = x0 + 1 < w ? x0 + 1 : x0, y1 = y0 + 1 < h ? y0 + 1 : y0;
    const double a = fx - x0, b = fy - y0;
    return (1 - b) * ((1 - a) * low[y0 * w + x0] + a * low[y0 * w + x1]) +
           b * ((1 - a) * low[y1 * w + x0] + a * low[y1 * w + x1]);
}

/* Of limited range. */
static double source_code(const struct shown *s, int plane, int x, int y)
{
    const double c = code_at(s, plane, x, y);
    if (!(s->white > 0))
        return c;
    return plane ? 128 + (c - 128) * 224 / s->white : 16 + c * 219 / s->white;
}

static void differences(const struct shown *s, const struct low *l, double *d[3])
{
    const int n = l->width * l->height;
    for (int i = 0; i < n; i++) {
        double rgb[3] = { 0 };
        for (int k = 0; k < 3 && l->foreground; k++)
            rgb[k] = clip(l->foregrounds[k * n + i], 0, 1) -
                     ((double)l->inputs[k * n + i] * std[k] + mean[k]);
        const double luma = s->kr * rgb[0] + (1 - s->kr - s->kb) * rgb[1] + s->kb * rgb[2];
        d[0][i] = 219 * luma;
        d[1][i] = 224 * (rgb[2] - luma) / (2 * (1 - s->kb));
        d[2][i] = 224 * (rgb[0] - luma) / (2 * (1 - s->kr));
    }
}

struct scene {
    const struct shown *shown;
    const struct low *low;
    double *alpha, *move[3];
};

static double alpha_at(const struct scene *s, int x, int y)
{
    const double a = between(s->alpha, s->low->width, s->low->height,
        (x + .5) / s->shown->picture.width, (y + .5) / s->shown->picture.height);
    return floor((a < .02 ? 0 : a > .98 ? 1 : a) * 255 + .5);
}

static double front_at(const struct scene *s, int plane, int x, int y)
{
    const double grain = plane ? 2 : 1;
    const double move = between(s->move[plane], s->low->width, s->low->height,
        fmin((x + .5) * grain / s->shown->picture.width, 1),
        fmin((y + .5) * grain / s->shown->picture.height, 1));
    return clip(source_code(s->shown, plane, x, y) + move, 16, plane ? 240 : 235);
}

static void expect(const struct canvas *c, int plane, int x, int y, double want, double slack)
{
    const double got = canvas_at(c, plane, x, y);
    if (!(fabs(got - want) <= .5 + slack))
        fail_msg("%dx%d: %g instead of %g at %d, %d of plane %d", c->width, c->height, got, want, x,
            y, plane);
}

/* Two roundings may fall the other way: alpha's and that of the code that is blended. */
static void check_pixels(const struct scene *s, const struct compose_params *p)
{
    const struct canvas *c = &p->canvas;
    const int w = s->shown->picture.width, h = s->shown->picture.height;
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++) {
            const int sx = x - p->x, sy = y - p->y, in = sx >= 0 && sy >= 0 && sx < w && sy < h;
            const double a = in ? alpha_at(s, sx, sy) : 0;
            if (c->a)
                expect(c, FRAME_A, x, y, a, .52);
            if (c->a && in)
                expect(c, FRAME_Y, x, y, front_at(s, 0, sx, sy), .01);
            if (!c->a)
                expect(c, FRAME_Y, x, y,
                    c->color[0] + a / 255 * ((in ? front_at(s, 0, sx, sy) : 0) - c->color[0]), 1.4);
        }
    for (int plane = FRAME_U; plane <= FRAME_V; plane++)
        for (int y = 0; y < (c->height + 1) / 2; y++)
            for (int x = 0; x < (c->width + 1) / 2; x++) {
                double sum = 0;
                int count = 0;
                for (int k = 0; k < 4; k++) {
                    const int cx = 2 * x + k % 2, cy = 2 * y + k / 2, sx = cx - p->x,
                              sy = cy - p->y;
                    if (cx < c->width && cy < c->height && sx >= 0 && sy >= 0 && sx < w && sy < h) {
                        sum += alpha_at(s, sx, sy);
                        count++;
                    }
                }
                const double front =
                    count ? front_at(s, plane, (2 * x - p->x) / 2, (2 * y - p->y) / 2) : 0;
                if (c->a && count)
                    expect(c, plane, x, y, front, .01);
                if (!c->a)
                    expect(c, plane, x, y,
                        c->color[plane] +
                            (count ? sum / count / 255 * (front - c->color[plane]) : 0),
                        1.4);
            }
}

static void a_pixel_is_what_it_should_be(void **state)
{
    (void)state;
    for (int i = 0; i < 24; i++) {
        const int width = 1 + random_below(110), height = 1 + random_below(70);
        struct shown shown = show(width, height, i % LAYOUTS);
        struct low low = make_low(1 + random_below(width + 4), 1 + random_below(height + 4), i & 1);
        const int n = low.width * low.height;
        struct canvas canvas =
            make_canvas(width + random_below(9), height + random_below(9), i & 2, i & 4);
        canvas.color[0] = 81;
        canvas.color[1] = 90;
        canvas.color[2] = 240;
        struct compose_params p = params_of(&shown.picture, &low, &canvas, shown.kr < .25);
        p.x = 2 * (random_below(20) - 10);
        p.y = 2 * (random_below(20) - 10);
        RUN(compose, &p);
        struct scene s = { &shown, &low, malloc((size_t)n * sizeof(double)), { NULL } };
        for (int k = 0; k < 3; k++)
            s.move[k] = malloc((size_t)n * sizeof(double));
        for (int k = 0; k < n; k++)
            s.alpha[k] = low.alphas[k];
        differences(&shown, &low, s.move);
        check_pixels(&s, &p);
        free(s.alpha);
        for (int k = 0; k < 3; k++)
            free(s.move[k]);
        free_canvas(&canvas);
        free_low(&low);
        hide(&shown);
    }
}

/* ---- the whole compositor ---- */

static struct frame *a_frame(struct frame_pool **pool, int width, int height, int alpha)
{
    struct error e;
    struct frame_pool_params p = { .width = width, .height = height, .alpha = alpha, .count = 1 };
    *pool = frame_pool_open(cpu, &p, &e);
    struct frame *f = frame_take(*pool, &e);
    for (int k = 0; k < 3 + alpha; k++) {
        const int shift = k == FRAME_U || k == FRAME_V;
        for (int i = 0; i < f->stride[k] * ((height + shift) >> shift); i++)
            f->plane[k][i] = (uint8_t)(16 + random_below(220));
    }
    return f;
}

static struct picture picture_of(const struct frame *f, int hd)
{
    return (struct picture) { f->plane[0], f->plane[1], f->plane[2], f->stride[0], f->stride[1],
        f->width, f->height, 0, 0,
        hd ? decoding(color_matrix(.2126f, .0722f), 0) : decoding(color_matrix(.299f, .114f), 0) };
}

/* Fills a canvas as device/cpu/fill.c does. */
static void fill(const struct canvas *canvas)
{
    struct fill_level levels[16];
    int count = 0, width = canvas->width, height = canvas->height;
    do {
        levels[count] = fill_coarser_size(width, height);
        width = levels[count].width;
        height = levels[count].height;
        levels[count].sample = malloc((size_t)(width * height) * sizeof(uint32_t));
        count++;
    } while (width > 1 || height > 1);
    struct fill_first_params first = { *canvas, levels[0] };
    RUN(fill_first, &first);
    for (int i = 1; i < count; i++) {
        struct fill_coarser_params p = { levels[i - 1], levels[i] };
        RUN(fill_coarser, &p);
    }
    for (int i = count - 1; i > 0; i--) {
        struct fill_finer_params p = { levels[i], levels[i - 1] };
        RUN(fill_finer, &p);
    }
    struct fill_canvas_params last = { levels[0], *canvas };
    RUN(fill_canvas, &last);
    for (int i = 0; i < count; i++)
        free(levels[i].sample);
}

static struct axis axis_of(const struct taps *t)
{
    return (struct axis) { t->first, t->weight, t->most };
}

/* What the compositor of params does, by kernels. */
static void compose_all(const struct compositor_params *params, const struct frame *source,
    const struct low *low, struct canvas *canvas)
{
    const int hd = params->matrix == MATRIX_BT709;
    const int guided = params->guided && refine_guides(params->width, params->height,
                                             params->low_width, params->low_height);
    const struct picture picture = picture_of(source, hd);
    struct placed placed;
    assert_int_equal(placed_open(&placed, params), 0);
    if (placed.whole) {
        struct compose_params p = params_of(&picture, low, canvas, hd);
        const int none = placed.x0 == placed.x1;
        p.guided = guided;
        p.x = none ? (canvas->width + 1) / 2 * 2 : params->place.x;
        p.y = none ? 0 : params->place.y;
        RUN(compose, &p);
    } else {
        struct canvas cut = make_canvas(source->width, source->height, 1, random_below(2));
        struct compose_params p = params_of(&picture, low, &cut, hd);
        p.guided = guided;
        RUN(compose, &p);
        struct place_params q = { { cut.y, cut.u, cut.v, cut.y_pitch, cut.uv_pitch, cut.width,
                                      cut.height, 0, cut.interleaved, picture.decoding },
            cut.a, cut.a_pitch, axis_of(&placed.x), axis_of(&placed.y), placed.x0, placed.y0,
            placed.x1, placed.y1, p.matrix, *canvas };
        RUN(place, &q);
        free_canvas(&cut);
    }
    placed_close(&placed);
    if (!params->opaque)
        fill(canvas);
}

/* exactly: to the bit; else a rounding may rarely fall the other way */
static void expect_the_same(const struct frame *want, const struct canvas *got, int exactly, int i)
{
    int off = 0, total = 0;
    for (int plane = 0; plane < (got->a ? 4 : 3); plane++) {
        const int shift = plane == FRAME_U || plane == FRAME_V;
        for (int y = 0; y < (got->height + shift) >> shift; y++)
            for (int x = 0; x < (got->width + shift) >> shift; x++) {
                const int a = want->plane[plane][y * want->stride[plane] + x];
                const int b = canvas_at(got, plane, x, y);
                total++;
                off += a != b;
                if (abs(a - b) > !exactly)
                    fail_msg("case %d, %dx%d: %d instead of %d at %d, %d of plane %d", i,
                        got->width, got->height, b, a, x, y, plane);
            }
    }
    if (off * 500 > total + 1000)
        fail_msg("case %d: %d of %d samples are off by one", i, off, total);
}

static void the_same_as_on_the_cpu(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct error e;
        struct frame_pool *pools[3] = { NULL };
        const int width = 2 + random_below(100), height = 2 + random_below(70);
        const int opaque = i & 1, resized = i / 2 % 2, background = i / 4 % 2;
        const int alpha = !opaque || i / 8 % 2;
        struct compositor_params p = { .width = width,
            .height = height,
            .low_width = 2 + random_below(60),
            .low_height = 2 + random_below(40),
            .canvas_width = i / 8 % 2 ? width : 1 + random_below(140),
            .canvas_height = i / 8 % 2 ? height : 1 + random_below(90),
            .place = { 2 * random_below(30) - 30, 2 * random_below(20) - 20, width, height },
            .matrix = i / 3 % 2 ? MATRIX_BT709 : MATRIX_BT601,
            .guided = i / 5 % 2,
            .opaque = opaque,
            .color = { 0, 255, 17 } };
        memcpy(p.mean, mean, sizeof mean);
        memcpy(p.std, std, sizeof std);
        if (i / 8 % 2)
            p.place.x = p.place.y = 0;
        if (p.low_width > 3 * width)
            p.low_width = width;
        if (p.low_height > 3 * height)
            p.low_height = height;
        if (resized)
            p.place = (struct placement) { random_below(60) - 30, random_below(40) - 20,
                1 + random_below(150), 1 + random_below(100) };
        struct frame *source = a_frame(&pools[0], width, height, 0);
        struct frame *want = a_frame(&pools[1], p.canvas_width, p.canvas_height, alpha);
        struct frame *behind = a_frame(&pools[2], p.canvas_width, p.canvas_height, 0);
        p.background = background && opaque ? behind : NULL;
        struct low low = make_low(p.low_width, p.low_height, i % 5 > 1);
        struct compositor *compositor = compositor_open(cpu, &p, &e);
        const struct compositor_low answer = { .alpha = { low.alphas, low.width, low.height, 1, 0 },
            .foreground = { low.foreground ? low.foregrounds : NULL, low.width, low.height, 3, 0 },
            .input = { low.inputs, low.width, low.height, 3, 0 } };
        assert_int_equal(compositor_run(compositor, source, &answer, want, &e), 0);
        struct canvas canvas = make_canvas(p.canvas_width, p.canvas_height, alpha, i / 16 % 2);
        canvas.opaque = opaque;
        if (p.background)
            canvas.background = picture_of(behind, 0);
        const struct color_matrix m =
            p.matrix == MATRIX_BT709 ? color_matrix(.2126f, .0722f) : color_matrix(.299f, .114f);
        const struct codes codes = color_codes(m, 0, 1, 17 / 255.f);
        canvas.color[0] = round_code(codes.y);
        canvas.color[1] = round_code(codes.u);
        canvas.color[2] = round_code(codes.v);
        compose_all(&p, source, &low, &canvas);
        expect_the_same(want, &canvas, !contracts(), i);
        compositor_close(compositor);
        free_canvas(&canvas);
        free_low(&low);
        frame_release(source);
        frame_release(want);
        frame_release(behind);
        for (int k = 0; k < 3; k++)
            frame_pool_close(pools[k]);
    }
}

/* Of a network that answers nonsense nothing is seen, and no colour is out of range. */
static void not_a_number_is_nothing(void **state)
{
    (void)state;
    struct frame_pool *pool;
    struct frame *source = a_frame(&pool, 9, 7, 0);
    struct low low = make_low(3, 3, 1);
    for (int i = 0; i < 9; i++)
        low.alpha[i] = 0x7e00;
    for (int i = 0; i < 9 * STEP; i++)
        low.foreground[i] = low.input[i] = 0x7e00;
    struct canvas canvas = make_canvas(9, 7, 1, 0);
    const struct picture picture = picture_of(source, 0);
    struct compose_params p = params_of(&picture, &low, &canvas, 0);
    RUN(compose, &p);
    fill(&canvas);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 9; x++) {
            assert_int_equal(canvas_at(&canvas, FRAME_A, x, y), 0);
            assert_int_equal(canvas_at(&canvas, FRAME_Y, x, y), 16);
            assert_int_equal(canvas_at(&canvas, FRAME_U, x / 2, y / 2), 128);
        }
    free_canvas(&canvas);
    free_low(&low);
    frame_release(source);
    frame_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pixel_is_what_it_should_be),
        cmocka_unit_test(the_same_as_on_the_cpu),
        cmocka_unit_test(not_a_number_is_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_all, NULL);
}
