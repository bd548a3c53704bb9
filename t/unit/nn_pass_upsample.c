/*
 * A transposed convolution whose windows do not overlap becomes a product; others stay.
 */
#include "pass.h"

/* pad: the windows do not overlap, but do not fit either */
static const struct graph *build(int stride, int bias, int pad)
{
    begin_conv();
    NOISE("v", 16, 24, 2, 2);
    NOISE("u", 24);
    Onnx__NodeProto *n = node("ConvTranspose", bias ? "x,v,u" : "x,v", "z");
    set_ints(n, "strides", 2, (int[]) { stride, stride });
    if (pad)
        set_ints(n, "pads", 4, (int[]) { 1, 1, 1, 1 });
    return fused();
}

static void makes_a_product(void **state)
{
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        const struct graph *g = build(2, bias, 0);
        assert_int_equal(g->node_count, 3);
        assert_int_equal(g->nodes[0].kind, COPY);
        assert_int_equal(g->nodes[1].kind, PRODUCT);
        assert_int_equal(g->nodes[1].program_length, bias);
        assert_int_equal(g->nodes[2].kind, COPY);
        graph_free(&graph);
        assert_same_values();
    }
}

static void leaves_others_alone(void **state)
{
    (void)state;
    for (int pad = 0; pad < 2; pad++) {
        const struct graph *g = build(1 + pad, 1, pad);
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].kind, PLAIN);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_a_product),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
