/* Motion of pictures made here: shifted, grown, still, cut; and masks that are carried along. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "matte/motion.h"

enum { WIDTH = 200, HEIGHT = 120 };

/* Something with detail everywhere. */
static uint8_t texture(double x, double y, int seed)
{
    return (uint8_t)lrint(128 + 40 * sin(.31 * x + .17 * y + seed) + 35 * sin(.12 * x - .43 * y) +
                          30 * sin(.71 * x + .05 * y + 2 * seed) * cos(.53 * y + seed));
}

/* The whole picture, moved by (dx, dy) and grown by scale about its middle. */
static void draw(uint8_t *to, double dx, double dy, double scale, int seed)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            to[y * WIDTH + x] = texture((x - dx - WIDTH / 2) / scale + WIDTH / 2,
                (y - dy - HEIGHT / 2) / scale + HEIGHT / 2, seed);
}

static void disc(float *to, double cx, double cy, double radius)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            to[y * WIDTH + x] = (float)fmin(fmax(radius - hypot(x - cx, y - cy), -8), 8);
}

static double common(const float *a, const float *b)
{
    double both = 0, either = 0;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        both += a[i] > 0 && b[i] > 0;
        either += a[i] > 0 || b[i] > 0;
    }
    return both / either;
}

static struct motion *opened(void)
{
    struct error e;
    struct motion *m = motion_open(WIDTH, HEIGHT, &e);
    assert_non_null(m);
    return m;
}

static void finds_where_it_went(void **state)
{
    static const double ways[][2] = { { 3, 0 }, { 0, -5 }, { -7, 4 }, { 1.5, -.5 }, { 8, 8 } };
    static uint8_t picture[WIDTH * HEIGHT];
    static float from[WIDTH * HEIGHT], to[WIDTH * HEIGHT], expected[WIDTH * HEIGHT];
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct motion *m = opened();
        struct motion_carried c;
        draw(picture, 0, 0, 1, 1);
        motion_run(m, picture);
        assert_int_equal(m->cut, 1);
        draw(picture, ways[i][0], ways[i][1], 1, 1);
        motion_run(m, picture);
        assert_int_equal(m->cut, 0);
        assert_true(m->moving > .9f);
        disc(from, 100, 60, 30);
        disc(expected, 100 + ways[i][0], 60 + ways[i][1], 30);
        motion_carry(m, from, to, &c);
        assert_float_equal(c.dx, ways[i][0], .3);
        assert_float_equal(c.dy, ways[i][1], .3);
        assert_float_equal(c.scale, 1, .01);
        assert_true(c.residual < 4);
        assert_true(common(to, expected) > .97);
        motion_close(m);
    }
}

static void sees_growth(void **state)
{
    static uint8_t picture[WIDTH * HEIGHT];
    static float mask[2][WIDTH * HEIGHT], expected[WIDTH * HEIGHT];
    double scale = 1;
    (void)state;
    struct motion *m = opened();
    draw(picture, 0, 0, 1, 2);
    motion_run(m, picture);
    disc(mask[0], 100, 60, 25);
    for (int i = 1; i <= 10; i++) {
        struct motion_carried c;
        scale *= 1.02;
        draw(picture, 0, 0, scale, 2);
        motion_run(m, picture);
        motion_carry(m, mask[(i - 1) % 2], mask[i % 2], &c);
        assert_float_equal(c.scale, 1.02, .01);
    }
    disc(expected, 100, 60, 25 * scale);
    assert_true(common(mask[0], expected) > .85);
    motion_close(m);
}

/* A disc goes to the right over a ground that goes to the left: its mask goes with it. */
static void carries_a_thing_over_another(void **state)
{
    static uint8_t ground[WIDTH * HEIGHT], front[WIDTH * HEIGHT];
    static float mask[2][WIDTH * HEIGHT], truth[WIDTH * HEIGHT];
    (void)state;
    struct motion *m = opened();
    disc(mask[0], 60, 60, 28);
    for (int i = 0; i <= 12; i++) {
        struct motion_carried c;
        disc(truth, 60 + 3 * i, 60, 28);
        draw(ground, -2 * i, 0, 1, 3);
        draw(front, 3 * i, 0, 1, 4);
        for (int k = 0; k < WIDTH * HEIGHT; k++)
            ground[k] = truth[k] > 0 ? front[k] : ground[k];
        motion_run(m, ground);
        if (!i)
            continue;
        motion_carry(m, mask[(i - 1) % 2], mask[i % 2], &c);
        assert_float_equal(c.dx, 3, .5);
    }
    assert_true(common(mask[0], truth) > .9);
    motion_close(m);
}

static void leaves_alone_what_is_still(void **state)
{
    static uint8_t picture[WIDTH * HEIGHT];
    static float from[WIDTH * HEIGHT], to[WIDTH * HEIGHT];
    struct motion_carried c;
    (void)state;
    struct motion *m = opened();
    for (int i = 0; i < 3; i++) {
        draw(picture, 0, 0, 1, 5);
        for (int k = 0; k < WIDTH * HEIGHT; k++)
            picture[k] += (k * 7 + i * 3) % 3 == 0; /* noise of a code */
        motion_run(m, picture);
    }
    disc(from, 80, 50, 20);
    motion_carry(m, from, to, &c);
    assert_true(m->moving == 0);
    assert_memory_equal(from, to, sizeof from);
    assert_true(c.dx == 0 && c.dy == 0 && c.scale == 1);
    motion_close(m);
}

static void sees_cuts(void **state)
{
    static uint8_t picture[WIDTH * HEIGHT];
    (void)state;
    struct motion *m = opened();
    for (int i = 0; i < 6; i++) {
        draw(picture, 2 * i, i, i < 3 ? 1 : .3, i < 3 ? 1 : 9);
        motion_run(m, picture);
        assert_int_equal(m->cut, i == 0 || i == 3);
    }
    motion_reset(m);
    motion_run(m, picture);
    assert_int_equal(m->cut, 1);
    motion_close(m);
    motion_close(NULL);
}

/* Sizes that are no multiple of a block, and smaller than one. */
static void takes_any_size(void **state)
{
    static const int sizes[][2] = { { 1, 1 }, { 7, 3 }, { 9, 200 }, { 256, 17 } };
    static uint8_t picture[256 * 256];
    static float from[256 * 256], to[256 * 256];
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct error e;
        struct motion_carried c;
        struct motion *m = motion_open(sizes[i][0], sizes[i][1], &e);
        assert_non_null(m);
        for (int frame = 0; frame < 3; frame++) {
            for (int k = 0; k < sizes[i][0] * sizes[i][1]; k++) {
                picture[k] = (uint8_t)(k * 31 + frame * 77);
                from[k] = 1;
            }
            motion_run(m, picture);
            motion_carry(m, from, to, &c);
            for (int k = 0; k < sizes[i][0] * sizes[i][1]; k++)
                assert_true(to[k] > .999f && to[k] < 1.001f);
        }
        motion_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_where_it_went),
        cmocka_unit_test(sees_growth),
        cmocka_unit_test(carries_a_thing_over_another),
        cmocka_unit_test(leaves_alone_what_is_still),
        cmocka_unit_test(sees_cuts),
        cmocka_unit_test(takes_any_size),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
