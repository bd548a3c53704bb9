/*
 * Convolutions by Winograd's algorithm against the same by oneDNN: edges, padding, programs, threads.
 */
#include "pass.h"

#include <omp.h>

#include "nn/dnnl/plan.h"

struct layer {
    int channels, outputs, h, w, pad, bias, activation, residual;
};

static void build(const struct layer *l)
{
    begin(13);
    input("x", 2, l->channels, l->h, l->w);
    NOISE("w", l->outputs, l->channels, 3, 3);
    NOISE("b", l->outputs);
    set_ints(node("Conv", l->bias ? "x,w,b" : "x,w", "c"), "pads", 4,
        (int[]) { l->pad, l->pad, l->pad, l->pad });
    if (l->residual) {
        input("y", 2, l->outputs, l->h + 2 * l->pad - 2, l->w + 2 * l->pad - 2);
        node("Add", "c,y", "s");
    }
    node(l->activation ? "Relu" : "Sigmoid", l->residual ? "s" : "c", "z");
    output("z");
}

/* The largest difference of the two (of sums of up to 576 products of numbers up to 1) for the plan's convolution. */
static float difference(struct plan *p, const struct step *convolution)
{
    struct error e;
    const struct view *out = &convolution->out;
    const size_t count = (size_t)out->n * out->stride_n;
    float *first = plan_alloc(p, count * sizeof *first, &e), largest = 0;
    int (*const prepare[])(
        struct plan *, struct step *, struct error *) = { dnnl_prepare, winograd_prepare };
    for (int i = 0; i < 2; i++) {
        struct step s = { .node = convolution->node, .out = *out };
        memcpy(s.in, convolution->in, sizeof s.in);
        assert_int_equal(prepare[i](p, &s, &e), 0);
        step_scratch(&s, plan_alloc(p, p->scratch_bytes, &e));
        memset(out->data, 0x7f, count * sizeof *first);
        s.run(&s);
        assert_int_equal(s.run == convolution->run, i); /* the plan took Winograd's */
        step_release(&s);
        if (!i)
            memcpy(first, out->data, count * sizeof *first);
    }
    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(first[i] - out->data[i]));
    return largest;
}

static void agrees(void **state)
{
    static const struct layer layers[] = {
        { 16, 16, 16, 16, 1, 1, 1, 0 },
        { 16, 48, 30, 21, 1, 0, 1, 0 },
        { 64, 32, 19, 34, 1, 1, 0, 1 },
        { 32, 16, 35, 33, 0, 1, 1, 1 },
        { 16, 32, 40, 90, 2, 0, 0, 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int threads = 1; threads < 4; threads++) {
            struct plan p = { 0 };
            struct error e;
            build(&layers[i]);
            fused();
            omp_set_num_threads(threads);
            assert_int_equal(plan_make(&p, &graph, &e), 0);
            for (size_t k = 0; k < p.places.bytes / sizeof *p.arena; k++)
                p.arena[k] = uniform();
            int found = 0;
            for (int k = 0; k < p.step_count; k++) {
                if (p.steps[k].node->kind != CONVOLUTION)
                    continue;
                assert_true(winograd_fits(&p.steps[k]));
                assert_in_range((int)(difference(&p, &p.steps[k]) * 1e6f), 0, 200);
                found++;
            }
            assert_int_equal(found, 1);
            plan_free(&p);
            graph_free(&graph);
        }
}

/* Other windows, odd channels, and weights that would take more memory than the pictures. */
static void leaves_others_alone(void **state)
{
    static const struct {
        int channels, side, kernel, stride, dilation, group;
    } layers[] = { { 16, 32, 1, 1, 1, 1 }, { 16, 32, 3, 2, 1, 1 }, { 16, 32, 3, 1, 2, 1 },
        { 16, 32, 3, 1, 1, 2 }, { 24, 32, 3, 1, 1, 1 }, { 64, 8, 3, 1, 1, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        struct plan p = { 0 };
        struct error e;
        const int c = layers[i].channels, k = layers[i].kernel, s = layers[i].stride,
                  d = layers[i].dilation;
        begin(13);
        input("x", 1, c, layers[i].side, layers[i].side);
        NOISE("w", c, c / layers[i].group, k, k);
        Onnx__NodeProto *n = node("Conv", "x,w", "z");
        set_ints(n, "pads", 4, (int[]) { d, d, d, d });
        set_ints(n, "strides", 2, (int[]) { s, s });
        set_ints(n, "dilations", 2, (int[]) { d, d });
        set_int(n, "group", layers[i].group);
        output("z");
        fused();
        assert_int_equal(plan_make(&p, &graph, &e), 0);
        for (int step = 0; step < p.step_count; step++)
            assert_true(p.steps[step].node->kind != CONVOLUTION || !winograd_fits(&p.steps[step]));
        plan_free(&p);
        graph_free(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees),
        cmocka_unit_test(leaves_others_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
