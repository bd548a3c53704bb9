/*
 * MobileSAM's place in `pro`, on networks that are known (tiny_pro.h): how a clip lies in the encoder's input, which picture a
 * box asks about, what becomes of a hint, and files that do not fit. `pro_segment DEVICE` does it elsewhere.
 */
#include "tiny_pro.h"

#include "matte/segment.h"

static struct device *device;
static struct manifest encoder, decoder;

/* A picture and where it lies. */
struct scene {
    struct segment *segment;
    int width, height, mask_width, mask_height;
    struct raster picture;
    float *planes, *mask;
};

static struct scene scene_of(int width, int height)
{
    struct scene s = { 0 };
    struct error e;
    s.segment = segment_open(&encoder, &decoder, device, width, height, 1, &e);
    if (!s.segment)
        fail_msg("%s", e.text);
    segment_size(s.segment, &s.width, &s.height);
    segment_mask_size(s.segment, &s.mask_width, &s.mask_height);
    assert_int_equal(raster_open(device, &s.picture, s.width, s.height, 3, &e), 0);
    s.planes = calloc((size_t)(3 * s.width * s.height), sizeof *s.planes);
    s.mask = calloc((size_t)(s.mask_width * s.mask_height), sizeof *s.mask);
    return s;
}

static void scene_close(struct scene *s)
{
    segment_close(s->segment);
    raster_close(device, &s->picture);
    free(s->planes);
    free(s->mask);
}

/* Looks at a picture that is red from column `left` up to `right`, and blue elsewhere. */
static void look(struct scene *s, int left, int right)
{
    struct error e;
    const int pixels = s->width * s->height;
    for (int i = 0; i < pixels; i++) {
        const int red = i % s->width >= left && i % s->width < right;
        s->planes[i] = (float)red;
        s->planes[2 * pixels + i] = (float)!red;
    }
    assert_int_equal(raster_write(device, &s->picture, s->planes, &e), 0);
    assert_int_equal(segment_look(s->segment, &s->picture, &e), 0);
}

/* The trust of an answer about a box. */
static float ask(struct scene *s, const struct box *box, const float *hint)
{
    struct error e;
    float trust = -1;
    if (segment_box(s->segment, box, hint, s->mask, &trust, &e))
        fail_msg("%s", e.text);
    return trust;
}

/* The mask's columns between these are inside, and no others. */
static void is_inside(const struct scene *s, int left, int right)
{
    for (int y = 0; y < s->mask_height; y++)
        for (int x = 0; x < s->mask_width; x++) {
            const float logit = s->mask[y * s->mask_width + x];
            if ((logit > 0) != (x >= left && x < right))
                fail_msg(
                    "%g at %d, %d of %d x %d", (double)logit, x, y, s->mask_width, s->mask_height);
        }
}

static const struct box corner = { 0, 0, 0, 0 };

static void a_clip_fills_the_encoders_longer_side(void **state)
{
    static const struct {
        int clip[2], picture[2], mask[2];
    } cases[] = {
        { { 1920, 1080 }, { 1024, 576 }, { 256, 144 } },
        { { 1080, 1920 }, { 576, 1024 }, { 144, 256 } },
        { { 64, 64 }, { 1024, 1024 }, { 256, 256 } },
        { { 1000, 563 }, { 1024, 577 }, { 256, 145 } }, /* 576.5 */
        { { 563, 1000 }, { 577, 1024 }, { 145, 256 } },
        { { 16384, 1 }, { 1024, 1 }, { 256, 1 } },
        { { 1, 16384 }, { 1, 1024 }, { 1, 256 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scene s = scene_of(cases[i].clip[0], cases[i].clip[1]);
        assert_int_equal(s.width, cases[i].picture[0]);
        assert_int_equal(s.height, cases[i].picture[1]);
        assert_int_equal(s.mask_width, cases[i].mask[0]);
        assert_int_equal(s.mask_height, cases[i].mask[1]);
        scene_close(&s);
    }
}

/* At the top left, and a sample of the mask is SEGMENT_STEP pixels. */
static void a_mask_lies_on_the_picture(void **state)
{
    static const int clips[][2] = { { 1024, 80 }, { 100, 1024 }, { 1024, 1024 } };
    (void)state;
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        struct scene s = scene_of(clips[i][0], clips[i][1]);
        look(&s, 16, 64);
        ask(&s, &corner, NULL);
        is_inside(&s, 16 / SEGMENT_STEP, 64 / SEGMENT_STEP);
        scene_close(&s);
    }
}

static void boxes_ask_about_the_last_picture(void **state)
{
    (void)state;
    struct scene s = scene_of(1024, 64);
    look(&s, 0, 32);
    for (int i = 0; i < 2; i++) {
        ask(&s, &corner, NULL);
        is_inside(&s, 0, 8);
    }
    look(&s, 512, 1024);
    ask(&s, &corner, NULL);
    is_inside(&s, 128, 256);
    scene_close(&s);
}

/* In pixels of the picture, in their order, and the answer's own trust comes back. */
static void a_box_is_its_corners(void **state)
{
    (void)state;
    struct scene s = scene_of(1024, 64);
    look(&s, 0, 0);
    assert_float_equal(
        ask(&s, &(struct box) { 0, 0, 1024, 64 }, NULL), tiny_trust(0, 0, 1024, 64), 2e-3);
    assert_float_equal(
        ask(&s, &(struct box) { 512, 32, 640, 48 }, NULL), tiny_trust(512, 32, 640, 48), 2e-3);
    assert_float_equal(ask(&s, &corner, NULL), 0, 1e-6);
    scene_close(&s);
}

/*
 * What a hint is unsure of is made sure; what is beside the picture is surely outside; and a box without a hint forgets the
 * one before.
 */
static void a_hint_is_a_mask(void **state)
{
    static const int clips[][2] = { { 1024, 512 }, { 512, 1024 } };
    enum { PART = 64 };
    /* outside and inside of a part, in every second column */
    static const float said[2][2] = { { -6, -.1f }, { 32, .1f } };
    static const float taken[2][2] = { { -6, -3 }, { 32, 3 } };
    (void)state;
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        struct scene s = scene_of(clips[i][0], clips[i][1]);
        const int samples = s.mask_width * s.mask_height;
        float *hint = calloc((size_t)samples, sizeof *hint);
        for (int k = 0; k < samples; k++)
            hint[k] = said[k % s.mask_width < PART && k / s.mask_width < PART][k % 2];
        look(&s, s.width / 2, s.width);
        const double part = PART * PART, of = TINY_MASK * TINY_MASK;
        assert_float_equal(
            ask(&s, &corner, hint), (part * 17.5 + (samples - part) * -4.5) / of - 10. / 2, 2e-2);
        for (int k = 0; k < samples; k++)
            assert_float_equal(s.mask[k],
                taken[k % s.mask_width < PART && k / s.mask_width < PART][k % 2] +
                    (k % s.mask_width < s.mask_width / 2 ? -.5 : .5) * TINY_STEEP,
                1e-2);
        assert_float_equal(ask(&s, &corner, NULL), 0, 1e-6);
        is_inside(&s, s.mask_width / 2, s.mask_width);
        free(hint);
        scene_close(&s);
    }
}

/* A card holds what nn_card_bytes() says of both, the processor nothing. */
static void a_cards_memory_is_known(void **state)
{
    (void)state;
    struct scene s = scene_of(1024, 64);
    if (device_is_apart(device))
        assert_true(segment_bytes(s.segment) > 3 * TINY_SIDE * TINY_SIDE * 2);
    else
        assert_int_equal(segment_bytes(s.segment), 0);
    scene_close(&s);
}

static void is_refused(const char *code, const char *text)
{
    struct error e = { 0 };
    assert_null(segment_open(&encoder, &decoder, device, 64, 64, 1, &e));
    assert_string_equal(e.code, code);
    if (!strstr(e.text, text))
        fail_msg("%s", e.text);
}

static int open_files(void **state)
{
    (void)state;
    tiny_encoder(&encoder);
    tiny_decoder(&decoder);
    return 0;
}

static int close_files(void **state)
{
    (void)state;
    tiny_close(&encoder);
    tiny_close(&decoder);
    return 0;
}

static void files_that_do_not_fit_are_refused(void **state)
{
    const struct manifest e = encoder, d = decoder;
    (void)state;
    encoder.files[0].width = encoder.files[0].height = 512;
    is_refused("bad_model", "encoder.onnx is of 512x512, not of 1024x1024.");
    encoder.files[0].width = 1024;
    is_refused("bad_model", "encoder.onnx is of 1024x512, not of 1024x1024.");
    encoder = e;
    encoder.files[0].sha256[0] ^= 1;
    is_refused("bad_model", "encoder.onnx");
    encoder = e;
    strcpy(encoder.input, "pictures");
    is_refused("bad_model", "encoder.onnx has no input or output called pictures.");
    encoder = e;
    strcpy(encoder.outputs.embedding, "picture");
    is_refused("bad_model", "encoder.onnx: picture has 3145728 values, not 16384.");
    encoder = e;
    decoder.files[0].sha256[0] ^= 1;
    is_refused("bad_model", "decoder.onnx");
    decoder = d;
    strcpy(decoder.input, "embedding");
    is_refused("bad_model", "decoder.onnx has no input or output called embedding.");
    decoder = d;
    strcpy(decoder.input, "mask_input");
    is_refused("bad_model", "encoder.onnx: embedding has 16384 values, not 65536.");
    decoder = d;
    decoder.files[0].fd = encoder.files[0].fd;
    memcpy(decoder.files[0].sha256, encoder.files[0].sha256, sizeof decoder.files[0].sha256);
    is_refused("bad_model", "has no input");
    decoder = d;
    segment_close(NULL);
}

int main(int argc, char **argv)
{
    struct error e;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clip_fills_the_encoders_longer_side),
        cmocka_unit_test(a_mask_lies_on_the_picture),
        cmocka_unit_test(boxes_ask_about_the_last_picture),
        cmocka_unit_test(a_box_is_its_corners),
        cmocka_unit_test(a_hint_is_a_mask),
        cmocka_unit_test(a_cards_memory_is_known),
        cmocka_unit_test(files_that_do_not_fit_are_refused),
    };
    if (!(device = device_open(argc > 1 ? argv[1] : "cpu", &e))) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return 1;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const int failed = cmocka_run_group_tests(tests, open_files, close_files);
    device_close(device);
    return failed;
}
