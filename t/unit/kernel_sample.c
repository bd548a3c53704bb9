/* The kernel that shows pictures to networks, against a reference in double precision and the CPU's sampler. */
#include "device/cuda/kernels/sample.h"
#include "device/device.h"
#include "device/taps.h"
#include "kernel_picture.h"

static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };

static double overlap(double a0, double a1, double b0, double b1)
{
    const double from = fmax(a0, b0), to = fmin(a1, b1);
    return to > from ? to - from : 0;
}

static void widen(double *from, double *to)
{
    const double middle = (*from + *to) / 2;
    if (*to - *from >= 1)
        return;
    *from = middle - .5;
    *to = middle + .5;
}

/* Mean of a plane over a box given in its samples; an axis that grows is a linear blend at the box's centre. */
static double average(const struct shown *s, int plane, double x0, double x1, double y0, double y1)
{
    const struct picture *p = &s->picture;
    const int w = plane ? (p->width + 1) / 2 : p->width,
              h = plane ? (p->height + 1) / 2 : p->height;
    double sum = 0, weight = 0;
    widen(&x0, &x1);
    widen(&y0, &y1);
    for (int y = (int)fmax(floor(y0), 0); y < fmin(y1, h); y++)
        for (int x = (int)fmax(floor(x0), 0); x < fmin(x1, w); x++) {
            const double area = overlap(x0, x1, x, x + 1) * overlap(y0, y1, y, y + 1);
            sum += area * code_at(s, plane, x, y);
            weight += area;
        }
    return sum / weight;
}

struct tables {
    struct taps x[2], y[2];
};

static struct axis axis_of(struct taps *t, int size, int half, int to)
{
    const struct taps_params p = { half ? (size + 1) / 2 : size, half ? size / 2. : size, to, 0,
        to };
    assert_int_equal(taps_open(t, &p), 0);
    return (struct axis) { t->first, t->weight, t->most };
}

static struct sample_picture_params params_of(
    const struct shown *s, struct tables *t, int width, int height, int channels)
{
    struct sample_picture_params p = { .picture = s->picture,
        .width = width,
        .height = height,
        .channels = channels,
        .tile = sample_tile(s->picture.width, width) };
    for (int k = 0; k < 2; k++) {
        p.x[k] = axis_of(&t->x[k], s->picture.width, k, width);
        p.y[k] = axis_of(&t->y[k], s->picture.height, k, height);
    }
    for (int k = 0; k < 3; k++) {
        p.scale[k] = 1 / std[k];
        p.bias[k] = -mean[k] / std[k];
    }
    p.out = malloc((size_t)(width * height * channels) * sizeof *p.out);
    memset(p.out, 0x55, (size_t)(width * height * channels) * sizeof *p.out);
    assert_in_range(p.tile, 1, SAMPLE_TILE);
    return p;
}

static void free_tables(struct tables *t)
{
    for (int k = 0; k < 2; k++) {
        taps_close(&t->x[k]);
        taps_close(&t->y[k]);
    }
}

static void compare(const struct shown *s, const struct sample_picture_params *p, int x, int y)
{
    double yuv[3], want[3];
    for (int k = 0; k < 3; k++) {
        const double w = k ? s->picture.width / 2. : s->picture.width;
        const double h = k ? s->picture.height / 2. : s->picture.height;
        yuv[k] = average(s, k, x * w / p->width, (x + 1) * w / p->width, y * h / p->height,
            (y + 1) * h / p->height);
    }
    rgb_of(s, yuv[0], yuv[1], yuv[2], want);
    for (int k = 0; k < p->channels; k++) {
        const double expected = k < 3 ? (want[k] - mean[k]) / std[k] : 0;
        const double got = value_of(p->out[(y * p->width + x) * p->channels + k]);
        if (!(fabs(got - expected) <= fabs(expected) * 5e-4 + 5e-5))
            fail_msg("%dx%d to %dx%d: %g instead of %g at %d, %d of channel %d", s->picture.width,
                s->picture.height, p->width, p->height, got, expected, x, y, k);
    }
}

static void any_picture_at_any_size(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        const int width = 1 + random_below(i % 5 ? 200 : 700), height = 1 + random_below(120);
        const int low_width = 8 + random_below(90), low_height = 8 + random_below(30);
        struct tables t;
        struct shown s = show(width, height, i % LAYOUTS);
        struct sample_picture_params p =
            params_of(&s, &t, low_width, low_height, 3 + i / LAYOUTS % 3 * (i & 1 ? 1 : 5));
        RUN(sample_picture, &p);
        for (int y = 0; y < low_height; y++)
            for (int x = 0; x < low_width; x++)
                compare(&s, &p, x, y);
        free(p.out);
        free_tables(&t);
        hide(&s);
    }
}

/* Pictures of the CPU's kind: the same result to the bit. */
static void the_same_as_on_the_cpu(void **state)
{
    (void)state;
    struct error e;
    struct device *cpu = device_open("cpu", &e);
    for (int i = 0; i < 6; i++) {
        const int width = 30 + random_below(300), height = 30 + random_below(200), w = 64, h = 36;
        const enum frame_matrix matrix = i & 1 ? MATRIX_BT709 : MATRIX_BT601;
        struct frame_pool_params pool_params = { .width = width, .height = height, .count = 1 };
        struct frame_pool *pool = frame_pool_open(cpu, &pool_params, &e);
        struct frame *f = frame_take(pool, &e);
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < f->stride[k] * ((height + !!k) >> !!k); j++)
                f->plane[k][j] = (uint8_t)random_below(256);
        struct sampler_params params = { width, height, w, h, matrix, { mean[0], mean[1], mean[2] },
            { std[0], std[1], std[2] } };
        struct sampler *sampler = sampler_open(cpu, &params, &e);
        float *want = malloc(3 * (size_t)(w * h) * sizeof *want);
        const struct raster raster = { want, w, h, 3, 0 };
        assert_int_equal(sampler_run(sampler, f, &raster, &e), 0);
        struct shown s = { .picture = { f->plane[0], f->plane[1], f->plane[2], f->stride[0],
                               f->stride[1], width, height, 0, 0,
                               matrix == MATRIX_BT709 ? decoding(color_matrix(.2126f, .0722f), 0)
                                                      : decoding(color_matrix(.299f, .114f), 0) } };
        struct tables t;
        struct sample_picture_params p = params_of(&s, &t, w, h, 8);
        RUN(sample_picture, &p);
        for (int j = 0; j < w * h; j++)
            for (int k = 0; k < 3; k++) {
                const double got = value_of(p.out[j * 8 + k]), cpus = want[k * w * h + j];
                if (!(fabs(got - cpus) <= (contracts() ? fabs(cpus) / 1024 + 2e-5 : 0)))
                    fail_msg("%g instead of %g at %d of channel %d", got, cpus, j, k);
            }
        free(p.out);
        free_tables(&t);
        free(want);
        sampler_close(sampler);
        frame_release(f);
        frame_pool_close(pool);
    }
    device_close(cpu);
}

static void a_tile_fits_or_is_refused(void **state)
{
    (void)state;
    for (int from = 1; from <= 16384; from += 1 + from / 7)
        for (int to = 1; to <= 2048; to += 1 + to / 5) {
            const int tile = sample_tile(from, to);
            if (!tile) {
                assert_true(from / to >= 120);
                continue;
            }
            struct taps luma, chroma;
            const struct axis x = axis_of(&luma, from, 0, to), c = axis_of(&chroma, from, 1, to);
            for (int begin = 0; begin < to; begin += tile) {
                const int last = (begin + tile < to ? begin + tile : to) - 1;
                assert_true(x.first[last] + x.most + 6 - x.first[begin] <= SAMPLE_COLUMNS);
                assert_true(2 * (c.first[last] + c.most - c.first[begin]) + 6 <= SAMPLE_COLUMNS);
                assert_true(c.first[last] + c.most + 6 - c.first[begin] <= SAMPLE_COLUMNS / 2);
            }
            taps_close(&luma);
            taps_close(&chroma);
        }
    assert_int_equal(sample_tile(16384, 64), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_picture_at_any_size),
        cmocka_unit_test(the_same_as_on_the_cpu),
        cmocka_unit_test(a_tile_fits_or_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
