/*
 * A convolution does activations and residuals itself, unless something else reads what it would no longer
 * give.
 */
#include "pass.h"

static void fuses_activations(void **state)
{
    static const struct {
        const char *op;
        enum function function;
    } of[] = { { "Relu", RELU }, { "Sigmoid", SIGMOID }, { "Tanh", TANH } };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin_conv();
        node("Conv", "x,w,b", "c");
        node(of[i].op, "c", "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].program_length, 1);
        assert_int_equal(g->nodes[0].program[0].function, of[i].function);
        graph_free(&graph);
        assert_same_values();
    }
}

static void fuses_residuals(void **state)
{
    static const struct {
        const char *op, *inputs;
        int nodes;
    } of[] = { { "Add", "c,x", 1 }, { "Add", "x,c", 1 }, { "Sub", "c,x", 1 }, { "Sub", "x,c", 2 },
        { "Mul", "c,s", 1 }, { "Max", "c,x", 1 }, { "Add", "c,c", 2 } };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin_conv();
        input("s", 1, 16, 1, 1);
        node("Conv", "x,w,b", "c");
        node(of[i].op, of[i].inputs, "y");
        node("Relu", "y", "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, of[i].nodes);
        graph_free(&graph);
        assert_same_values();
    }
}

static void keeps_what_is_used_twice(void **state)
{
    (void)state;
    begin_conv();
    output("c");
    node("Conv", "x,w,b", "c");
    node("Relu", "c", "z");
    assert_int_equal(fused()->node_count, 2);
    graph_free(&graph);
    assert_same_values();
}

static void fuses_every_activation(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        static const int lengths[] = { 1, 1, 2, 1 };
        begin_conv();
        onnx.opset.version = 14;
        node("Conv", "x,w,b", "c");
        switch (how) {
        case 0: node("Clip", "c,zero,six", "z"); break;
        case 1: node("HardSwish", "c", "z"); break;
        case 2: node("HardSigmoid", "c", "z"); break;
        default: node("LeakyRelu", "c", "z");
        }
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].program_length, lengths[how]);
        graph_free(&graph);
        assert_same_values();
    }
}

/* A normalisation after an activation has two operands of its own. */
static void fuses_whole_programs(void **state)
{
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        begin_conv();
        NOISE("mean", 16);
        scalar("tiny", 1e-5f);
        floats("ones", (float[]) { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 1,
            (int[]) { 16 });
        node("Conv", "x,w,b", "c");
        node("Relu", "c", "r");
        node("BatchNormalization", "r,b,mean,mean,ones", twice ? "n" : "z");
        if (twice)
            node("Add", "n,x", "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].program_length, 3 + twice);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fuses_activations),
        cmocka_unit_test(fuses_residuals),
        cmocka_unit_test(keeps_what_is_used_twice),
        cmocka_unit_test(fuses_every_activation),
        cmocka_unit_test(fuses_whole_programs),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
