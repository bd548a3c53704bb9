#include "pass.h"

#include <string.h>

/* Adds n's instruction to the program of convolution conv, whose result is its operand k; 1 if done. */
static int append(struct graph *g, struct node *conv, const struct node *n, int k)
{
    struct instruction i = n->program[0];
    if (conv->program_length == GRAPH_PROGRAM)
        return 0;
    if (!is_unary(&i)) {
        const struct tensor *other = &g->tensors[n->inputs[!k]];
        if (conv->input_count == GRAPH_INPUTS || (k && (i.function == SUB || i.function == DIV)) ||
            n->inputs[0] == n->inputs[1])
            return 0;
        if (memcmp(other->dims, g->tensors[n->output].dims, sizeof other->dims) &&
            !is_per_channel(other, g->tensors[n->output].dims))
            return 0;
        if (other->producer >= 0 && g->nodes[other->producer].kind == SLICE)
            return 0; /* it has gaps, and a copy costs more than is won */
        i.y = conv->input_count;
        conv->inputs[conv->input_count++] = n->inputs[!k];
    }
    conv->program[conv->program_length++] = i;
    return 1;
}

/* What is done to the results of a convolution that nothing else reads, it does itself. */
int epilogue_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE || n->program_length != 1)
        return 0;
    for (int k = 0; k < n->input_count; k++) {
        struct node *conv = convolution_before(g, n, k);
        if (conv && append(g, conv, n, k)) {
            take_over(g, conv, n);
            return 0;
        }
    }
    return 0;
}
