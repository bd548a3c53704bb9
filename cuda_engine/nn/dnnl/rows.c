/*
 * Tensors in rows beside those with channels last: which tensor lies how, and the steps of plain computations and of going
 * from one to the other.
 */
#include <string.h>

#include "../plain/plain.h"
#include "plan.h"

/* In the graph's ends and where nothing else is asked for. */
static enum layout natural(const struct shape *s)
{
    return s->type == REAL && s->rank == 4 ? CHANNELS_LAST : ROWS;
}

static enum layout layout_of(const struct graph *g, const struct node *n)
{
    if (n->kind == PLAIN)
        return ROWS;
    if (n->kind != POINTWISE)
        return CHANNELS_LAST;
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
        .op = "REORDER",
        .kind = REORDER,
        .inputs = { t },
        .input_count = 1,
        .output = other };
    return graph_add_node(g, &reorder, e) < 0 ? -1 : other;
}

/* The inputs of n that are read through views: not weights and bias. */
static int is_viewed(const struct node *n, int k)
{
    return !k || n->kind != CONVOLUTION || k > 1 + n->window.bias;
}

int layout_choose(struct graph *g, struct error *e)
{
    /* every tensor of the file may get another */
    int *others = graph_alloc(g, g->tensor_count * sizeof *others, e);
    if (!others)
        return -1;
    for (int i = 0; i < g->input_count; i++) {
        struct tensor *t = &g->tensors[g->inputs[i].tensor];
        t->layout = natural(&t->shape);
    }
    for (int i = 0, count = g->node_count; i < count; i++) {
        const enum layout layout = layout_of(g, &g->nodes[i]);
        g->tensors[g->nodes[i].output].layout = layout;
        for (int k = 0; k < g->nodes[i].input_count; k++) {
            const int t = g->nodes[i].inputs[k];
            if (!is_viewed(&g->nodes[i], k) || g->tensors[t].layout == layout)
                continue;
            const int other = in_layout(g, t, layout, others, e);
            if (other < 0)
                return -1;
            g->nodes[i].inputs[k] = other;
        }
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

static void run_reorder(const struct step *s)
{
    if (s->out_layout == ROWS)
        view_store(s->out.data, &s->in[0]);
    else
        view_load(&s->out, s->in[0].data);
}

static void run_plain(const struct step *s)
{
    s->node->compute(s->plain);
}

static struct array array_at(const struct tensor *t, const struct view *v)
{
    struct array a = { .shape = t->shape };
    if (t->shape.type == REAL)
        a.real = v->data;
    else
        a.integer = (int64_t *)(void *)v->data;
    return a;
}

int rows_prepare(struct plan *p, struct step *s, struct error *e)
{
    const struct node *n = s->node;
    const struct tensor *tensors = p->graph->tensors;
    s->out_layout = tensors[n->output].layout;
    if (n->kind == REORDER) {
        s->run = run_reorder;
        return 0;
    }
    s->run = run_plain;
    if (!(s->plain = graph_alloc(p->graph, sizeof *s->plain, e)))
        return -1;
    s->plain->node = n;
    s->plain->out = array_at(&tensors[n->output], &s->out);
    for (int k = 0; k < n->input_count; k++)
        s->plain->in[k] = array_at(&tensors[n->inputs[k]], &s->in[k]);
    return 0;
}
