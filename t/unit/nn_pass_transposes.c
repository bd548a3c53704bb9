/*
 * Networks made for channels last: their transpositions sink until they cancel, and stay where that would not pay.
 */
#include "pass.h"

#include "nn/pass/pass.h"

static void to_last(const char *from, const char *to)
{
    set_ints(node("Transpose", from, to), "perm", 4, (int[]) { 0, 2, 3, 1 });
}

static void to_first(const char *from, const char *to)
{
    set_ints(node("Transpose", from, to), "perm", 4, (int[]) { 0, 3, 1, 2 });
}

/* A convolution of a tensor with channels last, as converters write it. */
static void convolve(const char *from, const char *to, const char *weights)
{
    char a[20], b[20], inputs[40];
    snprintf(a, sizeof a, "%s_in", to);
    snprintf(b, sizeof b, "%s_out", to);
    snprintf(inputs, sizeof inputs, "%s,%s", a, weights);
    to_first(from, a);
    node("Conv", inputs, b);
    to_last(b, to);
}

static int count_copies(const struct graph *g)
{
    int copies = 0;
    for (int i = 0; i < g->node_count; i++)
        copies += copy_of(&g->nodes[i]) != NULL;
    return copies;
}

static void begin_last(void)
{
    begin(13);
    input("x", 1, 5, 6, 8); /* N, H, W, C */
    NOISE("w", 8, 8, 1, 1);
    NOISE("w2", 8, 16, 1, 1);
    NOISE("w4", 8, 4, 1, 1);
    NOISE("bias", 8);
    NOISE("gain", 1, 1, 1, 8);
    NOISE("row", 6, 1);
    scalar("three", 3);
    output("z");
}

static void assert_left(int nodes, int copies)
{
    const struct graph *g = fused();
    assert_int_equal(count_copies(g), copies);
    assert_int_equal(g->node_count, nodes);
    graph_free(&graph);
    assert_same_values();
}

/* Only those at the ends are left, and the rest of a chain goes into the convolutions. */
static void sink_through_element_wise_nodes(void **state)
{
    (void)state;
    begin_last();
    convolve("x", "a", "w");
    node("Add", "a,bias", "b");
    node("Relu", "b", "c");
    convolve("c", "d", "w");
    node("Mul", "gain,d", "e");
    node("Add", "e,c", "f");   /* a residual */
    node("Mul", "f,row", "g"); /* one value a row: a constant of lower rank */
    convolve("g", "z", "w");
    assert_left(6, 2);
}

static void sink_through_concatenation_and_slices(void **state)
{
    (void)state;
    begin_last();
    convolve("x", "a", "w");
    convolve("a", "b", "w");
    set_int(node("Concat", "a,b", "c"), "axis", 3);
    convolve("c", "d", "w2");
    set_int(node("Split", "d", "e,f"), "axis", -1);
    node("Mul", "e,three", "g");
    node("Sub", "f,g", "h");
    int64s("pads", (int64_t[]) { 0, 1, 2, 0, 0, 1, 0, 0 }, 8);
    node("Pad", "h,pads", "p");
    convolve("p", "z", "w4");
    const struct graph *g = fused();
    assert_int_equal(count_copies(g), 2);
    for (int i = 0; i < g->node_count; i++) {
        if (g->nodes[i].kind == CONCAT)
            assert_int_equal(g->nodes[i].axis, 1);
        if (g->nodes[i].kind == CONVOLUTION && g->nodes[i].window.before[0])
            assert_memory_equal(g->nodes[i].window.before, ((int[]) { 1, 2 }), 2 * sizeof(int));
    }
    graph_free(&graph);
    assert_same_values();
}

/* The squeezing is done on [1, 1, 1, C]. */
static void sink_through_a_gate(void **state)
{
    (void)state;
    begin_last();
    convolve("x", "a", "w");
    to_first("a", "p");
    node("GlobalAveragePool", "p", "q");
    to_last("q", "r");
    convolve("r", "s", "w");
    node("Sigmoid", "s", "t");
    node("Mul", "a,t", "u");
    convolve("u", "z", "w");
    assert_left(7, 2);
}

/* Sums and means of rows; and, as tokens, of windows: a copy that is more than a transposition is made anew. */
static void sink_through_reductions(void **state)
{
    (void)state;
    begin_last();
    convolve("x", "a", "w");
    set_ints(node("ReduceMean", "a", "m"), "axes", 2, (int[]) { 1, 2 });
    node("Sub", "a,m", "b");
    int64s("axes", (int64_t[]) { -2 }, 1);
    node("ReduceSum", "b,axes", "s");
    node("Mul", "b,s", "c");
    convolve("c", "z", "w");
    assert_left(9, 2); /* a sum is a mean and a factor */
    begin_last();
    convolve("x", "a", "w");
    int64s("tokens", (int64_t[]) { 1, 10, 3, 8 }, 4);
    int64s("pixels", (int64_t[]) { 1, 5, 6, 8 }, 4);
    node("Reshape", "a,tokens", "b");
    node("Mul", "b,gain", "c");
    node("Add", "c,bias", "d");
    convolve("d", "e", "w");
    node("Add", "b,e", "f");
    node("Reshape", "f,pixels", "g");
    convolve("g", "z", "w");
    assert_left(8, 4);
}

static void stay_where_it_does_not_pay(void **state)
{
    (void)state;
    begin_last(); /* from the input on: what is done to it may go into the convolution */
    to_first("x", "a");
    node("Mul", "a,three", "b");
    node("Conv", "b,w", "z");
    assert_left(2, 1);
    begin_last(); /* two readers, one of which needs it as it is */
    node("Tanh", "x", "h");
    to_first("h", "a");
    node("Mul", "a,three", "b");
    node("Erf", "b", "c");
    node("Mul", "a,c", "z");
    assert_left(5, 1);
    begin_last(); /* one operand is not transposed */
    input("y", 1, 8, 5, 6);
    node("Tanh", "x", "h");
    to_first("h", "a");
    node("Mul", "a,y", "b");
    to_last("b", "z");
    assert_left(4, 2);
}

/* The last node of a network may be done by the convolution before its transposition. */
static void reach_the_end(void **state)
{
    (void)state;
    begin_last();
    convolve("x", "a", "w");
    node("Add", "a,bias", "b");
    node("Sigmoid", "b", "z");
    assert_left(3, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sink_through_element_wise_nodes),
        cmocka_unit_test(sink_through_concatenation_and_slices),
        cmocka_unit_test(sink_through_a_gate),
        cmocka_unit_test(sink_through_reductions),
        cmocka_unit_test(stay_where_it_does_not_pay),
        cmocka_unit_test(reach_the_end),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
