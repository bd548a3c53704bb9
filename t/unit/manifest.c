/* A manifest is read as it is written, and every field that is missing or wrong is named together with the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "matte/manifest.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char folder[] = "/tmp/manifest.XXXXXX";
static char path[64];

/* The fields of a good manifest, as JSON members. */
static const char *const fields[][2] = {
    { "name", "\"rvm\"" },
    { "licence", "\"GPL-3.0\"" },
    { "source", "\"a package\"" },
    { "serves", "[\"human\", \"light\"]" },
    { "files",
        "[{\"file\": \"here.onnx\", \"sha256\": \"" SHA "\", \"width\": 512, \"height\": 288}, "
        "{\"file\": \"gone.onnx\", \"sha256\": \"" SHA "\", \"width\": 288, \"height\": 512}]" },
    { "input", "\"src\"" },
    { "mean", "[0, 0.5, 1]" },
    { "std", "[1, 2, 0.25]" },
    { "outputs", "{\"alpha\": \"pha\", \"foreground\": \"fgr\"}" },
    { "states", "[[\"r1i\", \"r1o\"], [\"r2i\", \"r2o\"]]" },
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* Writes a manifest whose field is value (NULL: without it), and opens it. */
static struct manifest *open_with(const char *field, const char *value, struct error *e)
{
    char text[4000] = "{";
    for (int i = 0; i < FIELDS; i++) {
        const int changed = field && !strcmp(fields[i][0], field);
        if (changed && !value)
            continue;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"%s\": %s",
            text[1] ? ", " : "", fields[i][0], changed ? value : fields[i][1]);
    }
    strcat(text, "}");
    write_file(path, text);
    *e = (struct error) { 0 };
    return manifest_open(path, folder, e);
}

static int make_folder(void **state)
{
    char file[80];
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/model.json", folder);
    snprintf(file, sizeof file, "%s/here.onnx", folder);
    write_file(file, "ONNX");
    return 0;
}

static int remove_folder(void **state)
{
    char file[80];
    (void)state;
    snprintf(file, sizeof file, "%s/here.onnx", folder);
    unlink(file);
    unlink(path);
    return rmdir(folder);
}

static void reads_every_field(void **state)
{
    struct error e;
    char bytes[5] = "";
    (void)state;
    struct manifest *m = open_with(NULL, NULL, &e);
    assert_string_equal(e.text, "");
    assert_non_null(m);
    assert_string_equal(m->name, "rvm");
    assert_string_equal(m->licence, "GPL-3.0");
    assert_string_equal(m->source, "a package");
    assert_int_equal(m->serve_count, 2);
    assert_int_equal(manifest_serves(m, "human"), 1);
    assert_int_equal(manifest_serves(m, "light"), 1);
    assert_int_equal(manifest_serves(m, "pro"), 0);
    assert_int_equal(m->file_count, 2);
    assert_string_equal(m->files[0].file, "here.onnx");
    assert_string_equal(m->files[0].sha256, SHA);
    assert_int_equal(m->files[0].width, 512);
    assert_int_equal(m->files[0].height, 288);
    assert_int_equal(pread(m->files[0].fd, bytes, 4, 0), 4);
    assert_string_equal(bytes, "ONNX");
    assert_int_equal(m->files[1].fd, -1);
    assert_string_equal(m->input, "src");
    assert_true(m->mean[0] == 0 && m->mean[1] == 0.5f && m->mean[2] == 1);
    assert_true(m->std[0] == 1 && m->std[1] == 2 && m->std[2] == 0.25f);
    assert_true(m->fit == FIT_STRETCH && m->range == RANGE_FULL && m->channels == CHANNELS_RGB);
    assert_string_equal(m->outputs.alpha, "pha");
    assert_string_equal(m->outputs.foreground, "fgr");
    assert_int_equal(m->state_count, 2);
    assert_string_equal(m->states[1][0], "r2i");
    assert_string_equal(m->states[1][1], "r2o");
    manifest_close(m);
}

static void assert_refused(const char *field, const char *value, const char *named)
{
    struct error e;
    struct manifest *m = open_with(field, value, &e);
    if (m || !strstr(e.text, path) || !strstr(e.text, named) || strcmp(e.code, "bad_manifest"))
        fail_msg("%s = %s: %s: %s", field, value ? value : "(missing)", e.code, e.text);
}

static void names_a_missing_field(void **state)
{
    (void)state;
    for (int i = 0; i < FIELDS; i++)
        if (strcmp(fields[i][0], "states"))
            assert_refused(fields[i][0], NULL, fields[i][0]);
    assert_refused("outputs", "{\"foreground\": \"fgr\"}", "outputs.alpha is missing");
    assert_refused("files", "[{\"file\": \"a\", \"sha256\": \"" SHA "\", \"width\": 1}]",
        "files[0].height is missing");
    assert_refused("files", "[{\"file\": \"a\", \"sha256\": \"" SHA "\", \"height\": 1}]",
        "files[0].width is missing");
    assert_refused("files", "[{\"file\": \"a\", \"width\": 1, \"height\": 1}]", "files[0].sha256");
    assert_refused(
        "files", "[{\"sha256\": \"" SHA "\", \"width\": 1, \"height\": 1}]", "files[0].file");
}

static void does_without_optional_fields(void **state)
{
    struct error e;
    (void)state;
    struct manifest *m = open_with("states", NULL, &e);
    assert_non_null(m);
    assert_int_equal(m->state_count, 0);
    manifest_close(m);
    m = open_with("outputs", "{\"alpha\": \"a\"}", &e);
    assert_non_null(m);
    assert_string_equal(m->outputs.foreground, "");
    manifest_close(m);
}

/* How a picture becomes the input, where it is not the usual. */
static void reads_how_a_picture_becomes_input(void **state)
{
    struct error e;
    (void)state;
    struct manifest *m = open_with(
        "input", "\"src\", \"fit\": \"pad\", \"range\": \"picture\", \"channels\": \"bgr\"", &e);
    assert_string_equal(e.text, "");
    assert_true(m->fit == FIT_PAD && m->range == RANGE_PICTURE && m->channels == CHANNELS_BGR);
    assert_true(m->mean[0] == 1 && m->mean[1] == 0.5f && m->mean[2] == 0); /* of R, G, B */
    assert_true(m->std[0] == 0.25f && m->std[1] == 2 && m->std[2] == 1);
    manifest_close(m);
    m = open_with(
        "input", "\"src\", \"fit\": \"stretch\", \"range\": \"full\", \"channels\": \"rgb\"", &e);
    assert_true(m->fit == FIT_STRETCH && m->range == RANGE_FULL && m->channels == CHANNELS_RGB);
    manifest_close(m);
}

/* Only what serves a model must make an alpha. */
static void reads_networks_that_serve_nothing(void **state)
{
    struct error e;
    (void)state;
    struct manifest *m = open_with("serves", "[]", &e);
    assert_non_null(m);
    assert_int_equal(m->serve_count, 0);
    assert_int_equal(manifest_serves(m, "human"), 0);
    assert_int_equal(manifest_serves(m, ""), 0);
    manifest_close(m);
    m = open_with("serves",
        "[], \"outputs\": {\"scores\": [\"a\", \"b\", \"c\"], \"boxes\": [\"d\", \"e\", \"f\"], "
        "\"embedding\": \"g\", \"masks\": \"h\"}",
        &e);
    assert_string_equal(e.text, "");
    assert_string_equal(m->outputs.alpha, "");
    assert_string_equal(m->outputs.scores[0], "a");
    assert_string_equal(m->outputs.scores[2], "c");
    assert_string_equal(m->outputs.boxes[2], "f");
    assert_string_equal(m->outputs.embedding, "g");
    assert_string_equal(m->outputs.masks, "h");
    manifest_close(m);
}

static void verifies_installed_files(void **state)
{
    struct error e;
    char copy[80];
    (void)state;
    struct manifest *m = open_with("files",
        "[{\"file\": \"here.onnx\", \"width\": 1, \"height\": 1, \"sha256\": "
        "\"d19b2ae00a5691e536d8460b5d9bb8e62146c0ef515fd186d9b2332084a76dbd\"}]",
        &e);
    assert_non_null(m);
    assert_int_equal(manifest_verify(&m->files[0], &e), 0);
    snprintf(copy, sizeof copy, "%s/here.onnx", folder);
    write_file(copy, "ONNy");
    assert_int_equal(manifest_verify(&m->files[0], &e), -1);
    write_file(copy, "ONNX");
    assert_string_equal(e.code, "bad_model");
    assert_non_null(strstr(e.text, "here.onnx is not the file that its manifest names"));
    manifest_close(m);
}

#define FILE_WITH(member) \
    "[{\"file\": \"a\", \"sha256\": \"" SHA "\", \"width\": 1, \"height\": 1, " member "}]"
#define LONG_TEXT "0123456789012345678901234567890123456789012345678901234567890123"
#define LONG      "\"" LONG_TEXT "\""

static void names_a_wrong_field(void **state)
{
    static const char *const wrong[][3] = {
        { "name", "7", "name" },
        { "name", "\"\"", "name" },
        { "name", LONG, "name" },
        { "licence", "[]", "licence" },
        { "serves", "\"human\"", "serves" },
        { "serves", "[1]", "serves" },
        { "serves", "[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]", "serves" },
        { "files", "{}", "files" },
        { "files", "[]", "files" },
        { "files", "[7]", "files[0]" },
        { "files", "[{\"file\": \"a\", \"sha256\": \"x\", \"width\": 1, \"height\": 1}]",
            "files[0].sha256" },
        { "files", "[{\"file\": \"../a\", \"sha256\": \"" SHA "\", \"width\": 1, \"height\": 1}]",
            "files[0].file" },
        { "files", "[{\"file\": \"a\", \"sha256\": \"" SHA "\", \"width\": 0, \"height\": 1}]",
            "files[0].width" },
        { "files", "[{\"file\": \"a\", \"sha256\": \"" SHA "\", \"width\": 1, \"height\": 1.5}]",
            "files[0].height" },
        { "files", "[{\"file\": \"a\", \"sha256\": \"" SHA "\", \"width\": 1, \"height\": 16385}]",
            "files[0].height" },
        { "files", FILE_WITH("\"depth\": 1"), "files[0].depth" },
        { "source", "\"" LONG_TEXT LONG_TEXT "\"", "source" },
        { "input", "null", "input" },
        { "input", "\"a\", \"fit\": \"crop\"", "fit must be \"stretch\" or \"pad\"" },
        { "input", "\"a\", \"fit\": 1", "fit" },
        { "input", "\"a\", \"range\": \"video\"", "range must be \"full\" or \"picture\"" },
        { "input", "\"a\", \"channels\": \"RGB\"", "channels must be \"rgb\" or \"bgr\"" },
        { "mean", "[0, 0]", "mean" },
        { "mean", "[0, 0, \"0\"]", "mean" },
        { "std", "[1, 0, 1]", "std" },
        { "std", "1", "std" },
        { "outputs", "\"pha\"", "outputs" },
        { "outputs", "{}", "outputs.alpha is missing" },
        { "outputs", "{\"alpha\": 1}", "outputs.alpha" },
        { "outputs", "{\"alpha\": \"a\", \"scores\": [\"a\", \"b\"]}", "outputs.scores" },
        { "outputs", "{\"alpha\": \"a\", \"boxes\": [\"a\", \"b\", 3]}", "outputs.boxes" },
        { "outputs", "{\"alpha\": \"a\", \"masks\": 1}", "outputs.masks" },
        { "outputs", "{\"alpha\": \"a\", \"foreground\": 1}", "outputs.foreground" },
        { "outputs", "{\"alpha\": \"a\", \"beta\": \"b\"}", "outputs.beta" },
        { "states", "[\"r1i\"]", "states[0]" },
        { "states", "[[\"r1i\"]]", "states[0]" },
        { "states", "[[\"r1i\", 7]]", "states[0]" },
        { "states", "true", "states" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(wrong[i][0], wrong[i][1], wrong[i][2]);
    assert_refused("name", "\"a\", \"nmae\": \"b\"", "nmae");
}

static void refuses_what_is_no_manifest(void **state)
{
    static const char *const texts[] = { "", "{", "[]", "7", "{\"name\": \"a\"" };
    struct error e;
    char big[70000];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_file(path, texts[i]);
        assert_null(manifest_open(path, folder, &e));
        assert_non_null(strstr(e.text, path));
    }
    memset(big, ' ', sizeof big - 1);
    big[sizeof big - 1] = 0;
    write_file(path, big);
    assert_null(manifest_open(path, folder, &e));
    assert_non_null(strstr(e.text, "65536"));
    assert_null(manifest_open("/nonexistent/a.json", folder, &e));
    assert_non_null(strstr(e.text, "/nonexistent/a.json"));
    manifest_close(open_with(NULL, NULL, &e));
    assert_null(manifest_open(path, "/nonexistent", &e));
    assert_non_null(strstr(e.text, "/nonexistent"));
}

/* ---- models of several networks ---- */

static void write_part(const char *name, const char *text)
{
    char file[80];
    snprintf(file, sizeof file, "%s/%s.json", folder, name);
    if (text)
        write_file(file, text);
    else
        unlink(file);
}

#define NETWORK(name, further, outputs)                                                       \
    "{\"name\": \"" name "\", \"licence\": \"MIT\", \"source\": \"a test\", \"serves\": [], " \
    "\"files\": [{\"file\": \"here.onnx\", \"sha256\": \"" SHA                                \
    "\", \"width\": 8, \"height\": 8}], \"input\": \"in\", \"mean\": [0, 0.5, 1], "           \
    "\"std\": [1, 2, 0.25], " further "\"outputs\": {" outputs "}}"
#define DETECTOR "\"scores\": [\"a\", \"b\", \"c\"], \"boxes\": [\"d\", \"e\", \"f\"]"
#define PROMPTED(parts)                                                                    \
    "{\"kind\": \"prompted\", \"name\": \"pro\", \"licence\": \"MIT\", \"source\": \"its " \
    "parts\", "                                                                            \
    "\"serves\": [\"pro\"], \"parts\": " parts "}"
#define PARTS "{\"detector\": \"detector\", \"encoder\": \"encoder\", \"decoder\": \"decoder\"}"

static const char detector[] = NETWORK("detector", "", DETECTOR);
static const char encoder[] = NETWORK("encoder", "\"fit\": \"pad\", ", "\"embedding\": \"e\"");
static const char decoder[] = NETWORK("decoder", "", "\"masks\": \"m\"");

static void reads_a_model_of_parts(void **state)
{
    struct error e;
    int descriptors[8];
    (void)state;
    write_part("detector", detector);
    write_part("encoder", encoder);
    write_part("decoder", decoder);
    write_file(path, PROMPTED(PARTS));
    struct manifest *m = manifest_open(path, folder, &e);
    if (!m)
        fail_msg("%s", e.text);
    assert_int_equal(m->kind, KIND_PROMPTED);
    assert_int_equal(m->file_count, 0);
    assert_int_equal(m->refine, REFINE_ALL);
    assert_int_equal(manifest_serves(m, "pro"), 1);
    assert_string_equal(m->parts.detector->name, "detector");
    assert_string_equal(m->parts.encoder->outputs.embedding, "e");
    assert_string_equal(m->parts.decoder->outputs.masks, "m");
    assert_true(m->mean[1] == .5f && m->std[2] == .25f); /* the encoder's */
    assert_int_equal(manifest_descriptors(m, descriptors, 8), 3);
    assert_int_equal(descriptors[1], m->parts.encoder->files[0].fd);
    assert_int_equal(manifest_descriptors(m, descriptors, 2), 2);
    manifest_close(m);
}

static void names_what_is_wrong_with_parts(void **state)
{
    static const struct {
        const char *part, *text, *manifest, *says;
    } cases[] = {
        { NULL, NULL, PROMPTED("{\"detector\": \"detector\", \"encoder\": \"encoder\"}"),
            "parts.decoder is missing." },
        { NULL, NULL, PROMPTED("[]"), "parts must be an object." },
        { NULL, NULL, "{\"kind\": \"prompted\", \"input\": \"in\"}",
            "input is not a field of a manifest." },
        { NULL, NULL, "{\"kind\": \"sung\"}", "kind must be \"matte\" or \"prompted\"." },
        { NULL, NULL,
            PROMPTED(
                "{\"detector\": \"model\", \"encoder\": \"encoder\", \"decoder\": \"decoder\"}"),
            "kind must be that of a network in what is a part of another." },
        { NULL, NULL,
            PROMPTED(
                "{\"detector\": \"../x\", \"encoder\": \"encoder\", \"decoder\": \"decoder\"}"),
            "parts.detector must be the name of a manifest, without a folder." },
        { "detector", NULL, PROMPTED(PARTS), "detector.json cannot be opened: " },
        { "detector", encoder, PROMPTED(PARTS),
            "parts.detector must be a network with scores and boxes." },
        { "encoder", NETWORK("encoder", "", "\"embedding\": \"e\""), PROMPTED(PARTS),
            "parts.encoder must be a network with an embedding of a padded picture." },
        { "decoder", encoder, PROMPTED(PARTS), "parts.decoder must be a network with masks." },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = { 0 };
        write_part("detector", detector);
        write_part("encoder", encoder);
        write_part("decoder", decoder);
        if (cases[i].part)
            write_part(cases[i].part, cases[i].text);
        write_file(path, cases[i].manifest);
        assert_null(manifest_open(path, folder, &e));
        assert_string_equal(e.code, "bad_manifest");
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s", e.text);
    }
    write_part("detector", NULL);
    write_part("encoder", NULL);
    write_part("decoder", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(names_a_missing_field),
        cmocka_unit_test(does_without_optional_fields),
        cmocka_unit_test(reads_how_a_picture_becomes_input),
        cmocka_unit_test(reads_networks_that_serve_nothing),
        cmocka_unit_test(verifies_installed_files),
        cmocka_unit_test(names_a_wrong_field),
        cmocka_unit_test(refuses_what_is_no_manifest),
        cmocka_unit_test(reads_a_model_of_parts),
        cmocka_unit_test(names_what_is_wrong_with_parts),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
