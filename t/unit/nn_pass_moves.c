/*
 * Reshapes, transposes and slices that follow one another become one copy, and none where everything stays in its place.
 */
#include "pass.h"

static void joins_copies(void **state)
{
    (void)state;
    begin(13); /* windows of 3 x 3, and back */
    input("x", 1, 6, 9, 8);
    int64s("cut", (int64_t[]) { 2, 3, 3, 3, 8 }, 5);
    int64s("whole", (int64_t[]) { 1, 6, 9, 8 }, 4);
    node("Reshape", "x,cut", "r");
    set_ints(node("Transpose", "r", "t"), "perm", 5, (int[]) { 0, 2, 1, 3, 4 });
    set_ints(node("Transpose", "t", "u"), "perm", 5, (int[]) { 0, 2, 1, 3, 4 });
    node("Reshape", "u,whole", "b");
    node("Relu", "b", "z");
    node("Relu", "t", "y");
    output("z");
    output("y");
    const struct graph *g = fused();
    int copies = 0;
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == COPY)
            copies++;
    assert_int_equal(copies, 1); /* t; b is x */
    graph_free(&graph);
    assert_same_values();
}

static void takes_slices_in(void **state)
{
    (void)state;
    for (int part = 0; part < 3; part++) {
        begin(13);
        input("x", 1, 5, 4, 18);
        set_int(node("Split", "x", "p,q,r"), "axis", 3);
        set_ints(node("Transpose",
                     part == 0   ? "p"
                     : part == 1 ? "q"
                                 : "r",
                     "t"),
            "perm", 4, (int[]) { 0, 2, 3, 1 });
        node("Sigmoid", "t", "z");
        output("z");
        const struct graph *g = fused();
        assert_int_equal(g->node_count, 2);
        assert_int_equal(g->nodes[0].kind, COPY);
        assert_int_equal(g->nodes[0].settings.copy.base, 6 * part);
        graph_free(&graph);
        assert_same_values();
    }
}

/* A slice of a transpose that others read is a view of it; of one that it alone reads, part of the copy. */
static void slices_copies(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        begin(13);
        input("x", 1, 5, 4, 6);
        int64s("from", (int64_t[]) { 1 }, 1);
        int64s("to", (int64_t[]) { 3 }, 1);
        int64s("axis", (int64_t[]) { 1 }, 1);
        set_ints(node("Transpose", "x", "t"), "perm", 4, (int[]) { 0, 2, 1, 3 });
        node("Slice", "t,from,to,axis", "s");
        node("Sigmoid", "s", "z");
        output("z");
        if (shared) {
            node("Tanh", "t", "y");
            output("y");
        }
        const struct graph *g = fused();
        int slices = 0;
        for (int i = 0; i < g->node_count; i++)
            slices += g->nodes[i].kind == SLICE;
        assert_int_equal(slices, shared);
        graph_free(&graph);
        assert_same_values();
    }
}

/* From a picture to rows of pixels and back nothing moves where pictures have their channels last. */
static void keeps_values_between_layouts(void **state)
{
    (void)state;
    begin_conv();
    int64s("rows", (int64_t[]) { 1, 16, 36 }, 3);
    int64s("picture", (int64_t[]) { 1, 16, 6, 6 }, 4);
    NOISE("m", 16, 16);
    node("Conv", "x,w,b", "c");
    node("Reshape", "c,rows", "r");
    set_ints(node("Transpose", "r", "t"), "perm", 3, (int[]) { 0, 2, 1 });
    node("MatMul", "t,m", "p");
    set_ints(node("Transpose", "p", "u"), "perm", 3, (int[]) { 0, 2, 1 });
    node("Reshape", "u,picture", "q");
    node("Conv", "q,w,b", "z");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 5);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_copies),
        cmocka_unit_test(takes_slices_in),
        cmocka_unit_test(slices_copies),
        cmocka_unit_test(keeps_values_between_layouts),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
