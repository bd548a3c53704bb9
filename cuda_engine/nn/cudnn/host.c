#include "host.h"

#include <string.h>

#include "../plain/plain.h"
#include "half.h"

enum { ALIGNMENT = 64 };

/* A tensor of floats in both memories. */
struct crossing {
    CUdeviceptr there;
    uint16_t *halves;
    float *values;
    size_t count;
};

struct hosted {
    struct plain plain;
    struct crossing in[GRAPH_INPUTS], out;
    int in_count, leaves; /* of inputs that cross before; 1: the output crosses after */
};

static size_t take(size_t *end, size_t bytes)
{
    const size_t at = *end;
    *end += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

/* Numbers the places of a tensor, the first time that it is met. */
static void use(struct host *h, int t, size_t *end)
{
    const struct tensor *tensor = &h->graph->tensors[t];
    struct hosted_tensor *hosted = &h->tensors[t];
    const size_t count = tensor_elements(tensor);
    if (hosted->used || tensor_is_constant(tensor))
        return;
    hosted->used = 1;
    hosted->values = take(end, count * sizeof(int64_t));
    if (tensor->shape.type == REAL)
        hosted->halves = take(end, count * sizeof(uint16_t));
}

int host_open(struct host *h, const struct card *card, struct graph *g, struct error *e)
{
    size_t bytes = 0;
    *h = (struct host) { .card = card, .graph = g };
    if (!(h->tensors = graph_alloc(g, g->tensor_count * sizeof *h->tensors, e)))
        return -1;
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        if (n->kind != PLAIN)
            continue;
        use(h, n->output, &bytes);
        for (int k = 0; k < n->input_count; k++)
            use(h, n->inputs[k], &bytes);
    }
    void *memory;
    if (bytes && CUDA(&card->cuda, e, cuMemHostAlloc, &memory, bytes, 0))
        return -1;
    h->memory = bytes ? memory : NULL;
    return 0;
}

void host_free(struct host *h)
{
    if (h->memory)
        h->card->cuda.cuMemFreeHost(h->memory);
    h->memory = NULL;
}

static struct array array_at(const struct host *h, int t)
{
    const struct tensor *tensor = &h->graph->tensors[t];
    struct array a = { .shape = tensor->shape };
    const int constant = tensor_is_constant(tensor);
    void *values = h->memory + h->tensors[t].values;
    if (tensor->shape.type == REAL) /* computations only read their inputs */
        a.real = constant ? (float *)tensor->data : values;
    else
        a.integer = constant ? (int64_t *)tensor->ints : values;
    return a;
}

static struct crossing crossing_of(const struct host *h, int t, const struct view *view)
{
    char *memory = h->memory;
    return (struct crossing) { (CUdeviceptr)view->halves,
        (uint16_t *)(void *)(memory + h->tensors[t].halves),
        (float *)(void *)(memory + h->tensors[t].values), tensor_elements(&h->graph->tensors[t]) };
}

/* 1 if a card's step or whoever runs the network reads tensor t. */
static int leaves(const struct graph *g, int t)
{
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].inputs[k] == t && g->nodes[i].kind != PLAIN)
                return 1;
    return g->tensors[t].outputs > 0;
}

struct hosted *host_add(
    struct host *h, const struct node *n, const struct view *views, struct error *e)
{
    struct graph *g = (struct graph *)h->graph;
    struct hosted *made = graph_alloc(g, sizeof *made, e);
    if (!made)
        return NULL;
    made->plain.node = n;
    made->plain.out = array_at(h, n->output);
    for (int k = 0; k < n->input_count; k++) {
        const int t = n->inputs[k];
        made->plain.in[k] = array_at(h, t);
        if (tensor_is_constant(&g->tensors[t]) || h->tensors[t].here)
            continue;
        made->in[made->in_count++] = crossing_of(h, t, &views[t]);
        h->tensors[t].here = 1;
    }
    h->tensors[n->output].here = 1;
    made->leaves = g->tensors[n->output].shape.type == REAL && leaves(g, n->output);
    if (made->leaves)
        made->out = crossing_of(h, n->output, &views[n->output]);
    return made;
}

static void CUDA_CB compute(void *data)
{
    const struct hosted *hosted = data;
    for (int k = 0; k < hosted->in_count; k++)
        for (size_t i = 0; i < hosted->in[k].count; i++)
            hosted->in[k].values[i] = value_of(hosted->in[k].halves[i]);
    hosted->plain.node->compute(&hosted->plain);
    for (size_t i = 0; i < hosted->out.count; i++)
        hosted->out.halves[i] = half_of(hosted->out.values[i]);
}

int host_run(const struct host *h, const struct hosted *hosted, struct error *e)
{
    const struct cuda *c = &h->card->cuda;
    const CUstream stream = h->card->compute;
    for (int k = 0; k < hosted->in_count; k++) {
        const struct crossing *in = &hosted->in[k];
        if (CUDA(c, e, cuMemcpyDtoHAsync, in->halves, in->there, in->count * sizeof *in->halves,
                stream))
            return -1;
    }
    if (CUDA(c, e, cuLaunchHostFunc, stream, compute, (void *)hosted))
        return -1;
    const struct crossing *out = &hosted->out;
    return hosted->leaves && CUDA(c, e, cuMemcpyHtoDAsync, out->there, out->halves,
                                 out->count * sizeof *out->halves, stream)
               ? -1
               : 0;
}
