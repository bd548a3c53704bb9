/*
 * Planning for cards that are not there, by the real cuDNN: what it takes on each of six, what it refuses and with which
 * words, and what is asked of it for a graph's nodes.
 */
#include "onnx.h"

#include <dlfcn.h>
#include <stdio.h>

#include <sanitizer/lsan_interface.h>

#include "nn/cudnn/plan.h"

#define TEXT_OF_WRONG_SIZE "is_valid_spatial_dim"

/* cublasLtCreate() keeps what it had taken when it finds no driver, and cuDNN asks for it at every candidate. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libcublasLt.so\n";
}

enum { SMS = 6, JSON = 8192, LIMIT = 64 << 20 };

static const int sms[SMS] = { 75, 80, 86, 89, 90, 120 };
static struct cudnn cudnn;
static struct target cards[SMS];

static void read_card(int sm, char json[JSON])
{
    char path[200];
    snprintf(path, sizeof path, "t/data/cards/sm_%d.json", sm);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("There is no %s: this test runs in the top folder.", path);
    json[fread(json, 1, JSON - 1, f)] = 0;
    fclose(f);
}

/* cuDNN loads NVRTC for some candidates and unloads it, when it forgets what it holds: so it stays loaded. */
static void keep_nvrtc(void)
{
    char name[40];
    snprintf(name, sizeof name, "libnvrtc.so.%d", CUDART_VERSION / 1000);
    dlopen(name, RTLD_LAZY | RTLD_LOCAL);
}

static int open_all(void **state)
{
    struct error e = { 0 };
    char json[JSON];
    (void)state;
    keep_nvrtc();
    for (int i = 0; i < SMS; i++) {
        read_card(sms[i], json);
        assert_int_equal(target_open(&cards[i], &cudnn, json, "card", &e), 0);
        assert_int_equal(cards[i].sm, sms[i]);
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < SMS; i++)
        target_close(&cards[i]);
    cudnn_close(&cudnn);
    return 0;
}

/* convolutions */

/* 3x3 over 16 channels of 64 x 64, with bias and ReLU. */
static struct layer plain(void)
{
    return (struct layer) {
        .in = { 1, 16, 64, 64 },
        .out = { 1, 16, 64, 64 },
        .kernel = { 3, 3 },
        .stride = { 1, 1 },
        .dilation = { 1, 1 },
        .before = { 1, 1 },
        .after = { 1, 1 },
        .group = 1,
        .extras = ADD_BIAS | THEN_RELU,
    };
}

/* Every card has a plan of s with all of its extras; its largest workspace. */
static int64_t plans_everywhere(const struct layer *s)
{
    int64_t largest = 0;
    for (int i = 0; i < SMS; i++) {
        struct error e = { 0 };
        struct convolution c;
        if (convolution_plan(&c, &cards[i], s, LIMIT, &e))
            fail_msg("sm_%d: %s", sms[i], e.text);
        assert_int_equal(c.extras, s->extras);
        assert_non_null(c.plan);
        assert_in_range(c.workspace, 0, LIMIT);
        largest = c.workspace > largest ? c.workspace : largest;
        convolution_free(&c);
    }
    return largest;
}

/* No card has a plan of s. */
static void refused_everywhere(const struct layer *s, const char *text)
{
    for (int i = 0; i < SMS; i++) {
        struct error e = { 0 };
        struct convolution c;
        assert_int_equal(convolution_plan(&c, &cards[i], s, LIMIT, &e), -1);
        assert_non_null(strstr(e.text, text));
        assert_non_null(strstr(e.text, "cudnnBackendFinalize of convolution"));
        convolution_free(&c);
    }
}

static void plans_extras(void **state)
{
    (void)state;
    static const int all[] = {
        0,
        ADD_BIAS,
        ADD_BIAS | ADD_TENSOR,
        ADD_BIAS | THEN_RELU,
        ADD_BIAS | ADD_TENSOR | THEN_RELU,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int group = 1; group <= 16; group *= 16) {
            struct layer s = plain();
            s.extras = all[i];
            s.group = group;
            plans_everywhere(&s);
        }
}

static void plans_any_number_of_channels(void **state)
{
    static const int numbers[] = { 1, 2, 3, 4, 7, 12, 35, 59, 64, 128, 960 };
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct layer s = plain();
        s.in[1] = numbers[i];
        plans_everywhere(&s);
        s.out[1] = numbers[i];
        plans_everywhere(&s);
    }
}

static void plans_groups(void **state)
{
    (void)state;
    struct layer s = plain();
    s.group = 2;
    plans_everywhere(&s);
    s.group = 16;
    plans_everywhere(&s);
    s.out[1] = 32; /* depthwise, two results a channel */
    plans_everywhere(&s);
    s.in[1] = 12;
    s.out[1] = 24;
    s.group = 4; /* 3 channels each */
    plans_everywhere(&s);
}

static void plans_strides_and_dilations(void **state)
{
    (void)state;
    struct layer s = plain();
    s.stride[1] = 2;
    s.out[3] = 32;
    plans_everywhere(&s);
    s.stride[0] = 2;
    s.out[2] = 32;
    plans_everywhere(&s);
    s = plain();
    s.dilation[0] = s.dilation[1] = 2;
    s.before[0] = s.before[1] = s.after[0] = s.after[1] = 2;
    plans_everywhere(&s);
    s.group = 16;
    plans_everywhere(&s);
}

static void plans_paddings_that_differ(void **state)
{
    (void)state;
    for (int group = 1; group <= 16; group *= 4) {
        struct layer s = plain();
        s.group = group;
        s.before[0] = 0;
        s.after[0] = 2;
        plans_everywhere(&s);
        s.before[1] = 2;
        s.after[1] = 0;
        plans_everywhere(&s);
        s = plain(); /* as TensorFlow halves: nothing before, one after */
        s.group = group;
        s.before[0] = s.before[1] = 0;
        s.stride[0] = s.stride[1] = 2;
        s.out[2] = s.out[3] = 32;
        plans_everywhere(&s);
    }
}

static void refuses_a_wrong_size(void **state)
{
    (void)state;
    struct layer s = plain();
    s.out[2]++;
    refused_everywhere(&s, TEXT_OF_WRONG_SIZE);
    s = plain();
    s.after[1] = 2;
    refused_everywhere(&s, TEXT_OF_WRONG_SIZE);
}

static void keeps_to_the_workspace(void **state)
{
    struct error e = { 0 };
    struct convolution c;
    struct layer s = plain();
    (void)state;
    s.in[1] = 35; /* whose padded copy is workspace */
    const int64_t most = plans_everywhere(&s);
    assert_in_range(most, 1, LIMIT);
    for (int i = 0; i < SMS; i++) {
        assert_int_equal(convolution_plan(&c, &cards[i], &s, most - 1, &e), 0);
        assert_in_range(c.workspace, 0, most - 1);
        convolution_free(&c);
    }
    assert_int_equal(convolution_plan(&c, &cards[0], &s, -1, &e), -1);
    assert_non_null(strstr(e.text, "of workspace, at most -1 are given."));
    convolution_free(&c);
}

/* cards */

static void refuses_what_is_no_card(void **state)
{
    static const struct {
        const char *json, *text;
    } bad[] = {
        { "", "nowhere.json has no deviceVer." },
        { "{", "nowhere.json has no deviceVer." },
        { "{\"deviceVer\": \"860\"}", "nowhere.json has no deviceVer." },
        { "{\"deviceVer\": 860}", "nowhere.json: cudnnBackendFinalize of properties gave "
                                  "CUDNN_STATUS_BAD_PARAM: " },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error e = { 0 };
        struct target card;
        assert_int_equal(target_open(&card, &cudnn, bad[i].json, "nowhere.json", &e), -1);
        if (!strstr(e.text, bad[i].text))
            fail_msg("%s", e.text);
        assert_string_equal(e.code, "bad_card");
        target_close(&card);
    }
}

/* graphs */

static void read_graph(struct graph *g)
{
    size_t size;
    struct error e = { 0 };
    const uint8_t *bytes = file_bytes(&size);
    const int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    if (graph_read(g, fd, "test.onnx", &(struct nn_params) { 0 }, &e) || graph_fuse(g, &e))
        fail_msg("%s", e.text);
    close(fd);
}

static void weights(const char *name, int out, int in, int h, int w)
{
    static const float zeros[10000];
    assert_true(out * in * h * w <= 10000);
    floats(name, zeros, 4, (int[]) { out, in, h, w });
}

static void asks_for_what_a_node_is(void **state)
{
    struct graph g = { 0 };
    (void)state;
    begin(13);
    input("x", 2, 4, 11, 17);
    weights("w", 6, 2, 3, 5);
    floats("b", (float[6]) { 0 }, 1, (int[]) { 6 });
    Onnx__NodeProto *n = node("Conv", "x,w,b", "y");
    set_ints(n, "strides", 2, (int[]) { 2, 1 });
    set_ints(n, "dilations", 2, (int[]) { 1, 3 });
    set_ints(n, "pads", 4, (int[]) { 0, 5, 1, 7 });
    set_int(n, "group", 2);
    node("Relu", "y", "z");
    output("z");
    read_graph(&g);
    assert_int_equal(g.node_count, 1);
    const struct layer got = layer_of(&g, &g.nodes[0]);
    const struct layer wanted = {
        .in = { 2, 4, 11, 17 },
        .out = { 2, 6, 5, 17 },
        .kernel = { 3, 5 },
        .stride = { 2, 1 },
        .dilation = { 1, 3 },
        .before = { 0, 5 },
        .after = { 1, 7 },
        .group = 2,
        .extras = ADD_BIAS | THEN_RELU,
    };
    assert_memory_equal(&got, &wanted, sizeof got);
    plans_everywhere(&got);
    graph_free(&g);
}

static void asks_for_a_residual(void **state)
{
    static const struct {
        const char *nodes[2]; /* after the convolution */
        const char *inputs[2];
        int extras;
    } cases[] = {
        { { "Add" }, { "y,x" }, ADD_BIAS | ADD_TENSOR },
        { { "Add", "Relu" }, { "y,x", "z" }, ADD_BIAS | ADD_TENSOR | THEN_RELU },
        { { "Relu", "Add" }, { "y", "z,x" }, ADD_BIAS | THEN_RELU },
        { { "Sub" }, { "y,x" }, 0 },
        { { "Sigmoid", "Relu" }, { "y", "z" }, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct graph g = { 0 };
        const int two = cases[i].nodes[1] != NULL;
        begin(13);
        input("x", 1, 4, 8, 8);
        weights("w", 4, 4, 1, 1);
        node("Conv", "x,w", "y");
        node(cases[i].nodes[0], cases[i].inputs[0], two ? "z" : "out");
        if (two)
            node(cases[i].nodes[1], cases[i].inputs[1], "out");
        output("out");
        read_graph(&g);
        assert_int_equal(g.node_count, 1);
        const struct layer s = layer_of(&g, &g.nodes[0]);
        assert_int_equal(s.extras, cases[i].extras);
        graph_free(&g);
    }
}

/* x -> Conv(w) -> Conv(w) -> Sigmoid -> MaxPool -> Conv(v): two of one shape, without bias or ReLU. */
static void read_three(struct graph *g)
{
    begin(13);
    input("x", 1, 8, 16, 16);
    weights("w", 8, 8, 3, 3);
    weights("v", 4, 8, 1, 1);
    set_ints(node("Conv", "x,w", "a"), "pads", 4, (int[]) { 1, 1, 1, 1 });
    set_ints(node("Conv", "a,w", "b"), "pads", 4, (int[]) { 1, 1, 1, 1 });
    node("Sigmoid", "b", "c");
    set_ints(node("MaxPool", "c", "d"), "kernel_shape", 2, (int[]) { 2, 2 });
    node("Conv", "d,v", "z");
    output("z");
    read_graph(g);
    assert_int_equal(g->node_count, 4);
}

static void plans_each_shape_once(void **state)
{
    struct error e = { 0 };
    struct graph g = { 0 };
    struct plan_cache cache = { .workspace_limit = LIMIT };
    const struct planned *of[4], *again[4], *other[4];
    (void)state;
    read_three(&g);
    assert_int_equal(plan_convolutions(&g, &cards[2], &cache, of, &e), 0);
    assert_non_null(of[0]);
    assert_ptr_equal(of[0], of[1]);
    assert_null(of[2]); /* the pool */
    assert_non_null(of[3]);
    assert_ptr_not_equal(of[0], of[3]);
    struct plan_report r = plan_cache_report(&cache, 86);
    assert_int_equal(r.layers, 3);
    assert_int_equal(r.shapes, 2);
    assert_int_equal(r.plans, 2);
    assert_int_equal(r.extras, 0);
    assert_int_equal(r.fused, 0);
    assert_int_equal(r.refused, 0);

    assert_int_equal(plan_convolutions(&g, &cards[2], &cache, again, &e), 0);
    assert_memory_equal(of, again, sizeof of);
    assert_int_equal(plan_convolutions(&g, &cards[0], &cache, other, &e), 0);
    assert_ptr_not_equal(of[0], other[0]);
    r = plan_cache_report(&cache, 86);
    assert_int_equal(r.layers, 6);
    assert_int_equal(r.shapes, 2);
    r = plan_cache_report(&cache, 75);
    assert_int_equal(r.layers, 3);
    assert_int_equal(r.shapes, 2);
    plan_cache_free(&cache);
    assert_null(cache.first);
    graph_free(&g);
}

static void reports_what_is_refused(void **state)
{
    struct error e = { 0 };
    struct graph g = { 0 };
    struct plan_cache cache = { .workspace_limit = LIMIT };
    const struct planned *of[4];
    (void)state;
    read_three(&g);
    g.nodes[3].window.after[0] = 1;
    assert_int_equal(plan_convolutions(&g, &cards[5], &cache, of, &e), 0);
    assert_false(of[0]->refused);
    assert_true(of[3]->refused);
    assert_string_equal(of[3]->error.code, "unsupported_model");
    assert_non_null(strstr(of[3]->error.text, "The node z (Conv) has no plan for sm_120: "));
    assert_non_null(strstr(of[3]->error.text, TEXT_OF_WRONG_SIZE));
    const struct plan_report r = plan_cache_report(&cache, 120);
    assert_int_equal(r.shapes, 2);
    assert_int_equal(r.plans, 1);
    assert_int_equal(r.refused, 1);
    plan_cache_free(&cache);
    graph_free(&g);
}

int main(void)
{
    struct error e;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_extras),
        cmocka_unit_test(plans_any_number_of_channels),
        cmocka_unit_test(plans_groups),
        cmocka_unit_test(plans_strides_and_dilations),
        cmocka_unit_test(plans_paddings_that_differ),
        cmocka_unit_test(refuses_a_wrong_size),
        cmocka_unit_test(keeps_to_the_workspace),
        cmocka_unit_test(refuses_what_is_no_card),
        cmocka_unit_test(asks_for_what_a_node_is),
        cmocka_unit_test(asks_for_a_residual),
        cmocka_unit_test(plans_each_shape_once),
        cmocka_unit_test(reports_what_is_refused),
    };
    if (cudnn_open(&cudnn, &e)) {
        printf("1..0 # SKIP %s\n", e.text);
        return getenv("CI") != NULL; /* there it must be */
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_all, close_all);
}
