/*
 * Networks of products, attention and what no kernel computes, on a card against the same on the processor: the blocks
 * that real networks are built of, attention in the forms in which it is written. On whatever card the driver has, real or
 * emulated; without one there is nothing to test.
 */
#include "blocks.h"

#include <math.h>
#include <stdio.h>

#include "../gpu/programs/ends.h"
#include "nn/cudnn/attention.h"

enum { VALUES = 1 << 20 };

static struct device *device;

static struct nn_net *open_on(struct device *where, struct error *e)
{
    const struct nn_params params = { .device = where, .threads = 2 };
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    const int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    struct nn_net *net = nn_open(fd, "test.onnx", &params, e);
    close(fd);
    return net;
}

static void run(struct nn_net *net)
{
    struct error e;
    if (nn_run(net, &e))
        fail_msg("%s", e.text);
}

static struct nn_tensor tensor(struct nn_net *net, const char *name)
{
    struct error e;
    struct nn_tensor t;
    assert_int_equal(nn_tensor(net, name, &t, &e), 0);
    return t;
}

static void give(struct nn_net *net, struct device *where, const char *name, const float *values)
{
    struct error e;
    const struct nn_tensor t = tensor(net, name);
    if (end_put(where, &t, values, &e))
        fail_msg("%s", e.text);
}

/* Two runs of the built file on both, of numbers that a half holds; every output is compared. */
static void assert_same_on_card(const char *what)
{
    static float values[VALUES], wanted[VALUES];
    struct error e;
    struct nn_net *card = open_on(device, &e), *host = open_on(NULL, &e);
    if (!card || !host)
        fail_msg("%s: %s", what, e.text);
    for (int frame = 0; frame < 2; frame++) {
        for (size_t i = 0; i < onnx.graph.n_input; i++) {
            const char *name = onnx.inputs[i]->name;
            const struct nn_tensor in = tensor(host, name);
            for (size_t k = 0; k < end_elements(&in); k++)
                values[k] = roundf(uniform() * 512) / 1024;
            give(host, NULL, name, values);
            give(card, device, name, values);
        }
        run(card);
        run(host);
        for (size_t i = 0; i < onnx.graph.n_output; i++) {
            const char *name = onnx.outputs[i]->name;
            const struct nn_tensor got = tensor(card, name), due = tensor(host, name);
            double largest = .1;
            if (end_get(device, &got, values, &e) || end_get(NULL, &due, wanted, &e))
                fail_msg("%s", e.text);
            for (size_t k = 0; k < end_elements(&due); k++)
                largest = fmax(largest, fabs((double)wanted[k]));
            for (size_t k = 0; k < end_elements(&due); k++)
                if (!(fabs((double)values[k] - (double)wanted[k]) <= .01 * largest))
                    fail_msg("%s, %s: value %zu is %g and not %g", what, name, k, (double)values[k],
                        (double)wanted[k]);
        }
    }
    nn_close(card);
    nn_close(host);
}

static void blocks_of_networks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        blocks[i].build();
        assert_same_on_card(blocks[i].name);
    }
}

/* How many attentions the built file has. */
static int attentions(void)
{
    struct error e;
    struct graph *g = (struct graph *)fused();
    int count = 0;
    assert_int_equal(attention_fuse(g, &e), 0);
    for (int i = 0; i < g->node_count; i++)
        count += g->nodes[i].kind == ATTENTION;
    graph_free(&graph);
    return count;
}

/* TinyViT's: windows of a picture, queries, keys and values of a head beside each other, a bias for each pair of places. */
static void attends_in_windows(void **state)
{
    enum { SIDE = 7, HEADS = 3, DEPTH = 32, C = HEADS * DEPTH, N = SIDE * SIDE };
    (void)state;
    begin(13);
    input("x", 1, 2 * SIDE, 2 * SIDE, C);
    NOISE("w_qkv", C, 3 * C);
    NOISE("b_qkv", 3 * C);
    NOISE("places", HEADS, N, N);
    NOISE("w_out", C, C);
    scalar("scale", .17f);
    scalar("small", .125f);
    NODE_INTS("Reshape", "x", "a", 2, SIDE, 2, SIDE, C);
    PERMUTE("a", "b", 0, 2, 1, 3, 4);
    NODE_INTS("Reshape", "b", "c", 4, N, C);
    node("Mul", "c,small", "d");
    node("MatMul", "d,w_qkv", "e");
    node("Add", "e,b_qkv", "f");
    NODE_INTS("Reshape", "f", "g", 4, N, HEADS, 3 * DEPTH);
    Onnx__NodeProto *split = node("Split", "g", "q,k,v");
    set_int(split, "axis", 3);
    PERMUTE("q", "query", 0, 2, 1, 3);
    PERMUTE("k", "key", 0, 2, 3, 1);
    PERMUTE("v", "value", 0, 2, 1, 3);
    node("MatMul", "query,key", "h");
    node("Mul", "h,scale", "i");
    node("Add", "i,places", "j");
    node("Softmax", "j", "l");
    node("MatMul", "l,value", "m");
    PERMUTE("m", "n", 0, 2, 1, 3);
    NODE_INTS("Reshape", "n", "o", 4, N, C);
    node("MatMul", "o,w_out", "p");
    node("Add", "p,c", "z");
    output("z");
    assert_int_equal(attentions(), 1);
    assert_same_on_card("windows");
}

/* SAM's decoder: a few tokens look at a picture's pixels, and these at them. */
static void attends_to_pixels(void **state)
{
    enum { HEADS = 2, DEPTH = 16, C = HEADS * DEPTH, PIXELS = 300, TOKENS = 7 };
    (void)state;
    for (int turned = 0; turned < 2; turned++) {
        const int queries = turned ? PIXELS : TOKENS, keys = turned ? TOKENS : PIXELS;
        begin(13);
        input_of("x", 3, (int[]) { 1, queries, C });
        input_of("y", 3, (int[]) { 1, keys, C });
        NOISE("w_q", C, C);
        NOISE("w_k", C, C);
        NOISE("w_v", C, C);
        scalar("four", 4);
        node("MatMul", "x,w_q", "q");
        node("MatMul", "y,w_k", "k");
        node("MatMul", "y,w_v", "v");
        NODE_INTS("Reshape", "q", "q1", 1, queries, HEADS, DEPTH);
        NODE_INTS("Reshape", "k", "k1", 1, keys, HEADS, DEPTH);
        NODE_INTS("Reshape", "v", "v1", 1, keys, HEADS, DEPTH);
        PERMUTE("q1", "q2", 0, 2, 1, 3);
        PERMUTE("k1", "k2", 0, 2, 3, 1);
        PERMUTE("v1", "v2", 0, 2, 1, 3);
        node("MatMul", "q2,k2", "s");
        node("Div", "s,four", "d");
        node("Softmax", "d", "w");
        node("MatMul", "w,v2", "m");
        PERMUTE("m", "n", 0, 2, 1, 3);
        NODE_INTS("Reshape", "n", "z", 1, queries, C);
        output("z");
        assert_int_equal(attentions(), 1);
        assert_same_on_card(turned ? "pixels to tokens" : "tokens to pixels");
    }
}

/* Of other depths, with scores that something else reads, or a bias that is computed: by a product, a softmax, a product. */
static void attends_otherwise(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        const int depth = how ? 32 : 20;
        begin(13);
        input_of("q", 4, (int[]) { 2, 3, 9, depth });
        input_of("k", 4, (int[]) { 2, 3, depth, 11 });
        input_of("v", 4, (int[]) { 2, 3, 11, depth });
        input_of("b", 4, (int[]) { 2, 3, 9, 11 });
        node("MatMul", "q,k", "s");
        node("Add", how == 2 ? "s,b" : "s,s", "t");
        node("Softmax", "t", "w");
        node("MatMul", "w,v", "z");
        output("z");
        if (how < 2)
            output("w");
        assert_int_equal(attentions(), 0);
        assert_same_on_card("otherwise");
    }
}

/* Between what has kernels: sums along a line, the place of what is largest and what is there, comparisons. */
static void computes_the_rest_itself(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 8, 6, 5);
    NOISE("w", 8, 8, 1, 1);
    int64s("axis", (int64_t[]) { 3 }, 1);
    int64s("one", (int64_t[]) { 1 }, 1);
    scalar("zero", 0);
    node("Conv", "x,w", "a");
    node("CumSum", "a,axis", "b");
    node("Sin", "b", "c");
    node("Greater", "c,zero", "d");
    set_int(node("Cast", "d", "e"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    node("Mul", "e,a", "f");
    node("Conv", "f,w", "z");
    NODE_INTS("Reshape", "a", "g", 8, 30);
    Onnx__NodeProto *largest = node("ArgMax", "g", "h");
    set_int(largest, "axis", 0);
    set_int(largest, "keepdims", 0);
    slice("h", "i", 0, 0, 1);
    node("Add", "i,one", "j");
    node("Sub", "j,one", "k");
    set_int(node("Gather", "g,k", "y"), "axis", 0);
    output("z");
    output("y");
    assert_same_on_card("the rest");
}

/* There are halves only. */
static void gives_no_integers(void **state)
{
    struct error e;
    (void)state;
    begin(13);
    input("x", 1, 8, 6, 5);
    set_int(node("ArgMax", "x", "z"), "axis", 1);
    output("z");
    assert_null(open_on(device, &e));
    assert_string_equal(e.code, "unsupported_model");
    assert_string_equal(
        e.text, "test.onnx: the output z is of whole numbers, which a card is not given here.");
}

int main(void)
{
    struct error e;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_networks),
        cmocka_unit_test(attends_in_windows),
        cmocka_unit_test(attends_to_pixels),
        cmocka_unit_test(attends_otherwise),
        cmocka_unit_test(computes_the_rest_itself),
        cmocka_unit_test(gives_no_integers),
    };
    if (!(device = device_open("cuda", &e))) {
        printf("1..0 # SKIP %s\n", e.text);
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device_close(device);
    return failed;
}
