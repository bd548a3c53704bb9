#include "plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

#define ARENA_BYTES ((size_t)4 << 30) /* at most, for activations */

/* How each kind is made a step, and whether it does with gaps between the pixels that it reads and writes. */
static const struct {
    int (*prepare)(struct plan *p, struct step *s, struct error *e);
    int reads_gaps, writes_gaps;
} backend[] = {
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

/* Where a tensor lies before addresses are known: in another one, or (whole < 0) by itself from first to last step. */
struct place {
    int whole;
    int same; /* it is all of the other one, by other dimensions */
    int offset[4];
    int first, last;
    size_t at; /* in the arena, bytes */
};

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void *plan_alloc(struct plan *p, size_t bytes, struct error *e)
{
    void **owned = realloc(p->owned, (p->owned_count + 1) * sizeof *owned);
    void *memory = NULL;
    bytes = round_up(bytes + !bytes);
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

void plan_free_since(struct plan *p, int count, size_t bytes)
{
    while (p->owned_count > count)
        free(p->owned[--p->owned_count]);
    p->bytes = bytes;
}

struct view dense_view(const struct tensor *t, enum layout layout, float *data)
{
    const int *d = t->dims;
    struct view v = { data, layout, d[0], d[2], d[3], d[1], 0, 0, 0 };
    if (layout == ROWS)
        v = (struct view) { data, layout, d[0], d[1], d[2], d[3], 0, 0, 0 };
    v.stride_w = v.c;
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

/* Puts a copy before input k of node i if that is a view with gaps, which the node cannot read. */
static int make_input_dense(struct graph *g, int i, int k, struct error *e)
{
    const struct node n = g->nodes[i];
    const struct tensor in = g->tensors[n.inputs[k]];
    if (in.producer < 0 || g->nodes[in.producer].kind != SLICE)
        return 0;
    struct node copy = { .name = n.name, .op = n.op, .kind = CONCAT, .axis = 1 };
    copy.inputs[0] = n.inputs[k];
    copy.input_count = 1;
    copy.output = graph_add_tensor(g, n.name, &in.shape, e);
    if (copy.output < 0 || graph_add_node(g, &copy, e) < 0)
        return -1;
    g->tensors[copy.output].layout = in.layout;
    g->nodes[i].inputs[k] = copy.output;
    return 0;
}

static int make_dense(struct graph *g, struct error *e)
{
    for (int i = 0, count = g->node_count; i < count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (!backend[g->nodes[i].kind].reads_gaps && make_input_dense(g, i, k, e))
                return -1;
    return graph_sort(g, e);
}

/* 1 if t may be computed right into its part of a concatenation: its producer and its readers can do with gaps. */
static int may_have_gaps(const struct graph *g, int t)
{
    int producer = g->tensors[t].producer;
    if (producer < 0 || !backend[g->nodes[producer].kind].writes_gaps)
        return 0;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] == t && !backend[g->nodes[i].kind].reads_gaps)
                return 0;
    return 1;
}

/* Decides which tensors are parts of others. */
static void find_wholes(const struct graph *g, struct place *places)
{
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        if (n->kind == SLICE) {
            places[n->output].whole = n->inputs[0];
            memcpy(places[n->output].offset, n->offset, sizeof n->offset);
        }
        if (n->kind != CONCAT)
            continue;
        int offset = 0;
        for (int k = 0; k < n->input_count; k++) {
            struct place *part = &places[n->inputs[k]];
            if (part->whole < 0 && may_have_gaps(g, n->inputs[k])) {
                part->whole = n->output;
                part->offset[n->axis] = offset;
            }
            offset += g->tensors[n->inputs[k]].dims[n->axis];
        }
    }
}

/* Copies that leave everything where it is are the same tensor by another name. */
static void find_same(const struct graph *g, struct place *places)
{
    struct copy c;
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        struct place *place = &places[n->output];
        const int from = n->inputs[0];
        if (n->kind != COPY || place->whole >= 0 || tensor_is_constant(&g->tensors[from]) ||
            (places[from].whole >= 0 && !places[from].same))
            continue;
        const struct tensor *in = &g->tensors[from], *out = &g->tensors[n->output];
        const struct view was = dense_view(in, in->layout, NULL),
                          is = dense_view(out, out->layout, NULL);
        if (tensor_elements(in) == tensor_elements(out) && move_find(n, &was, &is, &c) &&
            copy_is_same(&c)) {
            place->whole = from;
            place->same = 1;
        }
    }
}

/* The tensor that t is a part of at last. */
static int find_root(const struct place *places, int t)
{
    while (places[t].whole >= 0)
        t = places[t].whole;
    return t;
}

static size_t tensor_bytes(const struct tensor *t)
{
    return round_up(tensor_elements(t) * (t->shape.type == REAL ? sizeof(float) : sizeof(int64_t)));
}

static void touch(struct place *places, int t, int step)
{
    struct place *root = &places[find_root(places, t)];
    if (root->first > step)
        root->first = step;
    if (root->last < step)
        root->last = step;
}

/* Gives every root an address in the arena such that those in use at the same time do not overlap: first fit. */
static int lay_out(struct plan *p, struct place *places, struct error *e)
{
    const struct graph *g = p->graph;
    int *laid = graph_alloc(p->graph, g->tensor_count * sizeof *laid, e);
    int count = 0;
    if (!laid)
        return -1;
    for (int t = 0; t < g->tensor_count; t++) {
        struct place *new = &places[t];
        if (new->whole >= 0 || new->last < 0 || tensor_is_constant(&g->tensors[t]))
            continue;
        size_t bytes = tensor_bytes(&g->tensors[t]);
        int k;
        for (int i = 0; i < count; i++) { /* those already laid are in order of address */
            const struct place *old = &places[laid[i]];
            if (old->last < new->first || new->last < old->first)
                continue;
            if (old->at >= new->at + bytes)
                break;
            size_t end = old->at + tensor_bytes(&g->tensors[laid[i]]);
            if (end > new->at)
                new->at = end;
        }
        for (k = count++; k > 0 && places[laid[k - 1]].at > new->at; k--)
            laid[k] = laid[k - 1];
        laid[k] = t;
        if (p->arena_bytes < new->at + bytes)
            p->arena_bytes = new->at + bytes;
    }
    if (p->arena_bytes > ARENA_BYTES)
        return error_set(e, "unsupported_model",
            "%s needs %zu MiB for what it computes; at most %zu are given.", g->label,
            p->arena_bytes >> 20, ARENA_BYTES >> 20);
    return 0;
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

/* Where a computed tensor lies. */
static struct view view_of(const struct plan *p, const struct place *places, int t)
{
    const struct tensor *tensor = &p->graph->tensors[t];
    const struct place *place = &places[t];
    struct view own = dense_view(tensor, tensor->layout, NULL);
    if (place->whole < 0) {
        if (place->last >= 0)
            own.data = p->arena + place->at / sizeof *p->arena;
        return own;
    }
    struct view v = view_of(p, places, place->whole);
    if (place->same || !v.data) {
        own.data = v.data;
        return own;
    }
    v.data += view_offset(&v, place->offset);
    v.n = own.n;
    v.c = own.c;
    v.h = own.h;
    v.w = own.w;
    return v;
}

static int make_views(struct plan *p, const struct place *places, struct error *e)
{
    const struct graph *g = p->graph;
    for (int t = 0; t < g->tensor_count; t++) {
        p->views[t] = view_of(p, places, t);
        if (tensor_is_constant(&g->tensors[t]) && places[t].last >= 0 &&
            !(p->views[t].data = constant_values(p, &g->tensors[t], e)))
            return -1;
    }
    return 0;
}

static void find_places(const struct graph *g, struct place *places)
{
    for (int t = 0; t < g->tensor_count; t++)
        places[t] = (struct place) { .whole = -1, .first = g->node_count + 1, .last = -1 };
    find_wholes(g, places);
    find_same(g, places);
    for (int i = 0; i < g->input_count; i++) {
        touch(places, g->inputs[i].tensor, 0);
        if (g->inputs[i].state) /* the next run's value is put there when this run's is done with */
            touch(places, g->inputs[i].tensor, g->node_count + 1);
    }
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        touch(places, n->output, i + 1);
        for (int k = 0; k < n->input_count; k++)
            if (is_viewed(g, n, k))
                touch(places, n->inputs[k], i + 1);
    }
    for (int i = 0; i < g->output_count; i++)
        touch(places, g->outputs[i].tensor, g->node_count + 1);
}

static int make_steps(struct plan *p, struct error *e)
{
    const struct graph *g = p->graph;
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        struct step *s = &p->steps[p->step_count];
        if (!backend[n->kind].prepare)
            continue;
        *s = (struct step) { .node = n, .out = p->views[n->output] };
        for (int k = 0; k < n->input_count; k++)
            s->in[k] = p->views[n->inputs[k]];
        p->step_count++; /* what it owns is released whatever comes */
        if (backend[n->kind].prepare(p, s, e))
            return -1;
        if (!s->run)
            p->step_count--;
    }
    return 0;
}

int plan_make(struct plan *p, struct graph *g, struct error *e)
{
    *p = (struct plan) { .graph = g };
    if (layout_choose(g, e) || make_dense(g, e))
        return -1;
    if (dnnl_engine_create(&p->engine, dnnl_cpu, 0) ||
        dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags))
        return error_retry(e, "out_of_memory", "oneDNN cannot start.");
    struct place *places = graph_alloc(g, g->tensor_count * sizeof *places, e);
    p->views = graph_alloc(g, g->tensor_count * sizeof *p->views, e);
    p->steps = graph_alloc(g, g->node_count * sizeof *p->steps, e);
    if (!places || !p->views || !p->steps)
        return -1;
    find_places(g, places);
    if (lay_out(p, places, e) || !(p->arena = plan_alloc(p, p->arena_bytes, e)))
        return -1;
    if (make_views(p, places, e) || make_steps(p, e) ||
        !(p->scratch = plan_alloc(p, p->scratch_bytes, e)))
        return -1;
    for (int i = 0; i < p->step_count; i++)
        step_scratch(&p->steps[i], p->scratch);
    memset(p->arena, 0, p->arena_bytes); /* trials left something there */
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
