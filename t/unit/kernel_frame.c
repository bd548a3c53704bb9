/*
 * What one 1080p frame costs on its way from decoder to encoder, in bytes of device memory: of NV12 in and out, a
 * network of 512x288 that gives alpha. Where the library of kernels does not count these are 0.
 */
#include "device/cuda/kernels/compose.h"
#include "device/cuda/kernels/sample.h"
#include "device/taps.h"
#include "kernel_picture.h"

enum { WIDTH = 1920, HEIGHT = 1080, LOW_WIDTH = 512, LOW_HEIGHT = 288, CHANNELS = 4 };

static struct shown shown;
static uint16_t *input, *low_alpha;
static uint8_t *out;
static struct taps taps[4];

/* Megabytes of a launch. */
static double moved(const char *name)
{
    const struct cuemu_traffic *t = &cuemu_find(name)->traffic;
    if (!t->read)
        return 0;
    assert_int_equal(t->launches, 1);
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
    out = memory(frame);
    see();
    const double seen = moved("sample_picture");
    cut_out();
    const double composed = moved("compose");
    /* a picture read and the network's input written; read again and written, with the answer read */
    assert_true(seen <= (frame + small * CHANNELS * 2) * 1.01 / 1e6);
    assert_true(composed <= (2 * frame + small * (CHANNELS + 1) * 2) * 1.01 / 1e6);
    free(nv12);
    free(input);
    free(low_alpha);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_frame_of_1080p) };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
