#include "plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* By Winograd's algorithm wherever it can be: README.md has what it gains. Nothing is timed, so every process chooses alike. */
static int convolution_prepare(struct plan *p, struct step *s, struct error *e)
{
    return winograd_fits(s) ? winograd_prepare(p, s, e) : dnnl_prepare(p, s, e);
}

/* How each kind is made a step, and whether it does with gaps between the pixels that it reads and writes. */
static const struct {
    int (*prepare)(struct plan *p, struct step *s, struct error *e);
    int reads_gaps, writes_gaps;
} kinds[] = {
    [CONVOLUTION] = { convolution_prepare, 0, 0 },
    [POOL_MAX] = { dnnl_prepare, 0, 0 },
    [POOL_AVERAGE] = { dnnl_prepare, 0, 0 },
    [RESIZE] = { resize_prepare, 1, 1 },
    [CONCAT] = { copy_prepare, 1, 1 },
    [SLICE] = { NULL, 1, 1 }, /* a view: nothing to do */
    [PAD] = { copy_prepare, 1, 1 },
    [POINTWISE] = { pointwise_prepare, 1, 1 },
    [PRODUCT] = { dnnl_prepare, 0, 0 },
    [SOFTMAX] = { channels_prepare, 1, 1 },
    [NORMALISE] = { channels_prepare, 1, 1 },
    [COPY] = { move_prepare, 1, 0 },
    [PLAIN] = { rows_prepare, 0, 0 },
};

void step_scratch(struct step *s, void *scratch)
{
    dnnl_scratch(s, scratch);
    winograd_scratch(s, scratch);
}

void step_release(struct step *s)
{
    dnnl_release(s);
    winograd_release(s);
    s->run = NULL;
}

static int reads_gaps(const struct graph *g, const struct node *n, int k)
{
    (void)g;
    (void)k;
    return kinds[n->kind].reads_gaps;
}

static int writes_gaps(const struct graph *g, const struct node *n)
{
    (void)g;
    return kinds[n->kind].writes_gaps;
}

static const struct placing placing = {
    .element = sizeof(float),
    .alignment = ALIGNMENT,
    .reads_gaps = reads_gaps,
    .writes_gaps = writes_gaps,
};

void *plan_alloc(struct plan *p, size_t bytes, struct error *e)
{
    void **owned = realloc(p->owned, (p->owned_count + 1) * sizeof *owned);
    void *memory = NULL;
    bytes = (bytes + !bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (owned) {
        p->owned = owned;
        memory = aligned_alloc(ALIGNMENT, bytes);
    }
    if (!memory) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", p->graph->label);
        return NULL;
    }
    p->bytes += bytes;
    return p->owned[p->owned_count++] = memory;
}

/* A constant operand in its layout. */
static float *constant_values(struct plan *p, const struct tensor *t, struct error *e)
{
    if (t->layout == ROWS) /* steps only read it */
        return t->data ? (float *)t->data : (float *)(void *)t->ints;
    float *values = plan_alloc(p, tensor_elements(t) * sizeof *values, e);
    if (values) {
        struct view v = dense_view(t, t->layout, values);
        view_load(&v, t->data);
    }
    return values;
}

static int make_views(struct plan *p, struct error *e)
{
    const struct graph *g = p->graph;
    for (int t = 0; t < g->tensor_count; t++) {
        p->views[t] = places_view(&p->places, t, p->arena);
        if (tensor_is_constant(&g->tensors[t]) && places_uses(&p->places, t) &&
            !(p->views[t].data = constant_values(p, &g->tensors[t], e)))
            return -1;
    }
    return 0;
}

static int make_steps(struct plan *p, struct error *e)
{
    const struct graph *g = p->graph;
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        struct step *s = &p->steps[p->step_count];
        if (!kinds[n->kind].prepare)
            continue;
        *s = (struct step) { .node = n, .out = p->views[n->output] };
        for (int k = 0; k < n->input_count; k++)
            s->in[k] = p->views[n->inputs[k]];
        p->step_count++; /* what it owns is released whatever comes */
        if (kinds[n->kind].prepare(p, s, e))
            return -1;
        if (!s->run)
            p->step_count--;
    }
    return 0;
}

int plan_make(struct plan *p, struct graph *g, struct error *e)
{
    *p = (struct plan) { .graph = g };
    if (dnnl_split(g, e) || places_make(&p->places, g, &placing, e))
        return -1;
    if (dnnl_engine_create(&p->engine, dnnl_cpu, 0) ||
        dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags))
        return error_retry(e, "out_of_memory", "oneDNN cannot start.");
    p->views = graph_alloc(g, g->tensor_count * sizeof *p->views, e);
    p->steps = graph_alloc(g, g->node_count * sizeof *p->steps, e);
    if (!p->views || !p->steps || !(p->arena = plan_alloc(p, p->places.bytes, e)))
        return -1;
    if (make_views(p, e) || make_steps(p, e) || !(p->scratch = plan_alloc(p, p->scratch_bytes, e)))
        return -1;
    for (int i = 0; i < p->step_count; i++)
        step_scratch(&p->steps[i], p->scratch);
    memset(p->arena, 0, p->places.bytes); /* its pages are there before the first run */
    return 0;
}

void plan_run(const struct plan *p)
{
    for (int i = 0; i < p->step_count; i++)
        p->steps[i].run(&p->steps[i]);
}

void plan_free(struct plan *p)
{
    for (int i = 0; i < p->step_count; i++)
        step_release(&p->steps[i]);
    for (int i = 0; i < p->owned_count; i++)
        free(p->owned[i]);
    free(p->owned);
    if (p->stream)
        dnnl_stream_destroy(p->stream);
    if (p->engine)
        dnnl_engine_destroy(p->engine);
    *p = (struct plan) { 0 };
}
