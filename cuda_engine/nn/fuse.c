/*
 * Fewer nodes of more work. Each pass looks at a node and those that it reads, and rewrites them in place; what nobody
 * uses any more is dropped by graph_sort() between passes.
 */
#include "graph.h"

#include <math.h>
#include <string.h>

/* The node that computes input k of n, if nothing else uses its result; NULL otherwise. */
static struct node *only_producer(const struct graph *g, const struct node *n, int k)
{
    const struct tensor *t = &g->tensors[n->inputs[k]];
    return t->producer >= 0 && t->uses == 1 ? &g->nodes[t->producer] : NULL;
}

/* The node that computes tensor t, if it is one instruction of a function; NULL otherwise. */
static const struct node *producer_of(const struct graph *g, int t, enum function function)
{
    if (g->tensors[t].producer < 0)
        return NULL;
    const struct node *n = &g->nodes[g->tensors[t].producer];
    return n->kind == POINTWISE && n->program_length == 1 && n->program[0].function == function
               ? n
               : NULL;
}

static int is_unary(const struct instruction *i)
{
    return i->function < ADD;
}

/* Two operands of which one is a constant number: one operand and parameters. */
static int fold_scalar(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    struct instruction *i = &n->program[0];
    float value;
    if (n->kind != POINTWISE || n->program_length != 1 || is_unary(i) || i->function == DIV)
        return 0;
    const int constant = tensor_scalar(&g->tensors[n->inputs[1]], &value);
    if (!constant && !tensor_scalar(&g->tensors[n->inputs[0]], &value))
        return 0;
    const int first = !constant; /* the constant is the first operand */
    switch (i->function) {
    case ADD: *i = (struct instruction) { LINEAR, 0, 0, 1, value }; break;
    case SUB:
        *i = (struct instruction) { LINEAR, 0, 0, first ? -1 : 1, first ? value : -value };
        break;
    case MUL: *i = (struct instruction) { LINEAR, 0, 0, value, 0 }; break;
    case MIN: *i = (struct instruction) { CLIP, 0, 0, -INFINITY, value }; break;
    case MAX: *i = (struct instruction) { CLIP, 0, 0, value, INFINITY }; break;
    default: return 0;
    }
    n->inputs[0] = n->inputs[first];
    n->input_count = 1;
    return 0;
}

/* x / 6 * min(max(x + 3, 0), 6), as exporters write HardSwish. */
static int find_hardswish(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE || n->program[0].function != MUL)
        return 0;
    for (int k = 0; k < 2; k++) {
        const struct node *sixth = producer_of(g, n->inputs[k], LINEAR);
        const struct node *clip = producer_of(g, n->inputs[!k], CLIP);
        const struct node *plus = clip ? producer_of(g, clip->inputs[0], LINEAR) : NULL;
        if (!sixth || !plus || sixth->inputs[0] != plus->inputs[0])
            continue;
        const struct instruction *s = &sixth->program[0], *c = &clip->program[0],
                                 *p = &plus->program[0];
        if (fabsf(s->low - 1.0f / 6) < 1e-6f && s->high == 0 && c->low == 0 && c->high == 6 &&
            p->low == 1 && p->high == 3) {
            n->program[0] = (struct instruction) { .function = HARDSWISH };
            n->inputs[0] = plus->inputs[0];
            n->input_count = 1;
            return 0;
        }
    }
    return 0;
}

/* Zeros around the input of a convolution are its own padding. */
static int fold_pad(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    const struct node *pad = n->kind == CONVOLUTION ? only_producer(g, n, 0) : NULL;
    if (!pad || pad->kind != PAD || pad->fill != 0)
        return 0;
    const int *in = g->tensors[pad->inputs[0]].dims, *out = g->tensors[pad->output].dims;
    if (in[0] != out[0] || in[1] != out[1])
        return 0;
    for (int i = 0; i < 2; i++) {
        n->window.before[i] += pad->offset[2 + i];
        n->window.after[i] += out[2 + i] - in[2 + i] - pad->offset[2 + i];
    }
    n->inputs[0] = pad->inputs[0];
    return 0;
}

/* Multiplies a convolution's results by scale and adds shift, of one value a channel (stride 1) or one for all (0). */
static int scale_weights(struct graph *g, struct node *conv, const float *scale, const float *shift,
    int stride, struct error *e)
{
    const struct tensor w = g->tensors[conv->inputs[1]];
    const size_t channels = w.dims[0], each = tensor_elements(&w) / channels;
    const struct shape per_channel = { REAL, 1, { w.dims[0] } };
    float *weights = graph_alloc(g, channels * each * sizeof *weights, e);
    float *bias = graph_alloc(g, channels * sizeof *bias, e);
    if (!weights || !bias)
        return -1;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < each; i++)
            weights[c * each + i] = w.data[c * each + i] * scale[c * stride];
        bias[c] = shift[c * stride];
        if (conv->window.bias)
            bias[c] += g->tensors[conv->inputs[2]].data[c] * scale[c * stride];
    }
    /* new tensors: other convolutions may share the constants of the file */
    int new_weights = graph_add_tensor(g, w.name, &w.shape, e);
    int new_bias = graph_add_tensor(g, w.name, &per_channel, e);
    if (new_weights < 0 || new_bias < 0)
        return -1;
    g->tensors[new_weights].data = weights;
    g->tensors[new_bias].data = bias;
    conv->inputs[1] = new_weights;
    conv->inputs[2] = new_bias;
    conv->input_count = 3;
    conv->window.bias = 1;
    return 0;
}

/* 1 if t has one value a channel. */
static int is_per_channel(const struct tensor *t, const int dims[4])
{
    return t->dims[0] == 1 && t->dims[1] == dims[1] && t->dims[2] == 1 && t->dims[3] == 1;
}

/* Does in its weights what is done to the results of convolution conv; 1 if done. */
static int fold_into_weights(
    struct graph *g, struct node *conv, const struct node *n, int k, struct error *e)
{
    const struct instruction *i = &n->program[0];
    const int channels = g->tensors[n->output].dims[1];
    if (conv->program_length)
        return 0;
    if (i->function == LINEAR)
        return scale_weights(g, conv, &i->low, &i->high, 0, e) ? -1 : 1;
    const struct tensor *other = n->input_count == 2 ? &g->tensors[n->inputs[!k]] : NULL;
    if (!other || !other->data || !is_per_channel(other, g->tensors[n->output].dims) ||
        (i->function != ADD && i->function != MUL))
        return 0;
    float *neutral = graph_alloc(g, channels * sizeof *neutral, e);
    if (!neutral)
        return -1;
    for (int c = 0; c < channels; c++)
        neutral[c] = i->function == ADD ? 1 : 0;
    return scale_weights(g, conv, i->function == ADD ? neutral : other->data,
               i->function == ADD ? other->data : neutral, 1, e)
               ? -1
               : 1;
}

/* Adds n's instruction to the program of convolution conv, whose result is its operand k; 1 if done. */
static int append_to_convolution(struct graph *g, struct node *conv, const struct node *n, int k)
{
    struct instruction i = n->program[0];
    if (conv->program_length == GRAPH_PROGRAM)
        return 0;
    if (!is_unary(&i)) {
        const struct tensor *other = &g->tensors[n->inputs[!k]];
        if (conv->input_count == GRAPH_INPUTS || (k && (i.function == SUB || i.function == DIV)) ||
            n->inputs[0] == n->inputs[1])
            return 0;
        if (memcmp(other->dims, g->tensors[n->output].dims, sizeof other->dims) &&
            !is_per_channel(other, g->tensors[n->output].dims))
            return 0;
        if (other->producer >= 0 && g->nodes[other->producer].kind == SLICE)
            return 0; /* it has gaps, and a copy costs more than is won */
        i.y = conv->input_count;
        conv->inputs[conv->input_count++] = n->inputs[!k];
    }
    conv->program[conv->program_length++] = i;
    return 1;
}

/* What is done to the results of a convolution that nothing else reads, it does itself. */
static int fold_into_convolution(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind != POINTWISE || n->program_length != 1)
        return 0;
    for (int k = 0; k < n->input_count; k++) {
        struct node *conv = only_producer(g, n, k);
        if (!conv || conv->kind != CONVOLUTION ||
            memcmp(g->tensors[conv->output].dims, g->tensors[n->output].dims, 4 * sizeof(int)))
            continue;
        int done = fold_into_weights(g, conv, n, k, e);
        if (done < 0)
            return -1;
        if (!done && !append_to_convolution(g, conv, n, k))
            continue;
        const int before = conv->output;
        conv->output = n->output;
        g->tensors[n->output].producer = g->tensors[before].producer;
        n->output = before; /* which nobody reads: n is dropped */
        return 0;
    }
    return 0;
}

/* Operand k of n becomes the program of from, which computes it; 1 if there is room. */
static int inline_program(struct node *n, int k, const struct node *from)
{
    struct node merged = *n;
    int map[GRAPH_INPUTS];
    if (from->program_length + n->program_length > GRAPH_PROGRAM)
        return 0;
    for (int i = 0; i < from->input_count; i++) {
        int at = 0;
        while (at < merged.input_count && (at == k || merged.inputs[at] != from->inputs[i]))
            at++;
        if (at == GRAPH_INPUTS)
            return 0;
        if (at == merged.input_count)
            merged.inputs[merged.input_count++] = from->inputs[i];
        map[i] = at;
    }
    /* from's instructions come first, so those of n move up, and operand k is the last of from's */
    const int shift = from->program_length, result = ~(shift - 1);
    for (int i = 0; i < n->program_length; i++) {
        struct instruction in = n->program[i];
        in.x = in.x < 0 ? in.x - shift : in.x == k ? result : in.x;
        in.y = in.y < 0 ? in.y - shift : in.y == k ? result : in.y;
        merged.program[shift + i] = in;
    }
    for (int i = 0; i < shift; i++) {
        struct instruction in = from->program[i];
        in.x = in.x < 0 ? in.x : map[in.x];
        in.y = in.y < 0 ? in.y : map[in.y];
        merged.program[i] = in;
    }
    merged.program_length = shift + n->program_length;
    /* the last input takes the place of operand k, which is no longer read */
    const int last = --merged.input_count;
    merged.inputs[k] = merged.inputs[last];
    for (int i = 0; i < merged.program_length; i++) {
        struct instruction *in = &merged.program[i];
        if (in->x == last)
            in->x = k;
        if (in->y == last)
            in->y = k;
    }
    *n = merged;
    return 1;
}

/* Element-wise nodes that feed one other of the same size become part of it. */
static int merge_pointwise(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE)
        return 0;
    for (int k = 0; k < n->input_count;) {
        const struct node *from = only_producer(g, n, k);
        if (from && from->kind == POINTWISE &&
            !memcmp(g->tensors[from->output].dims, g->tensors[n->output].dims, 4 * sizeof(int)) &&
            inline_program(n, k, from))
            k = 0;
        else
            k++;
    }
    return 0;
}

int graph_fuse(struct graph *g, struct error *e)
{
    static int (*const passes[])(struct graph *, struct node *, struct error *) = {
        fold_scalar,
        find_hardswish,
        fold_pad,
        fold_into_convolution,
        merge_pointwise,
    };
    for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
        for (int i = 0; i < g->node_count; i++)
            if (passes[p](g, &g->nodes[i], e))
                return -1;
        if (graph_sort(g, e))
            return -1;
    }
    return 0;
}
