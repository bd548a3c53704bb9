/*
 * Planning for the CPU: what is computed right where a concatenation has it, what is a view of another tensor, and what
 * has to be copied because oneDNN takes no gaps.
 */
#include "pass.h"

#include "nn/dnnl/plan.h"

static struct plan plan;

static void planned(void)
{
    struct error e;
    fused();
    if (plan_make(&plan, &graph, &e))
        fail_msg("%s", e.text);
}

static void done(void)
{
    plan_free(&plan);
    graph_free(&graph);
}

static const struct step *find_step(enum kind kind)
{
    for (int i = 0; i < plan.step_count; i++)
        if (plan.steps[i].node->kind == kind)
            return &plan.steps[i];
    fail_msg("there is no such step");
    return NULL;
}

static void concatenates_without_copies(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 8, 6, 6);
    input("h", 1, 8, 3, 3);
    NOISE("w", 8, 8, 1, 1);
    NOISE("w2", 8, 32, 3, 3);
    int64s("sizes", (int64_t[]) { 1, 8, 6, 6 }, 4);
    node("Sigmoid", "x", "a");
    set_text(node("Resize", "h,,,sizes", "b"), "mode", "linear");
    node("Conv", "x,w", "c");
    node("MaxPool", "x", "d");
    set_ints(onnx.nodes[3], "kernel_shape", 2, (int[]) { 1, 1 });
    set_int(node("Concat", "a,b,c,d", "j"), "axis", 1);
    node("Conv", "j,w2", "z");
    output("z");
    planned();
    const struct step *s = find_step(CONCAT);
    for (int k = 0; k < 4; k++) {
        const int in_place = k < 2; /* by our own loops; oneDNN writes without gaps only */
        assert_int_equal(s->in[k].data == s->out.data + 8 * (ptrdiff_t)k, in_place);
        assert_int_equal(s->in[k].stride_w, in_place ? 32 : 8);
    }
    assert_ptr_equal(find_step(RESIZE)->out.data, s->out.data + 8);
    done();
}

/* Parts of a concatenation that another node reads are still there, with gaps. */
static void reads_parts_of_a_concatenation(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 8, 6, 6);
    node("Sigmoid", "x", "a");
    node("Tanh", "x", "b");
    set_int(node("Concat", "a,b", "z"), "axis", 1);
    node("Mul", "a,b", "y");
    output("z");
    output("y");
    planned();
    const struct step *s = find_step(CONCAT);
    assert_ptr_equal(s->in[0].data, s->out.data);
    assert_ptr_equal(s->in[1].data, s->out.data + 8);
    done();
    assert_same_values();
}

static void slices_are_views(void **state)
{
    (void)state;
    begin(13);
    input("x", 1, 8, 6, 6);
    NOISE("w", 8, 4, 1, 1);
    set_int(node("Split", "x", "a,b"), "axis", 1);
    node("Sigmoid", "b", "y");
    node("Conv", "b,w", "z");
    output("y");
    output("z");
    planned();
    const struct step *s = find_step(POINTWISE);
    assert_ptr_equal(s->in[0].data, plan.views[graph.inputs[0].tensor].data + 4);
    assert_int_equal(s->in[0].stride_w, 8);
    assert_int_equal(find_step(CONVOLUTION)->in[0].stride_w, 4); /* a copy, made for it */
    done();
    assert_same_values();
}

/* Not more than what is alive at once: a chain takes two tensors and what oneDNN needs, however long it is. */
static void memory_is_used_again(void **state)
{
    enum { SIDE = 32, BYTES = 16 * SIDE * SIDE * sizeof(float) };
    (void)state;
    begin(13);
    input("x", 1, 16, SIDE, SIDE);
    NOISE("w", 16, 16, 1, 1);
    for (int i = 0; i < 10; i++) {
        char from[20], to[20];
        snprintf(from, sizeof from, i ? "t%d,w" : "x,w", i);
        snprintf(to, sizeof to, i == 9 ? "z" : "t%d", i + 1);
        node("Conv", from, to);
    }
    output("z");
    planned();
    assert_int_equal(plan.places.bytes, 2 * BYTES);
    done();
}

static int primitive_length(enum kind kind)
{
    planned();
    const int length = find_step(kind)->node->program_length;
    done();
    return length;
}

/* What one primitive would compute with the first one's parameters is another step. */
static void an_algorithm_has_one_set_of_parameters(void **state)
{
    (void)state;
    begin_conv(); /* clipped from below twice */
    scalar("low", -.4f);
    node("Conv", "x,w,b", "c");
    node("LeakyRelu", "c", "d");
    node("Max", "d,low", "e");
    node("Max", "e,one", "z");
    assert_int_equal(primitive_length(CONVOLUTION), 2);
    assert_same_values();
    begin_conv(); /* one slope and another, which are one algorithm to oneDNN; the rest has operands */
    node("Conv", "x,w,b", "c");
    node("Relu", "c", "d");
    node("Add", "d,x", "e");
    node("LeakyRelu", "e", "f");
    node("Mul", "f,gain", "g");
    node("Sub", "g,x", "z");
    assert_int_equal(primitive_length(CONVOLUTION), 2);
    assert_same_values();
    begin_conv(); /* the same twice is no other */
    node("Conv", "x,w,b", "c");
    node("Relu", "c", "d");
    node("Add", "d,x", "e");
    node("Relu", "e", "z");
    assert_int_equal(primitive_length(CONVOLUTION), 3);
    assert_same_values();
    begin(13); /* a product, scaled, clipped and scaled */
    input("x", 1, 1, 5, 8);
    NOISE("w", 8, 4);
    scalar("half", .5f);
    scalar("two", 2);
    scalar("one", 1);
    node("MatMul", "x,w", "a");
    node("Mul", "a,half", "b");
    node("Min", "b,one", "c");
    node("Mul", "c,two", "z");
    output("z");
    assert_int_equal(primitive_length(PRODUCT), 2);
    assert_same_values();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concatenates_without_copies),
        cmocka_unit_test(reads_parts_of_a_concatenation),
        cmocka_unit_test(slices_are_views),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(an_algorithm_has_one_set_of_parameters),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
