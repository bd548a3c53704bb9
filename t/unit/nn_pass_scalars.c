/*
 * An operand that is a constant number becomes a parameter, on either side; one that is not, and a divisor, stay.
 */
#include "pass.h"

static void makes_parameters(void **state)
{
    static const struct {
        const char *op, *inputs;
        enum function function;
        float low, high;
    } of[] = {
        { "Add", "x,three", LINEAR, 1, 3 },
        { "Add", "three,x", LINEAR, 1, 3 },
        { "Sub", "x,three", LINEAR, 1, -3 },
        { "Sub", "three,x", LINEAR, -1, 3 },
        { "Mul", "three,x", LINEAR, 3, 0 },
        { "Div", "x,three", LINEAR, 1.0f / 3, 0 },
        { "Min", "x,three", CLIP, -INFINITY, 3 },
        { "Max", "three,x", CLIP, 3, INFINITY },
    };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin(13);
        input("x", 1, 2, 3, 4);
        output("z");
        scalar("three", 3);
        node(of[i].op, of[i].inputs, "z");
        const struct graph *g = fused();
        const struct instruction *in = &g->nodes[0].program[0];
        assert_int_equal(g->node_count, 1);
        assert_int_equal(g->nodes[0].input_count, 1);
        assert_int_equal(in->function, of[i].function);
        assert_true(in->low == of[i].low && in->high == of[i].high);
        graph_free(&graph);
        assert_same_values();
    }
}

static void leaves_the_others(void **state)
{
    static const char *const of[][2] = { { "Div", "three,x" }, { "Add", "x,gain" },
        { "Mul", "x,x" } };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin(13);
        input("x", 1, 2, 3, 4);
        output("z");
        scalar("three", 3);
        NOISE("gain", 1, 2, 1, 1);
        node(of[i][0], of[i][1], "z");
        const struct graph *g = fused();
        assert_int_equal(g->nodes[0].input_count, 2);
        assert_true(g->nodes[0].program[0].function >= ADD);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_parameters),
        cmocka_unit_test(leaves_the_others),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
