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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hardswish),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
