#include "pass.h"

#include <string.h>

/* Each makes what those after it look for. */
const struct pass passes[] = {
    { "scalars", scalars_run },
    { "batchnorm", batchnorm_run },
    { "hardswish", hardswish_run },
    { "gelu", gelu_run },
    { "normalise", normalise_run },
    { "copies", copies_run },
    { "transposes", transposes_run },
    { "copies", copies_run },
    { "reductions", reductions_run },
    { "upsample", upsample_run },
    { "sink", sink_run },
    { "moves", moves_run },
    { "columns", columns_run },
    { "padding", padding_run },
    { "affine", affine_run },
    { "epilogue", epilogue_run },
    { "product", product_run },
    { "pointwise", pointwise_run },
    { "softmax", softmax_run },
};
const int pass_count = sizeof passes / sizeof *passes;

int graph_fuse(struct graph *g, struct error *e)
{
    for (int p = 0; p < pass_count; p++) {
        for (int i = 0, count = g->node_count; i < count; i++)
            if (passes[p].run(g, &g->nodes[i], e))
                return -1;
        if (graph_sort(g, e))
            return -1;
    }
    return 0;
}

struct node *only_producer(const struct graph *g, const struct node *n, int k)
{
    const struct tensor *t = &g->tensors[n->inputs[k]];
    return t->producer >= 0 && t->uses == 1 ? &g->nodes[t->producer] : NULL;
}

const struct node *producer_of(const struct graph *g, int t, enum function function)
{
    if (g->tensors[t].producer < 0)
        return NULL;
    const struct node *n = &g->nodes[g->tensors[t].producer];
    return n->kind == POINTWISE && n->program_length == 1 && n->program[0].function == function
               ? n
               : NULL;
}

struct node *convolution_before(const struct graph *g, const struct node *n, int k)
{
    struct node *conv = only_producer(g, n, k);
    if (!conv || conv->kind != CONVOLUTION ||
        memcmp(g->tensors[conv->output].dims, g->tensors[n->output].dims, 4 * sizeof(int)))
        return NULL;
    return conv;
}

void take_over(struct graph *g, struct node *before, struct node *n)
{
    const int unread = before->output;
    before->output = n->output;
    g->tensors[n->output].producer = (int)(before - g->nodes);
    n->output = unread;
}

int is_per_channel(const struct tensor *t, const int dims[4])
{
    return t->dims[0] == 1 && t->dims[1] == dims[1] && t->dims[2] == 1 && t->dims[3] == 1;
}
