/*
 * HardSwish in four nodes becomes one instruction; what only looks like it does not.
 */
#include "pass.h"

static void finds_hardswish(void **state)
{
    (void)state;
    for (int swap = 0; swap < 2; swap++) {
        begin_conv();
        node("Conv", "x,w,b", "c");
        node("Mul", swap ? "sixth,c" : "c,sixth", "s");
        node("Add", swap ? "c,three" : "three,c", "a");
        node("Clip", "a,zero,six", "l");
        node("Mul", swap ? "l,s" : "s,l", "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].program_length, 1);
        assert_int_equal(g->nodes[0].program[0].function, HARDSWISH);
        graph_free(&graph);
        assert_same_values();
    }
    begin_conv(); /* bounded at 3: something else */
    node("Mul", "x,sixth", "s");
    node("Add", "x,three", "a");
    node("Clip", "a,zero,three", "l");
    node("Mul", "s,l", "z");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 1);
    assert_int_equal(g->nodes[0].program_length, 4);
    graph_free(&graph);
    assert_same_values();
}

/* The ways of dividing, for a product of x and a gate. */
static void finds_every_spelling(void **state)
{
    (void)state;
    for (int how = 0; how < 6; how++) {
        begin(14);
        input("x", 1, 4, 3, 3);
        output("z");
        scalar("zero", 0);
        scalar("half", 0.5f);
        scalar("one", 1);
        scalar("three", 3);
        scalar("six", 6);
        scalar("sixth", 1.0f / 6);
        if (how < 3) {
            node("Add", "x,three", "a");
            node("Clip", "a,zero,six", "l");
        }
        switch (how) {
        case 0:
            node("Div", "l,six", "d");
            node("Mul", "x,d", "z");
            break;
        case 1:
            node("Mul", "l,x", "m");
            node("Div", "m,six", "z");
            break;
        case 2:
            node("Div", "x,six", "d");
            node("Mul", "d,l", "z");
            break;
        case 3: {
            Onnx__AttributeProto *alpha = attribute(node("HardSigmoid", "x", "h"), "alpha");
            alpha->has_f = 1;
            alpha->f = 1.0f / 6;
            node("Mul", "h,x", "z");
            break;
        }
        case 4:
            node("Mul", "x,sixth", "a");
            node("Add", "a,half", "b");
            node("Clip", "b,zero,one", "l");
            node("Mul", "x,l", "z");
            break;
        default: node("HardSwish", "x", "z");
        }
        const struct graph *g = fused();
        if (how == 4) { /* x / 6 + 1/2 is two instructions: a program of its own */
            assert_int_equal(g->nodes[0].program_length, 4);
        } else {
            assert_int_equal(g->node_count, 1);
            assert_int_equal(g->nodes[0].program_length, 1);
            assert_int_equal(g->nodes[0].program[0].function, HARDSWISH);
        }
        graph_free(&graph);
        assert_same_values();
    }
}

static void leaves_other_gates(void **state)
{
    static const float of[][4] = { { 3, 0, 6, 5 }, { 2, 0, 6, 6 }, { 3, 1, 6, 6 }, { 3, 0, 5, 6 } };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin(13);
        input("x", 1, 4, 3, 3);
        output("z");
        scalar("plus", of[i][0]);
        scalar("low", of[i][1]);
        scalar("high", of[i][2]);
        scalar("by", of[i][3]);
        node("Add", "x,plus", "a");
        node("Clip", "a,low,high", "l");
        node("Mul", "x,l", "m");
        node("Div", "m,by", "z");
        assert_int_equal(fused()->nodes[0].program_length, 4);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hardswish),
        cmocka_unit_test(finds_every_spelling),
        cmocka_unit_test(leaves_other_gates),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
