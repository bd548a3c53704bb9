/*
 * What is computed for a softmax alone becomes its program.
 */
#include "pass.h"

static void takes_a_program(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        begin(13);
        input("x", 2, 3, 10, 12);
        NOISE("bias", 3, 10, 12);
        scalar("three", 3);
        node("Div", "x,three", "d");
        node("Add", "d,bias", "a");
        set_int(node("Softmax", "a", "z"), "axis", -1);
        output("z");
        if (shared)
            output("a");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 1 + shared);
        assert_int_equal(g->nodes[shared].kind, SOFTMAX);
        assert_int_equal(g->nodes[shared].program_length, shared ? 0 : 2);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_program),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
