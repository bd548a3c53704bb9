/*
 * A model of any words, on networks so small that what they answer is known: a phrase's second token says which of red,
 * green and blue is looked for, and logits are that colour's, bent so that 0 is surely not and 1 surely is.
 */
#include "onnx.h"

#include <stdio.h>

#include <openssl/sha.h>

#include "matte/model.h"

enum { SIDE = 8, LENGTH = 4, WORDS = 6 };

/* Tokens by number; "z" is a letter that is a word of its own. */
static const char vocabulary[] =
    "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"r</w>\": 2, \"g</w>\": 3, "
    "\"b</w>\": 4, \"z</w>\": 5}";

static struct device *device;
static struct model_params params = { .width = 16, .height = 9, .threads = 1 };
static char folder[] = "/tmp/described.XXXXXX";
static char shas[3][65];

static void write_file(const char *name, const void *bytes, size_t size, char sha256[65])
{
    char path[100];
    unsigned char digest[32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    assert_non_null(SHA256(bytes, size, digest));
    for (int i = 0; i < 32; i++)
        snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
}

static void write_net(const char *name, char sha256[65])
{
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    write_file(name, bytes, size, sha256);
}

/* Of a size that the file leaves open. */
static void words_input(const char *name)
{
    Onnx__ValueInfoProto *v = value(name, (int[]) { 1, LENGTH }, 2);
    v->type->tensor_type->shape->dim[1]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    onnx.inputs[onnx.graph.n_input++] = v;
}

/* tokens[1, LENGTH] (and their attention) to weights[1, 3] */
static void add_encoder(int attention)
{
    /* with attention a word is enough with one end, and not without; and two ends, of which one only fills up, are without a
     * word */
    const float end = attention ? .3f : 0, word = attention ? .3f : 1;
    const float colours[WORDS][3] = { { 0 }, { end, end, end }, { word, 0, 0 }, { 0, word, 0 },
        { 0, 0, word } };
    floats("colours", colours[0], 2, (int[]) { WORDS, 3 });
    words_input("ids");
    set_int(node("Cast", "ids", "whole"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    set_int(node("Gather", "colours,whole", "each"), "axis", 0); /* 1, LENGTH, 3 */
    if (attention) {
        words_input("mask");
        int64s("two", (int64_t[]) { 2 }, 1);
        node("Unsqueeze", "mask,two", "masked");
        node("Mul", "each,masked", "seen");
    } else {
        node("Identity", "each", "seen");
    }
    int64s("one", (int64_t[]) { 1 }, 1);
    set_int(node("ReduceSum", "seen,one", "weights"), "keepdims", 0);
}

/* logits[1, SIDE, SIDE] = 40 * the weighted sum of R, G, B - 20 */
static void add_segmenter(const char *weights)
{
    input("picture", 1, 3, SIDE, SIDE);
    int64s("form", (int64_t[]) { 1, 3, 1, 1 }, 4);
    node("Reshape", weights, "column");
    onnx.nodes[onnx.graph.n_node - 1]->input[onnx.nodes[onnx.graph.n_node - 1]->n_input++] =
        copy_text("form");
    node("Mul", "picture,column", "weighted");
    int64s("channels", (int64_t[]) { 1 }, 1);
    set_int(node("ReduceSum", "weighted,channels", "sum"), "keepdims", 0);
    scalar("steep", 40);
    scalar("middle", -20);
    node("Mul", "sum,steep", "high");
    node("Add", "high,middle", "logits");
    output("logits");
}

/* One network, or its two parts. */
static void write_nets(int apart, int attention)
{
    begin(13);
    add_encoder(attention);
    if (!apart) {
        add_segmenter("weights");
        write_net("network.onnx", shas[0]);
        return;
    }
    output("weights");
    write_net("encoder.onnx", shas[1]);
    begin(13);
    onnx.inputs[onnx.graph.n_input++] = value("condition", (int[]) { 1, 3 }, 2);
    add_segmenter("condition");
    write_net("network.onnx", shas[0]);
}

static struct manifest *open_manifest(int apart, int attention, const char *more, struct error *e)
{
    char path[100], text[2000], words[2][65];
    write_nets(apart, attention);
    write_file("vocab.json", vocabulary, sizeof vocabulary - 1, words[0]);
    write_file("merges.txt", "", 0, words[1]);
    const int length = snprintf(text, sizeof text,
        "{\"kind\": \"described\", \"name\": \"test\", \"licence\": \"none\", \"source\": \"this "
        "test\", "
        "\"serves\": [\"pro\"], \"files\": [{\"file\": \"network.onnx\", \"sha256\": \"%s\", "
        "\"width\": %d, "
        "\"height\": %d}], \"input\": \"picture\", \"mean\": [0, 0, 0], \"std\": [1, 1, 1], "
        "\"outputs\": {\"masks\": \"logits\"}, \"text\": {\"length\": %d, \"tokens\": \"ids\"%s"
        ", \"vocabulary\": {\"file\": \"vocab.json\", \"sha256\": \"%s\"}, "
        "\"merges\": {\"file\": \"merges.txt\", \"sha256\": \"%s\"}",
        shas[0], SIDE, SIDE, LENGTH, attention ? ", \"attention\": \"mask\"" : "", words[0],
        words[1]);
    snprintf(text + length, sizeof text - (size_t)length, "%s%s%s%s}}",
        apart ? ", \"encoder\": {\"file\": \"encoder.onnx\", \"sha256\": \"" : "",
        apart ? shas[1] : "",
        apart ? "\"}, \"embedding\": \"weights\", \"condition\": \"condition\"" : "", more);
    snprintf(path, sizeof path, "%s/test.json", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    *e = (struct error) { 0 };
    return manifest_open(path, folder, e);
}

static int make_folder(void **state)
{
    struct error e;
    (void)state;
    params.device = device = device_open("cpu", &e);
    return device && mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = { "network.onnx", "encoder.onnx", "vocab.json", "merges.txt",
        "test.json" };
    char path[100];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    device_close(device);
    return rmdir(folder);
}

/* A picture of three stripes, red, green and blue, and a rest that is black. Kept, one sign each: 1 is kept. */
static void ask(struct model *model, const char *text, const char *kept)
{
    static const int starts[] = { 0, 2, 4, 6, SIDE };
    struct prompt prompt = { 0 };
    struct model_output out;
    struct error e;
    if (text && *text)
        assert_int_equal(prompt_parse(&prompt, text, strlen(text), &e), 0);
    model_ask(model, text ? &prompt : NULL);
    for (int frame = 0; frame < 2; frame++) {
        float *picture = model_input(model)->data;
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < SIDE * SIDE; i++)
                picture[c * SIDE * SIDE + i] = i % SIDE >= starts[c] && i % SIDE < starts[c + 1];
        if (model_run(model, &out, &e))
            fail_msg("%s: %s", text, e.text);
        assert_null(out.foreground.data);
        for (int stripe = 0; stripe < 4; stripe++)
            for (int x = starts[stripe]; x < starts[stripe + 1]; x++)
                assert_true(
                    ((const float *)out.alpha.data)[3 * SIDE + x] == (float)(kept[stripe] - '0'));
    }
}

static void keeps_what_words_describe(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        struct error e;
        struct manifest *m = open_manifest(form / 2, form % 2, "", &e);
        if (!m)
            fail_msg("%s", e.text);
        struct model *model = model_open(m, &params, &e);
        if (!model)
            fail_msg("%s", e.text);
        assert_int_equal(model_input(model)->width, SIDE);
        assert_int_equal(model_input(model)->height, SIDE);
        ask(model, "r", "1000");
        ask(model, "G", "0100");
        ask(model, "r, b", "1010");
        ask(model, "not b", "1101");
        ask(model, "everything except g", "1011");
        ask(model, "Everything, not r", "0111");
        ask(model, "r, g, not r", "0100");
        ask(model, "z", "0000");
        /* the main subject, of which no word is known here: each is an end */
        ask(model, NULL, form % 2 ? "1110" : "0000");
        ask(model, "", form % 2 ? "1110" : "0000");
        model_reset(model);
        model_close(model);
        manifest_close(m);
    }
}

/* Alpha of the logits around 0, rounded to halves. */
static void an_edge_is_soft(void **state)
{
    static const float logits[] = { -2, -1, -.6f, 0, .2f, 1, 3 };
    struct model_output out;
    struct prompt prompt;
    struct error e;
    (void)state;
    struct manifest *m = open_manifest(0, 0, "", &e);
    struct model *model = model_open(m, &params, &e);
    assert_non_null(model);
    assert_int_equal(prompt_parse(&prompt, "r", 1, &e), 0);
    model_ask(model, &prompt);
    float *picture = model_input(model)->data;
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++)
        picture[i] = (logits[i] + 20) / 40;
    assert_int_equal(model_run(model, &out, &e), 0);
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++) {
        float alpha = ((const float *)out.alpha.data)[i];
        const float wanted = logits[i] < -1 ? 0 : logits[i] > 1 ? 1 : (logits[i] + 1) / 2;
        assert_float_equal(alpha, wanted, 1e-3);
        assert_true((float)(_Float16)alpha == alpha);
    }
    model_close(model);
    manifest_close(m);
}

static void suits_what_it_was_opened_for(void **state)
{
    struct error e;
    (void)state;
    struct manifest *m = open_manifest(0, 0, "", &e);
    struct model *model = model_open(m, &params, &e);
    struct device *other = device_open("cpu", &e);
    struct manifest copy = *m;
    struct model_params elsewhere = params;
    elsewhere.device = other;
    assert_non_null(model);
    assert_int_equal(model_suits(model, m, &params), 1);
    assert_int_equal(model_suits(model, &copy, &params), 0);
    assert_int_equal(model_suits(model, m, &elsewhere), 0);
    m->files[1] = m->files[0];
    m->files[1].width = 2 * m->files[1].height; /* nearer to the clip */
    m->file_count = 2;
    assert_int_equal(model_suits(model, m, &params), 0);
    m->file_count = 1;
    model_close(model);
    manifest_close(m);
    device_close(other);
}

/* The words that do not fit are left out: two tokens beside start and end. */
static void takes_as_many_words_as_fit(void **state)
{
    struct error e;
    (void)state;
    struct manifest *m = open_manifest(1, 1, "", &e);
    struct model *model = model_open(m, &params, &e);
    assert_non_null(model);
    ask(model, "z b r", "0010");
    ask(model, "z z b", "0000");
    model_close(model);
    manifest_close(m);
}

static void refuses_files_that_do_not_fit(void **state)
{
    static const struct {
        const char *gone, *code;
    } cases[] = { { "vocab.json", "model_not_installed" }, { "merges.txt", "model_not_installed" },
        { "encoder.onnx", "model_not_installed" }, { "network.onnx", "model_not_installed" } };
    struct error e;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct manifest *m = open_manifest(1, 0, "", &e);
        char path[100];
        snprintf(path, sizeof path, "%s/%s", folder, cases[i].gone);
        assert_int_equal(unlink(path), 0);
        manifest_close(m);
        snprintf(path, sizeof path, "%s/test.json", folder);
        m = manifest_open(path, folder, &e);
        assert_non_null(m);
        assert_null(model_open(m, &params, &e));
        assert_string_equal(e.code, cases[i].code);
        manifest_close(m);
    }
    struct manifest *m = open_manifest(0, 1, "", &e);
    m->files[0].width = 2 * SIDE;
    assert_null(model_open(m, &params, &e));
    assert_string_equal(e.code, "bad_model");
    m->files[0].width = SIDE;
    m->files[0].sha256[0] ^= 1;
    assert_null(model_open(m, &params, &e));
    assert_string_equal(e.code, "bad_model");
    manifest_close(m);
    m = open_manifest(1, 0, "", &e);
    m->text.encoder.sha256[0] ^= 1;
    assert_null(model_open(m, &params, &e));
    assert_string_equal(e.code, "bad_model");
    manifest_close(m);
    m = open_manifest(0, 0, "", &e);
    strcpy(m->outputs.masks, "ids");
    assert_null(model_open(m, &params, &e));
    assert_string_equal(e.text, "network.onnx: ids has 4 values, not 64.");
    manifest_close(m);
}

static void names_what_a_manifest_lacks(void **state)
{
    struct error e;
    (void)state;
    assert_null(open_manifest(0, 0, ", \"embedding\": \"weights\"", &e));
    assert_non_null(
        strstr(e.text, "text must be with encoder, embedding and condition, or with none"));
    assert_null(open_manifest(0, 0, ", \"words\": 1", &e));
    assert_non_null(strstr(e.text, "text.words is not a field"));
    assert_null(open_manifest(0, 0, "}, \"fit\": {\"pad\": 1", &e));
    assert_non_null(strstr(e.text, "fit is not a field"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_words_describe),
        cmocka_unit_test(an_edge_is_soft),
        cmocka_unit_test(suits_what_it_was_opened_for),
        cmocka_unit_test(takes_as_many_words_as_fit),
        cmocka_unit_test(refuses_files_that_do_not_fit),
        cmocka_unit_test(names_what_a_manifest_lacks),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
