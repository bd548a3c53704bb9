#include "pass.h"

/*
 * What is done to every element of a product of matrices after copies is done before them, where the product can do it
 * itself.
 */
int sink_run(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind != POINTWISE || n->program_length != 1 || n->input_count != 1)
        return 0;
    struct node *copy = only_producer(g, n, 0);
    const struct node *product = copy && copy->kind == COPY ? only_producer(g, copy, 0) : NULL;
    if (!product || product->kind != PRODUCT)
        return 0;
    const int made = graph_add_tensor(g, n->name, &g->tensors[product->output].shape, e);
    if (made < 0)
        return -1;
    const struct node moved = *copy;
    const int result = n->output;
    copy->kind = POINTWISE; /* in its place, as nodes are in order */
    copy->program[0] = n->program[0];
    copy->program_length = 1;
    copy->name = n->name;
    copy->op = n->op;
    copy->output = made;
    *n = moved;
    n->inputs[0] = made;
    n->output = result;
    return 0;
}
