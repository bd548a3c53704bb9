#include "pass.h"

#include <string.h>

/* What is computed element by element for a softmax alone is its program: it is done row by row, while that is in the cache. */
int softmax_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != SOFTMAX || n->program_length)
        return 0;
    const struct node *before = only_producer(g, n, 0);
    if (!before || before->kind != POINTWISE ||
        memcmp(g->tensors[before->output].dims, g->tensors[n->output].dims, 4 * sizeof(int)) != 0)
        return 0;
    memcpy(n->inputs, before->inputs, sizeof n->inputs);
    n->input_count = before->input_count;
    memcpy(n->program, before->program, sizeof n->program);
    n->program_length = before->program_length;
    return 0;
}
