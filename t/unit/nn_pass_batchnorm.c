/*
 * A batch normalisation becomes weights of the convolution before it, or after it where that has no padding; alone it is
 * one step; of what is not constant it stays.
 */
#include "pass.h"

static void begin_norm(void)
{
    float variances[16];
    begin_conv();
    for (int i = 0; i < 16; i++)
        variances[i] = uniform() + 1.5f;
    floats("variance", variances, 1, (int[]) { 16 });
    NOISE("scale", 16);
    NOISE("bias", 16);
    NOISE("mean", 16);
}

static void folds_into_weights(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        begin_norm();
        if (after) {
            node("Conv", "x,w", "c");
            attribute(node("BatchNormalization", "c,scale,bias,mean,variance", "n"), "epsilon")->f =
                0.1f;
            onnx.nodes[1]->attribute[0]->has_f = 1;
        } else {
            node("BatchNormalization", "x,scale,bias,mean,variance", "c");
            node("Conv", "c,w", "n");
        }
        node("Relu", "n", "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].window.bias, 1);
        assert_int_equal(g->nodes[0].program_length, 1);
        graph_free(&graph);
        assert_same_values();
    }
}

static void is_one_step_alone(void **state)
{
    (void)state;
    for (size_t rank = 2; rank <= 5; rank++) {
        begin_norm();
        onnx.inputs[0] = value("x", (int[]) { 2, 16, 3, 2, 2 }, rank);
        node("BatchNormalization", "x,scale,bias,mean,variance", "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].kind, rank > 4 ? PLAIN : POINTWISE);
        graph_free(&graph);
        assert_same_values();
    }
}

static void stays_where_it_is_computed(void **state)
{
    (void)state;
    begin_norm();
    onnx.inputs[onnx.graph.n_input++] = value("s", (int[]) { 16 }, 1);
    node("BatchNormalization", "x,s,bias,mean,variance", "z");
    assert_int_equal(fused()->nodes[0].kind, PLAIN);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_into_weights),
        cmocka_unit_test(is_one_step_alone),
        cmocka_unit_test(stays_where_it_is_computed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
