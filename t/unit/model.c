/* A model over time: which file is taken, what its tensors must be, and that it remembers until it is told to forget.
 * Answers are halves. */
#include "onnx.h"

#include <stdio.h>

#include <openssl/sha.h>

#include "matte/model.h"

static void set_sha256(struct manifest_file *f)
{
    static unsigned char bytes[1 << 16], digest[32];
    const ssize_t size = pread(f->fd, bytes, sizeof bytes, 0);
    assert_true(size > 0 && size < (ssize_t)sizeof bytes);
    assert_non_null(SHA256(bytes, size, digest));
    for (int i = 0; i < 32; i++)
        snprintf(f->sha256 + 2 * i, 3, "%02x", digest[i]);
}

/* alpha = ro = r + red, colour = 2 src */
static int write_net(int fd, int width, int height)
{
    size_t size;
    begin(13);
    input("src", 1, 3, height, width);
    input("r", 1, 1, height, width);
    set_int(node("Split", "src", "red,green,blue"), "axis", 1);
    node("Add", "red,r", "ro");
    node("Identity", "ro", "alpha");
    node("Add", "src,src", "colour");
    output("alpha");
    output("colour");
    output("ro");
    const uint8_t *bytes = file_bytes(&size);
    return write(fd, bytes, size) == (ssize_t)size ? 0 : -1;
}

/* Three files: wide, square, tall; the square one is not installed. */
static struct manifest manifest(void)
{
    static const int sizes[3][2] = { { 32, 16 }, { 16, 16 }, { 16, 32 } };
    struct manifest m = { .name = "test",
        .input = "src",
        .std = { 1, 1, 1 },
        .outputs = { .alpha = "alpha", .foreground = "colour" },
        .states = { { "r", "ro" } },
        .state_count = 1,
        .file_count = 3 };
    for (int i = 0; i < 3; i++) {
        snprintf(m.files[i].file, sizeof m.files[i].file, "%d.onnx", i);
        m.files[i].width = sizes[i][0];
        m.files[i].height = sizes[i][1];
        m.files[i].fd = i == 1 ? -1 : memfd_create("onnx", MFD_CLOEXEC);
        if (i == 1)
            continue;
        assert_int_equal(write_net(m.files[i].fd, sizes[i][0], sizes[i][1]), 0);
        set_sha256(&m.files[i]);
    }
    return m;
}

static void close_files(const struct manifest *m)
{
    close(m->files[0].fd);
    close(m->files[2].fd);
}

static struct device *device;

static int open_device(void **state)
{
    struct error e;
    (void)state;
    device = device_open("cpu", &e);
    return !device;
}

static int close_device(void **state)
{
    (void)state;
    device_close(device);
    return 0;
}

/* The parameters of a model for such a clip. */
#define CLIP(w, h)                                                  \
    &(struct model_params)                                          \
    {                                                               \
        .width = (w), .height = (h), .threads = 1, .device = device \
    }

static float *input_of(const struct model *model, int *width, int *height)
{
    const struct raster *r = model_input(model);
    *width = r->width;
    *height = r->height;
    return r->data;
}

static const float *values(const struct raster *raster)
{
    return raster->data;
}

static void takes_the_nearest_installed_file(void **state)
{
    static const int clips[][4] = { { 1920, 1080, 32, 16 }, { 1080, 1920, 16, 32 },
        { 101, 100, 32, 16 }, { 100, 101, 16, 32 }, { 4000, 10, 32, 16 } };
    struct manifest m = manifest();
    struct error e;
    int w, h;
    (void)state;
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        struct model *model = model_open(&m, CLIP(clips[i][0], clips[i][1]), &e);
        assert_non_null(model);
        assert_non_null(input_of(model, &w, &h));
        assert_int_equal(w, clips[i][2]);
        assert_int_equal(h, clips[i][3]);
        model_close(model);
    }
    close_files(&m);
}

static void says_that_nothing_is_installed(void **state)
{
    struct manifest m = manifest();
    struct error e;
    (void)state;
    close_files(&m);
    m.files[0].fd = m.files[2].fd = -1;
    assert_null(model_open(&m, CLIP(16, 9), &e));
    assert_string_equal(e.code, "model_not_installed");
    model_close(NULL);
}

static void remembers_until_reset(void **state)
{
    struct manifest m = manifest();
    struct model_output out;
    struct error e;
    int w, h;
    (void)state;
    struct model *model = model_open(&m, CLIP(16, 9), &e);
    assert_non_null(model);
    float *in = input_of(model, &w, &h);
    for (int i = 0; i < 3 * w * h; i++)
        in[i] = (float)i;
    for (int round = 0; round < 2; round++) {
        for (int frame = 1; frame < 4; frame++) {
            assert_int_equal(model_run(model, &out, &e), 0);
            for (int i = 0; i < w * h; i++)
                assert_true(values(&out.alpha)[i] == (float)(i * frame));
            for (int i = 0; i < 3 * w * h; i++)
                assert_true(values(&out.foreground)[i] == (float)(2 * i));
        }
        model_reset(model);
    }
    model_close(model);

    *m.outputs.foreground = 0; /* a network that predicts none */
    model = model_open(&m, CLIP(16, 9), &e);
    assert_int_equal(model_run(model, &out, &e), 0);
    assert_null(out.foreground.data);
    model_close(model);
    close_files(&m);
}

/* A dark picture is made as bright as its largest value allows, and its input given back. */
static void divides_by_the_largest_value(void **state)
{
    struct manifest m = manifest();
    struct model_output out;
    struct error e;
    int w, h;
    (void)state;
    m.range = RANGE_PICTURE;
    m.state_count = 0;
    for (int c = 0; c < 3; c++) {
        m.mean[c] = .25f * (float)(c + 1);
        m.std[c] = .5f;
    }
    struct model *model = model_open(&m, CLIP(16, 9), &e);
    assert_non_null(model);
    float *in = input_of(model, &w, &h);
    const int pixels = w * h;
    for (int c = 0; c < 3; c++) /* values of 0.1 to 0.5, the largest of the green ones */
        for (int i = 0; i < pixels; i++)
            in[c * pixels + i] = ((c == 1 && i == 7 ? .5f : .1f) - m.mean[c]) / m.std[c];
    assert_int_equal(model_run(model, &out, &e), 0);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < pixels; i++) {
            const float value = c == 1 && i == 7 ? .5f : .1f;
            const float seen = (value / .5f - m.mean[c]) / m.std[c];
            assert_float_equal(values(&out.foreground)[c * pixels + i], 2 * seen, 1e-3);
            assert_float_equal(in[c * pixels + i], (value - m.mean[c]) / m.std[c], 1e-6);
        }
    for (int c = 0; c < 3; c++) /* a black one */
        for (int i = 0; i < pixels; i++)
            in[c * pixels + i] = -m.mean[c] / m.std[c];
    assert_int_equal(model_run(model, &out, &e), 0);
    assert_float_equal(values(&out.foreground)[0], -2 * m.mean[0] / m.std[0], 5e-4);
    model_close(model);
    close_files(&m);
}

/* A clip of 4:3 in an input of 32x16: 21x16 at its left, zeros beside it; and the network sees blue first. */
static void pads_and_reverses(void **state)
{
    struct manifest m = manifest();
    struct model_output out;
    struct error e;
    int w, h;
    (void)state;
    m.state_count = 0;
    for (int how = 0; how < 4; how++) {
        const int pads = how & 1, reverses = how >> 1;
        m.fit = pads ? FIT_PAD : FIT_STRETCH;
        m.channels = reverses ? CHANNELS_BGR : CHANNELS_RGB;
        struct model *model = model_open(&m, CLIP(400, 300), &e);
        assert_non_null(model);
        float *in = input_of(model, &w, &h);
        assert_int_equal(w, pads ? 21 : 32);
        assert_int_equal(h, 16);
        assert_int_equal(model_suits(model, &m, CLIP(800, 600)), 1);
        assert_int_equal(model_suits(model, &m, CLIP(500, 300)), !pads);
        for (int frame = 1; frame < 3; frame++) {
            for (int i = 0; i < 3 * w * h; i++)
                in[i] = (float)(i * frame);
            assert_int_equal(model_run(model, &out, &e), 0);
            for (int i = 0; i < 3 * w * h; i++) {
                assert_true(values(&out.foreground)[i] == (float)(2 * i * frame));
                assert_true(in[i] == (float)(i * frame));
            }
            for (int i = 0; i < w * h; i++) /* of what the network takes for red */
                assert_true(
                    values(&out.alpha)[i] == (float)((reverses ? 2 * w * h + i : i) * frame));
        }
        model_close(model);
    }
    close_files(&m);
}

/* A network that looks at all of its input: what is beside the picture is 0, also after brightening. */
static void pads_with_zeros(void **state)
{
    struct manifest m = manifest();
    struct model_output out;
    struct error e;
    size_t size;
    int w, h;
    (void)state;
    begin(13);
    input("src", 1, 3, 16, 32);
    int64s("sizes", (int64_t[]) { 1, 1, 16, 32 }, 4);
    node("GlobalAveragePool", "src", "mean");
    set_int(node("Split", "mean", "red,green,blue"), "axis", 1);
    node("Expand", "red,sizes", "alpha");
    output("alpha");
    const uint8_t *bytes = file_bytes(&size);
    assert_int_equal(ftruncate(m.files[0].fd, 0), 0);
    assert_int_equal(pwrite(m.files[0].fd, bytes, size, 0), size);
    set_sha256(&m.files[0]);
    m.state_count = 0;
    *m.outputs.foreground = 0;
    m.fit = FIT_PAD;
    m.range = RANGE_PICTURE;
    for (int c = 0; c < 3; c++)
        m.mean[c] = .25f;
    struct model *model = model_open(&m, CLIP(300, 300), &e);
    if (!model)
        fail_msg("%s", e.text);
    float *in = input_of(model, &w, &h);
    assert_int_equal(w, 16);
    for (int i = 0; i < 3 * w * h; i++)
        in[i] = .5f - .25f;
    assert_int_equal(model_run(model, &out, &e), 0);
    assert_null(out.foreground.data);
    for (int i = 0; i < w * h;
         i++) /* 0.5 of 0.5 is 1: less the mean 0.75, over half of the input */
        assert_float_equal(values(&out.alpha)[i], .75f / 2, 5e-4);
    model_close(model);
    close_files(&m);
}

static void names_what_does_not_fit(void **state)
{
    struct manifest m = manifest();
    struct error e;
    (void)state;
    *m.outputs.alpha = 0;
    assert_null(model_open(&m, CLIP(32, 16), &e));
    assert_string_equal(e.text, "The network test makes no alpha.");
    strcpy(m.outputs.alpha, "alpha");
    m.files[0].width = 48;
    assert_null(model_open(&m, CLIP(32, 16), &e));
    assert_string_equal(e.text, "0.onnx: src is of 1 x 3 x 16 x 32, not of 1 x 3 x 16 x 48.");
    m.files[0].width = 32;
    strcpy(m.outputs.alpha, "beta");
    assert_null(model_open(&m, CLIP(32, 16), &e));
    assert_string_equal(e.text, "0.onnx has no input or output called beta.");
    strcpy(m.outputs.alpha, "colour");
    assert_null(model_open(&m, CLIP(32, 16), &e));
    assert_non_null(strstr(e.text, "colour is of 1 x 3 x 16 x 32, not of 1 x 1 x 16 x 32"));
    m.files[0].sha256[5] ^= 1;
    assert_null(model_open(&m, CLIP(32, 16), &e));
    assert_non_null(strstr(e.text, "0.onnx is not the file that its manifest names"));
    m.files[0].sha256[5] ^= 1;
    strcpy(m.outputs.alpha, "alpha");
    strcpy(m.states[0][0], "s");
    assert_null(model_open(&m, CLIP(32, 16), &e));
    assert_string_equal(e.text, "0.onnx has no input called s.");
    close_files(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_nearest_installed_file),
        cmocka_unit_test(says_that_nothing_is_installed),
        cmocka_unit_test(remembers_until_reset),
        cmocka_unit_test(divides_by_the_largest_value),
        cmocka_unit_test(pads_and_reverses),
        cmocka_unit_test(pads_with_zeros),
        cmocka_unit_test(names_what_does_not_fit),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_device, close_device);
}
