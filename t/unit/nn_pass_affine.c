/*
 * Constants that scale and shift go into weights of the convolution's own.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_scales_into_weights),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
