/*
 * Parts of concatenations are computed in place where their producers and readers can do with gaps, slices are views,
 * copies that leave everything where it is are the same tensor; what remains is laid into the arena by liveness.
 */
#include "place.h"

#include <string.h>

#define ARENA_BYTES ((size_t)4 << 30) /* at most, for activations */

/* Where a tensor lies before addresses are known: in another one, or (whole < 0) by itself from first to last step. */
struct place {
    int whole;
    int same; /* it is all of the other one, by other dimensions */
    int offset[4];
    int first, last;
    size_t at; /* in the arena, bytes */
};

struct view view_part(
    const struct view *whole, const int offset[4], const struct view *part, size_t element)
{
    struct view v = *whole;
    v.bytes += view_offset(whole, offset) * (ptrdiff_t)element;
    v.n = part->n;
    v.h = part->h;
    v.w = part->w;
    v.c = part->c;
    return v;
}

void concat_offset(const struct graph *g, const struct node *n, int k, int offset[4])
{
    memset(offset, 0, 4 * sizeof *offset);
    for (int i = 0; i < k; i++)
        offset[n->axis] += g->tensors[n->inputs[i]].dims[n->axis];
}

/* Puts a copy before input k of node i if that has gaps, which the node cannot read. */
static int make_input_dense(
    struct graph *g, const struct placing *placing, int i, int k, struct error *e)
{
    const struct node n = g->nodes[i];
    const struct tensor in = g->tensors[n.inputs[k]];
    const int gaps = in.step || (in.producer >= 0 && g->nodes[in.producer].kind == SLICE);
    if (!gaps || !is_viewed(g, &n, k) || placing->reads_gaps(g, &n, k))
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

static int make_dense(struct graph *g, const struct placing *placing, struct error *e)
{
    for (int i = 0, count = g->node_count; i < count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (make_input_dense(g, placing, i, k, e))
                return -1;
    return graph_sort(g, e);
}

/* 1 if t may be computed right into its part of a concatenation: its producer and its readers can do with gaps. */
static int may_have_gaps(const struct graph *g, const struct placing *placing, int t)
{
    const int producer = g->tensors[t].producer;
    if (producer < 0 || !placing->writes_gaps(g, &g->nodes[producer]))
        return 0;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] == t && !placing->reads_gaps(g, &g->nodes[i], k))
                return 0;
    return 1;
}

/* Decides which tensors are parts of others. */
static void find_wholes(const struct graph *g, const struct placing *placing, struct place *places)
{
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        if (n->kind == SLICE) {
            places[n->output].whole = n->inputs[0];
            memcpy(places[n->output].offset, n->offset, sizeof n->offset);
        }
        for (int k = 0; n->kind == CONCAT && k < n->input_count; k++) {
            struct place *part = &places[n->inputs[k]];
            if (part->whole >= 0 || !may_have_gaps(g, placing, n->inputs[k]))
                continue;
            part->whole = n->output;
            concat_offset(g, n, k, part->offset);
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

static void touch(struct place *places, int t, int step)
{
    struct place *root = &places[find_root(places, t)];
    if (root->first > step)
        root->first = step;
    if (root->last < step)
        root->last = step;
}

static void find_places(const struct graph *g, const struct placing *placing, struct place *places)
{
    const int end = g->node_count + 1;
    for (int t = 0; t < g->tensor_count; t++)
        places[t] = (struct place) { .whole = -1, .first = end, .last = -1 };
    find_wholes(g, placing, places);
    find_same(g, places);
    for (int i = 0; i < g->input_count; i++) {
        touch(places, g->inputs[i].tensor, 0);
        /* a state's next value is put there when this run's is done with */
        if (g->inputs[i].state || placing->keeps_inputs)
            touch(places, g->inputs[i].tensor, end);
    }
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        touch(places, n->output, i + 1);
        for (int k = 0; k < n->input_count; k++)
            if (is_viewed(g, n, k))
                touch(places, n->inputs[k], i + 1);
    }
    for (int i = 0; i < g->output_count; i++)
        touch(places, g->outputs[i].tensor, end);
}

static size_t bytes_of(const struct placing *placing, const struct tensor *t)
{
    const struct view v = dense_view(t, t->layout, NULL);
    const size_t element = t->shape.type == REAL ? placing->element : sizeof(int64_t);
    const size_t bytes = (size_t)v.n * (size_t)v.stride_n * element;
    return (bytes + placing->alignment - 1) / placing->alignment * placing->alignment;
}

/* Gives every root an address in the arena such that those in use at the same time do not overlap: first fit. */
static int lay_out(struct places *p, struct graph *g, struct error *e)
{
    int *laid = graph_alloc(g, g->tensor_count * sizeof *laid, e);
    int count = 0;
    if (!laid)
        return -1;
    for (int t = 0; t < g->tensor_count; t++) {
        struct place *new = &p->list[t];
        if (new->whole >= 0 || new->last < 0 || tensor_is_constant(&g->tensors[t]))
            continue;
        size_t bytes = bytes_of(p->placing, &g->tensors[t]);
        int k;
        for (int i = 0; i < count; i++) { /* those already laid are in order of address */
            const struct place *old = &p->list[laid[i]];
            if (old->last < new->first || new->last < old->first)
                continue;
            if (old->at >= new->at + bytes)
                break;
            size_t end = old->at + bytes_of(p->placing, &g->tensors[laid[i]]);
            if (end > new->at)
                new->at = end;
        }
        for (k = count++; k > 0 && p->list[laid[k - 1]].at > new->at; k--)
            laid[k] = laid[k - 1];
        laid[k] = t;
        if (p->bytes < new->at + bytes)
            p->bytes = new->at + bytes;
    }
    if (p->bytes > ARENA_BYTES)
        return error_set(e, "unsupported_model",
            "%s needs %zu MiB for what it computes; at most %zu are given.", g->label,
            p->bytes >> 20, ARENA_BYTES >> 20);
    return 0;
}

int places_make(struct places *p, struct graph *g, const struct placing *placing, struct error *e)
{
    *p = (struct places) { .graph = g, .placing = placing };
    if (layout_choose(g, e) || make_dense(g, placing, e) ||
        !(p->list = graph_alloc(g, g->tensor_count * sizeof *p->list, e)))
        return -1;
    find_places(g, placing, p->list);
    return lay_out(p, g, e);
}

struct view places_view(const struct places *p, int t, void *arena)
{
    const struct tensor *tensor = &p->graph->tensors[t];
    const struct place *place = &p->list[t];
    struct view own = dense_view(tensor, tensor->layout, NULL);
    if (place->whole < 0) {
        if (place->last >= 0)
            own.bytes = (char *)arena + place->at;
        return own;
    }
    const struct view whole = places_view(p, place->whole, arena);
    if (place->same || !whole.bytes) {
        own.bytes = whole.bytes;
        return own;
    }
    return view_part(&whole, place->offset, &own, p->placing->element);
}

int places_uses(const struct places *p, int t)
{
    return p->list[t].last >= 0;
}
