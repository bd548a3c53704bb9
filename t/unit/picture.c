/* Decoded pictures become upright, square and of one colour space; times become ticks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libavutil/display.h>
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>

#include "device/device.h"
#include "media/libav.h"
#include "media/picture.h"
#include "media/timeline.h"

static struct device *device;

static AVFrame *picture_of(int width, int height, enum AVPixelFormat format,
    enum AVColorSpace space, enum AVColorRange range)
{
    AVFrame *f = av_frame_alloc();
    f->width = width;
    f->height = height;
    f->format = format;
    f->colorspace = space;
    f->color_range = range;
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    return f;
}

static int plane_bytes(const AVFrame *f, int plane)
{
    int shift = plane ? av_pix_fmt_desc_get(f->format)->log2_chroma_h : 0;
    return f->linesize[plane] * ((f->height + (1 << shift) - 1) >> shift);
}

static struct frame *convert(const AVFrame *from, const struct picture_params *p, AVRational aspect,
    struct frame_pool **pool)
{
    struct error e;
    int turned = p->orientation.transposed;
    struct frame_pool_params size = {
        .width = turned ? p->height : p->width, .height = turned ? p->width : p->height, .count = 1
    };
    *pool = frame_pool_open(device, &size, &e);
    struct frame *to = frame_take(*pool, &e);
    struct picture *picture = picture_open(p, &e);
    assert_non_null(picture);
    if (picture_convert(picture, from, aspect, to, &e))
        fail_msg("%s", e.text);
    picture_close(picture);
    return to;
}

static void done(AVFrame *from, struct frame *to, struct frame_pool *pool)
{
    av_frame_free(&from);
    frame_release(to);
    frame_pool_close(pool);
}

/* Where the matrix, taken literally, shows each stored pixel is where the converted one has it. */
static void turned_as_the_matrix_says(void **state)
{
    (void)state;
    enum { WIDTH = 70, HEIGHT = 46 };
    for (int i = 0; i < 12; i++) {
        int32_t m[9];
        av_display_rotation_set(m, 90.0 * (i % 4));
        av_display_matrix_flip(m, i / 4 == 1, i / 4 == 2);
        AVFrame *from =
            picture_of(WIDTH, HEIGHT, AV_PIX_FMT_YUV420P, AVCOL_SPC_SMPTE170M, AVCOL_RANGE_MPEG);
        for (int k = 0; k < 3; k++)
            for (int y = 0; y < HEIGHT >> !!k; y++)
                for (int x = 0; x < WIDTH >> !!k; x++)
                    from->data[k][y * from->linesize[k] + x] = (uint8_t)(16 + rand() % 220);
        struct picture_params p = { WIDTH, HEIGHT, orientation_of(m), MATRIX_BT601, 0 };
        struct frame_pool *pool;
        struct frame *to = convert(from, &p, (AVRational) { 1, 1 }, &pool);

        double a = m[0] / 65536., b = m[1] / 65536., c = m[3] / 65536., d = m[4] / 65536.;
        for (int k = 0; k < 3; k++) {
            int w = WIDTH >> !!k, h = HEIGHT >> !!k;
            /* the shown picture is moved to begin at 0, 0 */
            double left = fmin(0, a * w) + fmin(0, c * h), top = fmin(0, b * w) + fmin(0, d * h);
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++) {
                    int sx = (int)floor(a * (x + .5) + c * (y + .5) - left);
                    int sy = (int)floor(b * (x + .5) + d * (y + .5) - top);
                    assert_int_equal(to->plane[k][sy * to->stride[k] + sx],
                        from->data[k][y * from->linesize[k] + x]);
                }
        }
        done(from, to, pool);
    }
    struct orientation stored = orientation_of(NULL);
    assert_false(stored.transposed || stored.flip_x || stored.flip_y);
}

static void expect_near(const struct frame *f, int y, int u, int v)
{
    assert_in_range(f->plane[0][10 * f->stride[0] + 10], y - 1, y + 1);
    assert_in_range(f->plane[1][5 * f->stride[1] + 5], u - 1, u + 1);
    assert_in_range(f->plane[2][5 * f->stride[2] + 5], v - 1, v + 1);
}

/* Red, in every guise, has the code that the recommendation gives it. */
static void colours_have_their_codes(void **state)
{
    (void)state;
    static const struct {
        enum AVPixelFormat format;
        enum AVColorSpace space;
        enum AVColorRange range;
        int in[3]; /* Y, U, V or R, G, B */
        int deep;
        enum frame_matrix matrix;
        int out[3];
    } cases[] = {
        { AV_PIX_FMT_YUV420P, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, { 63, 102, 240 }, 0, MATRIX_BT709,
            { 63, 102, 240 } },
        { AV_PIX_FMT_YUV420P, AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_UNSPECIFIED, { 63, 102, 240 }, 0,
            MATRIX_BT709, { 63, 102, 240 } },
        { AV_PIX_FMT_YUV420P, AVCOL_SPC_SMPTE170M, AVCOL_RANGE_MPEG, { 81, 90, 240 }, 0,
            MATRIX_BT709, { 63, 102, 240 } },
        { AV_PIX_FMT_YUV420P, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, { 63, 102, 240 }, 0, MATRIX_BT601,
            { 81, 90, 240 } },
        { AV_PIX_FMT_YUV422P10LE, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, { 252, 408, 960 }, 1,
            MATRIX_BT709, { 63, 102, 240 } },
        { AV_PIX_FMT_YUVJ420P, AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, { 76, 85, 255 }, 0,
            MATRIX_BT601, { 81, 90, 240 } },
        { AV_PIX_FMT_YUV444P, AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, { 76, 85, 255 }, 0,
            MATRIX_BT601, { 81, 90, 240 } },
        { AV_PIX_FMT_GBRP, AVCOL_SPC_RGB, AVCOL_RANGE_JPEG, { 0, 0, 255 }, 0, MATRIX_BT709,
            { 63, 102, 240 } },
        { AV_PIX_FMT_GBRP, AVCOL_SPC_RGB, AVCOL_RANGE_JPEG, { 0, 0, 255 }, 0, MATRIX_BT601,
            { 81, 90, 240 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVFrame *from = picture_of(64, 48, cases[i].format, cases[i].space, cases[i].range);
        for (int k = 0; k < 3; k++)
            for (int n = 0; n < plane_bytes(from, k); n++)
                from->data[k][n] =
                    (uint8_t)(cases[i].deep && n & 1 ? cases[i].in[k] >> 8 : cases[i].in[k]);
        struct picture_params p = { 64, 48, { 0 }, cases[i].matrix, 0 };
        struct frame_pool *pool;
        struct frame *to = convert(from, &p, (AVRational) { 0, 1 }, &pool);
        expect_near(to, cases[i].out[0], cases[i].out[1], cases[i].out[2]);
        done(from, to, pool);
    }
}

static void grey(AVFrame *f, int code)
{
    for (int k = 0; k < 3; k++)
        memset(f->data[k], k ? 128 : code, (size_t)plane_bytes(f, k));
}

/* A picture of another shape lies in the middle of black bars. */
static void another_size_is_letterboxed(void **state)
{
    (void)state;
    static const struct {
        int width, height, left, top, box_width, box_height;
    } cases[] = { { 160, 180, 80, 0, 160, 180 }, { 640, 180, 0, 44, 320, 90 },
        { 640, 360, 0, 0, 320, 180 }, { 32, 18, 0, 0, 320, 180 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVFrame *from = picture_of(cases[i].width, cases[i].height, AV_PIX_FMT_YUV420P,
            AVCOL_SPC_SMPTE170M, AVCOL_RANGE_MPEG);
        grey(from, 200);
        struct picture_params p = { 320, 180, { 0 }, MATRIX_BT601, 0 };
        struct frame_pool *pool;
        struct frame *to = convert(from, &p, (AVRational) { 1, 1 }, &pool);
        for (int y = 0; y < 180; y++)
            for (int x = 0; x < 320; x++) {
                int inside = x >= cases[i].left && x < cases[i].left + cases[i].box_width &&
                             y >= cases[i].top && y < cases[i].top + cases[i].box_height;
                assert_in_range(
                    to->plane[0][y * to->stride[0] + x], inside ? 199 : 16, inside ? 201 : 16);
            }
        done(from, to, pool);
    }
}

static void pixels_become_square(void **state)
{
    (void)state;
    assert_int_equal(picture_square(320, (AVRational) { 0, 1 }), 320);
    assert_int_equal(picture_square(321, (AVRational) { 1, 1 }), 321);
    assert_int_equal(picture_square(320, (AVRational) { 4, 3 }), 426);
    assert_int_equal(picture_square(720, (AVRational) { 8, 9 }), 640);
    assert_int_equal(picture_square(321, (AVRational) { 32129, 32128 }), 321);
    assert_int_equal(picture_square(320, (AVRational) { 1000, 1 }), 320); /* nonsense is ignored */
    assert_int_equal(picture_square(320, (AVRational) { -4, 3 }), 320);
}

static void ticks_increase(void **state)
{
    (void)state;
    const AVRational us = { 1, 1000000 };
    struct timeline t = { { 1, 1000 }, 1, 500, { 1, 1000 }, 0 };
    assert_int_equal(timeline_place(&t, 499000, us), TIMELINE_DROP); /* before the start */
    assert_int_equal(timeline_place(&t, 500000, us), 0);
    assert_int_equal(timeline_place(&t, 500011, us), 1); /* the same tick: the next */
    assert_int_equal(timeline_place(&t, 500022, us), 2);
    assert_int_equal(timeline_place(&t, 540000, us), 40);
    assert_int_equal(timeline_place(&t, 520000, us), TIMELINE_DROP); /* more than 20 ms late */
    assert_int_equal(timeline_place(&t, 540000, us), 41);
    assert_int_equal(timeline_ticks(&t, 400000, us), -100);
    struct timeline gif = { { 1, 100 }, 2, 0, { 1, 25 }, 0 };
    for (int i = 0; i < 100; i++)
        assert_int_equal(timeline_place(&gif, i, (AVRational) { 1, 25 }), 4 * i);
    /* at 60 a second a sixth has no room: none is more than 20 ms late */
    struct timeline fast = { { 1, 100 }, 2, 0, { 1, 60 }, 0 };
    int64_t shown = 0, last = -2;
    for (int i = 0; i < 600; i++) {
        int64_t tick = timeline_place(&fast, i, (AVRational) { 1, 60 });
        if (tick == TIMELINE_DROP)
            continue;
        assert_true(tick >= last + 2 && tick * 6 - i * 10 <= 2 * 6 + 6);
        last = tick;
        shown++;
    }
    assert_in_range(shown, 495, 502);
}

static int open_device(void **state)
{
    (void)state;
    struct error e;
    libav_start();
    device = device_open("cpu", &e);
    return !device;
}

static int close_device(void **state)
{
    (void)state;
    device_close(device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turned_as_the_matrix_says),
        cmocka_unit_test(colours_have_their_codes),
        cmocka_unit_test(another_size_is_letterboxed),
        cmocka_unit_test(pixels_become_square),
        cmocka_unit_test(ticks_increase),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_device, close_device);
}
