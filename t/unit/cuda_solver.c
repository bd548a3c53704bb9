/*
 * The solver of a card against the processor's, over several frames: the same halves to the bit, whatever it refines. On
 * whatever card the driver has, real or emulated; without one there is nothing to test.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"

enum { DEVICES = 2, FRAMES = 4 };

static struct device *devices[DEVICES];
static struct error e;

static double fraction(void)
{
    return (double)rand() / RAND_MAX;
}

static float within(double x)
{
    return (float)(x < 0 ? 0 : x > 1 ? 1 : x);
}

/* A disc that moves before noise; what a network would say of it. */
static void paint(int width, int height, int frame, float *rgb, float *alpha, float *foreground)
{
    const int n = width * height;
    for (int i = 0; i < n; i++) {
        const double x = i % width - .45 * width - 2 * frame, y = i / width - .5 * height + frame;
        const double a = .5 - (hypot(x, y) - .3 * height) / 6;
        alpha[i] = within(a + .3 * (fraction() - .5));
        for (int c = 0; c < 3; c++) {
            const double front = .6 + .3 * sin(x * .3 + c),
                         back = .3 + .2 * cos(i % width * .2 - c);
            foreground[c * n + i] = within(front);
            rgb[c * n + i] =
                within(within(a) * front + (1 - within(a)) * back + .02 * (fraction() - .5));
        }
    }
}

struct side {
    struct device *device;
    struct solver *solver;
    struct raster input, alpha, foreground;
};

static struct side open_side(struct device *device, const struct solver_params *p)
{
    struct side s = { .device = device, .solver = solver_open(device, p, &e) };
    if (!s.solver)
        fail_msg("%s", e.text);
    assert_int_equal(raster_open(device, &s.input, p->width, p->height, 3, &e), 0);
    assert_int_equal(raster_open(device, &s.alpha, p->width, p->height, 1, &e), 0);
    assert_int_equal(raster_open(device, &s.foreground, p->width, p->height, 3, &e), 0);
    return s;
}

static void close_side(struct side *s)
{
    solver_close(s->solver);
    raster_close(s->device, &s->input);
    raster_close(s->device, &s->alpha);
    raster_close(s->device, &s->foreground);
}

/* What a solver makes of a frame: alpha and foreground, one after the other; 1 if there is a foreground. */
static int solve(
    struct side *s, const float *rgb, const float *alpha, const float *foreground, float *made)
{
    const int n = s->input.width * s->input.height;
    assert_int_equal(raster_write(s->device, &s->input, rgb, &e), 0);
    assert_int_equal(raster_write(s->device, &s->alpha, alpha, &e), 0);
    struct compositor_low low = { .alpha = s->alpha, .input = s->input };
    if (foreground) {
        assert_int_equal(raster_write(s->device, &s->foreground, foreground, &e), 0);
        low.foreground = s->foreground;
    }
    assert_int_equal(solver_run(s->solver, &low, &e), 0);
    assert_int_equal(raster_read(s->device, &low.alpha, made, &e), 0);
    if (!low.foreground.data)
        return 0;
    assert_int_equal(raster_read(s->device, &low.foreground, made + n, &e), 0);
    return 1;
}

static void compare(int width, int height, unsigned refine, int with_foreground)
{
    const struct solver_params p = { .width = width,
        .height = height,
        .mean = { .485f, .456f, .406f },
        .std = { .229f, .224f, .225f },
        .refine = refine };
    const size_t n = (size_t)(width * height);
    float *rgb = malloc(3 * n * sizeof *rgb), *alpha = malloc(n * sizeof *alpha);
    float *foreground = malloc(3 * n * sizeof *foreground), *made[DEVICES];
    struct side sides[DEVICES];
    for (int i = 0; i < DEVICES; i++) {
        sides[i] = open_side(devices[i], &p);
        made[i] = malloc(4 * n * sizeof **made);
    }
    for (int frame = 0; frame < FRAMES; frame++) {
        int colors[DEVICES];
        paint(width, height, frame, rgb, alpha, foreground);
        for (size_t k = 0; k < 3 * n; k++) /* as a sampler gives it */
            rgb[k] = (rgb[k] - p.mean[k / n]) / p.std[k / n];
        for (int i = 0; i < DEVICES; i++)
            colors[i] = solve(&sides[i], rgb, alpha, with_foreground ? foreground : NULL, made[i]);
        assert_int_equal(colors[0], colors[1]);
        assert_int_equal(colors[0], with_foreground || (refine & REFINE_COLORS));
        for (size_t k = 0; k < (colors[0] ? 4 : 1) * n; k++)
            if (made[0][k] != made[1][k])
                fail_msg("refine %u, %dx%d, frame %d: %g instead of %g at %zu", refine, width,
                    height, frame, (double)made[1][k], (double)made[0][k], k);
    }
    for (int i = 0; i < DEVICES; i++) {
        close_side(&sides[i]);
        free(made[i]);
    }
    free(rgb);
    free(alpha);
    free(foreground);
}

static void card_and_processor_agree(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 1, 1 }, { 33, 7 }, { 96, 64 }, { 131, 77 } };
    static const unsigned refines[] = { REFINE_CALM, REFINE_EDGES, REFINE_COLORS,
        REFINE_CALM | REFINE_COLORS, REFINE_ALL & ~REFINE_GUIDE };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof refines / sizeof *refines; k++)
            compare(sizes[i][0], sizes[i][1], refines[k], i == 2 && k > 2);
}

int main(void)
{
    srand(1);
    devices[0] = device_open("cpu", &e);
    devices[1] = device_open("cuda", &e);
    if (!devices[1]) {
        printf("1..0 # SKIP %s\n", e.text);
        return 0;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(card_and_processor_agree) };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device_close(devices[0]);
    device_close(devices[1]);
    return failed;
}
