#include "pass.h"

#include <string.h>

/* The weights as a matrix of inputs x (kernel, outputs). */
static int add_weights(struct graph *g, const struct node *n, struct error *e)
{
    const struct tensor w = g->tensors[n->inputs[1]];
    const int inputs = w.dims[0], outputs = w.dims[1], kernel = w.dims[2] * w.dims[3];
    const struct shape shape = { REAL, 2, { inputs, kernel * outputs } };
    float *values = graph_alloc(g, tensor_elements(&w) * sizeof *values, e);
    const int made = values ? graph_add_tensor(g, w.name, &shape, e) : -1;
    if (made < 0)
        return -1;
    float *to = values;
    for (int i = 0; i < inputs; i++)
        for (int k = 0; k < kernel; k++)
            for (int o = 0; o < outputs; o++)
                *to++ = w.data[((size_t)i * outputs + o) * kernel + k];
    g->tensors[made].data = values;
    return made;
}

/* The bias once for every place of the kernel. */
static int add_bias(struct graph *g, const struct node *n, int kernel, struct error *e)
{
    const struct tensor b = g->tensors[n->inputs[2]];
    const int outputs = (int)tensor_elements(&b);
    const struct shape shape = { REAL, 1, { kernel * outputs } };
    float *values = graph_alloc(g, (size_t)kernel * outputs * sizeof *values, e);
    const int made = values ? graph_add_tensor(g, b.name, &shape, e) : -1;
    if (made < 0)
        return -1;
    for (int k = 0; k < kernel; k++)
        memcpy(values + (size_t)k * outputs, b.data, outputs * sizeof *values);
    g->tensors[made].data = values;
    return made;
}

static int is_plain_step(const struct window *w)
{
    for (int i = 0; i < w->rank; i++)
        if (w->kernel[i] != w->stride[i] || w->dilation[i] != 1 || w->before[i] || w->after[i])
            return 0;
    return w->rank == 2 && w->group == 1;
}

/*
 * A transposed convolution whose windows do not overlap is a product of matrices: every pixel's channels give a block of
 * pixels, and copies put them in place.
 */
int upsample_run(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind != PLAIN || strcmp(n->op, "ConvTranspose") != 0 || !is_plain_step(&n->window) ||
        !g->tensors[n->inputs[1]].data || (n->window.bias && !g->tensors[n->inputs[2]].data))
        return 0;
    const struct shape out = g->tensors[n->output].shape;
    const int *d = g->tensors[n->inputs[0]].dims, b = d[0], c = d[1], h = d[2], w = d[3];
    const int kh = n->window.kernel[0], kw = n->window.kernel[1], o = out.dims[1];
    const int wide = kh * kw * o;
    if (out.dims[2] != h * kh || out.dims[3] != w * kw)
        return 0;
    const struct shape rows = { REAL, 2, { b * h * w, c } },
                       sums = { REAL, 2, { b * h * w, wide } };
    const int taken = n->inputs[0], result = n->output, bias = n->window.bias;
    const int weights = add_weights(g, n, e);
    const int shifts = bias && weights >= 0 ? add_bias(g, n, kh * kw, e) : 0;
    const int pixels = graph_add_tensor(g, n->name, &rows, e);
    const int blocks = graph_add_tensor(g, n->name, &sums, e);
    if (weights < 0 || shifts < 0 || pixels < 0 || blocks < 0)
        return -1;
    struct node gather = { .name = n->name,
        .op = n->op,
        .kind = COPY,
        .inputs = { taken },
        .input_count = 1,
        .output = pixels,
        .settings.copy = { 3, { b, h * w, c }, { (ptrdiff_t)c * h * w, 1, (ptrdiff_t)h * w }, 0 } };
    struct node product = { .name = n->name,
        .op = n->op,
        .kind = PRODUCT,
        .inputs = { pixels, weights, shifts },
        .input_count = 2 + bias,
        .output = blocks,
        .program = { { .function = ADD, .y = 2 } },
        .program_length = bias };
    struct node scatter = { .name = n->name,
        .op = n->op,
        .kind = COPY,
        .inputs = { blocks },
        .input_count = 1,
        .output = result,
        .settings.copy = { 6, { b, o, h, kh, w, kw },
            { (ptrdiff_t)h * w * wide, 1, (ptrdiff_t)w * wide, kw * o, wide, o }, 0 } };
    *n = scatter; /* before nodes are added, which moves them */
    return graph_add_node(g, &gather, e) < 0 || graph_add_node(g, &product, e) < 0 ? -1 : 0;
}
