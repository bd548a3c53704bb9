/*
 * A copy of a copy is one copy wherever strides can say it, and none where it moves nothing or repeats in vain.
 */
#include "pass.h"

#include "nn/pass/pass.h"

static void transpose(const char *from, const char *to, int a, int b, int c, int d)
{
    set_ints(node("Transpose", from, to), "perm", 4, (int[]) { a, b, c, d });
}

static void reshape(const char *from, const char *to, int count, int64_t a, int64_t b, int64_t c,
    int64_t d, int64_t e)
{
    char name[20], inputs[40];
    snprintf(name, sizeof name, "%s_shape", to);
    snprintf(inputs, sizeof inputs, "%s,%s", from, name);
    int64s(name, (int64_t[]) { a, b, c, d, e }, count);
    node("Reshape", inputs, to);
}

/* What is left beside the Tanh that reads the copies: how many nodes of which all are copies. */
static void assert_left(int copies)
{
    const struct graph *g = fused();
    assert_int_equal(g->node_count, copies + 1);
    for (int i = 0; i < copies; i++)
        assert_non_null(copy_of(&g->nodes[i]));
    graph_free(&graph);
    assert_same_values();
}

static void begin_copies(void)
{
    begin(13);
    input("x", 1, 6, 4, 5);
    node("Tanh", "last", "z");
    output("z");
}

static void pairs_cancel(void **state)
{
    (void)state;
    begin_copies();
    transpose("x", "a", 0, 2, 3, 1);
    transpose("a", "last", 0, 3, 1, 2);
    assert_left(0);
    begin_copies(); /* through reshapes */
    transpose("x", "a", 0, 2, 3, 1);
    reshape("a", "b", 3, 1, 20, 6, 0, 0);
    reshape("b", "c", 4, 1, 4, 5, 6, 0);
    transpose("c", "last", 0, 3, 1, 2);
    assert_left(0);
}

static void chains_are_one(void **state)
{
    (void)state;
    begin_copies(); /* channels shuffled in two groups */
    reshape("x", "a", 5, 1, 2, 3, 4, 5);
    set_ints(node("Transpose", "a", "b"), "perm", 5, (int[]) { 0, 2, 1, 3, 4 });
    reshape("b", "last", 4, 1, 6, 4, 5, 0);
    assert_left(1);
    begin_copies(); /* windows of 2x5 pixels, channels last */
    transpose("x", "t", 0, 2, 3, 1);
    reshape("t", "a", 5, 2, 2, 1, 5, 6);
    set_ints(node("Transpose", "a", "b"), "perm", 5, (int[]) { 0, 2, 1, 3, 4 });
    reshape("b", "last", 3, 2, 10, 6, 0, 0);
    assert_left(1);
    begin_copies(); /* every other row of what is transposed */
    transpose("x", "a", 0, 3, 2, 1);
    int64s("starts", (int64_t[]) { 1 }, 1);
    int64s("ends", (int64_t[]) { 5 }, 1);
    int64s("axes", (int64_t[]) { 1 }, 1);
    int64s("steps", (int64_t[]) { 2 }, 1);
    node("Slice", "a,starts,ends,axes,steps", "last");
    assert_left(1);
    begin_copies(); /* repeated */
    transpose("x", "a", 0, 3, 2, 1);
    int64s("repeats", (int64_t[]) { 1, 1, 3, 1 }, 4);
    node("Tile", "a,repeats", "last");
    assert_left(1);
}

/* Elements of the slice lie neither evenly nor in whole rows of what it slices. */
static void what_carries_stays(void **state)
{
    (void)state;
    begin_copies();
    transpose("x", "a", 0, 3, 2, 1);
    reshape("a", "b", 4, 1, 8, 3, 5, 0);
    transpose("b", "last", 0, 2, 1, 3);
    assert_left(2);
    begin_copies(); /* backwards */
    transpose("x", "a", 0, 3, 2, 1);
    int64s("starts", (int64_t[]) { -1 }, 1);
    int64s("ends", (int64_t[]) { -9 }, 1);
    int64s("axes", (int64_t[]) { 1 }, 1);
    int64s("steps", (int64_t[]) { -1 }, 1);
    node("Slice", "a,starts,ends,axes,steps", "last");
    assert_left(2);
}

/* What is expanded to the size of another operand is read as it is; what gives a node its size is not. */
static void expansions_are_not_made(void **state)
{
    static const struct {
        const char *other;
        int nodes;
    } of[] = { { "x", 1 }, { "s", 2 } };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char inputs[20];
        begin(13);
        input("x", 1, 6, 4, 5);
        input("s", 1, 6, 1, 1);
        int64s("size", (int64_t[]) { 1, 6, 4, 5 }, 4);
        node("Expand", "s,size", "e");
        snprintf(inputs, sizeof inputs, "%s,e", of[i].other);
        node("Mul", inputs, "z");
        output("z");
        assert_int_equal(fused()->node_count, of[i].nodes);
        graph_free(&graph);
        assert_same_values();
    }
}

/* Chains of reshapes and transpositions of random sizes: the values are those without the pass. */
static void random_chains_keep_their_values(void **state)
{
    static const int factors[] = { 2, 3, 2, 5, 2 };
    static const char *const names[] = { "x", "a", "b", "c", "d", "last" };
    uint32_t seed = 1;
    (void)state;
    for (int round = 0; round < 60; round++) {
        begin_copies();
        for (int i = 0; i < 5; i++) {
            int64_t dims[4] = { 1, 1, 1, 1 };
            int perm[4] = { 0, 1, 2, 3 };
            char middle[20];
            for (int f = 0; f < 5; f++)
                dims[(seed = seed * 1664525 + 1013904223) >> 30] *= factors[f];
            for (int k = 3; k > 0; k--) {
                const int other = (int)((seed = seed * 1664525 + 1013904223) >> 8) % (k + 1);
                const int swap = perm[k];
                perm[k] = perm[other];
                perm[other] = swap;
            }
            snprintf(middle, sizeof middle, "m%d", i);
            reshape(names[i], middle, 4, dims[0], dims[1], dims[2], dims[3], 0);
            transpose(middle, names[i + 1], perm[0], perm[1], perm[2], perm[3]);
        }
        assert_same_values();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_cancel),
        cmocka_unit_test(chains_are_one),
        cmocka_unit_test(what_carries_stays),
        cmocka_unit_test(expansions_are_not_made),
        cmocka_unit_test(random_chains_keep_their_values),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
