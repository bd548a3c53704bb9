/*
 * What is done to each element of an upsampled picture goes before the copies that put it in place, into the product; what
 * reads two pictures stays.
 */
#include "pass.h"

static const struct graph *build(int two)
{
    begin_conv();
    NOISE("v", 16, 8, 2, 2);
    NOISE("u", 8);
    set_ints(node("ConvTranspose", "x,v,u", "t"), "strides", 2, (int[]) { 2, 2 });
    node("Sigmoid", "t", two ? "s" : "z");
    if (two)
        node("Mul", "t,s", "z");
    return fused();
}

static void goes_into_the_product(void **state)
{
    (void)state;
    const struct graph *g = build(0);
    assert_int_equal(g->node_count, 3);
    assert_int_equal(g->nodes[1].kind, PRODUCT);
    assert_int_equal(g->nodes[1].program_length, 2);
    assert_int_equal(g->nodes[1].program[1].function, SIGMOID);
    graph_free(&graph);
    assert_same_values();
}

static void leaves_others_alone(void **state)
{
    (void)state;
    const struct graph *g = build(1);
    assert_int_equal(g->node_count, 4);
    assert_int_equal(g->nodes[3].kind, POINTWISE);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_into_the_product),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
