/*
 * Layer normalisation in nine nodes becomes one, along channels or the last dimension; what only looks like it does not.
 */
#include "pass.h"

/* other: means along another axis than deviations */
static const struct graph *build(int axis, int square, int other)
{
    begin_conv();
    scalar("two", 2);
    scalar("epsilon", 1e-5f);
    if (axis == 1) {
        NOISE("scale", 16, 1, 1);
        NOISE("offset", 16, 1, 1);
    } else {
        NOISE("scale", 6);
        NOISE("offset", 6);
    }
    set_ints(node("ReduceMean", "x", "m"), "axes", 1, (int[]) { other ? 2 : axis });
    node("Sub", "x,m", "d");
    node(square ? "Mul" : "Pow", square ? "d,d" : "d,two", "q");
    set_ints(node("ReduceMean", "q", "v"), "axes", 1, (int[]) { axis });
    node("Add", "v,epsilon", "e");
    node("Sqrt", "e", "r");
    node("Div", "d,r", "n");
    node("Mul", square ? "n,scale" : "scale,n", "s");
    node("Add", square ? "offset,s" : "s,offset", "z");
    return fused();
}

static void finds_normalisation(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        const struct graph *g = build(k < 2 ? 1 : -1, k % 2, 0);
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].kind, NORMALISE);
        assert_int_equal(g->nodes[0].axis, k < 2 ? 1 : 3);
        graph_free(&graph);
        assert_same_values();
    }
}

static void leaves_others_alone(void **state)
{
    (void)state;
    const struct graph *g = build(1, 0, 1);
    for (int i = 0; i < g->node_count; i++)
        assert_int_not_equal(g->nodes[i].kind, NORMALISE);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_normalisation),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
