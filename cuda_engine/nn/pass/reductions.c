#include "pass.h"

#include "../plain/plain.h"

/* Sums and means of the rows or columns of pictures, or of both, are average pools: backends have them, for tensors as they lie. */
int reductions_run(struct graph *g, struct node *n, struct error *e)
{
    const struct tensor *in = &g->tensors[n->inputs[0]], *out = &g->tensors[n->output];
    const int mode = n->settings.mode, *d = in->dims;
    if (n->kind != PLAIN || n->compute != reduce_compute || (mode != SUM && mode != MEAN) ||
        in->shape.type != REAL || in->shape.rank != 4 || out->shape.rank != 4 ||
        tensor_is_constant(in) || out->dims[0] != d[0] || out->dims[1] != d[1])
        return 0;
    struct node pool = *n;
    pool.kind = POOL_AVERAGE;
    pool.window = (struct window) { .rank = 2,
        .kernel = { d[2] / out->dims[2], d[3] / out->dims[3] },
        .stride = { 1, 1 },
        .dilation = { 1, 1 } };
    if (mode == MEAN) {
        *n = pool;
        return 0;
    }
    const float count = (float)(pool.window.kernel[0] * pool.window.kernel[1]);
    if ((pool.output = graph_add_tensor(g, n->name, &out->shape, e)) < 0)
        return -1;
    n->kind = POINTWISE;
    n->inputs[0] = pool.output;
    n->program[0] = (struct instruction) { .function = LINEAR, .low = count };
    n->program_length = 1;
    return graph_add_node(g, &pool, e) < 0 ? -1 : 0;
}
