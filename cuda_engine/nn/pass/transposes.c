/*
 * Transpositions are moved below the element-wise nodes, concatenations, slices and paddings that read them, where
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

/* 1 if n, of a kind that may belong to a region, reads only what is transposed so, constants, and the region. */
static int may_belong(const struct region *r, const struct node *n)
{
    const struct graph *g = r->graph;
    if ((n->kind != POINTWISE && n->kind != CONCAT && n->kind != SLICE && n->kind != PAD) ||
        g->tensors[n->output].shape.rank != r->permutation.rank)
        return 0;
    for (int k = 0; k < n->input_count; k++) {
        const struct tensor *t = &g->tensors[n->inputs[k]];
        if (t->data)
            continue;
        if (t->producer < 0 ||
            (!r->has[t->producer] && !is_permutation(g, &g->nodes[t->producer], &r->permutation)))
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

/* How many transpositions fewer there are when the region reads what is not transposed. */
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
        const int producer = n->input_count ? g->tensors[n->inputs[0]].producer : -1;
        if (producer >= 0 && r->has[producer] && is_permutation(g, n, &back))
            fewer++;
        else if (is_permutation(g, n, &r->permutation) && !is_wanted(r, n->output))
            for (int k = 0; k < g->node_count; k++)
                if (r->has[k] && reads(&g->nodes[k], n->output)) {
                    fewer++;
                    break;
                }
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
    const struct tensor *tensor = &r->graph->tensors[t];
    return tensor->data ? constant_before(r, t, e) : r->graph->nodes[tensor->producer].inputs[0];
}

/* Node i computes its result before it is transposed, and a new node transposes that. */
static int move_above(struct region *r, int i, struct error *e)
{
    struct graph *g = r->graph;
    const struct permutation *p = &r->permutation;
    struct node *n = &g->nodes[i], moved = *n;
    for (int k = 0; k < n->input_count; k++)
        if ((moved.inputs[k] = input_before(r, n->inputs[k], e)) < 0)
            return -1;
    if (n->kind == CONCAT)
        moved.axis = p->axes[n->axis];
    else if (n->kind == SLICE || n->kind == PAD)
        for (int k = 0; k < 4; k++)
            moved.offset[p->axes[k]] = n->offset[k];
    const struct shape shape = shape_before(p, &g->tensors[n->output].shape);
    moved.output = graph_add_tensor(g, n->name, &shape, e);
    struct node transpose = { .name = n->name, .op = "Transpose", .kind = PLAIN };
    transpose.compute = copy_compute;
    transpose.settings.copy = copy_for(p, &shape);
    transpose.inputs[0] = moved.output;
    transpose.input_count = 1;
    transpose.output = n->output;
    *n = moved;
    const int added = moved.output < 0 ? -1 : graph_add_node(g, &transpose, e);
    if (added < 0)
        return -1;
    g->tensors[moved.output].producer = i;
    g->tensors[transpose.output].producer = added;
    return 0;
}

int transposes_run(struct graph *g, struct node *n, struct error *e)
{
    struct region r = { .graph = g };
    const int count = g->node_count;
    if (!find_permutation(g, n, &r.permutation))
        return 0;
    if (!(r.has = graph_alloc(g, count, e)))
        return -1;
    grow(&r, n->output);
    /* as many as before are worth it where a convolution may then do the nodes' work */
    const int from = g->tensors[n->inputs[0]].producer;
    const int least = from >= 0 && g->nodes[from].kind == CONVOLUTION ? 0 : 1;
    if (!memchr(r.has, 1, count) || gain(&r) < least)
        return 0;
    for (int i = 0; i < count; i++)
        if (r.has[i] && move_above(&r, i, e))
            return -1;
    return 0;
}
