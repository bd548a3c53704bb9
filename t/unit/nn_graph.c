/*
 * Reading files: what is understood, in whatever order; what is refused, and with which words; and bytes that are no
 * file at all. The passes, together; each alone is tested in nn_pass_*.c.
 */
#include "blocks.h"

/* reading */

static void run_ones(struct nn_net *net, const char *out, struct nn_tensor *t)
{
    struct error e;
    struct nn_tensor x;
    assert_int_equal(nn_tensor(net, "x", &x, &e), 0);
    for (int i = 0; i < x.n * x.c * x.h * x.w; i++)
        x.data[i] = 1;
    assert_int_equal(nn_run(net, &e), 0);
    assert_int_equal(nn_tensor(net, out, t, &e), 0);
}

static void reads_nodes_in_any_order(void **state)
{
    struct error e;
    struct nn_tensor z;
    (void)state;
    begin(13);
    scalar("two", 2);
    node("Mul", "b,two", "z");
    node("Add", "a,two", "b");
    node("Relu", "x", "a");
    input("x", 1, 1, 2, 2);
    output("z");
    struct nn_net *net = open_net(&e);
    assert_string_equal(e.text, "");
    run_ones(net, "z", &z);
    assert_true(z.data[3] == 6);
    nn_close(net);
}

static void reads_half_floats(void **state)
{
    static const uint16_t halves[] = { 0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x0400 };
    static const float values[] = { 1, -2, 65504, 0x1p-24f, -0.0f, 0x1p-14f };
    struct error e;
    struct nn_tensor z;
    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        begin(13);
        Onnx__TensorProto *t = constant(
            "h", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, halves, 2, 4, (int[]) { 1, 6, 1, 1 });
        if (!raw) {
            t->has_raw_data = 0;
            t->n_int32_data = 6;
            t->int32_data = take(6 * sizeof *t->int32_data);
            for (int i = 0; i < 6; i++)
                t->int32_data[i] = halves[i];
        }
        input("x", 1, 1, 1, 1);
        node("Mul", "x,h", "z");
        output("z");
        struct nn_net *net = open_net(&e);
        assert_string_equal(e.text, "");
        run_ones(net, "z", &z);
        assert_memory_equal(z.data, values, sizeof values);
        nn_close(net);
    }
}

static void reads_constant_nodes(void **state)
{
    struct error e;
    struct nn_tensor z;
    (void)state;
    begin(13);
    Onnx__TensorProto *t = scalar("five", 5);
    onnx.graph.n_initializer--;
    attribute(node("Constant", "", "k"), "value")->t = t;
    onnx.nodes[0]->n_input = 0;
    input("x", 1, 1, 1, 1);
    node("Add", "x,k", "z");
    output("z");
    struct nn_net *net = open_net(&e);
    assert_string_equal(e.text, "");
    run_ones(net, "z", &z);
    assert_true(z.data[0] == 6);
    nn_close(net);
}

/* refusing */

static Onnx__NodeProto *conv(const char *inputs)
{
    input("x", 1, 4, 5, 5);
    output("z");
    NOISE("w", 4, 4, 3, 3);
    NOISE("b", 4);
    return node("Conv", inputs, "z");
}

static Onnx__NodeProto *pool(const char *op)
{
    input("x", 1, 4, 5, 5);
    output("z");
    Onnx__NodeProto *n = node(op, "x", "z");
    set_ints(n, "kernel_shape", 2, (int[]) { 2, 2 });
    return n;
}

static Onnx__NodeProto *resize(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    int64s("sizes", (int64_t[]) { 1, 4, 10, 10 }, 4);
    return node("Resize", "x,,,sizes", "z");
}

static Onnx__NodeProto *with_ints(
    const char *op, const char *inputs, int count, int64_t a, int64_t b)
{
    input("x", 1, 4, 5, 5);
    output("z");
    int64s("p", (int64_t[]) { a, a, a, a, a, a, a, a }, count);
    int64s("q", (int64_t[]) { b, b, b, b, b, b, b, b }, count);
    int64s("axis", (int64_t[]) { 3 }, 1);
    int64s("two", (int64_t[]) { 2 }, 1);
    return node(op, inputs, "z");
}

static Onnx__NodeProto *two(const char *op, int channels, int width)
{
    input("x", 1, 4, 5, 5);
    input("y", 1, channels, 5, width);
    output("z");
    return node(op, "x,y", "z");
}

static void unknown(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Unique", "x", "z")->name = copy_text("scene/unique");
}
static void foreign(void)
{
    pool("MaxPool")->domain = copy_text("com.example");
}
static void unnamed(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Unique", "x", "z");
}
static void too_early(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("HardSwish", "x", "z");
}
static void too_many_inputs(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Relu", "x,x", "z");
}
static void too_many_outputs(void)
{
    pool("MaxPool")->n_output = split_names("z,indices", &onnx.nodes[0]->output);
}
static void old(void)
{
    pool("MaxPool");
    onnx.opset.version = 0;
}
static void new (void)
{
    pool("MaxPool");
    onnx.opset.version = 18;
}
static void same(void)
{
    set_text(conv("x,w,b"), "auto_pad", "SAME_SOMEHOW");
}
static void wide_pads(void)
{
    set_ints(pool("MaxPool"), "pads", 4, (int[]) { 2, 0, 0, 0 });
}
static void few_pads(void)
{
    set_ints(pool("MaxPool"), "pads", 3, (int[]) { 1, 1, 1 });
}
static void no_stride(void)
{
    set_ints(pool("MaxPool"), "strides", 2, (int[]) { 0, 1 });
}
static void far_dilation(void)
{
    set_ints(conv("x,w,b"), "dilations", 2, (int[]) { 1, 3 });
}
static void groups(void)
{
    set_int(conv("x,w,b"), "group", 2);
}
static void no_groups(void)
{
    set_int(conv("x,w,b"), "group", 0);
}
static void other_kernel(void)
{
    set_ints(conv("x,w,b"), "kernel_shape", 2, (int[]) { 5, 5 });
}
static void wrong_bias(void)
{
    conv("x,w,w");
}
static void scales(void)
{
    Onnx__NodeProto *n = resize();
    set_text(n, "mode", "linear");
    NOISE("scales", 3);
    n->n_input = split_names("x,,scales,sizes", &n->input);
}
static void computed_bound(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Clip", "x,x", "z");
}
static void slice_axis(void)
{
    with_ints("Slice", "x,axis,p,q", 1, 4, 4);
}
static void slice_axes(void)
{
    with_ints("Slice", "x,p,q", 5, 0, 1);
}
static void wrapped(void)
{
    set_text(with_ints("Pad", "x,p", 8, 1, 1), "mode", "wrap");
}
static void negative_pad(void)
{
    with_ints("Pad", "x,p", 8, -3, 1);
}
static void few_pad_values(void)
{
    with_ints("Pad", "x,p", 4, 1, 1);
}
static void split_sum(void)
{
    Onnx__NodeProto *n = with_ints("Split", "x,p", 2, 3, 1);
    n->n_output = split_names("z,y", &n->output);
    set_int(n, "axis", 1);
}
static void split_rest(void)
{
    Onnx__NodeProto *n = with_ints("Split", "x,p", 2, 1, 1);
    n->n_output = split_names("z,y", &n->output);
    set_int(n, "axis", 1);
}
static void split_uneven(void)
{
    Onnx__NodeProto *n = with_ints("Split", "x", 2, 1, 1);
    n->n_output = split_names("z,y", &n->output);
    set_int(n, "axis", 2);
}
static void split_axis(void)
{
    set_int(with_ints("Split", "x", 2, 1, 1), "axis", 4);
}
static void concat_sizes(void)
{
    set_int(two("Concat", 4, 6), "axis", 1);
}
static void no_broadcast(void)
{
    two("Add", 3, 5);
}
static void integers(void)
{
    with_ints("Add", "x,p", 1, 1, 1);
}
static void external(void)
{
    conv("x,w,b");
    onnx.constants[0]->has_data_location = 1;
    onnx.constants[0]->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}
static void short_data(void)
{
    conv("x,w,b");
    onnx.constants[0]->raw_data.len -= 4;
}
static void long_data(void)
{
    conv("x,w,b");
    onnx.constants[1]->dims[0]--;
}
static void odd_data(void)
{
    conv("x,w,b");
    onnx.constants[0]->raw_data.len -= 1;
}
static void negative_dimension(void)
{
    conv("x,w,b");
    onnx.constants[0]->dims[0] = -4;
}
static void huge_dimensions(void)
{
    conv("x,w,b");
    onnx.constants[0]->dims[0] = onnx.constants[0]->dims[1] = INT64_C(1) << 40;
}
static void rank_seven(void)
{
    conv("x,w,b");
    onnx.constants[0]->n_dims = 7;
    onnx.constants[0]->dims = take(7 * sizeof(int64_t));
}
static void no_shape(void)
{
    pool("MaxPool");
    onnx.inputs[0] = value("x", NULL, 0);
}
static void open_dimension(void)
{
    pool("MaxPool");
    Onnx__TensorShapeProto__Dimension *d = onnx.inputs[0]->type->tensor_type->shape->dim[2];
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    d->dim_param = copy_text("height");
}
static void large_input(void)
{
    pool("MaxPool");
    onnx.inputs[0] = value("x", (int[]) { 1 << 10, 1 << 10, 1 << 10, 1 }, 4);
}
static void large_result(void)
{
    input("x", 1, 1, 1 << 14, 1);
    input("y", 1, 1 << 14, 1, 2);
    output("z");
    node("Add", "x,y", "z");
}
static void large_sum(void)
{
    const char *const names[] = { "x", "a", "b", "c", "d" };
    output("z");
    for (int i = 0; i < 5; i++)
        input(names[i], 1, 1, 1 << 14, 1 << 14);
    node("Add", "x,a", "e");
    node("Add", "b,c", "f");
    node("Add", "e,f", "g");
    node("Add", "g,d", "z");
}
static void no_output(void)
{
    pool("MaxPool");
    onnx.graph.n_output = 0;
}
static void nothing_computes(void)
{
    pool("MaxPool");
    output("other");
}
static void unknown_input(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Add", "x,ghost", "z");
}
static void cycle(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Add", "x,b", "a");
    node("Add", "x,a", "b");
    node("Relu", "b", "z");
}
static void twice(void)
{
    input("x", 1, 4, 5, 5);
    output("z");
    node("Relu", "x", "z");
    node("Tanh", "x", "z");
}

static const struct {
    void (*build)(void);
    const char *says;
} refusals[] = {
    { unknown, "node scene/unique (Unique, opset 13)" },
    { unnamed, "node z (Unique, opset 13)" },
    { foreign, "(MaxPool, opset 13) has an operator that is not supported" },
    { too_early, "(HardSwish, opset 13) is of an opset that is not supported; 14 to 17 are" },
    { too_many_inputs, "has 2 inputs; 1 to 1 are supported" },
    { too_many_outputs, "has 2 outputs" },
    { old, "opset 0; 1 to 17" },
    { new, "opset 18; 1 to 17" },
    { same, "auto_pad SAME_SOMEHOW" },
    { wide_pads, "padding as wide as its window" },
    { few_pads, "has 3 pads where 4 are due" },
    { no_stride, "strides of 0; 1 to 16384" },
    { far_dilation, "window larger than its input" },
    { groups, "2 groups for 4 input channels" },
    { no_groups, "0 groups" },
    { other_kernel, "kernel_shape" },
    { wrong_bias, "bias of 4 values" },
    { scales, "a constant of 4 numbers as its input 2" },
    { computed_bound, "a constant number as its input 1" },
    { slice_axis, "axis 4 of 4" },
    { slice_axes, "5 axes of 4" },
    { wrapped, "mode wrap" },
    { negative_pad, "pads that are not supported" },
    { few_pad_values, "a constant of 8 integers as its input 1" },
    { split_sum, "sizes that are not its input's" },
    { split_rest, "sizes that are not its input's" },
    { split_uneven, "no sizes, and 2 outputs of 5 together" },
    { split_axis, "axis 4 of 4" },
    { concat_sizes, "inputs of different sizes" },
    { no_broadcast, "sizes that do not broadcast" },
    { integers, "inputs of different types" },
    { external, "the constant w lies in another file" },
    { short_data, "the constant w has 143 values where 144 are due" },
    { long_data, "the constant b has 4 values where 3 are due" },
    { odd_data, "the constant w has 0 values where 144 are due" },
    { negative_dimension, "the constant w has a dimension of -4" },
    { huge_dimensions, "the constant w has a dimension of 1099511627776" },
    { rank_seven, "the constant w has 7 dimensions" },
    { no_shape, "the input x is not a tensor of numbers with at most 6 dimensions" },
    { open_dimension, "the input x has no fixed size" },
    { large_input, "the input x has a dimension of" },
    { large_result, "more than 268435456 elements" },
    { large_sum, "needs 6144 MiB for what it computes; at most 4096" },
    { no_output, "has no output" },
    { nothing_computes, "nothing computes the output other" },
    { unknown_input, "the node z (Add, opset 13) reads ghost" },
    { cycle, "the node a (Add, opset 13) reads b" },
    { twice, "the tensor z is defined twice" },
};

static void says_what_it_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct error e;
        begin(13);
        refusals[i].build();
        struct nn_net *net = open_net(&e);
        if (net || !strstr(e.text, refusals[i].says) || !strstr(e.text, "test.onnx") ||
            e.text[strlen(e.text) - 1] != '.')
            fail_msg("%s: %s", refusals[i].says, net ? "it was opened" : e.text);
    }
}

/* Opens the bytes, and runs what could be opened: nothing may crash, and what is refused is so with a sentence. */
static int survive(const uint8_t *bytes, size_t size)
{
    struct error e;
    struct nn_net *net = open_bytes(bytes, size, &e);
    if (!net) {
        assert_true(strlen(e.text) > 10 && *e.code);
        return 0;
    }
    if (nn_bytes(net) < 16 << 20)
        assert_int_equal(nn_run(net, &e), 0);
    nn_close(net);
    return 1;
}

static void survives_broken_files(void **state)
{
    size_t size;
    uint32_t seed = 1;
    int opened = 0;
    (void)state;
    build_small();
    uint8_t *bytes = file_bytes(&size);
    assert_int_equal(survive(bytes, size), 1);
    for (size_t cut = 0; cut < size; cut += 1 + (cut > 200 && cut < size - 700) * 16)
        opened += survive(bytes, cut);
    assert_int_equal(opened, 0);
    for (int i = 0; i < 3000; i++) {
        uint32_t at[3];
        uint8_t was[3];
        const int flips = 1 + i % 3;
        for (int k = 0; k < flips; k++) {
            seed = seed * 1664525 + 1013904223;
            /* the weights' bytes may be anything; most flips go to the rest */
            at[k] = (seed >> 8) % (uint32_t)size;
            was[k] = bytes[at[k]];
            bytes[at[k]] ^= (uint8_t)(1 << (seed >> 5 & 7));
        }
        survive(bytes, size);
        for (int k = flips - 1; k >= 0; k--)
            bytes[at[k]] = was[k];
    }
    assert_int_equal(survive(bytes, size), 1);
}

static void refuses_what_is_no_file(void **state)
{
    struct error e;
    (void)state;
    assert_null(nn_open(-1, "gone.onnx", &(struct nn_params) { .threads = 1 }, &e));
    assert_non_null(strstr(e.text, "gone.onnx"));
    begin(13);
    pool("MaxPool");
    struct nn_net *net = open_net(&e);
    struct nn_tensor t;
    assert_int_equal(nn_tensor(net, "ghost", &t, &e), -1);
    assert_string_equal(e.text, "test.onnx has no input or output called ghost.");
    nn_close(net);
}

static struct graph graph;

static void drops_what_nobody_uses(void **state)
{
    (void)state;
    begin_conv();
    node("Relu", "x", "z");
    node("Tanh", "z", "unused");
    node("Conv", "unused,w", "unused_too");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 1);
    graph_free(&graph);
}

static void keeps_a_small_network_right(void **state)
{
    (void)state;
    build_small();
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_nodes_in_any_order),
        cmocka_unit_test(reads_half_floats),
        cmocka_unit_test(reads_constant_nodes),
        cmocka_unit_test(says_what_it_refuses),
        cmocka_unit_test(survives_broken_files),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(drops_what_nobody_uses),
        cmocka_unit_test(keeps_a_small_network_right),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
