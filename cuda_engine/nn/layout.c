/*
 * Tensors in rows beside those with channels last: which tensor lies how, and what a copy is between tensors as they lie.
 */
#include "place.h"

struct view dense_view(const struct tensor *t, enum layout layout, void *memory)
{
    const int *d = t->dims;
    struct view v = { { memory }, layout, d[0], d[2], d[3], d[1], 0, 0, 0 };
    if (layout == ROWS)
        v = (struct view) { { memory }, layout, d[0], d[1], d[2], d[3], 0, 0, 0 };
    v.stride_w = layout == CHANNELS_LAST && t->step > v.c ? t->step : v.c;
    v.stride_h = v.stride_w * v.w;
    v.stride_n = v.stride_h * v.h;
    return v;
}

ptrdiff_t view_offset(const struct view *v, const int offset[4])
{
    if (v->layout == ROWS)
        return offset[0] * v->stride_n + offset[1] * v->stride_h + offset[2] * v->stride_w +
               offset[3];
    return offset[0] * v->stride_n + offset[2] * v->stride_h + offset[3] * v->stride_w + offset[1];
}

/* What comes next in memory, as indices in the file's order. */
static struct copy in_file_order(const struct view *v)
{
    const ptrdiff_t plane = (ptrdiff_t)v->h * v->w;
    if (v->layout == ROWS)
        return (struct copy) { .rank = 1, .dims = { (int)(v->n * plane * v->c) }, .step = { 1 } };
    return (struct copy) {
        .rank = 4, .dims = { v->n, v->h, v->w, v->c }, .step = { plane * v->c, v->w, 1, plane }
    };
}

/* The file's order, as places in memory. */
static struct copy in_memory(const struct view *v)
{
    if (v->layout == ROWS)
        return (struct copy) { .rank = 4,
            .dims = { v->n, v->h, v->w, v->c },
            .step = { v->stride_n, v->stride_h, v->stride_w, 1 } };
    return (struct copy) { .rank = 4,
        .dims = { v->n, v->c, v->h, v->w },
        .step = { v->stride_n, 1, v->stride_h, v->stride_w } };
}

int move_find(const struct node *n, const struct view *in, const struct view *out, struct copy *c)
{
    const struct copy from = in_memory(in);
    *c = in_file_order(out);
    return copy_compose(c, &n->settings.copy) && copy_compose(c, &from);
}

/* In the graph's ends where nothing else is asked for. */
static enum layout natural(const struct shape *s)
{
    return s->type == REAL && s->rank == 4 ? CHANNELS_LAST : ROWS;
}

/* The layout of what n reads and writes; -1 where it takes either. */
static int layout_needed(const struct node *n)
{
    switch (n->kind) {
    case COPY:
    case POINTWISE:
    case CONCAT:
    case SLICE:
    case PAD: return -1;
    case PLAIN:
    case PRODUCT: return ROWS;
    case SOFTMAX:
    case NORMALISE: return n->axis == 3 ? ROWS : CHANNELS_LAST;
    default: return CHANNELS_LAST;
    }
}

/* Of a node that takes either: pictures stay pictures. */
static enum layout layout_of(const struct graph *g, const struct node *n)
{
    for (int k = 0; k < n->input_count; k++)
        if (g->tensors[n->inputs[k]].layout == CHANNELS_LAST)
            return CHANNELS_LAST;
    return ROWS;
}

/* Tensor t in another layout: the one made before (others, by tensor), or a new one. -1 and *e. */
static int in_layout(struct graph *g, int t, enum layout layout, int *others, struct error *e)
{
    if (others[t])
        return others[t];
    const struct tensor from = g->tensors[t];
    const int other = graph_add_tensor(g, from.name, &from.shape, e);
    if (other < 0)
        return -1;
    g->tensors[other].layout = layout;
    others[t] = other;
    if (tensor_is_constant(&from)) {
        g->tensors[other].data = from.data;
        g->tensors[other].ints = from.ints;
        return other;
    }
    const struct node reorder = { .name = from.name,
        .op = "reorder",
        .kind = COPY,
        .inputs = { t },
        .input_count = 1,
        .output = other,
        .settings.copy = { 1, { (int)tensor_elements(&from) }, { 1 }, 0 } };
    return graph_add_node(g, &reorder, e) < 0 ? -1 : other;
}

int is_viewed(const struct graph *g, const struct node *n, int k)
{
    switch (n->kind) {
    case CONVOLUTION: return !k || k > 1 + n->window.bias;
    case PRODUCT: return k != 1 || !g->tensors[n->inputs[1]].data;
    default: return 1;
    }
}

/* Gives node i the input k in a layout. -1 and *e. */
static int give_input(
    struct graph *g, int i, int k, enum layout layout, int *others, struct error *e)
{
    const struct node *n = &g->nodes[i];
    if (!is_viewed(g, n, k) || g->tensors[n->inputs[k]].layout == layout)
        return 0;
    const int other = in_layout(g, n->inputs[k], layout, others, e);
    if (other < 0)
        return -1;
    g->nodes[i].inputs[k] = other;
    return 0;
}

/* The layout of its input from which copy n need not be made, where its output is to be in layout to; else none. */
static unsigned wish_of_copy(const struct graph *g, const struct node *n, enum layout to)
{
    const struct tensor *in = &g->tensors[n->inputs[0]], *out = &g->tensors[n->output];
    const struct view is = dense_view(out, to, NULL);
    struct copy c;
    for (int layout = ROWS; layout <= CHANNELS_LAST && in->shape.rank == 4; layout++) {
        const struct view was = dense_view(in, layout, NULL);
        if (move_find(n, &was, &is, &c) && copy_is_same(&c))
            return 1U << layout;
    }
    return 0;
}

/* The layout of a copy's output: what is wished for. */
static enum layout copied_to(const struct graph *g, const struct node *n, unsigned wish)
{
    return wish & 1U << CHANNELS_LAST && g->tensors[n->output].shape.rank == 4 ? CHANNELS_LAST
                                                                               : ROWS;
}

/* Which layouts those want a tensor in that read it, as bits; of those that take either, what their readers want. */
static void find_wishes(const struct graph *g, unsigned *wishes)
{
    for (int i = g->node_count - 1; i >= 0; i--) {
        const struct node *n = &g->nodes[i];
        const int needed = layout_needed(n);
        const unsigned wish = n->kind == COPY
                                  ? wish_of_copy(g, n, copied_to(g, n, wishes[n->output]))
                              : needed < 0 ? wishes[n->output]
                                           : 1U << needed;
        for (int k = 0; k < n->input_count; k++)
            wishes[n->inputs[k]] |= wish;
    }
}

/* A copy reads what there is and gives what is wished for; where that is not one copy, it is done in rows. */
static int choose_for_copy(struct graph *g, int i, unsigned wish, int *others, struct error *e)
{
    const struct node *n = &g->nodes[i];
    const struct tensor *in = &g->tensors[n->inputs[0]];
    struct tensor *out = &g->tensors[n->output];
    struct copy c;
    out->layout = copied_to(g, n, wish);
    const struct view from = dense_view(in, in->layout, NULL),
                      to = dense_view(out, out->layout, NULL);
    if (move_find(n, &from, &to, &c))
        return 0;
    out->layout = ROWS;
    return give_input(g, i, 0, ROWS, others, e);
}

int layout_choose(struct graph *g, struct error *e)
{
    /* every tensor of the file may get another */
    int *others = graph_alloc(g, g->tensor_count * sizeof *others, e);
    unsigned *wishes = graph_alloc(g, g->tensor_count * sizeof *wishes, e);
    if (!others || !wishes)
        return -1;
    find_wishes(g, wishes);
    for (int i = 0; i < g->input_count; i++) {
        struct tensor *t = &g->tensors[g->inputs[i].tensor];
        const int rows = !g->inputs[i].state && wishes[g->inputs[i].tensor] == 1U << ROWS;
        t->layout = rows ? ROWS : natural(&t->shape);
    }
    for (int i = 0, count = g->node_count; i < count; i++) {
        const struct node *n = &g->nodes[i];
        if (n->kind == COPY) {
            if (choose_for_copy(g, i, wishes[n->output], others, e))
                return -1;
            continue;
        }
        const int needed = layout_needed(n);
        const enum layout layout = needed < 0 ? layout_of(g, n) : (enum layout)needed;
        g->tensors[n->output].layout = layout;
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (give_input(g, i, k, layout, others, e))
                return -1;
    }
    for (int i = 0; i < g->output_count; i++) {
        struct end *end = &g->outputs[i];
        const struct tensor *t = &g->tensors[end->tensor];
        if (!end->state || t->layout == natural(&t->shape))
            continue;
        const int other = in_layout(g, end->tensor, natural(&t->shape), others, e);
        if (other < 0)
            return -1;
        g->tensors[end->tensor].outputs--;
        g->tensors[other].outputs++;
        end->tensor = other;
    }
    return graph_sort(g, e);
}
