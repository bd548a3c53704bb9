#include "attention.h"

#include <string.h>

#include "../../device/cuda/kernels/matrix.h"

/* Dimensions of what a head works on: batches, heads, rows, and what is adjacent. */
enum { BATCH, HEAD, ROW, DEPTH };

static struct node *producer_of(const struct graph *g, int t)
{
    return g->tensors[t].producer < 0 ? NULL : &g->nodes[g->tensors[t].producer];
}

/* The node of that kind that computes t, if nothing else reads it. */
static struct node *sole(const struct graph *g, int t, enum kind kind)
{
    struct node *n = producer_of(g, t);
    return n && n->kind == kind && g->tensors[t].uses == 1 ? n : NULL;
}

static void natural_steps(const int dims[4], ptrdiff_t step[4])
{
    step[3] = 1;
    for (int i = 2; i >= 0; i--)
        step[i] = step[i + 1] * dims[i + 1];
}

/* Where element index of a copy is in its input. */
static ptrdiff_t place(const struct copy *c, ptrdiff_t index)
{
    ptrdiff_t at = c->base;
    for (int i = c->rank - 1; i >= 0; i--) {
        at += index % c->dims[i] * c->step[i];
        index /= c->dims[i];
    }
    return at;
}

static int is_same_copy(const struct copy *a, const struct copy *b)
{
    const struct copy x = copy_simple(a), y = copy_simple(b);
    return x.rank == y.rank && x.base == y.base &&
           !memcmp(x.dims, y.dims, (size_t)x.rank * sizeof *x.dims) &&
           !memcmp(x.step, y.step, (size_t)x.rank * sizeof *x.step);
}

/* 1 and *h: c gives dims by one step for each of them, as the kernel takes them. */
static int find_steps(const struct copy *c, const int dims[4], struct heads *h)
{
    struct copy due = { .rank = 4, .base = c->base };
    ptrdiff_t natural[4];
    natural_steps(dims, natural);
    for (int i = 0; i < 4; i++) {
        due.dims[i] = dims[i];
        due.step[i] = dims[i] > 1 ? place(c, natural[i]) - c->base : 0;
    }
    *h = (struct heads) { c->base, due.step[BATCH], due.step[HEAD], due.step[ROW] };
    return is_same_copy(&due, c) && due.step[DEPTH] == 1 &&
           !((h->base | h->batch | h->head | h->row) % MATRIX_VECTOR);
}

/* The tensor that matrices t are copied from, through however many copies, and how they lie there. -1: they cannot be read so. */
static int find_source(const struct graph *g, int t, struct heads *h)
{
    const int *dims = g->tensors[t].dims;
    struct copy c = { .rank = 4 };
    int source = -1;
    memcpy(c.dims, dims, sizeof g->tensors[t].dims);
    natural_steps(dims, c.step);
    for (;;) {
        if (find_steps(&c, dims, h))
            source = t;
        const struct node *n = producer_of(g, t);
        if (!n || (n->kind != COPY && n->kind != SLICE))
            break;
        const struct copy inner = n->kind == SLICE ? copy_of_slice(g, n) : n->settings.copy;
        if (!copy_compose(&c, &inner))
            break;
        t = n->inputs[0];
    }
    return source;
}

/* The scores that a softmax reads, with a scale; the tensor that is added to them, -1: none. NULL: there are no such. */
static const struct node *find_scores(
    const struct graph *g, const struct node *softmax, float *scale, int *bias)
{
    const struct instruction *add = softmax->program;
    const struct node *scores = NULL;
    *bias = -1;
    if (softmax->axis != 3 || softmax->program_length > 1)
        return NULL;
    if (!softmax->program_length) {
        scores = sole(g, softmax->inputs[0], PRODUCT);
    } else if (add->function == ADD && softmax->input_count == 2) {
        const int k = g->tensors[softmax->inputs[0]].data ? 1 : 0;
        scores = sole(g, softmax->inputs[k], PRODUCT);
        *bias = softmax->inputs[!k];
    }
    if (!scores || scores->program_length > 1 || !scores->columns ||
        g->tensors[scores->inputs[1]].data)
        return NULL;
    *scale = scores->program_length ? scores->program->low : 1;
    const int is_scaled = !scores->program_length ||
                          (scores->program->function == LINEAR && scores->program->high == 0);
    return is_scaled ? scores : NULL;
}

/* 1 and *h: tensor t can be added to scores of dims, repeated for each batch, and for each head if it has but one. */
static int find_bias(const struct graph *g, int t, const int dims[4], struct heads *h)
{
    const struct tensor *bias = &g->tensors[t];
    const int *d = bias->dims;
    const ptrdiff_t row = (d[3] + MATRIX_VECTOR - 1) / MATRIX_VECTOR * MATRIX_VECTOR;
    *h = (struct heads) { .head = d[1] > 1 ? row * d[2] : 0, .row = row };
    return bias->data && d[0] == 1 && (d[1] == 1 || d[1] == dims[1]) && d[2] == dims[2] &&
           d[3] == dims[3];
}

/* Node n, a product of weights and values, becomes the whole. */
static int fuse(struct graph *g, struct node *n, struct error *e)
{
    struct attention a = { 0 };
    int bias;
    const struct node *softmax = n->kind == PRODUCT ? sole(g, n->inputs[0], SOFTMAX) : NULL;
    const struct node *scores = softmax ? find_scores(g, softmax, &a.scale, &bias) : NULL;
    if (!scores || n->columns || n->program_length || g->tensors[n->inputs[1]].data)
        return 0;
    const int *dims = g->tensors[scores->output].dims, *out = g->tensors[n->output].dims;
    const int read[3] = { scores->inputs[0], scores->inputs[1], n->inputs[1] };
    a.batches = dims[0];
    a.heads = dims[1];
    a.queries = dims[2];
    a.keys = dims[3];
    a.depth = out[3];
    if ((a.depth != 16 && a.depth != 32) || g->tensors[read[0]].dims[3] != a.depth ||
        (bias >= 0 && !find_bias(g, bias, dims, &a.bias)))
        return 0;
    struct node whole = { .name = n->name, .op = n->op, .kind = ATTENTION, .output = n->output };
    for (int i = 0; i < 3; i++)
        if ((whole.inputs[i] = find_source(g, read[i], &a.in[i])) < 0)
            return 0;
    whole.input_count = 3;
    if (bias >= 0)
        whole.inputs[whole.input_count++] = bias;
    ptrdiff_t step[4];
    natural_steps(out, step);
    a.out = (struct heads) { 0, step[BATCH], step[HEAD], step[ROW] };
    struct attention *made = graph_alloc(g, sizeof *made, e);
    if (!made)
        return -1;
    *made = a;
    whole.attention = made;
    *n = whole;
    return 1;
}

/* A copy that puts the heads of each row beside each other is done by the attention before it. */
static int take_copy(struct graph *g, struct node *n, struct error *e)
{
    struct node *before = n->kind == COPY ? sole(g, n->inputs[0], ATTENTION) : NULL;
    if (!before)
        return 0;
    struct attention a = *before->attention;
    const ptrdiff_t depth = a.depth, rows = a.queries, heads = a.heads;
    const struct copy beside = { .rank = 4,
        .dims = { a.batches, a.queries, a.heads, a.depth },
        .step = { heads * rows * depth, depth, rows * depth, 1 } };
    if (!is_same_copy(&beside, &n->settings.copy))
        return 0;
    a.out = (struct heads) { 0, rows * heads * depth, depth, heads * depth };
    struct attention *made = graph_alloc(g, sizeof *made, e);
    if (!made)
        return -1;
    *made = a;
    const int unread = before->output;
    before->attention = made;
    before->output = n->output;
    n->output = unread;
    return 1;
}

int attention_fuse(struct graph *g, struct error *e)
{
    int (*const steps[])(struct graph *, struct node *, struct error *) = { fuse, take_copy };
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < g->node_count; i++)
            if (steps[k](g, &g->nodes[i], e) < 0)
                return -1;
        if (graph_sort(g, e))
            return -1;
    }
    return 0;
}
