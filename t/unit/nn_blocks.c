/*
 * Networks that an operator may bring, by the blocks that they are built of: each opens, computes the same fused and
 * unfused, and what it is not to keep (normalisations, transpositions) is gone. What is exotic is refused by its name.
 */
#include "blocks.h"

#include "nn/pass/pass.h"

static void compute_the_same_fused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        blocks[i].build();
        assert_same_values();
    }
}

static int count_op(const struct graph *g, const char *op)
{
    int count = 0;
    for (int i = 0; i < g->node_count; i++)
        count += !strcmp(g->nodes[i].op, op);
    return count;
}

static int count_kind(const struct graph *g, enum kind kind)
{
    int count = 0;
    for (int i = 0; i < g->node_count; i++)
        count += g->nodes[i].kind == kind;
    return count;
}

/* Three normalisations go into three convolutions, which do the ReLU as well. */
static void keep_no_normalisation(void **state)
{
    (void)state;
    build_aspp();
    const struct graph *g = fused();
    assert_int_equal(count_op(g, "BatchNormalization"), 0);
    assert_int_equal(count_kind(g, CONVOLUTION), 5);
    assert_int_equal(count_kind(g, POINTWISE), 0);
    graph_free(&graph);
    build_modnet();
    assert_int_equal(count_kind(fused(), PLAIN), 1); /* InstanceNormalization */
    graph_free(&graph);
}

/* Bias and HardSwish go into the first convolution: only the copies at the ends of the network, around the product that a
   transposed convolution becomes, and the tokens' are left. */
static void keep_few_transpositions(void **state)
{
    int copies = 0;
    (void)state;
    build_multiclass();
    const struct graph *g = fused();
    for (int i = 0; i < g->node_count; i++)
        copies += copy_of(&g->nodes[i]) != NULL;
    assert_int_equal(copies, 5);
    assert_int_equal(count_kind(g, CONVOLUTION), 2);
    assert_int_equal(count_kind(g, POINTWISE), 1);
    graph_free(&graph);
}

static void refuse_what_is_exotic(void **state)
{
    static const char *const of[] = { "DeformConv", "GridSample", "Einsum", "Loop" };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct error e;
        char says[120];
        begin(16);
        input("x", 1, 4, 5, 5);
        node(of[i], "x", "z")->name = copy_text("/decoder/aspp");
        output("z");
        assert_null(open_net(&e));
        snprintf(says, sizeof says,
            "test.onnx: the node /decoder/aspp (%s, opset 16) has an operator that is not "
            "supported.",
            of[i]);
        assert_string_equal(e.text, says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compute_the_same_fused),
        cmocka_unit_test(keep_no_normalisation),
        cmocka_unit_test(keep_few_transpositions),
        cmocka_unit_test(refuse_what_is_exotic),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
