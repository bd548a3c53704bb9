/*
 * Plain computations as steps: on tensors in rows.
 */
#include "../plain/plain.h"
#include "plan.h"

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
    s->run = run_plain;
    if (!(s->plain = graph_alloc(p->graph, sizeof *s->plain, e)))
        return -1;
    s->plain->node = n;
    s->plain->out = array_at(&tensors[n->output], &s->out);
    for (int k = 0; k < n->input_count; k++)
        s->plain->in[k] = array_at(&tensors[n->inputs[k]], &s->in[k]);
    return 0;
}
