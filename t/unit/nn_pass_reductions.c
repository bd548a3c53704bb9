/*
 * Sums and means along the sides of pictures become pools.
 */
#include "pass.h"

static int count(const struct graph *g, enum kind kind)
{
    int nodes = 0;
    for (int i = 0; i < g->node_count; i++)
        nodes += g->nodes[i].kind == kind;
    return nodes;
}

static void become_pools(void **state)
{
    static const struct {
        int count, axes[2];
    } sides[] = { { 1, { 2 } }, { 1, { 3 } }, { 2, { 2, 3 } } };
    (void)state;
    for (int mean = 0; mean < 2; mean++)
        for (int k = 0; k < 3; k++) {
            begin(11);
            input("x", 2, 6, 5, 8);
            node("Sigmoid", "x", "a");
            set_ints(node(mean ? "ReduceMean" : "ReduceSum", "a", "r"), "axes", sides[k].count,
                sides[k].axes);
            node("Mul", "a,r", "z");
            output("z");
            const struct graph *g = fused();
            assert_int_equal(count(g, POOL_AVERAGE), 1);
            assert_int_equal(count(g, PLAIN), 0);
            graph_free(&graph);
            assert_same_values();
        }
}

/* Along channels, of another kind, or where dimensions go. */
static void leave_others_alone(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        begin(11);
        input("x", 2, 6, 5, 8);
        node("Sigmoid", "x", "a");
        Onnx__NodeProto *n = node(how == 1 ? "ReduceMax" : "ReduceSum", "a", "z");
        set_ints(n, "axes", 1, (int[]) { how ? 2 : 1 });
        if (how == 2)
            set_int(n, "keepdims", 0);
        output("z");
        const struct graph *g = fused();
        assert_int_equal(count(g, POOL_AVERAGE), 0);
        assert_int_equal(count(g, PLAIN), 1);
        graph_free(&graph);
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(become_pools),
        cmocka_unit_test(leave_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
