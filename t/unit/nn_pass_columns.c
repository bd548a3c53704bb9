/*
 * Right matrices that were transposed are read as they were, where that makes their copy a faster one.
 */
#include "pass.h"

/* x of heads side by side, as attention has them, by itself transposed */
static void reads_columns(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 1, 12, 32);
    int64s("heads", (int64_t[]) { 1, 12, 4, 8 }, 4);
    node("Reshape", "x,heads", "h");
    set_ints(node("Transpose", "h", "q"), "perm", 4, (int[]) { 0, 2, 1, 3 });
    set_ints(node("Transpose", "h", "k"), "perm", 4, (int[]) { 0, 2, 3, 1 });
    node("MatMul", "q,k", "z");
    output("z");
    const struct graph *g = fused();
    assert_int_equal(g->node_count, 3);
    assert_int_equal(g->nodes[2].kind, PRODUCT);
    assert_int_equal(g->nodes[2].columns, 1);
    graph_free(&graph);
    assert_same_values();
}

static void leaves_others_alone(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 1, 12, 32);
    int64s("heads", (int64_t[]) { 1, 12, 4, 8 }, 4);
    int64s("turned", (int64_t[]) { 1, 4, 8, 12 }, 4);
    node("Reshape", "x,heads", "h");
    set_ints(node("Transpose", "h", "q"), "perm", 4, (int[]) { 0, 2, 1, 3 });
    node("Reshape", "x,turned", "k");
    node("MatMul", "q,k", "z");
    output("z");
    const struct graph *g = fused();
    assert_int_equal(g->nodes[g->node_count - 1].kind, PRODUCT);
    assert_int_equal(g->nodes[g->node_count - 1].columns, 0);
    graph_free(&graph);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_columns),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
