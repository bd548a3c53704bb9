#include "pass.h"

#include "../plain/plain.h"

/*
 * Reshapes, transposes and the like, of floats, become copies, and copies of copies one. What reads a copy that must be made
 * anyway, for others too, stays as it is.
 */
int moves_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    const int read = n->inputs[0];
    const struct tensor *in = &g->tensors[read];
    struct copy own = n->settings.copy;
    if (n->kind == SLICE && in->producer >= 0 && g->nodes[in->producer].kind == COPY)
        own = copy_of_slice(g, n);
    else if (n->kind != COPY && (!copy_of(n) || tensor_is_constant(in) || in->shape.type != REAL))
        return 0;
    for (;;) {
        const struct node *before = in->producer >= 0 ? &g->nodes[in->producer] : NULL;
        if (!before || (before->kind != COPY && before->kind != SLICE))
            break;
        const struct copy inner =
            before->kind == SLICE ? copy_of_slice(g, before) : before->settings.copy;
        if ((before->kind == COPY && in->uses > 1 && !copy_is_same(&inner)) ||
            !copy_compose(&own, &inner))
            break;
        n->inputs[0] = before->inputs[0];
        in = &g->tensors[n->inputs[0]];
    }
    if (n->kind == SLICE && n->inputs[0] == read)
        return 0; /* a view of a copy that others need */
    n->kind = COPY;
    n->input_count = 1;
    n->settings.copy = own;
    return 0;
}
