/*
 * What is made of a network's answer: the solver against a double-precision reference that looks at every window pixel by
 * pixel, and each refinement by what it is for, on pictures of which the matte is known.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"

enum { WIDTH = 61, HEIGHT = 43, N = WIDTH * HEIGHT };

static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };

static struct device *device;

static int open_device(void **state)
{
    (void)state;
    struct error e;
    srand(1);
    device = device_open("cpu", &e);
    return !device;
}

static int close_device(void **state)
{
    (void)state;
    device_close(device);
    return 0;
}

static double fraction(void)
{
    return (double)rand() / RAND_MAX;
}

static double within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static struct solver *solver_of(unsigned refine)
{
    struct error e;
    struct solver_params p = { .width = WIDTH, .height = HEIGHT, .refine = refine };
    memcpy(p.mean, mean, sizeof mean);
    memcpy(p.std, std, sizeof std);
    struct solver *solver = solver_open(device, &p, &e);
    assert_non_null(solver);
    return solver;
}

static struct compositor_low low_of(float *alpha, float *foreground, float *input)
{
    return (struct compositor_low) { { alpha, WIDTH, HEIGHT, 1, 0 },
        { foreground, WIDTH, HEIGHT, 3, 0 }, { input, WIDTH, HEIGHT, 3, 0 } };
}

static const float *values(const struct raster *raster)
{
    return raster->data;
}

static void run(struct solver *solver, struct compositor_low *low)
{
    struct error e;
    assert_int_equal(solver_run(solver, low, &e), 0);
}

/* A picture as a sampler gives it. */
static void normalise(float *input, double (*rgb)[3])
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < N; i++)
            input[c * N + i] = (float)((rgb[i][c] - (double)mean[c]) / (double)std[c]);
}

/* ---- the reference ---- */

/* The weighted mean colour around x, y; *found: the mean weight of the wide window. */
static void mean_around(
    double (*rgb)[3], const double *weight, int x, int y, int radius, double out[3], double *found)
{
    const int wide = 4, left = x / wide - radius, top = y / wide - radius;
    double near[4] = { 0 }, far[4] = { 0 };
    for (int j = 0; j < HEIGHT; j++)
        for (int i = 0; i < WIDTH; i++) {
            double w = weight[j * WIDTH + i];
            const double *c = rgb[j * WIDTH + i];
            int is_near = abs(i - x) <= radius && abs(j - y) <= radius;
            int is_far = i / wide >= left && i / wide <= left + 2 * radius && j / wide >= top &&
                         j / wide <= top + 2 * radius;
            for (int k = 0; k < 4; k++) {
                near[k] += is_near * w * (k < 3 ? c[k] : 1);
                far[k] += is_far * w * (k < 3 ? c[k] : 1);
            }
        }
    const double area = pow(2 * radius + 1, 2);
    *found = far[3] / (area * wide * wide);
    for (int k = 0; k < 3; k++)
        out[k] = (near[k] / area + 1e-3 * far[k] / (far[3] + 1e-6 * area * wide * wide)) /
                 (near[3] / area + 1e-3 * far[3] / (far[3] + 1e-6 * area * wide * wide) + 1e-9);
}

static int is_soft(double alpha)
{
    return alpha > .05 && alpha < .95;
}

static double solved_alpha(double (*rgb)[3], const double *alpha, int x, int y)
{
    static double sure[2][N];
    double f[3], b[3], front, back, span = 0, along = 0, off = 0;
    int soft = 0, at = y * WIDTH + x;
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++)
            soft += i >= 0 && j >= 0 && i < WIDTH && j < HEIGHT && is_soft(alpha[j * WIDTH + i]);
    for (int i = 0; i < N; i++) {
        sure[0][i] = within((alpha[i] - .95) / .05, 0, 1);
        sure[1][i] = within((.05 - alpha[i]) / .05, 0, 1);
    }
    mean_around(rgb, sure[0], x, y, 8, f, &front);
    mean_around(rgb, sure[1], x, y, 8, b, &back);
    for (int k = 0; k < 3; k++) {
        span += (f[k] - b[k]) * (f[k] - b[k]);
        along += (rgb[at][k] - b[k]) * (f[k] - b[k]);
    }
    double told = within(along / (span + 1e-6), 0, 1);
    for (int k = 0; k < 3; k++)
        off += pow(rgb[at][k] - b[k] - told * (f[k] - b[k]), 2) / .02;
    double trust = within(soft / 4.0, 0, 1) * within(50 * fmin(front, back), 0, 1);
    return alpha[at] + (told - alpha[at]) * trust * span / (span + .2) / (1 + off + .5 * off * off);
}

static double solved_color(double (*rgb)[3], const double *alpha, int x, int y, int channel)
{
    static double rest[N];
    double f[3], b[3], found, a = alpha[y * WIDTH + x], c = rgb[y * WIDTH + x][channel];
    for (int i = 0; i < N; i++)
        rest[i] = 1 - alpha[i];
    mean_around(rgb, alpha, x, y, 3, f, &found);
    mean_around(rgb, rest, x, y, 3, b, &found);
    return a > 0 && a < 1
               ? within(f[channel] + a * (c - a * f[channel] - (1 - a) * b[channel]), 0, 1)
               : c;
}

static void solver_agrees_with_the_reference(void **state)
{
    (void)state;
    static double rgb[N][3], alpha[N], solved[N];
    static float input[3 * N], given[N];
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int i = y * WIDTH + x;
            double edge = hypot(x - 30, y - 20) - 12;
            given[i] = (float)within(.5 - edge / 7 + .2 * (fraction() - .5), 0, 1);
            alpha[i] = (double)given[i];
            for (int c = 0; c < 3; c++)
                rgb[i][c] =
                    within((edge < 0 ? .8 - .3 * c : .1 + .3 * c) + .2 * (fraction() - .5), 0, 1);
        }
    normalise(input, rgb);
    struct solver *solver = solver_of(REFINE_EDGES | REFINE_COLORS);
    struct compositor_low low = low_of(given, NULL, input);
    run(solver, &low);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            solved[y * WIDTH + x] = solved_alpha(rgb, alpha, x, y);
    for (int i = 0; i < N; i++)
        assert_float_equal(values(&low.alpha)[i], solved[i], 2e-4);
    for (int y = 0; y < HEIGHT; y += 3)
        for (int x = 0; x < WIDTH; x += 3)
            for (int c = 0; c < 3; c++)
                assert_float_equal(values(&low.foreground)[c * N + y * WIDTH + x],
                    solved_color(rgb, solved, x, y, c), 2e-3);
    solver_close(solver);
}

/* ---- what each is for ---- */

/* Red strands of alpha 0..1 before blue; the network sees a blur of them. */
static void strands(double (*rgb)[3], double *truth, float *blurred)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int i = y * WIDTH + x;
            truth[i] = y > 24 ? 1 : y < 12 ? 0 : x % 6 == 0 ? .9 : x % 6 == 3 ? .4 : 0;
            blurred[i] = y > 24 ? 1 : y < 12 ? 0 : .3f;
            for (int c = 0; c < 3; c++)
                rgb[i][c] = truth[i] * (c == 0 ? .9 : .1) + (1 - truth[i]) * (c == 2 ? .8 : .2);
        }
}

static void edges_are_decided_by_colour(void **state)
{
    (void)state;
    static double rgb[N][3], truth[N];
    static float input[3 * N], given[N];
    double before = 0, after = 0;
    strands(rgb, truth, given);
    normalise(input, rgb);
    struct solver *solver = solver_of(REFINE_EDGES);
    struct compositor_low low = low_of(given, NULL, input);
    run(solver, &low);
    assert_null(low.foreground.data);
    for (int i = 0; i < N; i++) {
        before += fabs((double)given[i] - truth[i]);
        after += fabs((double)values(&low.alpha)[i] - truth[i]);
        if (i / WIDTH > 26 || i / WIDTH < 10) /* what is sure stays */
            assert_float_equal(values(&low.alpha)[i], given[i], 0);
    }
    assert_true(after < .4 * before);
    solver_close(solver);
}

static void alike_colours_decide_nothing(void **state)
{
    (void)state;
    static double rgb[N][3], truth[N];
    static float input[3 * N], given[N];
    strands(rgb, truth, given);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < 3; c++)
            rgb[i][c] = .5 + .02 * truth[i];
    normalise(input, rgb);
    struct solver *solver = solver_of(REFINE_EDGES);
    struct compositor_low low = low_of(given, NULL, input);
    run(solver, &low);
    for (int i = 0; i < N; i++)
        assert_float_equal(values(&low.alpha)[i], given[i], .01);
    solver_close(solver);
}

static void colours_lose_the_old_background(void **state)
{
    (void)state;
    static double rgb[N][3], truth[N];
    static float input[3 * N], given[N], own[3 * N];
    double before = 0, after = 0;
    strands(rgb, truth, given);
    for (int i = 0; i < N; i++)
        given[i] = (float)truth[i];
    normalise(input, rgb);
    struct solver *solver = solver_of(REFINE_COLORS);
    struct compositor_low low = low_of(given, NULL, input);
    run(solver, &low);
    for (int i = 0; i < N; i++)
        if (is_soft(truth[i]))
            for (int c = 0; c < 3; c++) {
                before += fabs(rgb[i][c] - (c == 0 ? .9 : .1));
                after += fabs((double)values(&low.foreground)[c * N + i] - (c == 0 ? .9 : .1));
            }
    assert_true(after < .5 * before);

    struct compositor_low known = low_of(given, own, input);
    run(solver, &known);
    assert_ptr_equal(known.foreground.data, own);
    solver_close(solver);
}

static void stillness_is_calmed_and_motion_is_not(void **state)
{
    (void)state;
    static double rgb[N][3];
    static float input[3 * N], given[N];
    struct solver *solver = solver_of(REFINE_CALM);
    double noise = 0, left = 0;
    for (int frame = 0; frame < 12; frame++) {
        for (int i = 0; i < N; i++) {
            given[i] = (float)(.5 + .2 * (fraction() - .5));
            /* the right half is another picture in every frame */
            for (int c = 0; c < 3; c++)
                rgb[i][c] = i % WIDTH < WIDTH / 2 ? .4 : frame % 2 ? .9 : .1;
        }
        normalise(input, rgb);
        struct compositor_low low = low_of(given, NULL, input);
        run(solver, &low);
        for (int i = 0; frame > 6 && i < N; i++)
            if (i % WIDTH < WIDTH / 2 - 2) {
                noise += pow((double)given[i] - .5, 2);
                left += pow((double)values(&low.alpha)[i] - .5, 2);
            } else if (i % WIDTH > WIDTH / 2 + 2) {
                assert_float_equal(values(&low.alpha)[i], given[i], 1e-6);
            }
    }
    /* a running mean of weight w leaves w / (2 - w) of the variance: a seventh */
    assert_true(left < .2 * noise);
    solver_close(solver);
}

/* A sharp edge in the picture, of which the network knows where it is to four pixels. */
static double edge_error(int guided)
{
    enum { BIG_WIDTH = 4 * WIDTH, BIG_HEIGHT = 4 * HEIGHT };
    static double rgb[N][3];
    static float input[3 * N], given[N];
    struct error e;
    struct frame_pool_params two = {
        .width = BIG_WIDTH, .height = BIG_HEIGHT, .alpha = 1, .count = 2
    };
    struct frame_pool *pool = frame_pool_open(device, &two, &e);
    assert_non_null(pool);
    struct frame *source = frame_take(pool, &e), *output = frame_take(pool, &e);
    struct compositor_params p = { .width = BIG_WIDTH,
        .height = BIG_HEIGHT,
        .low_width = WIDTH,
        .low_height = HEIGHT,
        .canvas_width = BIG_WIDTH,
        .canvas_height = BIG_HEIGHT,
        .place = { 0, 0, BIG_WIDTH, BIG_HEIGHT },
        .matrix = MATRIX_BT709,
        .guided = guided };
    memcpy(p.mean, mean, sizeof mean);
    memcpy(p.std, std, sizeof std);
    double error = 0;

    memset(source->plane[FRAME_U], 128, (size_t)(source->stride[FRAME_U] * BIG_HEIGHT / 2));
    memset(source->plane[FRAME_V], 128, (size_t)(source->stride[FRAME_V] * BIG_HEIGHT / 2));
    memset(rgb, 0, sizeof rgb);
    memset(given, 0, sizeof given);
    for (int y = 0; y < BIG_HEIGHT; y++)
        for (int x = 0; x < BIG_WIDTH; x++) {
            int inside = x + y / 3 < 150, low = y / 4 * WIDTH + x / 4;
            source->plane[FRAME_Y][y * source->stride[FRAME_Y] + x] = inside ? 200 : 50;
            given[low] += (float)inside / 16;
            for (int c = 0; c < 3; c++)
                rgb[low][c] += ((inside ? 200 : 50) - 16) / 219.0 / 16;
        }
    normalise(input, rgb);
    struct compositor *compositor = compositor_open(device, &p, &e);
    assert_non_null(compositor);
    struct compositor_low low = low_of(given, NULL, input);
    assert_int_equal(compositor_run(compositor, source, &low, output, &e), 0);
    for (int y = 0; y < BIG_HEIGHT; y++)
        for (int x = 0; x < BIG_WIDTH; x++)
            error += abs(
                output->plane[FRAME_A][y * output->stride[FRAME_A] + x] - 255 * (x + y / 3 < 150));
    compositor_close(compositor);
    frame_release(source);
    frame_release(output);
    frame_pool_close(pool);
    return error;
}

static void guide_gives_alpha_the_pictures_edge(void **state)
{
    (void)state;
    assert_true(edge_error(1) < .25 * edge_error(0));
}

static void refinements_have_names(void **state)
{
    (void)state;
    assert_int_equal(
        refinement("calm") | refinement("edges") | refinement("colors") | refinement("guide"),
        REFINE_ALL);
    assert_int_equal(refinement("more"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(solver_agrees_with_the_reference),
        cmocka_unit_test(edges_are_decided_by_colour),
        cmocka_unit_test(alike_colours_decide_nothing),
        cmocka_unit_test(colours_lose_the_old_background),
        cmocka_unit_test(stillness_is_calmed_and_motion_is_not),
        cmocka_unit_test(guide_gives_alpha_the_pictures_edge),
        cmocka_unit_test(refinements_have_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_device, close_device);
}
