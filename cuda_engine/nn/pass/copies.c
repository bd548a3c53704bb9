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
    return n && n->kind == PLAIN && n->compute == copy_compute ? &n->settings.copy : NULL;
}

/* Makes a digit the outermost of c; 0: there is no room. */
static int add_digit(struct copy *c, int count, ptrdiff_t step)
{
    const int last = c->rank - 1;
    if (count == 1)
        return 1;
    if (last >= 0 && step == c->step[last] * c->dims[last]) {
        c->dims[last] *= count;
        return 1;
    }
    if (c->rank == 2 * GRAPH_RANK)
        return 0;
    c->dims[c->rank] = count;
    c->step[c->rank++] = step;
    return 1;
}

/* Digits were added from the innermost on. */
static void reverse(struct copy *c)
{
    for (int i = 0, k = c->rank - 1; i < k; i++, k--) {
        const int dim = c->dims[i];
        const ptrdiff_t step = c->step[i];
        c->dims[i] = c->dims[k];
        c->step[i] = c->step[k];
        c->dims[k] = dim;
        c->step[k] = step;
    }
}

struct copy copy_simple(const struct copy *c)
{
    struct copy simple = { .base = c->base };
    for (int i = c->rank - 1; i >= 0; i--)
        add_digit(&simple, c->dims[i], c->step[i]); /* there is room: they are no more than c's */
    reverse(&simple);
    return simple;
}

/*
 * A copy's steps are sums of steps of its input's digits; where no such sum carries from one digit to the next, each may
 * be replaced by what the copy before does with that digit. 1 and *both; 0: there are carries.
 */
static int compose(const struct copy *after, const struct copy *before, struct copy *both)
{
    ptrdiff_t stride[2 * GRAPH_RANK], highest[2 * GRAPH_RANK], elements = 1;
    *both = (struct copy) { .base = before->base };
    for (int k = before->rank - 1; k >= 0; k--) {
        stride[k] = elements;
        elements *= before->dims[k];
        highest[k] = after->base / stride[k] % before->dims[k];
        both->base += highest[k] * before->step[k];
    }
    for (int i = after->rank - 1; i >= 0; i--) {
        ptrdiff_t left = after->dims[i], step = after->step[i];
        if (!step && !add_digit(both, (int)left, 0))
            return 0;
        while (step && left > 1) {
            int k = before->rank - 1;
            while (k >= 0 && !(step >= stride[k] && step < stride[k] * before->dims[k]))
                k--;
            if (k < 0 || step % stride[k])
                return 0;
            const ptrdiff_t times = step / stride[k], fit = before->dims[k] / times;
            const ptrdiff_t count = (left - 1) * times < before->dims[k] ? left : fit;
            if (count < left && (before->dims[k] % times || left % fit))
                return 0;
            highest[k] += (count - 1) * times;
            if (!add_digit(both, (int)count, times * before->step[k]))
                return 0;
            left /= count;
            step *= count;
        }
    }
    for (int k = 0; k < before->rank; k++)
        if (highest[k] >= before->dims[k])
            return 0;
    reverse(both);
    return 1;
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
           !memcmp(in->shape.dims, out->shape.dims, in->shape.rank * sizeof(int)) && !simple.base &&
           (!simple.rank || (simple.rank == 1 && simple.step[0] == 1));
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
    struct copy both;
    const struct node *before = n->input_count ? producer(g, n->inputs[0]) : NULL;
    if (copy_of(n) && copy_of(before) && !expands(g, n) &&
        tensor_elements(&g->tensors[n->output]) && compose(copy_of(n), copy_of(before), &both)) {
        n->settings.copy = both;
        n->inputs[0] = before->inputs[0];
    }
    for (int k = 0; k < n->input_count; k++) {
        before = producer(g, n->inputs[k]);
        if (before && (moves_nothing(g, before) ||
                          (n->kind == POINTWISE && expands(g, before) && has_other_size(g, n, k))))
            n->inputs[k] = before->inputs[0];
    }
    return 0;
}
