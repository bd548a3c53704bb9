/*
 * Operators that only move elements are copies with strides, whatever they are called: a copy of a copy is one copy,
 * and one that moves nothing, or repeats what an element-wise node would repeat anyway, is not needed. So transpositions
 * cancel, through reshapes too.
 */
#include "pass.h"

#include <string.h>

#include "../plain/plain.h"

const struct copy *copy_of(const struct node *n)
{
    const int copies = n && (n->kind == COPY || (n->kind == PLAIN && n->compute == copy_compute));
    return copies ? &n->settings.copy : NULL;
}

static const struct node *producer(const struct graph *g, int t)
{
    return g->tensors[t].producer < 0 ? NULL : &g->nodes[g->tensors[t].producer];
}

/* 1 if n's output is its input, element by element and in shape. */
static int moves_nothing(const struct graph *g, const struct node *n)
{
    const struct copy *c = copy_of(n);
    if (!c)
        return 0;
    const struct tensor *in = &g->tensors[n->inputs[0]], *out = &g->tensors[n->output];
    const struct copy simple = copy_simple(c);
    return in->shape.rank == out->shape.rank &&
           !memcmp(in->shape.dims, out->shape.dims, in->shape.rank * sizeof(int)) &&
           copy_is_same(&simple);
}

/* 1 if n only repeats its input, as element-wise nodes do themselves. */
static int expands(const struct graph *g, const struct node *n)
{
    const struct copy *c = copy_of(n);
    if (!c || c->base)
        return 0;
    const struct shape *in = &g->tensors[n->inputs[0]].shape, *out = &g->tensors[n->output].shape;
    ptrdiff_t step = 1;
    if (in->rank > out->rank || c->rank != out->rank)
        return 0;
    for (int i = 1; i <= out->rank; i++) {
        const int size = i <= in->rank ? in->dims[in->rank - i] : 1;
        const int wide = out->dims[out->rank - i];
        if (c->dims[out->rank - i] != wide || (size != wide && size != 1) ||
            (wide > 1 && c->step[out->rank - i] != (size == 1 ? 0 : step)))
            return 0;
        step *= size;
    }
    return 1;
}

/* 1 if n's output is as large without what its input k is repeated for. */
static int has_other_size(const struct graph *g, const struct node *n, int k)
{
    const int *dims = g->tensors[n->output].dims;
    for (int i = 0; i < n->input_count; i++)
        if (i != k && !memcmp(g->tensors[n->inputs[i]].dims, dims, 4 * sizeof *dims))
            return 1;
    return 0;
}

int copies_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    const struct node *before = n->input_count ? producer(g, n->inputs[0]) : NULL;
    if (copy_of(n) && copy_of(before) && !expands(g, n) &&
        tensor_elements(&g->tensors[n->output]) && copy_compose(&n->settings.copy, copy_of(before)))
        n->inputs[0] = before->inputs[0];
    for (int k = 0; k < n->input_count; k++) {
        before = producer(g, n->inputs[k]);
        if (before && (moves_nothing(g, before) ||
                          (n->kind == POINTWISE && expands(g, before) && has_other_size(g, n, k))))
            n->inputs[k] = before->inputs[0];
    }
    return 0;
}
