/*
 * Chains of element-wise nodes become one program, as long as fits.
 */
#include "pass.h"

static void merges_chains(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 20, 5, 6);
    input("h", 1, 20, 5, 6);
    input("s", 1, 20, 1, 1);
    scalar("one", 1);
    node("Sub", "one,x", "a"); /* (1 - x) h + x tanh(s h), then bounded */
    node("Mul", "a,h", "b");
    node("Mul", "s,h", "c");
    node("Tanh", "c", "d");
    node("Mul", "x,d", "e");
    node("Add", "b,e", "f");
    node("Min", "f,one", "z");
    output("z");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 1);
    assert_int_equal(g->nodes[0].input_count, 3);
    assert_int_equal(g->nodes[0].program_length, 7);
    graph_free(&graph);
    assert_same_values();
}

static void merges_no_more_than_fits(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 3, 4, 5);
    scalar("k", 0.5f);
    for (int i = 0; i < 50; i++) {
        char from[20], to[20];
        snprintf(from, sizeof from, i ? "t%d,k" : "x,k", i);
        snprintf(to, sizeof to, i == 49 ? "z" : "t%d", i + 1);
        node(i % 2 ? "Mul" : "Add", from, to);
    }
    output("z");
    assert_int_equal(fused()->node_count, 4);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_chains),
        cmocka_unit_test(merges_no_more_than_fits),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
