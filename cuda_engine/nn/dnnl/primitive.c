#include "plan.h"

#include <string.h>

/* A function as a post-op of oneDNN: element-wise, or with a second operand. */
static const struct {
    dnnl_alg_kind_t unary, binary;
} post_ops[] = {
    [RELU] = { .unary = dnnl_eltwise_relu },
    [CLIP] = { .unary = dnnl_eltwise_clip },
    [LINEAR] = { .unary = dnnl_eltwise_linear },
    [LEAKY] = { .unary = dnnl_eltwise_relu },
    [SIGMOID] = { .unary = dnnl_eltwise_logistic },
    [TANH] = { .unary = dnnl_eltwise_tanh },
    [HARDSWISH] = { .unary = dnnl_eltwise_hardswish },
    [GELU] = { .unary = dnnl_eltwise_gelu_erf },
    [ADD] = { .binary = dnnl_binary_add },
    [SUB] = { .binary = dnnl_binary_sub },
    [MUL] = { .binary = dnnl_binary_mul },
    [DIV] = { .binary = dnnl_binary_div },
    [MIN] = { .binary = dnnl_binary_min },
    [MAX] = { .binary = dnnl_binary_max },
};

/* How much of n's program a primitive does: for each algorithm oneDNN 2.6.3 has one set of parameters, the first. */
static int fused_length(const struct node *n)
{
    for (int i = 0; i < n->program_length; i++)
        for (int k = 0; k < i; k++) {
            const struct instruction *in = &n->program[i], *before = &n->program[k];
            const dnnl_alg_kind_t unary = post_ops[in->function].unary;
            if (unary && unary == post_ops[before->function].unary &&
                (in->low != before->low || in->high != before->high))
                return i;
        }
    return n->program_length;
}

/* Takes instructions from n's program, from the one at `from` on, and gives them to a node of their own after it. */
static int split(struct graph *g, struct node *n, int from, struct error *e)
{
    struct node rest = { .name = n->name,
        .op = n->op,
        .kind = POINTWISE,
        .input_count = 1,
        .output = n->output,
        .program_length = n->program_length - from };
    int operands = 0;
    for (int i = 0; i < rest.program_length; i++) {
        struct instruction *in = &rest.program[i];
        *in = n->program[from + i];
        in->x = i ? ~(i - 1) : 0;
        if (post_ops[in->function].unary)
            continue;
        rest.inputs[rest.input_count] = n->inputs[in->y];
        in->y = rest.input_count++;
        operands++;
    }
    n->program_length = from;
    n->input_count -= operands; /* they come in the program's order */
    n->output = graph_add_tensor(g, n->name, &g->tensors[rest.output].shape, e);
    rest.inputs[0] = n->output;
    return n->output < 0 || graph_add_node(g, &rest, e) < 0 ? -1 : 0;
}

int dnnl_split(struct graph *g, struct error *e)
{
    for (int i = 0, count = g->node_count; i < count; i++) {
        struct node *n = &g->nodes[i];
        const int length = fused_length(n);
        if ((n->kind == CONVOLUTION || n->kind == PRODUCT) && length < n->program_length &&
            split(g, n, length, e))
            return -1;
    }
    return graph_sort(g, e);
}

static void run_primitive(const struct step *s)
{
    dnnl_primitive_execute(s->dnnl.primitive, s->dnnl.stream, s->dnnl.arg_count, s->dnnl.args);
}

static dnnl_memory_desc_t describe(int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t d;
    dnnl_memory_desc_init_by_tag(&d, rank, dims, dnnl_f32, tag);
    return d;
}

static dnnl_memory_desc_t describe_view(const struct view *v)
{
    return describe(4, (dnnl_dims_t) { v->n, v->c, v->h, v->w }, dnnl_nhwc);
}

static int add_arg(struct plan *p, struct step *s, int arg, const dnnl_memory_desc_t *d, void *data)
{
    dnnl_exec_arg_t *a = &s->dnnl.args[s->dnnl.arg_count];
    a->arg = arg;
    if (dnnl_memory_create(&a->memory, d, p->engine, data))
        return -1;
    s->dnnl.arg_count++;
    return 0;
}

void *dnnl_pack(struct plan *p, const dnnl_memory_desc_t *from, const float *data,
    const dnnl_memory_desc_t *to, struct error *e)
{
    dnnl_memory_t source = NULL, target = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    void *packed = plan_alloc(p, dnnl_memory_desc_get_size(to), e);
    if (!packed)
        return NULL;
    int failed = dnnl_memory_create(&source, from, p->engine, (void *)data) ||
                 dnnl_memory_create(&target, to, p->engine, packed) ||
                 dnnl_reorder_primitive_desc_create(&desc, from, p->engine, to, p->engine, NULL) ||
                 dnnl_primitive_create(&reorder, desc);
    if (!failed) {
        const dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, source }, { DNNL_ARG_TO, target } };
        failed = dnnl_primitive_execute(reorder, p->stream, 2, args) || dnnl_stream_wait(p->stream);
    }
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(source);
    dnnl_memory_destroy(target);
    if (failed)
        error_set(e, "unsupported_model", "%s: oneDNN does not take its weights.", p->graph->label);
    return failed ? NULL : packed;
}

/* Adds constants (weights, bias), reordered from the file's layout to that which the primitive asks for. */
static int add_packed(struct plan *p, struct step *s, int arg, const dnnl_memory_desc_t *from,
    const float *data, const dnnl_memory_desc_t *to, struct error *e)
{
    void *packed = dnnl_pack(p, from, data, to, e);
    return packed ? add_arg(p, s, arg, to, packed) : -1;
}

/* A window in oneDNN's terms: its dilation counts the pixels between. */
struct dnnl_window {
    dnnl_dims_t kernel, stride, dilation, before, after;
};

static struct dnnl_window window_of(const struct node *n)
{
    struct dnnl_window w = { 0 };
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = n->window.kernel[i];
        w.stride[i] = n->window.stride[i];
        w.dilation[i] = n->window.dilation[i] - 1;
        w.before[i] = n->window.before[i];
        w.after[i] = n->window.after[i];
    }
    return w;
}

/* What the node is to oneDNN. */
struct described {
    dnnl_memory_desc_t in, out, weights, bias;
    int has_weights, has_bias; /* constants, to be packed */
    int done;                  /* instructions of the program that are part of it */
    union {
        dnnl_convolution_desc_t convolution;
        dnnl_pooling_v2_desc_t pool;
        dnnl_matmul_desc_t product;
    };
};

static int describe_convolution(const struct plan *p, const struct step *s, struct described *d)
{
    const struct node *n = s->node;
    const int *w = p->graph->tensors[n->inputs[1]].dims;
    const int group = n->window.group;
    const struct dnnl_window window = window_of(n);
    const dnnl_dims_t plain = { w[0], w[1], w[2], w[3] };
    const dnnl_dims_t grouped = { group, w[0] / group, w[1], w[2], w[3] };
    const dnnl_memory_desc_t any =
        describe(4 + (group > 1), group > 1 ? grouped : plain, dnnl_format_tag_any);
    d->weights = group > 1 ? describe(5, grouped, dnnl_goihw) : describe(4, plain, dnnl_oihw);
    d->bias = describe(1, (dnnl_dims_t) { w[0] }, dnnl_a);
    d->has_weights = 1;
    d->has_bias = n->window.bias;
    return dnnl_dilated_convolution_forward_desc_init(&d->convolution, dnnl_forward_inference,
        dnnl_convolution_direct, &d->in, &any, d->has_bias ? &d->bias : NULL, &d->out,
        window.stride, window.dilation, window.before, window.after);
}

static int describe_pool(const struct step *s, struct described *d)
{
    const struct dnnl_window window = window_of(s->node);
    return dnnl_pooling_v2_forward_desc_init(&d->pool, dnnl_forward_inference,
        s->node->kind == POOL_MAX ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding, &d->in,
        &d->out, window.stride, window.kernel, window.dilation, window.before, window.after);
}

/* All rows by one matrix that is known; or as many matrices as there are by as many, in two dimensions of them. */
static int describe_product(const struct plan *p, const struct step *s, struct described *d)
{
    const struct node *n = s->node;
    const struct tensor *t = p->graph->tensors, *right = &t[n->inputs[1]];
    const struct view *a = &s->in[0], *out = &s->out;
    const dnnl_dim_t rows = (dnnl_dim_t)out->n * out->h * out->w;
    if (!right->data) {
        d->in = describe(4, (dnnl_dims_t) { a->n, a->h, a->w, a->c }, dnnl_abcd);
        d->weights = describe(4, (dnnl_dims_t) { right->dims[0], right->dims[1], a->c, out->c },
            n->columns ? dnnl_abdc : dnnl_abcd);
        d->out = describe(4, (dnnl_dims_t) { out->n, out->h, out->w, out->c }, dnnl_abcd);
        return dnnl_matmul_desc_init(&d->product, &d->in, &d->weights, NULL, &d->out);
    }
    const dnnl_dims_t matrix = { a->c, out->c };
    const dnnl_memory_desc_t any = describe(2, matrix, dnnl_format_tag_any);
    const struct instruction *first = n->program;
    d->in = describe(2, (dnnl_dims_t) { rows, a->c }, dnnl_ab);
    d->weights = describe(2, matrix, n->columns ? dnnl_ba : dnnl_ab);
    d->bias = describe(2, (dnnl_dims_t) { 1, out->c }, dnnl_ab);
    d->out = describe(2, (dnnl_dims_t) { rows, out->c }, dnnl_ab);
    d->has_weights = 1;
    /* what its program adds first may be a bias */
    d->done = d->has_bias = n->program_length && first->function == ADD && first->y == 2 &&
                            t[n->inputs[2]].data &&
                            tensor_elements(&t[n->inputs[2]]) == (size_t)out->c;
    return dnnl_matmul_desc_init(&d->product, &d->in, &any, d->has_bias ? &d->bias : NULL, &d->out);
}

/* What an operand of the program is to the primitive: like the output, with ones where it has those. */
static dnnl_memory_desc_t describe_operand(const struct node *n, const struct view *v)
{
    if (n->kind != PRODUCT)
        return describe_view(v);
    return describe(2, (dnnl_dims_t) { (dnnl_dim_t)v->n * v->h * v->w, v->c }, dnnl_ab);
}

/* The node's program from instruction first on as post-ops, and its operands as arguments. */
static int add_post_ops(struct plan *p, struct step *s, int first, dnnl_post_ops_t post)
{
    const struct node *n = s->node;
    for (int i = first; i < n->program_length; i++) {
        const struct instruction *in = &n->program[i];
        if (post_ops[in->function].unary) {
            if (dnnl_post_ops_append_eltwise(
                    post, 1, post_ops[in->function].unary, in->low, in->high))
                return -1;
            continue;
        }
        const dnnl_memory_desc_t d = describe_operand(n, &s->in[in->y]);
        if (dnnl_post_ops_append_binary(post, post_ops[in->function].binary, &d) ||
            add_arg(p, s, DNNL_ARG_ATTR_MULTIPLE_POST_OP(i - first) | DNNL_ARG_SRC_1, &d,
                s->in[in->y].data))
            return -1;
    }
    return 0;
}

static int describe_node(const struct plan *p, const struct step *s, struct described *d)
{
    const struct node *n = s->node;
    *d = (struct described) { .in = describe_view(&s->in[0]), .out = describe_view(&s->out) };
    if (n->kind == PRODUCT)
        return describe_product(p, s, d);
    if (n->kind == CONVOLUTION)
        return describe_convolution(p, s, d);
    return describe_pool(s, d);
}

int dnnl_prepare(struct plan *p, struct step *s, struct error *e)
{
    const struct node *n = s->node;
    const struct tensor *t = p->graph->tensors;
    struct described d;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post = NULL;
    dnnl_primitive_desc_t desc = NULL;
    int result = -1;

    s->run = run_primitive;
    s->dnnl.stream = p->stream;
    if (describe_node(p, s, &d) || dnnl_primitive_attr_create(&attr) ||
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ||
        dnnl_post_ops_create(&post) || add_post_ops(p, s, d.done, post) ||
        dnnl_primitive_attr_set_post_ops(attr, post) ||
        dnnl_primitive_desc_create(&desc, &d.convolution, attr, p->engine, NULL) ||
        dnnl_primitive_create(&s->dnnl.primitive, desc) ||
        add_arg(p, s, DNNL_ARG_SRC, &d.in, s->in[0].data) ||
        add_arg(p, s, DNNL_ARG_DST, &d.out, s->out.data))
        goto out;
    if (d.has_weights && add_packed(p, s, DNNL_ARG_WEIGHTS, &d.weights, t[n->inputs[1]].data,
                             dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), e))
        goto out;
    if (!d.has_weights && n->kind == PRODUCT &&
        add_arg(p, s, DNNL_ARG_WEIGHTS, &d.weights, s->in[1].data))
        goto out;
    if (d.has_bias && add_packed(p, s, DNNL_ARG_BIAS, &d.bias, t[n->inputs[2]].data, &d.bias, e))
        goto out;
    p->bytes += CODE_BYTES;
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(scratch);
    if (bytes && add_arg(p, s, DNNL_ARG_SCRATCHPAD, scratch, NULL))
        goto out;
    if (p->scratch_bytes < bytes)
        p->scratch_bytes = bytes;
    result = 0;
out:
    dnnl_primitive_desc_destroy(desc);
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    return result ? error_set(e, "unsupported_model",
                        "%s: oneDNN does not take the node %s (%s, opset %d).", p->graph->label,
                        n->name, n->op, p->graph->opset)
                  : 0;
}

void dnnl_scratch(struct step *s, void *scratch)
{
    if (s->run == run_primitive)
        for (int i = 0; i < s->dnnl.arg_count; i++)
            if (s->dnnl.args[i].arg == DNNL_ARG_SCRATCHPAD)
                dnnl_memory_set_data_handle(s->dnnl.args[i].memory, scratch);
}

void dnnl_release(struct step *s)
{
    if (s->run != run_primitive)
        return;
    for (int i = 0; i < s->dnnl.arg_count; i++)
        dnnl_memory_destroy(s->dnnl.args[i].memory);
    dnnl_primitive_destroy(s->dnnl.primitive);
}
