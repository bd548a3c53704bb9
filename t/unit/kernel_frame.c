/*
 * What one 1080p frame costs on its way from decoder to encoder, in bytes of device memory: of NV12 in and out, a
 * network of 512x288 that gives alpha. Where the library of kernels does not count these are 0.
 */
#include "device/cuda/kernels/calm.h"
#include "device/cuda/kernels/clean.h"
#include "device/cuda/kernels/compose.h"
#include "device/cuda/kernels/motion.h"
#include "device/cuda/kernels/sample.h"
#include "device/taps.h"
#include "kernel_picture.h"

enum { WIDTH = 1920, HEIGHT = 1080, LOW_WIDTH = 512, LOW_HEIGHT = 288, CHANNELS = 4 };

static struct shown shown;
static uint16_t *input, *low_alpha, *still, *held;
static uint8_t *out;
static struct taps taps[4];

/* Megabytes of a launch. */
static double moved(const char *name)
{
    const struct cuemu_traffic *t = &cuemu_find(name)->traffic;
    if (!t->read)
        return 0;
    print_message(
        "# %s read=%llu written=%llu fetched=%llu\n", name, t->read, t->written, t->fetched);
    return (double)(t->read + t->written) / 1e6;
}

static struct axis axis(int k, int size, int half, int to)
{
    const struct taps_params p = { half ? size / 2 : size, half ? size / 2. : size, to, 0, to };
    assert_int_equal(taps_open(&taps[k], &p), 0);
    return (struct axis) { taps[k].first, taps[k].weight, taps[k].most };
}

static void *memory(size_t bytes)
{
    void *m = aligned_alloc(256, (bytes + 255) / 256 * 256);
    assert_non_null(m);
    memset(m, 0, bytes);
    return m;
}

static void see(void)
{
    struct sample_picture_params p = { .picture = shown.picture,
        .x = { axis(0, WIDTH, 0, LOW_WIDTH), axis(1, WIDTH, 1, LOW_WIDTH) },
        .y = { axis(2, HEIGHT, 0, LOW_HEIGHT), axis(3, HEIGHT, 1, LOW_HEIGHT) },
        .scale = { 1, 1, 1 },
        .out = input,
        .width = LOW_WIDTH,
        .height = LOW_HEIGHT,
        .channels = CHANNELS,
        .tile = sample_tile(WIDTH, LOW_WIDTH) };
    RUN(sample_picture, &p);
    for (int k = 0; k < 4; k++)
        taps_close(&taps[k]);
}

static void cut_out(void)
{
    struct compose_params p = { .source = shown.picture,
        .size = enlargement(WIDTH, HEIGHT, LOW_WIDTH, LOW_HEIGHT),
        .guide = { input, low_alpha, CHANNELS, 1, { 0 }, { 1, 1, 1 } },
        .guided = 1,
        .still = still,
        .held = held,
        .matrix = color_matrix(.2126f, .0722f),
        .canvas = { .y = out,
            .u = out + WIDTH * HEIGHT,
            .v = out + WIDTH * HEIGHT + 1,
            .y_pitch = WIDTH,
            .uv_pitch = WIDTH,
            .interleaved = 1,
            .width = WIDTH,
            .height = HEIGHT } };
    RUN(compose, &p);
}

/* What the solver does but for edges and colours. */
static void solve(void)
{
    const size_t small = LOW_WIDTH * LOW_HEIGHT;
    const struct seen seen = { input, LOW_WIDTH, LOW_HEIGHT, { 0 }, { 1, 1, 1 } };
    struct motion_levels_params levels = { .seen = seen };
    for (int i = 0, w = LOW_WIDTH, h = LOW_HEIGHT; i < MOTION_LEVELS; i++) {
        struct motion_level *l = &levels.level[i];
        *l = (struct motion_level) { .width = w, .height = h };
        l->across = (w + MOTION_BLOCK - 1) / MOTION_BLOCK;
        l->down = (h + MOTION_BLOCK - 1) / MOTION_BLOCK;
        l->luma = memory((size_t)(w * h));
        l->before = memory((size_t)(w * h));
        l->vectors = memory((size_t)(l->across * l->down) * sizeof *l->vectors);
        w = (w + 1) / 2;
        h = (h + 1) / 2;
    }
    float *softened = memory(small * 16), *before = memory(small * 16);
    struct calm *was = memory(small * sizeof *was), *is = memory(small * sizeof *is);
    uint16_t *halves = memory(small * sizeof *halves);
    struct calm_soften_params soften = { seen, softened };
    struct calm_sums sums = { 0, 0, 0 };
    struct calm_weigh_params weigh = { LOW_WIDTH, LOW_HEIGHT, low_alpha, 1, was, &sums };
    struct calm_step_params step = { LOW_WIDTH, LOW_HEIGHT, low_alpha, 1, softened, before,
        levels.level[0].vectors, levels.level[0].across, &sums, was, is, halves, still };
    const struct clean_grid grid = clean_grid(LOW_WIDTH, LOW_HEIGHT);
    struct clean_cell *cell = memory(CLEAN_CELLS * sizeof *cell);
    struct clean_state *state = memory(CLEAN_CELLS * sizeof *state);
    float *cleaned = memory(small * sizeof *cleaned);
    struct clean_measure_params measure = { grid, &is->alpha, 2, cell };
    struct clean_decide_params decide = { grid, cell, state, 1 };
    struct clean_apply_params apply = { grid, state, &is->alpha, 2, cleaned, halves };
    RUN(calm_soften, &soften);
    RUN(motion_levels, &levels);
    for (int i = MOTION_LEVELS - 1; i >= 0; i--) {
        struct motion_match_params match = { .level = levels.level[i] };
        if (i < MOTION_LEVELS - 1)
            match.coarser = levels.level[i + 1];
        RUN(motion_match, &match);
    }
    RUN(calm_weigh, &weigh);
    RUN(calm_step, &step);
    RUN(clean_measure, &measure);
    RUN(clean_decide, &decide);
    RUN(clean_apply, &apply);
    for (int i = 0; i < MOTION_LEVELS; i++) {
        free(levels.level[i].luma);
        free((void *)levels.level[i].before);
        free(levels.level[i].vectors);
    }
    free(softened);
    free(before);
    free(was);
    free(is);
    free(halves);
    free(cell);
    free(state);
    free(cleaned);
}

static void a_frame_of_1080p(void **state)
{
    (void)state;
    const size_t frame = WIDTH * HEIGHT * 3 / 2, small = LOW_WIDTH * LOW_HEIGHT;
    uint8_t *nv12 = memory(frame);
    for (size_t i = 0; i < frame; i++)
        nv12[i] = (uint8_t)(16 + i * 7 % 220);
    shown.picture = (struct picture) { nv12, nv12 + WIDTH * HEIGHT, nv12 + WIDTH * HEIGHT + 1,
        WIDTH, WIDTH, WIDTH, HEIGHT, 0, 1, decoding(color_matrix(.2126f, .0722f), 0) };
    input = memory(small * CHANNELS * sizeof *input);
    low_alpha = random_halves(small, 0, 1);
    still = random_halves(small, 0, 7);
    held = memory((size_t)WIDTH * HEIGHT * sizeof *held);
    out = memory(frame);
    see();
    const double seen = moved("sample_picture");
    solve();
    double solved = 0;
    static const char *const steps[] = { "calm_soften", "motion_levels", "motion_match",
        "calm_weigh", "calm_step", "clean_measure", "clean_decide", "clean_apply" };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        solved += moved(steps[i]);
    cut_out();
    const double composed = moved("compose");
    /* a picture read and the network's input written; read again and written, with the answer and what is still read, and the
     * alpha that is held read and written */
    assert_true(seen <= (frame + small * CHANNELS * 2) * 1.01 / 1e6);
    /* colours summed, their sums read of two frames, alpha and how long it lasts weighed, read and written, luma, vectors */
    assert_true(solved <= small * (2 * 8 + 16 + 2 * 16 + 2 * 8 + 12 + 32) * 1. / 1e6);
    assert_true(
        composed <= (2 * frame + small * (CHANNELS + 2) * 2 + 4 * WIDTH * HEIGHT) * 1.01 / 1e6);
    free(nv12);
    free(input);
    free(low_alpha);
    free(still);
    free(held);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_frame_of_1080p) };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
