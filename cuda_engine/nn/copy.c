#include "graph.h"

/* Adds size elements that are step apart; joins them to the dimension before where they go on from it. 0: no room. */
static int push(struct copy *c, int size, ptrdiff_t step)
{
    const int last = c->rank - 1;
    if (size == 1)
        return 1;
    if (last >= 0 && c->step[last] == size * step) {
        c->dims[last] *= size;
        c->step[last] = step;
        return 1;
    }
    if (c->rank == COPY_RANK)
        return 0;
    c->dims[c->rank] = size;
    c->step[c->rank++] = step;
    return 1;
}

/*
 * The elements that a dimension of size and step visits in inner's output, as dimensions of inner's input. Those are
 * found from the last: a step is a multiple of one digit's weight, and where the digit is full it goes on in the digit
 * before. used is how large each digit becomes.
 */
static int follow(struct copy *to, int size, ptrdiff_t step, const struct copy *inner,
    const ptrdiff_t *weights, ptrdiff_t *used)
{
    int sizes[COPY_RANK], count = 0;
    ptrdiff_t steps[COPY_RANK];
    while (size > 1) {
        int k = inner->rank - 1;
        while (k >= 0 && (inner->dims[k] == 1 || step >= weights[k] * inner->dims[k]))
            k--;
        if (k < 0 || step % weights[k] || count == COPY_RANK)
            return 0;
        const ptrdiff_t by = step / weights[k];
        int part = size;
        if (by * (size - 1) >= inner->dims[k]) {
            part = (int)(inner->dims[k] / by);
            if (inner->dims[k] % by || size % part)
                return 0;
        }
        sizes[count] = part;
        steps[count++] = by * inner->step[k];
        used[k] += by * (part - 1);
        size /= part;
        step *= part;
    }
    while (count--)
        if (!push(to, sizes[count], steps[count]))
            return 0;
    return 1;
}

int copy_compose(struct copy *c, const struct copy *inner)
{
    struct copy result = { .base = inner->base };
    ptrdiff_t weights[COPY_RANK], used[COPY_RANK] = { 0 }, weight = 1;
    for (int k = inner->rank - 1; k >= 0; k--) {
        weights[k] = weight;
        used[k] = c->base / weight % inner->dims[k];
        result.base += used[k] * inner->step[k];
        weight *= inner->dims[k];
    }
    if (c->base < 0 || c->base >= weight)
        return 0;
    for (int i = 0; i < c->rank; i++) {
        if (c->step[i] < 0)
            return 0;
        if (!(c->step[i] ? follow(&result, c->dims[i], c->step[i], inner, weights, used)
                         : push(&result, c->dims[i], 0)))
            return 0;
    }
    for (int k = 0; k < inner->rank; k++)
        if (used[k] >= inner->dims[k]) /* digits would carry */
            return 0;
    *c = result;
    return 1;
}

struct copy copy_simple(const struct copy *c)
{
    struct copy simple = { .base = c->base };
    for (int i = 0; i < c->rank; i++)
        push(&simple, c->dims[i], c->step[i]); /* there is room: they are no more than c's */
    return simple;
}

int copy_is_same(const struct copy *c)
{
    return !c->base && (!c->rank || (c->rank == 1 && c->step[0] == 1));
}

struct copy copy_of_slice(const struct graph *g, const struct node *n)
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
