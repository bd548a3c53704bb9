/*
 * A product by known weights adds, activates and adds residuals itself; one of computed matrices only activates.
 */
#include "pass.h"

static void begin_product(void)
{
    begin(13);
    input("x", 1, 2, 10, 16);
    input("y", 1, 2, 16, 24);
    input("more", 1, 2, 10, 24);
    NOISE("w", 16, 24);
    NOISE("row", 24);
    NOISE("column", 10, 1);
    scalar("three", 3);
    output("z");
}

static void does_what_follows(void **state)
{
    (void)state;
    begin_product();
    node("MatMul", "x,w", "m");
    node("Add", "row,m", "a");
    node("Relu", "a", "b");
    node("Sub", "b,more", "z");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 1);
    assert_int_equal(g->nodes[0].kind, PRODUCT);
    assert_int_equal(g->nodes[0].program_length, 3);
    graph_free(&graph);
    assert_same_values();
}

static void only_activates(void **state)
{
    (void)state;
    begin_product();
    node("MatMul", "x,y", "m");
    node("Div", "m,three", "d");
    node("Add", "d,row", "z");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 2);
    assert_int_equal(g->nodes[0].kind, PRODUCT);
    assert_int_equal(g->nodes[0].program_length, 1);
    graph_free(&graph);
    assert_same_values();
}

/* An operand of another size, a difference the other way round, a result that others read. */
static void leaves_others_alone(void **state)
{
    static const char *const last[] = { "m,column", "more,m", "m,m" };
    (void)state;
    for (int k = 0; k < 3; k++) {
        begin_product();
        node("MatMul", "x,w", "m");
        node(k == 1 ? "Sub" : "Add", last[k], "z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 2);
        assert_int_equal(g->nodes[0].program_length, 0);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_what_follows),
        cmocka_unit_test(only_activates),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
