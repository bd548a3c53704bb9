/*
 * What is made of a network's answer: the solver against a reference in doubles, and each refinement by what it is for, on pictures of which the matte is known.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/compose_math.h"
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
    return (struct compositor_low) { .alpha = { alpha, WIDTH, HEIGHT, 1, 0 },
        .foreground = { foreground, WIDTH, HEIGHT, 3, 0 },
        .input = { input, WIDTH, HEIGHT, 3, 0 } };
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

/* Colour and weight on a level of the pyramid; level 0 is the picture. */
struct known {
    double rgb[3], weight;
};

enum { LEVELS = 7 };

static int level_side(int side, int level)
{
    return (side + (1 << level) - 1) >> level;
}

/* Colours by weights of alpha (1 - alpha), multiplied `squarings` times by themselves, spread over the picture. */
static void spread_colours(double (*rgb)[3], const double *alpha, int side, int squarings,
    double enough, struct known *out)
{
    static struct known level[LEVELS][N];
    for (int i = 0; i < N; i++) {
        double w = pow(side ? 1 - alpha[i] : alpha[i], 1 << squarings);
        for (int c = 0; c < 3; c++)
            level[0][i].rgb[c] = w * rgb[i][c];
        level[0][i].weight = w;
    }
    for (int k = 1; k < LEVELS; k++) {
        int from = level_side(WIDTH, k - 1), w = level_side(WIDTH, k), h = level_side(HEIGHT, k);
        for (int i = 0; i < w * h; i++) {
            struct known sum = { 0 };
            for (int j = 0; j < 4; j++) {
                int x = 2 * (i % w) + (j & 1), y = 2 * (i / w) + (j >> 1);
                if (x >= from || y >= level_side(HEIGHT, k - 1))
                    continue;
                for (int c = 0; c < 3; c++)
                    sum.rgb[c] += level[k - 1][y * from + x].rgb[c];
                sum.weight += level[k - 1][y * from + x].weight;
            }
            double scale = fmin(1, 1 / sum.weight);
            for (int c = 0; c < 3; c++)
                level[k][i].rgb[c] = sum.rgb[c] * scale;
            level[k][i].weight = sum.weight * scale;
        }
    }
    for (int c = 0; c < 3; c++)
        level[LEVELS - 1][0].rgb[c] /= level[LEVELS - 1][0].weight + 1e-6;
    for (int k = LEVELS - 2; k >= 0; k--) {
        int w = level_side(WIDTH, k), h = level_side(HEIGHT, k), over = level_side(WIDTH, k + 1);
        for (int i = 0; i < w * h; i++) {
            struct known *own = &level[k][i];
            double known = fmin(own->weight / enough, 1), scale = known / (own->weight + 1e-9);
            struct known far = { 0 };
            for (int j = 0; j < 4; j++) { /* bilinear, half-pixel centres */
                int x = (i % w) / 2, y = (i / w) / 2;
                x += j & 1 ? (i % w & 1 ? 1 : -1) : 0;
                y += j & 2 ? (i / w & 1 ? 1 : -1) : 0;
                x = x < 0 ? 0 : x < over ? x : over - 1;
                y = y < 0 ? 0 : y < level_side(HEIGHT, k + 1) ? y : level_side(HEIGHT, k + 1) - 1;
                double part = (j & 1 ? .25 : .75) * (j & 2 ? .25 : .75);
                for (int c = 0; c < 3; c++)
                    far.rgb[c] += part * level[k + 1][y * over + x].rgb[c];
                far.weight += part * level[k + 1][y * over + x].weight;
            }
            for (int c = 0; c < 3; c++)
                own->rgb[c] = own->rgb[c] * scale + (1 - known) * far.rgb[c];
            own->weight = known + (1 - known) * far.weight / 2;
        }
    }
    memcpy(out, level[0], N * sizeof *out);
}

/* 0 to .03 from both ends, 1 from .07 on. */
static double how_soft(double alpha)
{
    return within((fmin(alpha, 1 - alpha) - .03) / .04, 0, 1);
}

static double solved_alpha(double (*rgb)[3], const double *alpha, const struct known *front,
    const struct known *back, int x, int y)
{
    int at = y * WIDTH + x;
    const double *f = front[at].rgb, *b = back[at].rgb;
    double soft = 0, span = 0, along = 0, off = 0;
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++)
            if (i >= 0 && j >= 0 && i < WIDTH && j < HEIGHT)
                soft += how_soft(alpha[j * WIDTH + i]);
    for (int k = 0; k < 3; k++) {
        span += (f[k] - b[k]) * (f[k] - b[k]);
        along += (rgb[at][k] - b[k]) * (f[k] - b[k]);
    }
    double told = within(along / (span + 1e-6), 0, 1);
    for (int k = 0; k < 3; k++)
        off += pow(rgb[at][k] - b[k] - told * (f[k] - b[k]), 2) / .02;
    double trust =
        within(soft / 4, 0, 1) * within(32 * fmin(front[at].weight, back[at].weight), 0, 1);
    return alpha[at] + (told - alpha[at]) * trust * span / (span + .2) / (1 + off + .5 * off * off);
}

/* What a matte that is mostly doubt leaves of that: of alpha in codes, all of it up to a fifth of doubt, none from .28 on. */
static double sureness(const double *alpha)
{
    double doubt = 0, all = 1;
    for (int i = 0; i < N; i++) {
        const double code = floor(255 * alpha[i] + .5);
        doubt += fmin(code, 255 - code);
        all += code;
    }
    return within((.28 - doubt / all) / .08, 0, 1);
}

static double solved_color(double alpha, double color, double front, double back)
{
    return alpha < 1 ? within(front + alpha * (color - alpha * front - (1 - alpha) * back), 0, 1)
                     : color;
}

/* wide: of the edge, in pixels */
static void compare_with_the_reference(double wide)
{
    static double rgb[N][3], alpha[N], solved[N];
    static struct known front[N], back[N];
    static float input[3 * N], given[N];
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int i = y * WIDTH + x;
            double edge = hypot(x - 30, y - 20) - 12;
            given[i] = (float)within(.5 - edge / wide + .2 * (fraction() - .5), 0, 1);
            alpha[i] = (double)given[i];
            for (int c = 0; c < 3; c++)
                rgb[i][c] =
                    within((edge < 0 ? .8 - .3 * c : .1 + .3 * c) + .2 * (fraction() - .5), 0, 1);
        }
    normalise(input, rgb);
    struct solver *solver = solver_of(REFINE_EDGES | REFINE_COLORS);
    struct compositor_low low = low_of(given, NULL, input);
    run(solver, &low);
    spread_colours(rgb, alpha, 0, 5, 2, front);
    spread_colours(rgb, alpha, 1, 5, 2, back);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            solved[y * WIDTH + x] = alpha[y * WIDTH + x] +
                                    sureness(alpha) * (solved_alpha(rgb, alpha, front, back, x, y) -
                                                          alpha[y * WIDTH + x]);
    for (int i = 0; i < N; i++)
        assert_float_equal(values(&low.alpha)[i], solved[i], 5e-4);
    for (int i = 0; i < N; i++)
        solved[i] = (double)level_alpha((float)solved[i]);
    spread_colours(rgb, solved, 0, 3, 1, front);
    spread_colours(rgb, solved, 1, 3, 1, back);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < 3; c++)
            assert_float_equal(values(&low.foreground)[c * N + i],
                solved_color(solved[i], rgb[i][c], front[i].rgb[c], back[i].rgb[c]), 2e-3);
    solver_close(solver);
}

static void solver_agrees_with_the_reference(void **state)
{
    (void)state;
    compare_with_the_reference(3);  /* the matte is sure, */
    compare_with_the_reference(7);  /* in some doubt, */
    compare_with_the_reference(20); /* in nothing else */
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
        if (how_soft(truth[i]) > 0)
            for (int c = 0; c < 3; c++) {
                before += fabs(rgb[i][c] - (c == 0 ? .9 : .1));
                after += fabs((double)values(&low.foreground)[c * N + i] - (c == 0 ? .9 : .1));
            }
    assert_true(after < .5 * before);

    struct compositor_low known = low_of(given, own, input); /* the network's: they are no better */
    run(solver, &known);
    assert_ptr_equal(known.foreground.data, low.foreground.data);
    solver_close(solver);
    solver = solver_of(REFINE_EDGES);
    known = low_of(given, own, input);
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
                assert_float_equal(values(&low.alpha)[i], given[i], 5e-4);
            }
        for (int i = 0; i < N; i++)
            if (i % WIDTH < WIDTH / 3)
                assert_float_equal(values(&low.still)[i], frame < 3 ? 0 : fmin(frame, 9) - 2, 0);
            else if (i % WIDTH > WIDTH / 2 + 2)
                assert_float_equal(values(&low.still)[i], 0, 0);
    }
    /* a mean of eight frames and more */
    assert_true(left < .15 * noise);
    solver_close(solver);
}

/* A picture that moves by 3, 2 pixels a frame, its alpha with it: what is noise between frames goes, the alpha stays. */
static void calm_goes_with_the_picture(void **state)
{
    (void)state;
    static double rgb[N][3];
    static float input[3 * N], given[N];
    struct solver *solver = solver_of(REFINE_CALM);
    double noise = 0, left = 0;
    for (int frame = 0; frame < 10; frame++) {
        for (int i = 0; i < N; i++) {
            int x = i % WIDTH + 3 * frame, y = i / WIDTH + 2 * frame;
            double value = .5 + .2 * sin(.31 * x + .17 * y) + .2 * sin(.37 * y - .09 * x);
            given[i] = (float)(.3 + .4 * value + .1 * (fraction() - .5));
            for (int c = 0; c < 3; c++)
                rgb[i][c] = value;
        }
        normalise(input, rgb);
        struct compositor_low low = low_of(given, NULL, input);
        run(solver, &low);
        for (int i = 0; frame > 6 && i < N; i++) {
            double truth = .3 + .4 * rgb[i][0];
            /* what has been in the picture for long */
            if (i % WIDTH > WIDTH - 25 || i / WIDTH > HEIGHT - 17)
                continue;
            assert_float_equal(values(&low.still)[i], 0, 0);
            noise += pow((double)given[i] - truth, 2);
            left += pow((double)values(&low.alpha)[i] - truth, 2);
        }
    }
    assert_true(left < .25 * noise);
    solver_close(solver);
}

/* What a network has said surely it has to say again, surely, to be believed the contrary. */
static void sure_answers_weigh_more(void **state)
{
    (void)state;
    static const float answers[3][2] = { { 0, 1 }, { .5f, .5f }, { 1, 0 } };
    static double rgb[N][3];
    static float input[3 * N], given[N];
    double said[3][2];
    struct solver *solver = solver_of(REFINE_CALM);
    normalise(input, rgb);
    for (int frame = 0; frame < 3; frame++) {
        for (int i = 0; i < N; i++)
            given[i] = answers[frame][i % WIDTH > WIDTH / 2];
        struct compositor_low low = low_of(given, NULL, input);
        run(solver, &low);
        said[frame][0] = (double)values(&low.alpha)[5 * WIDTH + 5];
        said[frame][1] = (double)values(&low.alpha)[5 * WIDTH + WIDTH - 5];
    }
    assert_float_equal(said[0][0], 0, 0);
    assert_true(said[1][0] < .15);
    assert_true(said[1][1] > .85);
    assert_true(said[2][0] > .25 && said[2][0] < .75);
    solver_close(solver);
}

/* Of an eighth of the picture the network is sure; what it says of the two others that are as large. */
static double said_of(double first, double last, double other, int frames)
{
    static double rgb[N][3];
    static float input[3 * N], given[N];
    struct solver *solver = solver_of(REFINE_CALM);
    double said = 0;
    normalise(input, rgb);
    for (int frame = 0; frame < frames; frame++) {
        for (int i = 0; i < N; i++) {
            const int eighth = i % WIDTH * 8 / WIDTH;
            given[i] = (float)(eighth == 0   ? 1
                               : eighth == 4 ? (frame + 1 < frames ? first : last)
                               : eighth == 6 ? other
                                             : 0);
        }
        struct compositor_low low = low_of(given, NULL, input);
        run(solver, &low);
        said = (double)values(&low.alpha)[5 * WIDTH + 9 * WIDTH / 16];
    }
    solver_close(solver);
    return said;
}

/* A subject that is found at last is there at once, and a glow that fades is gone; what was sure and vanishes is not. */
static void a_network_may_change_its_mind(void **state)
{
    (void)state;
    assert_float_equal(said_of(0, 1, 0, 8), 1, 1e-3);
    assert_float_equal(said_of(.25, 0, 0, 8), 0, 1e-3);
    assert_true(said_of(1, 0, 0, 8) > .5);
    /* less than what wavers: only .04 of all that there is comes, and goes */
    assert_true(said_of(.02, .12, 1, 8) < .06);
    assert_true(said_of(.1, 0, 1, 8) > .05);
}

static void draw(float *given, float (*alpha)(int x, int y))
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            given[y * WIDTH + x] = (float)within((double)alpha(x, y), 0, 1);
}

static int in_subject(int x, int y)
{
    return x >= 14 && x < 40 && y >= 16;
}

static float bare(int x, int y)
{
    return (float)in_subject(x, y);
}

static float hair(int x, int y)
{
    return in_subject(x, y) || (y > 5 && x > 14 && x < 40 && x % 4 == 0) ? 1 : 0;
}

static float speck(int x, int y)
{
    return in_subject(x, y) || (x > 54 && x < 58 && y > 2 && y < 6) ? 1 : 0;
}

static float second(int x, int y)
{
    return in_subject(x, y) || (x > 50 && y > 2 && y < 20) ? 1 : 0;
}

static float shallow(int x, int y)
{
    return hypot(x - 27, y - 28) < 4 ? .5f : bare(x, y);
}

static float hole(int x, int y)
{
    return hypot(x - 27, y - 28) < 4 ? (float)(hypot(x - 27, y - 28) / 4) : bare(x, y);
}

static float off_after(unsigned frames, float (*shown)(int, int), float (*wanted)(int, int))
{
    static double rgb[N][3];
    static float input[3 * N], given[N], truth[N];
    struct solver *solver = solver_of(REFINE_CLEAN);
    float off = 0;
    normalise(input, rgb);
    draw(truth, wanted);
    for (unsigned i = 0; i < frames; i++) {
        draw(given, i + 1 < frames ? bare : shown);
        struct compositor_low low = low_of(given, NULL, input);
        run(solver, &low);
        off = 0;
        for (int k = 0; k < N; k++)
            off = fmaxf(off, fabsf(values(&low.alpha)[k] - truth[k]));
    }
    solver_close(solver);
    return off;
}

static void specks_go_and_hair_stays(void **state)
{
    (void)state;
    assert_float_equal(off_after(1, bare, bare), 0, 0);
    assert_float_equal(off_after(1, hair, hair), 0, 0);
    assert_float_equal(off_after(1, speck, bare), 0, 1e-6);
    assert_float_equal(off_after(1, second, second), 0, 0);
    assert_float_equal(off_after(9, speck, bare), 0, 1e-6);
    assert_float_equal(off_after(9, second, second), 0, 0); /* at once */
}

static void holes_are_filled_where_they_are_not_meant(void **state)
{
    (void)state;
    assert_float_equal(off_after(1, shallow, bare), 0, 1e-6);
    assert_float_equal(off_after(1, hole, hole), 0, 5e-4);
    /* a quarter a frame */
    assert_float_equal(off_after(9, shallow, bare), .5 * .75, 1e-2);
}

/* Nothing, or only a little everywhere, is left as it is. */
static float haze(int x, int y)
{
    return .05f + .001f * (float)(x + y);
}

static float nothing(int x, int y)
{
    return 0 * (float)(x + y);
}

static void an_empty_matte_is_left_alone(void **state)
{
    (void)state;
    assert_float_equal(off_after(1, nothing, nothing), 0, 0);
    assert_float_equal(off_after(1, haze, haze), 0, 5e-4);
}

enum { BIG_WIDTH = 4 * WIDTH, BIG_HEIGHT = 4 * HEIGHT };

/* A grey frame of four times the network's size, and what it is cut out by. */
struct large {
    struct frame_pool *pool;
    struct frame *source, *output;
    struct compositor *compositor;
};

static struct large large_of(int guided)
{
    struct error e;
    struct frame_pool_params two = {
        .width = BIG_WIDTH, .height = BIG_HEIGHT, .alpha = 1, .count = 2
    };
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
    struct large l = { .pool = frame_pool_open(device, &two, &e) };
    assert_non_null(l.pool);
    l.source = frame_take(l.pool, &e);
    l.output = frame_take(l.pool, &e);
    for (int i = FRAME_U; i <= FRAME_V; i++)
        memset(l.source->plane[i], 128, (size_t)(l.source->stride[i] * BIG_HEIGHT / 2));
    l.compositor = compositor_open(device, &p, &e);
    assert_non_null(l.compositor);
    return l;
}

static void large_close(struct large *l)
{
    compositor_close(l->compositor);
    frame_release(l->source);
    frame_release(l->output);
    frame_pool_close(l->pool);
}

/* A sharp edge in the picture, of which the network knows where it is to four pixels. */
static double edge_error(int guided)
{
    static double rgb[N][3];
    static float input[3 * N], given[N];
    struct error e;
    struct large l = large_of(guided);
    struct frame *source = l.source, *output = l.output;
    double error = 0;

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
    struct compositor_low low = low_of(given, NULL, input);
    assert_int_equal(compositor_run(l.compositor, source, &low, output, &e), 0);
    for (int y = 0; y < BIG_HEIGHT; y++)
        for (int x = 0; x < BIG_WIDTH; x++)
            error += abs(
                output->plane[FRAME_A][y * output->stride[FRAME_A] + x] - 255 * (x + y / 3 < 150));
    large_close(&l);
    return error;
}

static void guide_gives_alpha_the_pictures_edge(void **state)
{
    (void)state;
    assert_true(edge_error(1) < .25 * edge_error(0));
}

/* Noise of a large picture that stands still in its left half. */
static void guided_alpha_is_held_where_it_is_still(void **state)
{
    (void)state;
    static double rgb[N][3];
    static float input[3 * N], given[N], still[N];
    static uint8_t before[BIG_HEIGHT][BIG_WIDTH];
    struct error e;
    struct large l = large_of(1);
    struct frame *source = l.source, *output = l.output;
    double changes[2] = { 0 };

    for (int i = 0; i < N; i++)
        for (int c = 0; c < 3; c++) /* alpha is what is bright */
            rgb[i][c] = given[i] = (float)(.5 + .4 * sin(.7 * (i % WIDTH)));
    normalise(input, rgb);
    for (int frame = 0; frame < 8; frame++) {
        for (int y = 0; y < BIG_HEIGHT; y++)
            for (int x = 0; x < BIG_WIDTH; x++)
                source->plane[FRAME_Y][y * source->stride[FRAME_Y] + x] =
                    (uint8_t)(100 + 40 * fraction());
        for (int i = 0; i < N; i++)
            still[i] = i % WIDTH < WIDTH / 2 ? (float)frame : 0;
        struct compositor_low low = low_of(given, NULL, input);
        low.still = (struct raster) { still, WIDTH, HEIGHT, 1, 0 };
        assert_int_equal(compositor_run(l.compositor, source, &low, output, &e), 0);
        for (int y = 0; y < BIG_HEIGHT; y++)
            for (int x = 0; x < BIG_WIDTH; x++) {
                const uint8_t now = output->plane[FRAME_A][y * output->stride[FRAME_A] + x];
                if (frame > 4 && (x < BIG_WIDTH / 2 - 4 || x > BIG_WIDTH / 2 + 4))
                    changes[x > BIG_WIDTH / 2] += pow(now - before[y][x], 2);
                before[y][x] = now;
            }
    }
    assert_true(changes[1] > 0 && changes[0] < .06 * changes[1]);
    large_close(&l);
}

static void refinements_have_names(void **state)
{
    (void)state;
    assert_int_equal(refinement("calm") | refinement("clean") | refinement("edges") |
                         refinement("colors") | refinement("guide"),
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
        cmocka_unit_test(calm_goes_with_the_picture),
        cmocka_unit_test(a_network_may_change_its_mind),
        cmocka_unit_test(sure_answers_weigh_more),
        cmocka_unit_test(specks_go_and_hair_stays),
        cmocka_unit_test(holes_are_filled_where_they_are_not_meant),
        cmocka_unit_test(an_empty_matte_is_left_alone),
        cmocka_unit_test(guide_gives_alpha_the_pictures_edge),
        cmocka_unit_test(guided_alpha_is_held_where_it_is_still),
        cmocka_unit_test(refinements_have_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_device, close_device);
}
