/* The kernel that makes 8 bits of 10: what libswscale makes of the same codes, every one of them. */
#include <libswscale/swscale.h>

#include "device/cuda/kernels/narrow.h"
#include "kernel.h"

/* Room for one picture: luma and two planes of chroma, or chroma in pairs. */
struct codes {
    uint16_t *luma, *chroma, *u, *v;
    int pitch; /* of luma and pairs, in samples */
};

static struct codes make_codes(int width, int height)
{
    const int wide = (width + 1) / 2, high = (height + 1) / 2;
    struct codes c = { .pitch = (2 * wide + 3) / 4 * 4 + 4 * random_below(2) };
    c.luma = calloc((size_t)(c.pitch * height), sizeof *c.luma);
    c.chroma = calloc((size_t)(c.pitch * high), sizeof *c.chroma);
    c.u = calloc((size_t)(wide * high), sizeof *c.u);
    c.v = calloc((size_t)(wide * high), sizeof *c.v);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            c.luma[y * c.pitch + x] = (uint16_t)random_below(1024);
    for (int y = 0; y < high; y++)
        for (int x = 0; x < wide; x++) {
            c.u[y * wide + x] = (uint16_t)random_below(1024);
            c.v[y * wide + x] =
                (uint16_t)(random_below(2) ? 1023 - random_below(4) : random_below(4));
            c.chroma[y * c.pitch + 2 * x] = (uint16_t)(c.u[y * wide + x] << 6);
            c.chroma[y * c.pitch + 2 * x + 1] = (uint16_t)(c.v[y * wide + x] << 6);
        }
    return c;
}

static void by_libswscale(const struct codes *c, int width, int height, uint8_t *plane[3])
{
    const int wide = (width + 1) / 2;
    struct SwsContext *s = sws_getContext(width, height, AV_PIX_FMT_YUV420P10, width, height,
        AV_PIX_FMT_YUV420P, SWS_BICUBIC | SWS_ACCURATE_RND, NULL, NULL, NULL);
    const uint8_t *from[4] = { (uint8_t *)c->luma, (uint8_t *)c->u, (uint8_t *)c->v, NULL };
    const int from_stride[4] = { 2 * c->pitch, 2 * wide, 2 * wide, 0 };
    uint8_t *to[4] = { plane[0], plane[1], plane[2], NULL };
    const int to_stride[4] = { width, wide, wide, 0 };
    assert_int_equal(sws_scale(s, from, from_stride, 0, height, to, to_stride), height);
    sws_freeContext(s);
}

static void compare(int width, int height)
{
    const int wide = (width + 1) / 2, high = (height + 1) / 2;
    struct codes c = make_codes(width, height);
    uint8_t *wanted[3] = { malloc((size_t)(width * height)), malloc((size_t)(wide * high)),
        malloc((size_t)(wide * high)) };
    by_libswscale(&c, width, height, wanted);
    for (int i = 0; i < c.pitch * height; i++)
        c.luma[i] = (uint16_t)(c.luma[i] << 6);
    const int luma_pitch = (width + 3) / 4 * 4, pair_pitch = (2 * wide + 3) / 4 * 4 + 4;
    uint8_t *luma = malloc((size_t)(luma_pitch * (height - 1) + width)),
            *pairs = malloc((size_t)(pair_pitch * (high - 1) + 2 * wide));
    struct narrow_params p = { c.luma, c.chroma, luma, pairs, 2 * c.pitch, luma_pitch, pair_pitch,
        width, height };
    RUN(narrow, &p);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            assert_int_equal(luma[y * luma_pitch + x], wanted[0][y * width + x]);
    for (int y = 0; y < high; y++)
        for (int x = 0; x < wide; x++) {
            assert_int_equal(pairs[y * pair_pitch + 2 * x], wanted[1][y * wide + x]);
            assert_int_equal(pairs[y * pair_pitch + 2 * x + 1], wanted[2][y * wide + x]);
        }
    void *all[] = { luma, pairs, wanted[0], wanted[1], wanted[2], c.luma, c.chroma, c.u, c.v };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void ten_bits_are_dithered_as_libswscale_does(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 1, 1 }, { 2, 3 }, { 7, 5 }, { 64, 48 }, { 321, 181 },
        { 1030, 7 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        compare(sizes[i][0], sizes[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_bits_are_dithered_as_libswscale_does),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
