/*
 * Guided upsampling, as compose does it, against a reference in double precision that shares nothing with it: whole small
 * planes, equations solved by elimination, windows summed one by one.
 */
#include "device/cuda/kernels/compose.h"
#include "device/refine_math.h"
#include "kernel_picture.h"

struct small {
    int width, height;
    double *sample; /* R, G, B, alpha of each */
    double *line;   /* r, g, b, c of each window */
};

/* Solves m * x = y of size 3. */
static void solve(double m[3][3], double y[3], double x[3])
{
    for (int k = 0; k < 3; k++)
        for (int i = k + 1; i < 3; i++) {
            const double f = m[i][k] / m[k][k];
            for (int j = k; j < 3; j++)
                m[i][j] -= f * m[k][j];
            y[i] -= f * y[k];
        }
    for (int k = 2; k >= 0; k--) {
        x[k] = y[k];
        for (int j = k + 1; j < 3; j++)
            x[k] -= m[k][j] * x[j];
        x[k] /= m[k][k];
    }
}

/* Means of count values a sample over the 3x3 samples around (x, y), those that exist. */
static void window_mean(const double *from, const struct small *s, int x, int y, double mean[4])
{
    int count = 0;
    for (int k = 0; k < 4; k++)
        mean[k] = 0;
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++)
            if (i >= 0 && j >= 0 && i < s->width && j < s->height) {
                for (int k = 0; k < 4; k++)
                    mean[k] += from[(j * s->width + i) * 4 + k];
                count++;
            }
    for (int k = 0; k < 4; k++)
        mean[k] /= count;
}

static void fit_line(const struct small *s, int x, int y, double line[4])
{
    double mean[4], m[3][3] = { { 0 } }, cov[3] = { 0 };
    int count = 0;
    window_mean(s->sample, s, x, y, mean);
    for (int j = y - 1; j <= y + 1; j++)
        for (int i = x - 1; i <= x + 1; i++)
            if (i >= 0 && j >= 0 && i < s->width && j < s->height) {
                const double *v = s->sample + (ptrdiff_t)(j * s->width + i) * 4;
                for (int a = 0; a < 3; a++) {
                    cov[a] += (v[a] - mean[a]) * (v[3] - mean[3]);
                    for (int b = 0; b < 3; b++)
                        m[a][b] += (v[a] - mean[a]) * (v[b] - mean[b]);
                }
                count++;
            }
    for (int a = 0; a < 3; a++) {
        cov[a] /= count;
        for (int b = 0; b < 3; b++)
            m[a][b] = m[a][b] / count + (a == b ? 1e-4 : 0);
    }
    solve(m, cov, line);
    line[3] = mean[3] - line[0] * mean[0] - line[1] * mean[1] - line[2] * mean[2];
}

static double refined(
    const struct small *s, const double *means, const struct shown *shown, int x, int y)
{
    const int w = s->width, h = s->height;
    const double px = clip((x + .5) * w / shown->picture.width - .5, 0, w - 1);
    const double py = clip((y + .5) * h / shown->picture.height - .5, 0, h - 1);
    const int x0 = (int)px, y0 = (int)py, x1 = x0 + 1 < w ? x0 + 1 : x0,
              y1 = y0 + 1 < h ? y0 + 1 : y0;
    const double fx = px - x0, fy = py - y0;
    double rgb[3], alpha = 0;
    color_at(shown, x, y, rgb);
    for (int k = 0; k < 4; k++) {
        const double v =
            (1 - fy) *
                ((1 - fx) * means[(y0 * w + x0) * 4 + k] + fx * means[(y0 * w + x1) * 4 + k]) +
            fy * ((1 - fx) * means[(y1 * w + x0) * 4 + k] + fx * means[(y1 * w + x1) * 4 + k]);
        alpha += v * (k < 3 ? rgb[k] : 1);
    }
    return clip(alpha, 0, 1);
}

/* Alpha of the frame before, 0..65535, and how many frames it weighs there, of each small sample. */
struct past {
    uint16_t *held, *still;
};

static double weight_of_past(
    const struct past *past, const struct small *s, const struct shown *shown, int x, int y)
{
    const int w = s->width, h = s->height;
    const double px = clip((x + .5) * w / shown->picture.width - .5, 0, w - 1);
    const double py = clip((y + .5) * h / shown->picture.height - .5, 0, h - 1);
    double sum = 0;
    for (int j = (int)py; j < h && j < py + 1; j++)
        for (int i = (int)px; i < w && i < px + 1; i++)
            sum +=
                (1 - fabs(px - i)) * (1 - fabs(py - j)) * (double)value_of(past->still[j * w + i]);
    return sum;
}

/* kind 0: noise; 1: grey, where the three colours say the same; 2: one colour and one alpha. */
static struct small make_small(struct compose_params *p, int kind)
{
    static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };
    struct small s = { p->size.low_width, p->size.low_height, NULL, NULL };
    const size_t count = (size_t)(s.width * s.height);
    uint16_t *guide = random_halves(count * (size_t)p->guide.color_step, -2, 2.5);
    uint16_t *alpha = random_halves(count * (size_t)p->guide.alpha_step, -.1, 1.1);
    s.sample = malloc(count * 4 * sizeof *s.sample);
    s.line = malloc(count * 4 * sizeof *s.line);
    for (size_t i = 0; i < count; i++) {
        const double grey = kind == 2 ? .4 : fraction();
        for (size_t k = 0; k < 3; k++) {
            uint16_t *g = guide + i * (size_t)p->guide.color_step + k;
            if (kind)
                *g = half_of((grey - mean[k]) / std[k]);
            s.sample[i * 4 + k] = (double)value_of(*g) * std[k] + mean[k];
        }
        uint16_t *a = alpha + i * (size_t)p->guide.alpha_step;
        if (kind)
            *a = half_of(kind == 2 ? .7 : clip(1.5 * grey - .2, 0, 1));
        s.sample[i * 4 + 3] = value_of(*a);
    }
    memcpy(p->guide.mean, mean, sizeof mean);
    memcpy(p->guide.std, std, sizeof std);
    p->guide.color = guide;
    p->guide.alpha = alpha;
    return s;
}

/* past: NULL, or that of before p ran. */
static void check_refined(const struct compose_params *p, const struct small *s,
    const struct shown *shown, const struct past *past)
{
    const size_t count = (size_t)(s->width * s->height);
    double *means = malloc(count * 4 * sizeof *means);
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            fit_line(s, x, y, s->line + (ptrdiff_t)(y * s->width + x) * 4);
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            window_mean(s->line, s, x, y, means + (ptrdiff_t)(y * s->width + x) * 4);
    for (int y = 0; y < p->source.height; y++)
        for (int x = 0; x < p->source.width; x++) {
            double want = refined(s, means, shown, x, y);
            if (past) {
                const int at = y * p->source.width + x;
                const double weight = weight_of_past(past, s, shown, x, y);
                want = (want + weight * past->held[at] / 65535) / (1 + weight);
                assert_float_equal(p->held[at] / 65535., want, 3e-4);
            }
            const double got = p->canvas.a[y * p->canvas.a_pitch + x];
            if (fabs(want - .02) < 3e-4 || fabs(want - .98) < 3e-4)
                continue; /* a rounding error decides */
            want = 255 * (want < .02 ? 0 : want > .98 ? 1 : want);
            if (!(fabs(got - want) < .5 + .1))
                fail_msg("%dx%d from %dx%d: %g instead of %g at %d, %d", p->source.width,
                    p->source.height, s->width, s->height, got, want, x, y);
        }
    free(means);
}

static void alpha_follows_the_picture(void **state)
{
    (void)state;
    for (int i = 0; i < 18; i++) {
        const int width = 1 + random_below(150), height = 1 + random_below(90);
        struct shown shown = show(width, height, i % LAYOUTS);
        const int low_width = width / 4 + 1 + random_below(width / 2 + 2);
        const int low_height = height / 4 + 1 + random_below(height / 2 + 2);
        struct compose_params p = { .source = shown.picture,
            .size = enlargement(width, height, low_width, low_height),
            .guide = { .color_step = 3 + random_below(2) * 5, .alpha_step = 1 + random_below(4) },
            .guided = 1,
            .canvas = { .width = width,
                .height = height,
                .y_pitch = width,
                .a_pitch = width,
                .uv_pitch = (width + 1) / 2 } };
        struct canvas *canvas = &p.canvas;
        const size_t luma = (size_t)(width * height),
                     chroma = (size_t)(canvas->uv_pitch * ((height + 1) / 2));
        assert_true(p.size.tile_width && p.size.tile_height);
        struct small small = make_small(&p, i % 7 < 3 ? i % 7 : 0);
        canvas->y = malloc(luma);
        canvas->a = malloc(luma);
        canvas->u = malloc(chroma);
        canvas->v = malloc(chroma);
        RUN(compose, &p);
        check_refined(&p, &small, &shown, NULL);
        struct past past = { malloc(luma * sizeof *past.held),
            random_halves((size_t)(low_width * low_height), 0, 7) };
        p.still = past.still;
        p.held = malloc(luma * sizeof *p.held);
        for (size_t k = 0; k < luma; k++)
            past.held[k] = p.held[k] = (uint16_t)random_below(65536);
        RUN(compose, &p);
        check_refined(&p, &small, &shown, &past);
        free(past.held);
        free(past.still);
        free(p.held);
        free(canvas->y);
        free(canvas->a);
        free(canvas->u);
        free(canvas->v);
        free((void *)p.guide.color);
        free((void *)p.guide.alpha);
        free(small.sample);
        free(small.line);
        hide(&shown);
    }
}

/* Whatever the two sizes are, the small samples under a tile and around it are no more than a block holds. */
static void a_tile_fits_or_is_refused(void **state)
{
    (void)state;
    for (int size = 1; size < 5000; size += 1 + size / 9)
        for (int low = 1; low < 2000; low += 1 + low / 7) {
            const int tile = enlarge_tile(size, low, ENLARGE_LOW_HEIGHT);
            if (!tile) {
                assert_true(low > 4 * size);
                continue;
            }
            for (int from = 0; from < size; from += tile) {
                const int last = (from + tile < size ? from + tile : size) - 1;
                const int first = (int)small_place(from, size, low) - 2;
                const int end = (int)small_place(last, size, low) + 4;
                assert_true(end - first <= ENLARGE_LOW_HEIGHT);
            }
        }
    assert_int_equal(enlarge_tile(10, 100, ENLARGE_LOW_HEIGHT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alpha_follows_the_picture),
        cmocka_unit_test(a_tile_fits_or_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
