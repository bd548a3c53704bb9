/*
 * Zeros around a convolution, and the least number around a maximum, become padding; other numbers and channels do not.
 */
#include "pass.h"

static void folds_padding(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) { /* zeros around; ones around; more channels */
        begin(13);
        input("x", 1, how == 2 ? 15 : 16, 6, 6);
        NOISE("w", 16, 16, 3, 3);
        scalar("v", how == 1);
        int64s("pads",
            how == 2 ? (int64_t[]) { 0, 1, 0, 0, 0, 0, 0, 0 }
                     : (int64_t[]) { 0, 0, 1, 2, 0, 0, 3, 0 },
            8);
        node("Pad", "x,pads,v", "p");
        set_ints(node("Conv", "p,w", "z"), "pads", 4, (int[]) { 1, 1, 0, 1 });
        output("z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, how ? 2 : 1);
        if (!how) {
            assert_memory_equal(g->nodes[0].window.before, ((int[]) { 2, 3 }), 2 * sizeof(int));
            assert_memory_equal(g->nodes[0].window.after, ((int[]) { 3, 1 }), 2 * sizeof(int));
        }
        graph_free(&graph);
        assert_same_values();
    }
}

static void folds_into_a_maximum(void **state)
{
    (void)state;
    for (int how = 0; how < 3;
         how++) { /* the least number; zero; more of it than a window is wide */
        begin(13);
        input("x", 1, 4, 6, 6);
        scalar("v", how == 1 ? 0 : -INFINITY);
        int64s("pads",
            how == 2 ? (int64_t[]) { 0, 0, 3, 0, 0, 0, 0, 0 }
                     : (int64_t[]) { 0, 0, 0, 0, 0, 0, 1, 1 },
            8);
        node("Pad", "x,pads,v", "p");
        Onnx__NodeProto *n = node("MaxPool", "p", "z");
        set_ints(n, "kernel_shape", 2, (int[]) { 3, 3 });
        set_ints(n, "strides", 2, (int[]) { 2, 2 });
        output("z");
        assert_int_equal(fused()->node_count, how ? 2 : 1);
        graph_free(&graph);
        if (how != 2)
            assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_padding),
        cmocka_unit_test(folds_into_a_maximum),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
