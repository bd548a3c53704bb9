/*
 * Transpositions are moved below the element-wise nodes, concatenations, slices, paddings and reductions that read them, where
 * there are no more of them afterwards: most then meet their inverse and cancel (copies.c), and the others no longer
 * keep a convolution from what it could do itself. Networks made for N,H,W,C are full of them.
 */
#include "pass.h"

#include <string.h>

#include "../plain/plain.h"

/* Dimension i of a result is dimension axes[i] of what is transposed. */
struct permutation {
    int rank, axes[GRAPH_RANK];
};

/* Nodes that could as well read what is not yet transposed. */
struct region {
    struct graph *graph;
    struct permutation permutation;
    char *has; /* by node */
    int *made; /* by tensor: another, of which it is the transposition; 0: none was made */
};

static struct copy copy_for(const struct permutation *p, const struct shape *in)
{
    struct copy c = { .rank = p->rank };
    ptrdiff_t stride[GRAPH_RANK] = { 0 }, step = 1;
    for (int i = p->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= in->dims[i];
    }
    for (int i = 0; i < p->rank; i++) {
        c.dims[i] = in->dims[p->axes[i]];
        c.step[i] = stride[p->axes[i]];
    }
    return c;
}

/* 1 if n, of a graph, is this transposition. */
static int is_permutation(const struct graph *g, const struct node *n, const struct permutation *p)
{
    if (!copy_of(n))
        return 0;
    const struct shape *in = &g->tensors[n->inputs[0]].shape, *out = &g->tensors[n->output].shape;
    if (in->type != REAL || in->rank != p->rank || out->rank != p->rank)
        return 0;
    for (int i = 0; i < p->rank; i++)
        if (out->dims[i] != in->dims[p->axes[i]])
            return 0;
    const struct copy due = copy_for(p, in), due_simple = copy_simple(&due),
                      is_simple = copy_simple(copy_of(n));
    return due_simple.rank == is_simple.rank && !is_simple.base &&
           !memcmp(due_simple.dims, is_simple.dims, due_simple.rank * sizeof *due_simple.dims) &&
           !memcmp(due_simple.step, is_simple.step, due_simple.rank * sizeof *due_simple.step);
}

/* The next permutation in the order of a dictionary; 0 after the last. */
static int advance(struct permutation *p)
{
    int i = p->rank - 2, k = p->rank - 1;
    while (i >= 0 && p->axes[i] > p->axes[i + 1])
        i--;
    if (i < 0)
        return 0;
    while (p->axes[k] < p->axes[i])
        k--;
    int swap = p->axes[i];
    p->axes[i] = p->axes[k];
    p->axes[k] = swap;
    for (int a = i + 1, b = p->rank - 1; a < b; a++, b--) {
        swap = p->axes[a];
        p->axes[a] = p->axes[b];
        p->axes[b] = swap;
    }
    return 1;
}

/* 1 and *p: n transposes, and not only by name. */
static int find_permutation(const struct graph *g, const struct node *n, struct permutation *p)
{
    if (!copy_of(n) || g->tensors[n->output].shape.rank > 4)
        return 0;
    *p = (struct permutation) { .rank = g->tensors[n->output].shape.rank };
    for (int i = 0; i < p->rank; i++)
        p->axes[i] = i;
    while (advance(p))
        if (is_permutation(g, n, p))
            return 1;
    return 0;
}

static struct permutation inverse(const struct permutation *p)
{
    struct permutation back = { .rank = p->rank };
    for (int i = 0; i < p->rank; i++)
        back.axes[p->axes[i]] = i;
    return back;
}

/* 1 if n is a reduction that keeps its input's rank. */
static int reduces(const struct graph *g, const struct node *n)
{
    return n->kind == PLAIN && n->compute == reduce_compute &&
           g->tensors[n->inputs[0]].shape.type == REAL &&
           g->tensors[n->inputs[0]].shape.rank == g->tensors[n->output].shape.rank;
}

/* 1 and *other: what copy n makes is a transposition of what *other makes of the same. */
static int split_copy(
    const struct graph *g, const struct node *n, const struct permutation *p, struct copy *other)
{
    const struct shape *shape = &g->tensors[n->output].shape;
    const struct permutation back = inverse(p);
    if (!copy_of(n) || shape->type != REAL || shape->rank != p->rank)
        return 0;
    *other = copy_for(&back, shape);
    return copy_compose(other, copy_of(n));
}

/* 1 if n does the same, but for its settings, in another order of dimensions. */
static int is_movable(const struct graph *g, const struct node *n)
{
    return n->kind == POINTWISE || n->kind == CONCAT || n->kind == SLICE || n->kind == PAD ||
           reduces(g, n);
}

/* 1 if n, of a kind that may belong to a region, reads only what is transposed so, copies, constants, and the region. */
static int may_belong(const struct region *r, const struct node *n)
{
    const struct graph *g = r->graph;
    if (!is_movable(g, n) || g->tensors[n->output].shape.rank != r->permutation.rank)
        return 0;
    for (int k = 0; k < n->input_count; k++) {
        const struct tensor *t = &g->tensors[n->inputs[k]];
        struct copy other;
        if (t->data)
            continue;
        if (t->producer < 0 || (!r->has[t->producer] &&
                                   !split_copy(g, &g->nodes[t->producer], &r->permutation, &other)))
            return 0;
    }
    return 1;
}

static int reads(const struct node *n, int t)
{
    for (int k = 0; k < n->input_count; k++)
        if (n->inputs[k] == t)
            return 1;
    return 0;
}

/* 1 if n reads tensor t, or what a node of the region computes. */
static int follows(const struct region *r, const struct node *n, int t)
{
    for (int k = 0; k < n->input_count; k++) {
        const int producer = r->graph->tensors[n->inputs[k]].producer;
        if (n->inputs[k] == t || (producer >= 0 && r->has[producer]))
            return 1;
    }
    return 0;
}

/* All nodes that follow tensor t without anything else between. */
static void grow(struct region *r, int t)
{
    const struct graph *g = r->graph;
    for (int more = 1; more;) {
        more = 0;
        for (int i = 0; i < g->node_count; i++)
            if (!r->has[i] && follows(r, &g->nodes[i], t) && may_belong(r, &g->nodes[i]))
                r->has[i] = more = 1;
    }
}

/* 1 if a node outside the region that is no copy, or the graph's end, wants tensor t. */
static int is_wanted(const struct region *r, int t)
{
    const struct graph *g = r->graph;
    for (int i = 0; i < g->node_count; i++)
        if (!r->has[i] && !copy_of(&g->nodes[i]) && reads(&g->nodes[i], t))
            return 1;
    return g->tensors[t].outputs;
}

static int is_read_inside(const struct region *r, int t)
{
    for (int i = 0; i < r->graph->node_count; i++)
        if (r->has[i] && reads(&r->graph->nodes[i], t))
            return 1;
    return 0;
}

/* How many copies fewer there are when the region reads what is not transposed. */
static int gain(const struct region *r)
{
    const struct graph *g = r->graph;
    const struct permutation back = inverse(&r->permutation);
    int fewer = 0;
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        if (r->has[i]) {
            fewer -= is_wanted(r, n->output);
            continue;
        }
        const int from = n->input_count ? g->tensors[n->inputs[0]].producer : -1;
        if (from >= 0 && r->has[from])
            fewer += is_permutation(g, n, &back);
        else if (copy_of(n) && is_read_inside(r, n->output)) /* another copy, or none */
            fewer += is_permutation(g, n, &r->permutation) - is_wanted(r, n->output);
    }
    return fewer;
}

/* The shape whose transposition is a shape (of that rank or, with ones before it, a lower one). */
static struct shape shape_before(const struct permutation *p, const struct shape *after)
{
    struct shape before = { .type = after->type, .rank = p->rank };
    for (int i = 0; i < p->rank; i++) {
        const int at = i + after->rank - p->rank;
        before.dims[p->axes[i]] = at < 0 ? 1 : after->dims[at];
    }
    return before;
}

/* The constant whose transposition is constant t. */
static int constant_before(const struct region *r, int t, struct error *e)
{
    const struct tensor after = r->graph->tensors[t];
    const size_t count = tensor_elements(&after);
    if (count == 1)
        return t;
    const struct shape shape = shape_before(&r->permutation, &after.shape);
    const struct copy c = copy_for(&r->permutation, &shape);
    float *values = graph_alloc(r->graph, count * sizeof *values, e);
    const int before = values ? graph_add_tensor(r->graph, after.name, &shape, e) : -1;
    if (before < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t to = 0;
        size_t index = i;
        for (int k = c.rank - 1; k >= 0; k--) {
            to += (ptrdiff_t)(index % c.dims[k]) * c.step[k];
            index /= c.dims[k];
        }
        values[to] = after.data[i];
    }
    r->graph->tensors[before].data = values;
    return before;
}

/* What input t of a node of the region is before it is transposed. */
static int input_before(const struct region *r, int t, struct error *e)
{
    struct graph *g = r->graph;
    const struct permutation *p = &r->permutation;
    if (g->tensors[t].data)
        return constant_before(r, t, e);
    const struct node *copy = &g->nodes[g->tensors[t].producer];
    struct node other = *copy;
    if (is_permutation(g, copy, p))
        return copy->inputs[0];
    if (r->made[t])
        return r->made[t];
    const struct shape shape = shape_before(p, &g->tensors[t].shape);
    split_copy(g, copy, p, &other.settings.copy); /* as may_belong() has seen */
    other.output = graph_add_tensor(g, other.name, &shape, e);
    if (other.output < 0)
        return -1;
    const int added = graph_add_node(g, &other, e);
    if (added < 0)
        return -1;
    g->tensors[other.output].producer = added;
    return r->made[t] = other.output;
}

/* Sets what depends on the order of dimensions. */
static void set_order(
    const struct graph *g, const struct permutation *p, const struct node *n, struct node *moved)
{
    const struct shape *shape = &g->tensors[moved->inputs[0]].shape,
                       *out = &g->tensors[n->output].shape;
    char reduced[GRAPH_RANK] = { 0 };
    if (n->kind == CONCAT)
        moved->axis = p->axes[n->axis - 4 + p->rank] + 4 - p->rank;
    for (int k = 0; k < 4 && (n->kind == SLICE || n->kind == PAD); k++)
        moved->offset[p->axes[k]] = n->offset[k];
    for (int k = 0; k < p->rank; k++)
        reduced[p->axes[k]] = out->dims[k] != shape->dims[p->axes[k]];
    if (n->kind == PLAIN)
        reduce_walk(&moved->settings, shape, reduced);
}

/* Node i computes its result before it is transposed, and a new node transposes that. */
static int move_above(struct region *r, int i, struct error *e)
{
    struct graph *g = r->graph;
    const struct permutation *p = &r->permutation;
    const struct node before = g->nodes[i];
    struct node moved = before;
    for (int k = 0; k < before.input_count; k++)
        if ((moved.inputs[k] = input_before(r, before.inputs[k], e)) < 0)
            return -1;
    set_order(g, p, &before, &moved);
    const struct shape shape = shape_before(p, &g->tensors[before.output].shape);
    moved.output = graph_add_tensor(g, before.name, &shape, e);
    struct node transpose = { .name = before.name, .op = "Transpose", .kind = PLAIN };
    transpose.compute = copy_compute;
    transpose.settings.copy = copy_for(p, &shape);
    transpose.inputs[0] = moved.output;
    transpose.input_count = 1;
    transpose.output = before.output;
    const int added = moved.output < 0 ? -1 : graph_add_node(g, &transpose, e);
    if (added < 0)
        return -1;
    g->nodes[i] = moved;
    g->tensors[moved.output].producer = i;
    g->tensors[transpose.output].producer = added;
    return 0;
}

/* Moves a transposition below what follows tensor t, a copy, if that pays. -1 and *e. */
static int sink(struct graph *g, const struct permutation *p, int t, struct error *e)
{
    struct region r = { .graph = g, .permutation = *p };
    const int count = g->node_count;
    const int from = g->tensors[g->nodes[g->tensors[t].producer].inputs[0]].producer;
    /* as many as before are worth it where a convolution may then do the nodes' work */
    const int least = from >= 0 && g->nodes[from].kind == CONVOLUTION ? 0 : 1;
    r.has = graph_alloc(g, count, e);
    r.made = graph_alloc(g, g->tensor_count * sizeof *r.made, e);
    if (!r.has || !r.made)
        return -1;
    grow(&r, t);
    if (!memchr(r.has, 1, count) || gain(&r) < least)
        return 0;
    for (int i = 0; i < count; i++)
        if (r.has[i] && move_above(&r, i, e))
            return -1;
    return 0;
}

/* The copy from which what n, a copy, reads is computed by nodes that may belong to a region; -1: there is none. */
static int source_of(const struct graph *g, const struct node *n)
{
    int t = n->inputs[0];
    for (;;) {
        const int producer = g->tensors[t].producer;
        const struct node *before = producer < 0 ? NULL : &g->nodes[producer];
        if (!before || copy_of(before))
            return before && t != n->inputs[0] ? t : -1;
        if (!is_movable(g, before))
            return -1;
        int k = 0;
        while (k < before->input_count && g->tensors[before->inputs[k]].data)
            k++;
        if (k == before->input_count)
            return -1;
        t = before->inputs[k];
    }
}

/* From n on; and, as copies may have become one with others, towards it. */
int transposes_run(struct graph *g, struct node *n, struct error *e)
{
    struct permutation p;
    if (!find_permutation(g, n, &p))
        return 0;
    const int source = source_of(g, n);
    const struct permutation back = inverse(&p);
    if (sink(g, &p, n->output, e))
        return -1;
    return source < 0 ? 0 : sink(g, &back, source, e);
}
