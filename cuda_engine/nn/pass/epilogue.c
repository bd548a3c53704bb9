#include "pass.h"

#include <string.h>

/* Adds n's program to that of convolution conv, whose result is its operand k; 1 if done. */
static int append(const struct graph *g, struct node *conv, const struct node *n, int k)
{
    struct node longer = *conv;
    const int *dims = g->tensors[n->output].dims;
    for (int i = 0; i < n->program_length; i++) {
        struct instruction in = n->program[i];
        const int chain = i ? ~(i - 1) : k, reversed = in.x != chain;
        if (longer.program_length == GRAPH_PROGRAM)
            return 0;
        if (!is_unary(&in)) {
            const int operand = reversed ? in.x : in.y;
            if (operand < 0 || n->inputs[operand] == n->inputs[k] || (reversed && in.y != chain) ||
                (reversed && (in.function == SUB || in.function == DIV)) ||
                longer.input_count == GRAPH_INPUTS)
                return 0;
            const struct tensor *other = &g->tensors[n->inputs[operand]];
            if (memcmp(other->dims, dims, sizeof other->dims) && !is_per_channel(other, dims))
                return 0;
            if (other->producer >= 0 && g->nodes[other->producer].kind == SLICE)
                return 0; /* it has gaps, and a copy costs more than is won */
            in.y = longer.input_count;
            longer.inputs[longer.input_count++] = n->inputs[operand];
        } else if (reversed)
            return 0;
        longer.program[longer.program_length++] = in;
    }
    *conv = longer;
    return 1;
}

/* What is done to the results of a convolution that nothing else reads, it does itself. */
int epilogue_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    for (int k = 0; n->kind == POINTWISE && k < n->input_count; k++) {
        struct node *conv = convolution_before(g, n, k);
        if (conv && append(g, conv, n, k)) {
            take_over(g, conv, n);
            return 0;
        }
    }
    return 0;
}
