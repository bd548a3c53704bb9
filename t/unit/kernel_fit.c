/* A picture into a network's input and its answers out again: against what is said of them, and against the CPU. */
#include "device/cuda/kernels/fit.h"
#include "device/device.h"
#include "kernel.h"

static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };

enum { STEP = 4 };

/* Planes of floats of halves. */
static float *planes_of(const uint16_t *halves, int pixels, int channels, int step)
{
    float *planes = malloc((size_t)(channels * pixels) * sizeof *planes);
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i++)
            planes[c * pixels + i] = value_of(halves[i * step + c]);
    return planes;
}

struct scene {
    int width, height, in_width, in_height, reversed, brightest;
    uint16_t *picture;
};

static struct scene scene_of(int i)
{
    struct scene s = { 1 + random_below(70), 1 + random_below(50), 0, 0, i & 1, i / 2 % 2, NULL };
    s.in_width = s.width + (i / 4 % 2 ? random_below(9) : 0);
    s.in_height = s.height + (i / 8 % 2 ? random_below(9) : 0);
    const size_t count = (size_t)(s.width * s.height * STEP);
    s.picture = random_halves(count, -2.2, -1.2 + 2 * fraction());
    for (size_t k = 0; i % 16 == 15 && k < count; k++) /* black */
        s.picture[k] = half_of(-mean[k % STEP % 3] / std[k % STEP % 3]);
    return s;
}

static uint16_t *put(const struct scene *s)
{
    float largest[FIT_PARTS];
    struct fit_largest_params l = {
        .picture = s->picture, .pixels = s->width * s->height, .largest = largest
    };
    struct fit_put_params p = { .picture = s->picture,
        .width = s->width,
        .height = s->height,
        .largest = s->brightest ? largest : NULL,
        .reversed = s->reversed,
        .in = malloc((size_t)(s->in_width * s->in_height * STEP) * sizeof *p.in),
        .in_width = s->in_width,
        .in_height = s->in_height };
    memcpy(l.mean, mean, sizeof mean);
    memcpy(l.std, std, sizeof std);
    memcpy(p.mean, mean, sizeof mean);
    memcpy(p.std, std, sizeof std);
    if (s->brightest)
        RUN(fit_largest, &l);
    RUN(fit_put, &p);
    return p.in;
}

static double brightest_of(const struct scene *s)
{
    double largest = 0;
    for (int i = 0; i < s->width * s->height; i++)
        for (int c = 0; c < 3; c++)
            largest = fmax(largest, (double)value_of(s->picture[i * STEP + c]) * std[c] + mean[c]);
    return s->brightest && largest > 1. / 1024 ? largest : 1;
}

static void a_picture_is_at_the_top_left(void **state)
{
    (void)state;
    for (int i = 0; i < 32; i++) {
        struct scene s = scene_of(i);
        uint16_t *in = put(&s);
        const double largest = brightest_of(&s);
        for (int y = 0; y < s.in_height; y++)
            for (int x = 0; x < s.in_width; x++)
                for (int c = 0; c < 3; c++) {
                    const int from = s.reversed ? 2 - c : c, inside = x < s.width && y < s.height;
                    const double value =
                        inside ? value_of(s.picture[(y * s.width + x) * STEP + from]) : 0;
                    const double want =
                        inside
                            ? ((value * std[from] + mean[from]) / largest - mean[from]) / std[from]
                            : 0;
                    const double got = value_of(in[(y * s.in_width + x) * STEP + c]);
                    if (!(fabs(got - want) <= fabs(want) / 2048 + 2e-5))
                        fail_msg("case %d: %g instead of %g at %d, %d of channel %d", i, got, want,
                            x, y, c);
                }
        free(in);
        free(s.picture);
    }
}

/* To the bit, the processor's being rounded. */
static void as_the_cpu_puts_it(void **state)
{
    (void)state;
    struct error e;
    struct device *cpu = device_open("cpu", &e);
    for (int i = 0; i < 16; i++) {
        struct scene s = scene_of(i);
        struct fit_params p = { .width = s.width,
            .height = s.height,
            .to_width = s.in_width,
            .to_height = s.in_height,
            .reversed = s.reversed,
            .brightest = s.brightest };
        memcpy(p.mean, mean, sizeof mean);
        memcpy(p.std, std, sizeof std);
        const int pixels = s.in_width * s.in_height;
        float *picture = planes_of(s.picture, s.width * s.height, 3, STEP);
        float *input = malloc((size_t)(3 * pixels) * sizeof *input);
        const struct raster from = { picture, s.width, s.height, 3, 0 };
        const struct raster to = { input, s.in_width, s.in_height, 3, 0 };
        struct fit *fit = fit_open(cpu, &p, &e);
        assert_int_equal(fit_put(fit, &from, &to, &e), 0);
        raster_round(cpu, &to);
        uint16_t *in = put(&s);
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < pixels; k++)
                assert_float_equal(value_of(in[k * STEP + c]), input[c * pixels + k],
                    contracts() ? fabsf(input[c * pixels + k]) / 1024 + 1e-6f : 0);
        fit_close(fit);
        free(picture);
        free(input);
        free(in);
        free(s.picture);
    }
    device_close(cpu);
}

static void an_answer_is_its_part(void **state)
{
    (void)state;
    for (int i = 0; i < 24; i++) {
        const int width = 1 + random_below(70), height = 1 + random_below(50);
        const int channels = i & 1 ? 3 : 1, out_step = channels + i / 2 % 4;
        const int out_width = width + random_below(9);
        const size_t count = (size_t)(out_width * height * out_step);
        struct fit_take_params p = { .out = random_halves(count, -1, 1),
            .out_width = out_width,
            .out_step = out_step,
            .reversed = i / 8 % 2,
            .width = width,
            .height = height,
            .channels = channels,
            .step = channels == 3 ? STEP : 1 };
        p.answer = malloc((size_t)(width * height * p.step) * sizeof *p.answer);
        RUN(fit_take, &p);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                for (int c = 0; c < channels; c++)
                    assert_int_equal(p.answer[(y * width + x) * p.step + c],
                        p.out[(y * out_width + x) * out_step +
                              (p.reversed ? channels - 1 - c : c)]);
        free((void *)p.out);
        free(p.answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_at_the_top_left),
        cmocka_unit_test(as_the_cpu_puts_it),
        cmocka_unit_test(an_answer_is_its_part),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
