#include "pass.h"

#include <string.h>

#include "../plain/plain.h"

/* A view into a tensor as the copy that it is. */
static struct copy copy_of_slice(const struct graph *g, const struct node *n)
{
    const int *in = g->tensors[n->inputs[0]].dims, *out = g->tensors[n->output].dims;
    struct copy c = { .rank = 4 };
    ptrdiff_t step = 1;
    for (int i = 3; i >= 0; i--) {
        c.dims[i] = out[i];
        c.step[i] = step;
        c.base += n->offset[i] * step;
        step *= in[i];
    }
    return c;
}

/* The copy that broadcasts a tensor of the shape in to the shape out. */
static struct copy expansion(const struct shape *in, const struct shape *out)
{
    struct copy c = { .rank = out->rank };
    ptrdiff_t step = 1;
    for (int i = 1; i <= out->rank; i++) {
        const int size = i <= in->rank ? in->dims[in->rank - i] : 1;
        c.dims[out->rank - i] = out->dims[out->rank - i];
        c.step[out->rank - i] = size == 1 ? 0 : step;
        step *= size;
    }
    return c;
}

static int are_same(const struct copy *a, const struct copy *b)
{
    return a->base == b->base && a->rank == b->rank &&
           !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) &&
           !memcmp(a->step, b->step, a->rank * sizeof *a->step);
}

/* 1 if copy n only repeats its input, along dimensions in which that has one element. */
static int expands(const struct graph *g, const struct node *n)
{
    const struct shape *in = &g->tensors[n->inputs[0]].shape, *out = &g->tensors[n->output].shape;
    if (in->rank > out->rank)
        return 0;
    const struct copy due = expansion(in, out), due_simple = copy_simple(&due),
                      simple = copy_simple(&n->settings.copy);
    return are_same(&due_simple, &simple) && shape_elements(in) < shape_elements(out);
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

static int has_same_shape(const struct shape *a, const struct shape *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

/* What n reads of a copy that moves nothing, or repeats what n itself would repeat, it reads of that copy's input. */
static void pass_over(const struct graph *g, struct node *n)
{
    for (int k = 0; k < n->input_count; k++) {
        const int producer = g->tensors[n->inputs[k]].producer;
        const struct node *copy = producer < 0 ? NULL : &g->nodes[producer];
        if (!copy || copy->kind != COPY)
            continue;
        if ((copy_is_same(&copy->settings.copy) &&
                has_same_shape(
                    &g->tensors[copy->inputs[0]].shape, &g->tensors[copy->output].shape)) ||
            (n->kind == POINTWISE && expands(g, copy) && has_other_size(g, n, k)))
            n->inputs[k] = copy->inputs[0];
    }
}

/*
 * Reshapes, transposes and the like, of floats, become copies, and copies of copies one: so transpositions cancel, through
 * reshapes too. What reads a copy that must be made anyway, for others too, stays as it is; and so does what only
 * repeats, as an element-wise node may do that itself.
 */
int copies_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    pass_over(g, n);
    const int read = n->inputs[0];
    const struct tensor *in = &g->tensors[read];
    struct copy own = n->settings.copy;
    if (n->kind == SLICE && in->producer >= 0 && g->nodes[in->producer].kind == COPY)
        own = copy_of_slice(g, n);
    else if (n->kind != COPY && (n->kind != PLAIN || n->compute != copy_compute ||
                                    tensor_is_constant(in) || in->shape.type != REAL))
        return 0;
    const int repeats = n->kind != SLICE && expands(g, n);
    own = copy_simple(&own);
    while (!repeats) {
        const struct node *before = in->producer >= 0 ? &g->nodes[in->producer] : NULL;
        if (!before || (before->kind != COPY && before->kind != SLICE))
            break;
        const struct copy inner =
            before->kind == SLICE ? copy_of_slice(g, before) : before->settings.copy;
        struct copy both = own;
        if (!copy_compose(&both, &inner) ||
            (before->kind == COPY && in->uses > 1 && !copy_is_same(&inner) && !copy_is_same(&both)))
            break;
        own = both;
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
