#include "pass.h"

#include <string.h>

/* What is done to the results of a product of matrices that nothing else reads, it does itself. Where both its matrices are
   computed there may be many, and then no backend takes operands. */
int product_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE || n->program_length != 1)
        return 0;
    const int *dims = g->tensors[n->output].dims;
    for (int k = 0; k < n->input_count; k++) {
        struct node *product = only_producer(g, n, k);
        struct instruction i = n->program[0];
        if (!product || product->kind != PRODUCT || product->program_length == GRAPH_PROGRAM ||
            memcmp(g->tensors[product->output].dims, dims, 4 * sizeof *dims) != 0)
            continue;
        if (!is_unary(&i)) {
            const struct tensor *other = &g->tensors[n->inputs[!k]];
            const int row[4] = { 1, 1, 1, dims[3] };
            if (!g->tensors[product->inputs[1]].data || product->input_count == GRAPH_INPUTS ||
                (k && (i.function == SUB || i.function == DIV)) || n->inputs[0] == n->inputs[1] ||
                (memcmp(other->dims, row, sizeof row) != 0 &&
                    memcmp(other->dims, dims, sizeof row) != 0) ||
                (other->producer >= 0 && g->nodes[other->producer].kind == SLICE))
                continue;
            i.y = product->input_count;
            product->inputs[product->input_count++] = n->inputs[!k];
        }
        product->program[product->program_length++] = i;
        take_over(g, product, n);
        return 0;
    }
    return 0;
}
