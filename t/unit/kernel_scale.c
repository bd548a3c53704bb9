/* What one network sees to the input of another: against what is said of it, and against the CPU. */
#include "device/cuda/kernels/scale.h"
#include "device/device.h"
#include "device/taps.h"
#include "kernel.h"

enum { STEP = 4, CASES = 24 };

struct scene {
    struct scaler_params params;
    uint16_t *picture;
};

static struct scene scene_of(int i)
{
    struct scene s = { .params = { .width = 1 + random_below(90),
                           .height = 1 + random_below(60),
                           .to_width = 1 + random_below(60),
                           .to_height = 1 + random_below(60),
                           .reversed = i & 1 } };
    struct scaler_params *p = &s.params;
    p->across = p->width + (i & 2 ? .9 * p->width / p->to_width : 0);
    p->down = p->height + (i & 2 ? .9 * p->height / p->to_height : 0);
    for (int c = 0; c < 3; c++) {
        p->gain[c] = (float)(.2 + 2 * fraction());
        p->offset[c] = (float)(fraction() - .5);
    }
    s.picture = random_halves((size_t)(p->width * p->height * STEP), -2, 2);
    return s;
}

/* By the kernel. */
static uint16_t *scaled(const struct scene *s)
{
    const struct scaler_params *from = &s->params;
    const struct taps_params x = { from->width, from->across, from->to_width, 0, from->to_width };
    const struct taps_params y = { from->height, from->down, from->to_height, 0, from->to_height };
    struct taps xs, ys;
    assert_int_equal(taps_open(&xs, &x) | taps_open(&ys, &y), 0);
    struct scale_picture_params p = { .picture = s->picture,
        .width = from->width,
        .x = { xs.first, xs.weight, xs.most },
        .y = { ys.first, ys.weight, ys.most },
        .reversed = from->reversed,
        .out = malloc((size_t)(from->to_width * from->to_height * STEP) * sizeof *p.out),
        .to_width = from->to_width,
        .to_height = from->to_height };
    memcpy(p.gain, from->gain, sizeof p.gain);
    memcpy(p.offset, from->offset, sizeof p.offset);
    RUN(scale_picture, &p);
    taps_close(&xs);
    taps_close(&ys);
    return p.out;
}

/* What sample k of `count` weighs in result i, whose middle and width are known: the part of it that it covers. */
static double weight_of(int k, int count, int i, double span, int size)
{
    const double scale = span / size, half = scale > 1 ? scale / 2 : .5, middle = (i + .5) * scale;
    const double from = fmax(middle - half, 0), to = fmin(middle + half, count);
    return fmax(fmin(to, k + 1) - fmax(from, k), 0) / (to - from);
}

static double wanted(const struct scene *s, int x, int y, int c)
{
    const struct scaler_params *p = &s->params;
    double sum = 0;
    for (int j = 0; j < p->height; j++)
        for (int i = 0; i < p->width; i++)
            sum += weight_of(j, p->height, y, p->down, p->to_height) *
                   weight_of(i, p->width, x, p->across, p->to_width) *
                   value_of(s->picture[(j * p->width + i) * STEP + c]);
    return sum * p->gain[c] + p->offset[c];
}

static void a_result_is_the_mean_of_what_it_covers(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct scene s = scene_of(i);
        const struct scaler_params *p = &s.params;
        uint16_t *out = scaled(&s);
        for (int n = 0; n < 20; n++) {
            const int x = random_below(p->to_width), y = random_below(p->to_height);
            for (int c = 0; c < 3; c++) {
                const double want = wanted(&s, x, y, c);
                const double got =
                    value_of(out[(y * p->to_width + x) * STEP + (p->reversed ? 2 - c : c)]);
                if (!(fabs(got - want) <= fabs(want) / 2048 + 2e-5))
                    fail_msg(
                        "case %d: %g instead of %g at %d, %d of channel %d", i, got, want, x, y, c);
            }
        }
        free(out);
        free(s.picture);
    }
}

/* To the bit, the processor's being rounded. */
static void as_the_cpu_scales_it(void **state)
{
    (void)state;
    struct error e;
    struct device *cpu = device_open("cpu", &e);
    for (int i = 0; i < CASES; i++) {
        struct scene s = scene_of(i);
        const struct scaler_params *p = &s.params;
        const int pixels = p->width * p->height, made = p->to_width * p->to_height;
        float *picture = malloc((size_t)(3 * pixels) * sizeof *picture);
        float *result = malloc((size_t)(3 * made) * sizeof *result);
        const struct raster from = { picture, p->width, p->height, 3, 0 };
        const struct raster to = { result, p->to_width, p->to_height, 3, 0 };
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < pixels; k++)
                picture[c * pixels + k] = value_of(s.picture[k * STEP + c]);
        struct scaler *scaler = scaler_open(cpu, p, &e);
        assert_int_equal(scaler_run(scaler, &from, &to, &e), 0);
        raster_round(cpu, &to);
        uint16_t *out = scaled(&s);
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < made; k++)
                assert_float_equal(value_of(out[k * STEP + c]), result[c * made + k],
                    contracts() ? fabsf(result[c * made + k]) / 1024 + 1e-5f : 0);
        scaler_close(scaler);
        free(picture);
        free(result);
        free(out);
        free(s.picture);
    }
    device_close(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_the_mean_of_what_it_covers),
        cmocka_unit_test(as_the_cpu_scales_it),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
