#include "pass.h"

#include <string.h>

/* The node that computes t, if it is of that operator; NULL otherwise. */
static const struct node *operator_of(const struct graph *g, int t, const char *op)
{
    const int p = g->tensors[t].producer;
    return p >= 0 && !strcmp(g->nodes[p].op, op) ? &g->nodes[p] : NULL;
}

/* The one dimension of x, of the last four, of which t is the mean; -1 if it is none. */
static int mean_axis(const struct graph *g, int t, int x)
{
    const struct node *mean = operator_of(g, t, "ReduceMean");
    const struct tensor *in = &g->tensors[x], *out = &g->tensors[t];
    int axis = -1;
    if (!mean || mean->inputs[0] != x || in->shape.rank != out->shape.rank)
        return -1;
    for (int i = 0; i < in->shape.rank; i++)
        if (in->shape.dims[i] != out->shape.dims[i]) {
            if (axis >= 0)
                return -1;
            axis = i + 4 - in->shape.rank;
        }
    return axis;
}

/* 1 if t is the square of x. */
static int is_square(const struct graph *g, int t, int x)
{
    float exponent;
    const struct node *n = operator_of(g, t, "Pow");
    if (n)
        return n->inputs[0] == x && tensor_scalar(&g->tensors[n->inputs[1]], &exponent) &&
               exponent == 2;
    return (n = producer_of(g, t, MUL)) && n->inputs[0] == x && n->inputs[1] == x;
}

/* If t is (x - mean) / sqrt(mean of squares + epsilon): x, and n's axis and epsilon. -1 otherwise. */
static int find_deviations(const struct graph *g, int t, struct node *n)
{
    const struct node *ratio = producer_of(g, t, DIV);
    const struct node *root = ratio ? operator_of(g, ratio->inputs[1], "Sqrt") : NULL;
    const struct node *sum = root ? producer_of(g, root->inputs[0], LINEAR) : NULL;
    const struct node *deviation = ratio ? producer_of(g, ratio->inputs[0], SUB) : NULL;
    if (!sum || !deviation || sum->program[0].low != 1)
        return -1;
    const int x = deviation->inputs[0];
    const struct node *variance = operator_of(g, sum->inputs[0], "ReduceMean");
    if (!variance || !is_square(g, variance->inputs[0], deviation->output))
        return -1;
    n->axis = mean_axis(g, sum->inputs[0], variance->inputs[0]);
    n->epsilon = sum->program[0].high;
    return n->axis >= 0 && n->axis == mean_axis(g, deviation->inputs[1], x) ? x : -1;
}

/* 1 if t has one known value for each place along axis. */
static int is_along(const struct tensor *t, const int dims[4], int axis)
{
    for (int i = 0; i < 4; i++)
        if (t->dims[i] != (i == axis ? dims[i] : 1))
            return 0;
    return t->data != NULL;
}

/* Layer normalisation in its nine nodes, along the channels of a picture or the last dimension. */
int normalise_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE || n->program_length != 1 || n->program[0].function != ADD)
        return 0;
    for (int k = 0; k < 4; k++) {
        const int shift = n->inputs[k & 1];
        const struct node *scaled = producer_of(g, n->inputs[!(k & 1)], MUL);
        if (!scaled)
            continue;
        struct node made = { .name = n->name,
            .op = "LayerNormalization",
            .kind = NORMALISE,
            .inputs = { 0, scaled->inputs[k >> 1], shift },
            .input_count = 3,
            .output = n->output };
        const int x = find_deviations(g, scaled->inputs[!(k >> 1)], &made);
        if (x < 0)
            continue;
        const struct tensor *t = &g->tensors[x];
        if ((made.axis != 3 && (made.axis != 1 || t->shape.rank != 4)) ||
            !is_along(&g->tensors[made.inputs[1]], t->dims, made.axis) ||
            !is_along(&g->tensors[shift], t->dims, made.axis) ||
            memcmp(t->dims, g->tensors[n->output].dims, sizeof t->dims) != 0)
            continue;
        made.inputs[0] = x;
        *n = made;
        return 0;
    }
    return 0;
}
