/*
 * Constants that scale and shift go into weights of the convolution's own, from before it and from after it.
 */
#include "pass.h"

static void folds_scales_into_weights(void **state)
{
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        begin_conv();
        output("other");
        node("Conv", bias ? "x,w,b" : "x,w", "c");
        node("Mul", "c,gain", "d");
        node("Add", "shift,d", "e");
        node("Mul", "e,three", "f");
        node("Clip", "f,zero,six", "g");
        node("Mul", "g,sixth", "z");
        node("Conv", bias ? "x,w,b" : "x,w", "other"); /* shares the weights, unscaled */
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 2);
        assert_int_equal(g->nodes[0].program_length, 2);
        assert_int_equal(g->nodes[0].program[0].function, CLIP);
        assert_int_equal(g->nodes[0].program[1].function, LINEAR);
        assert_int_equal(g->nodes[1].program_length, 0);
        graph_free(&graph);
        assert_same_values();
    }
}

static void build_before(int group, int pad, const char *op, const char *operand)
{
    char inputs[20];
    begin(13);
    input("x", 1, 16, 6, 6);
    NOISE("w", 24, 16 / group, 3, 3);
    NOISE("b", 24);
    NOISE("gain", 16, 1, 1);
    scalar("three", 3);
    output("z");
    snprintf(inputs, sizeof inputs, "x,%s", operand);
    node(op, inputs, "a");
    Onnx__NodeProto *n = node("Conv", group == 2 ? "a,w" : "a,w,b", "z");
    set_int(n, "group", group);
    set_ints(n, "pads", 4, (int[]) { 0, pad, 0, 0 });
}

static void folds_what_comes_before(void **state)
{
    static const struct {
        int pad;
        const char *op, *operand;
        int nodes;
    } of[] = { { 1, "Mul", "gain", 1 }, { 1, "Div", "three", 1 }, { 0, "Add", "gain", 1 },
        { 0, "Sub", "three", 1 }, { 1, "Add", "gain", 2 }, { 1, "Sub", "three", 2 },
        { 0, "Min", "three", 2 } };
    (void)state;
    for (int group = 1; group <= 8; group *= 2)
        for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
            build_before(group, of[i].pad, of[i].op, of[i].operand);
            assert_int_equal(fused()->node_count, of[i].nodes);
            graph_free(&graph);
            assert_same_values();
        }
    build_before(1, 0, "Mul", "gain");
    node("Relu", "a", "other"); /* somebody else reads it */
    output("other");
    assert_int_equal(fused()->node_count, 3);
    graph_free(&graph);
    assert_same_values();
}

static void folds_each_side_of_an_operator(void **state)
{
    static const struct {
        const char *op, *inputs;
        int nodes;
    } of[] = { { "Sub", "c,gain", 1 }, { "Sub", "gain,c", 1 }, { "Div", "c,gain", 1 },
        { "Div", "gain,c", 2 }, { "Add", "c,row", 2 } };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin_conv();
        NOISE("row", 6);
        node("Conv", "x,w,b", "c");
        node(of[i].op, of[i].inputs, "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, of[i].nodes);
        assert_int_equal(g->nodes[0].program_length, 0);
        graph_free(&graph);
        if (of[i].op[0] != 'D' || of[i].inputs[0] == 'c')
            assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_scales_into_weights),
        cmocka_unit_test(folds_what_comes_before),
        cmocka_unit_test(folds_each_side_of_an_operator),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
