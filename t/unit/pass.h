/*
 * What the passes make of a small file built with onnx.h, and that it computes what it did.
 */
#ifndef MATTE_UNIT_PASS_H
#define MATTE_UNIT_PASS_H

#include "onnx.h"

#include <math.h>
#include <stdio.h>

#include "nn/graph.h"

__attribute__((unused)) static float uniform(void)
{
    static uint64_t seed = 7;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(seed >> 40) / (1 << 23) - 1;
}

__attribute__((unused)) static void noise(const char *name, int rank, const int *dims)
{
    static float values[100000];
    int count = 1;
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    assert_true(count <= 100000);
    for (int i = 0; i < count; i++)
        values[i] = uniform();
    floats(name, values, rank, dims);
}

#define NOISE(name, ...) \
    noise(name, sizeof((int[]) { __VA_ARGS__ }) / sizeof(int), (int[]) { __VA_ARGS__ })

static struct graph graph;

/* What remains of the built file. */
__attribute__((unused)) static const struct graph *fused(void)
{
    struct error e = { 0 };
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    if (graph_read(&graph, fd, "test.onnx", &(struct nn_params) { 0 }, &e) ||
        graph_fuse(&graph, &e))
        fail_msg("%s", e.text);
    close(fd);
    return &graph;
}

/* Runs the file as it is, and again with every node's result a graph output, which leaves nothing to fuse. */
__attribute__((unused)) static void assert_same_values(void)
{
    struct error e;
    struct nn_tensor in, out;
    static float values[2][100000];
    size_t count = 0;
    for (int plain = 0; plain < 2; plain++) {
        const size_t outputs = onnx.graph.n_output;
        for (size_t i = 0; i < onnx.graph.n_node && plain; i++)
            for (size_t k = 0; k < onnx.nodes[i]->n_output; k++)
                output(onnx.nodes[i]->output[k]);
        struct nn_net *net = open_net(&e);
        if (!net)
            fail_msg("%s", e.text);
        uint32_t seed = 3;
        for (size_t i = 0; i < onnx.graph.n_input; i++) {
            assert_int_equal(nn_tensor(net, onnx.inputs[i]->name, &in, &e), 0);
            for (int k = 0; k < in.n * in.c * in.h * in.w; k++) {
                seed = seed * 1664525 + 1013904223;
                in.data[k] = (float)(seed >> 8) / (1 << 21) - 4;
            }
        }
        assert_int_equal(nn_run(net, &e), 0);
        count = 0;
        for (size_t o = 0; o < outputs; o++) {
            assert_int_equal(nn_tensor(net, onnx.outputs[o]->name, &out, &e), 0);
            for (int k = 0; k < out.n * out.c * out.h * out.w; k++)
                values[plain][count++] = out.data[k];
        }
        nn_close(net);
        onnx.graph.n_output = outputs;
    }
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(values[0][i] - values[1][i]) <= 1e-4f * (1 + fabsf(values[1][i]))))
            fail_msg("value %zu is %g, and %g without fusion", i, values[0][i], values[1][i]);
}

__attribute__((unused)) static void begin_conv(void)
{
    begin(13);
    input("x", 1, 16, 6, 6);
    NOISE("w", 16, 16, 1, 1);
    NOISE("b", 16);
    NOISE("gain", 1, 16, 1, 1);
    NOISE("shift", 16, 1, 1);
    scalar("zero", 0);
    scalar("one", 1);
    scalar("three", 3);
    scalar("six", 6);
    scalar("sixth", 1.0f / 6);
    output("z");
}

#endif
