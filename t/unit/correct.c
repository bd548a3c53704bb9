/* Interlaced pictures lose their combs, others pass untouched, and none is lost where the kind or the size changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "media/correct.h"
#include "media/libav.h"

enum { WIDTH = 96, HEIGHT = 64, BAR = 16, STEP = 8 };

static struct correct *correct;

static int open_correct(void **state)
{
    (void)state;
    struct error e;
    libav_start();
    correct = correct_open((AVRational) { 1, 50 }, 1, &e);
    return !correct;
}

static int close_correct(void **state)
{
    (void)state;
    correct_close(correct);
    return 0;
}

/* A bar that moves STEP to the right from field to field; shown at once the two fields are a comb. */
static AVFrame *picture(int width, int64_t pts, int interlaced)
{
    AVFrame *f = av_frame_alloc();
    f->format = AV_PIX_FMT_YUV420P;
    f->width = width;
    f->height = HEIGHT;
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < HEIGHT >> !!i; y++)
            for (int x = 0; x < width >> !!i; x++) {
                int left = (int)pts * STEP + (interlaced && y & 1 ? STEP : 0);
                int in = x >= left && x < left + BAR;
                f->data[i][y * f->linesize[i] + x] = i ? 128 : in ? 235 : 16;
            }
    f->pts = pts;
    f->interlaced_frame = interlaced;
    f->top_field_first = 1;
    return f;
}

/* How much neighbouring rows differ, a pixel. */
static double combs(const AVFrame *f)
{
    double sum = 0;
    for (int y = 1; y < HEIGHT - 2; y++)
        for (int x = 0; x < f->width; x++)
            sum +=
                abs(f->data[0][y * f->linesize[0] + x] - f->data[0][(y + 1) * f->linesize[0] + x]);
    return sum / (HEIGHT - 3) / f->width;
}

struct seen {
    int count;
    int64_t last;
    double combs; /* the worst */
    const uint8_t *data;
    int width;
};

static void take(struct seen *s)
{
    struct error e;
    AVFrame *f = av_frame_alloc();
    int got;
    while ((got = correct_receive(correct, f, &e)) > 0) {
        assert_true(f->pts > s->last);
        s->last = f->pts;
        s->count++;
        s->data = f->data[0];
        s->width = f->width;
        double c = combs(f);
        s->combs = c > s->combs ? c : s->combs;
        av_frame_unref(f);
    }
    assert_int_equal(got, 0);
    av_frame_free(&f);
}

static void give(struct seen *s, AVFrame *f)
{
    struct error e;
    assert_int_equal(correct_send(correct, f, &e), 0);
    av_frame_free(&f);
    take(s);
}

static void progressive_pictures_pass_at_once(void **state)
{
    (void)state;
    struct seen s = { .last = -1 };
    for (int i = 0; i < 4; i++) {
        AVFrame *f = picture(WIDTH, i, 0);
        const uint8_t *data = f->data[0];
        give(&s, f);
        assert_int_equal(s.count, i + 1);
        assert_ptr_equal(s.data, data);
    }
    give(&s, NULL);
    assert_int_equal(s.count, 4);
}

static void combs_are_gone(void **state)
{
    (void)state;
    struct seen s = { .last = -1 };
    AVFrame *first = picture(WIDTH, 0, 1);
    assert_true(combs(first) > 20);
    give(&s, first);
    for (int i = 1; i < 6; i++)
        give(&s, picture(WIDTH, i * 2, 1));
    give(&s, NULL);
    assert_int_equal(s.count, 6);
    assert_int_equal(s.last, 10);
    assert_true(s.combs < 10);
}

/* Progressive, interlaced, another size, and progressive again: the filter is emptied before each change. */
static void nothing_is_lost_at_a_change(void **state)
{
    (void)state;
    struct seen s = { .last = -1 };
    for (int i = 0; i < 12; i++)
        give(&s, picture(i < 8 ? WIDTH : 2 * WIDTH, i, i >= 3 && i < 10));
    give(&s, NULL);
    assert_int_equal(s.count, 12);
    assert_int_equal(s.width, 2 * WIDTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            progressive_pictures_pass_at_once, open_correct, close_correct),
        cmocka_unit_test_setup_teardown(combs_are_gone, open_correct, close_correct),
        cmocka_unit_test_setup_teardown(nothing_is_lost_at_a_change, open_correct, close_correct),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
