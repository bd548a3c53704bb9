/* Images of a background: covered from the centre whatever their shape, and refused where they are not what they should be. */
#include "clip.h"

#include <string.h>

#include "device/device.h"
#include "media/image.h"
#include "media/libav.h"

static struct device *device;

/* Left to right red, green, blue; the middle third of it is green. */
#define STRIPES                                                                     \
    "-f lavfi -i color=red:s=100x100 -f lavfi -i color=lime:s=100x100 -f lavfi -i " \
    "color=blue:s=100x100 "                                                         \
    "-filter_complex [0][1][2]hstack=3,format="

static int cover(int fd, int64_t max_bytes, int64_t max_pixels, struct frame *to, struct error *e)
{
    struct image_params p = { fd, max_bytes, max_pixels, MATRIX_BT709 };
    return image_cover(&p, to, e);
}

static struct frame *frame_of(int width, int height, struct frame_pool **pool)
{
    struct error e;
    struct frame_pool_params p = { width, height, 0, 1 };
    *pool = frame_pool_open(device, &p, &e);
    return frame_take(*pool, &e);
}

static void expect_code(const struct frame *f, int x, int y, int luma, int u, int v)
{
    const int want[3] = { luma, u, v };
    for (int i = 0; i < 3; i++) {
        int shift = i > 0, got = f->plane[i][(y >> shift) * f->stride[i] + (x >> shift)];
        if (abs(got - want[i]) > 6)
            fail_msg("plane %d is %d at %d, %d, not %d", i, got, x, y, want[i]);
    }
}

static void every_kind_covers_the_canvas(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        STRIPES "rgb24 -frames:v 1 -c:v png -f image2pipe",
        STRIPES "yuvj444p -frames:v 1 -c:v mjpeg -q:v 2 -f image2pipe",
        STRIPES "bgra -frames:v 1 -c:v libwebp -lossless 1 -f image2pipe",
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct error e;
        struct frame_pool *pool;
        int fd = clip(kinds[i]);
        /* as wide as the image: all of it is seen, stretched nowhere */
        struct frame *f = frame_of(150, 50, &pool);
        if (cover(fd, 1 << 20, 1 << 20, f, &e))
            fail_msg("kind %zu: %s", i, e.text);
        expect_code(f, 10, 25, 63, 102, 240);
        expect_code(f, 75, 25, 173, 42, 26);
        expect_code(f, 140, 25, 32, 240, 118);
        frame_release(f);
        frame_pool_close(pool);
        /* narrow: its middle */
        f = frame_of(90, 100, &pool);
        assert_int_equal(cover(fd, 1 << 20, 1 << 20, f, &e), 0);
        expect_code(f, 1, 50, 173, 42, 26);
        expect_code(f, 88, 50, 173, 42, 26);
        frame_release(f);
        frame_pool_close(pool);
        close(fd);
    }
}

static void what_is_transparent_is_black(void **state)
{
    (void)state;
    struct error e;
    struct frame_pool *pool;
    int fd =
        clip("-f lavfi -i color=white@0.0:s=64x64,format=rgba -frames:v 1 -c:v png -f image2pipe");
    struct frame *f = frame_of(64, 64, &pool);
    assert_int_equal(cover(fd, 1 << 20, 1 << 20, f, &e), 0);
    expect_code(f, 32, 32, 16, 128, 128);
    frame_release(f);
    frame_pool_close(pool);
    close(fd);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    struct error e;
    struct frame_pool *pool;
    struct frame *f = frame_of(64, 64, &pool);
    int png = clip("-f lavfi -i testsrc2=s=200x100 -frames:v 1 -c:v png -f image2pipe");
    int cut = scratch(), gif = clip("-f lavfi -i testsrc2=s=64x64 -frames:v 1 -f gif"),
        empty = scratch();
    char bytes[100];
    assert_int_equal(pread(png, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(write(cut, bytes, sizeof bytes), sizeof bytes);
    const struct {
        int fd;
        int64_t max_bytes, max_pixels;
        const char *code;
    } cases[] = {
        { png, 1 << 20, 200 * 100, NULL },
        { png, 1 << 20, 200 * 100 - 1, "too_large" },
        { png, 100, 1 << 20, "too_large" },
        { cut, 1 << 20, 1 << 20, "unreadable_image" },
        { gif, 1 << 20, 1 << 20, "unreadable_image" },
        { empty, 1 << 20, 1 << 20, "unreadable_image" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int result = cover(cases[i].fd, cases[i].max_bytes, cases[i].max_pixels, f, &e);
        assert_int_equal(result, cases[i].code ? -1 : 0);
        if (cases[i].code) {
            assert_string_equal(e.code, cases[i].code);
            assert_non_null(strstr(e.text, "background.image_url"));
        }
    }
    close(png);
    close(cut);
    close(gif);
    close(empty);
    frame_release(f);
    frame_pool_close(pool);
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
        cmocka_unit_test(every_kind_covers_the_canvas),
        cmocka_unit_test(what_is_transparent_is_black),
        cmocka_unit_test(anything_else_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_device, close_device);
}
