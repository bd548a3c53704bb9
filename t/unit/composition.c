/* Where the subject goes: canvases, anchors, scales and offsets against places worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/composition.h"

enum { SIXTEEN_MEGAPIXELS = 16 << 20 };

static struct layout lay(const struct composition *c, int width, int height, int even)
{
    struct layout l;
    struct error e;
    if (composition_layout(c, width, height, even, SIXTEEN_MEGAPIXELS, &l, &e))
        fail_msg("%s", e.text);
    return l;
}

static void expect_layout(struct layout l, int width, int height, int x, int y, int w, int h)
{
    assert_int_equal(l.width, width);
    assert_int_equal(l.height, height);
    assert_int_equal(l.place.x, x);
    assert_int_equal(l.place.y, y);
    assert_int_equal(l.place.width, w);
    assert_int_equal(l.place.height, h);
}

static void without_a_canvas_nothing_moves(void **state)
{
    (void)state;
    struct composition none = { 0 };
    expect_layout(lay(&none, 1920, 1080, 1), 1920, 1080, 0, 0, 1920, 1080);
    expect_layout(lay(&none, 321, 181, 0), 321, 181, 0, 0, 321, 181);
    /* an even file loses a column and a row, and keeps the pixels as they are */
    expect_layout(lay(&none, 321, 181, 1), 320, 180, 0, 0, 321, 181);
    expect_layout(lay(&none, 1, 1, 1), 2, 2, 1, 1, 1, 1);
    struct composition half = { .scale = .5 };
    expect_layout(lay(&half, 1920, 1080, 0), 1920, 1080, 480, 270, 960, 540);
}

static void the_whole_source_fits_at_scale_1(void **state)
{
    (void)state;
    struct composition portrait = { .canvas_width = 1080, .canvas_height = 1920, .scale = 1 };
    expect_layout(lay(&portrait, 1920, 1080, 0), 1080, 1920, 0, 656, 1080, 608);
    struct composition square = { .canvas_width = 1001, .canvas_height = 1001, .scale = 2 };
    expect_layout(lay(&square, 500, 1001, 0), 1001, 1001, 1, -500, 1000, 2002);
    expect_layout(lay(&square, 500, 1001, 1), 1000, 1000, 0, -501, 1000, 2002);
}

static void nine_anchors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int x, y;
    } cases[] = {
        { "top-left", 7, -3 },
        { "top-center", 57, -3 },
        { "top-right", 107, -3 },
        { "center-left", 7, 97 },
        { "center", 57, 97 },
        { "center-right", 107, 97 },
        { "bottom-left", 7, 197 },
        { "bottom-center", 57, 197 },
        { "bottom-right", 107, 197 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int anchor = anchor_of(cases[i].name);
        assert_true(anchor >= 0);
        struct composition c = { 200, 300, (enum anchor)anchor, .5, 7, -3 };
        expect_layout(lay(&c, 200, 200, 0), 200, 300, cases[i].x, cases[i].y, 100, 100);
    }
    assert_int_equal(anchor_of("middle"), -1);
    assert_int_equal(anchor_of("center") == ANCHOR_CENTER, 1);
}

static void limits_name_their_field(void **state)
{
    (void)state;
    static const struct {
        struct composition c;
        const char *field, *code;
    } cases[] = {
        { { 15, 16, 0, 1, 0, 0 }, "composition.canvas.width", "invalid_composition" },
        { { 16, 7681, 0, 1, 0, 0 }, "composition.canvas.height", "invalid_composition" },
        { { 16, 0, 0, 1, 0, 0 }, "composition.canvas.height", "invalid_composition" },
        { { 16, 16, ANCHORS, 1, 0, 0 }, "composition.foreground.anchor", "invalid_composition" },
        { { 16, 16, 0, .0009, 0, 0 }, "composition.foreground.scale", "invalid_composition" },
        { { 16, 16, 0, -1, 0, 0 }, "composition.foreground.scale", "invalid_composition" },
        { { 16, 16, 0, NAN, 0, 0 }, "composition.foreground.scale", "invalid_composition" },
        { { 16, 16, 0, 1, 100001, 0 }, "composition.foreground.offset.x", "invalid_composition" },
        { { 16, 16, 0, 1, 0, -INFINITY }, "composition.foreground.offset.y",
            "invalid_composition" },
        { { 7680, 4320, 0, 1, 0, 0 }, "composition.canvas", "too_large" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct layout l;
        struct error e;
        assert_int_equal(
            composition_layout(&cases[i].c, 640, 360, 0, SIXTEEN_MEGAPIXELS, &l, &e), -1);
        assert_string_equal(e.code, cases[i].code);
        assert_int_equal(strncmp(e.text, cases[i].field, strlen(cases[i].field)), 0);
        assert_false(e.retry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_canvas_nothing_moves),
        cmocka_unit_test(the_whole_source_fits_at_scale_1),
        cmocka_unit_test(nine_anchors),
        cmocka_unit_test(limits_name_their_field),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
