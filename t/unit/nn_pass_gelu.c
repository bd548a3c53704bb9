/*
 * GELU in five nodes, in the orders in which exporters write them, becomes one instruction; what only looks like it does not.
 */
#include "pass.h"

/* order: 0 (x * g) / 2, 1 x * (g / 2), 2 (x / 2) * g; g = 1 + erf(x * scale). */
static const struct graph *build(int order, float scale)
{
    begin_conv();
    scalar("half", 0.5f);
    scalar("scale", scale);
    node("Mul", "x,scale", "s");
    node("Erf", "s", "e");
    node("Add", order ? "e,one" : "one,e", "g");
    if (order == 0) {
        node("Mul", "x,g", "p");
        node("Mul", "p,half", "z");
    } else {
        node("Mul", order == 1 ? "g,half" : "half,x", "p");
        node("Mul", order == 1 ? "p,x" : "p,g", "z");
    }
    return fused();
}

static void finds_gelu(void **state)
{
    (void)state;
    for (int order = 0; order < 3; order++) {
        const struct graph *g = build(order, sqrtf(0.5f));
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].program_length, 1);
        assert_int_equal(g->nodes[0].program[0].function, GELU);
        graph_free(&graph);
        assert_same_values();
    }
}

static void leaves_others_alone(void **state)
{
    (void)state;
    const struct graph *g = build(0, 0.7f);
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].program_length; k++)
            assert_int_not_equal(g->nodes[i].program[k].function, GELU);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_gelu),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
