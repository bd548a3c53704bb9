/*
 * The steps of each kind of node. A new one is a line in the table at the end, and in SCHEDULE_KERNELS where it needs a
 * kernel that none has needed so far.
 */
#include <assert.h>
#include <string.h>

#include "schedule.h"

static struct tensor16 tensor_of(const struct view *v)
{
    return (struct tensor16) { v->halves, v->n, v->h, v->w, v->c, (int)v->stride_n,
        (int)v->stride_h, (int)v->stride_w };
}

/* ---- programs ---- */

/* Strides of 0 repeat an operand along the dimensions in which it has one element. */
static struct pointwise_input operand_of(const struct view *v, const struct view *out)
{
    return (struct pointwise_input) {
        .data = v->halves,
        .stride_n = v->n < out->n ? 0 : (int)v->stride_n,
        .stride_h = v->h < out->h ? 0 : (int)v->stride_h,
        .stride_w = v->w < out->w ? 0 : (int)v->stride_w,
        .stride_c = v->c < out->c ? 0 : 1,
    };
}

/* 1 if the kernel may read four of its channels at once. */
static int is_vector(const struct pointwise_input *in)
{
    return !in->stride_c || !((uintptr_t)in->data % 8 || in->stride_n % TENSOR_VECTOR ||
                                in->stride_h % TENSOR_VECTOR || in->stride_w % TENSOR_VECTOR);
}

static int add_program(struct schedule *s, const struct view *out, const struct view *const *in,
    int inputs, const struct instruction *program, int length, struct error *e)
{
    struct pointwise_params p = { .out = tensor_of(out), .length = length };
    p.vector = tensor_is_vector(&p.out);
    for (int k = 0; k < inputs; k++) {
        p.in[k] = operand_of(in[k], out);
        p.vector &= is_vector(&p.in[k]);
    }
    for (int i = 0; i < length; i++)
        p.program[i] = (struct pointwise_instruction) { (short)program[i].function,
            (short)program[i].x, (short)program[i].y, program[i].low, program[i].high };
    return ADD_LAUNCH(s, pointwise, &p, e);
}

_Static_assert((int)POINTWISE_MAX == (int)MAX && (int)POINTWISE_INPUTS >= (int)GRAPH_INPUTS &&
                   (int)POINTWISE_PROGRAM >= (int)GRAPH_PROGRAM,
    "the kernel runs the programs of graph.h");

/* The program of n, with its inputs where it has them. */
static int add_pointwise(struct schedule *s, const struct node *n, struct error *e)
{
    const struct view *in[GRAPH_INPUTS];
    for (int k = 0; k < n->input_count; k++)
        in[k] = &s->views[n->inputs[k]];
    return add_program(
        s, &s->views[n->output], in, n->input_count, n->program, n->program_length, e);
}

/*
 * What cuDNN does not do of n after a convolution, in place: bias where it did not add it, then n's program without its
 * first `done` instructions. Each takes the result of the one before.
 */
static int add_epilogue(
    struct schedule *s, const struct node *n, int adds_bias, int done, struct error *e)
{
    const struct view *out = &s->views[n->output], *in[GRAPH_INPUTS] = { out };
    struct instruction program[GRAPH_PROGRAM];
    struct view bias;
    int inputs = 1, length = 0;
    if (adds_bias) {
        bias = (struct view) { { schedule_constant(s, n->inputs[2], AS_IT_LIES) }, CHANNELS_LAST, 1,
            1, 1, out->c, out->c, out->c, out->c };
        in[inputs] = &bias;
        program[length++] = (struct instruction) { .function = ADD, .y = inputs++ };
    }
    for (int i = done; i < n->program_length; i++) {
        struct instruction next = n->program[i];
        next.x = length ? ~(length - 1) : 0;
        next.y = next.x;
        if (next.function >= ADD) {
            in[inputs] = &s->views[n->inputs[n->program[i].y]];
            next.y = inputs++;
        }
        program[length++] = next;
    }
    return length ? add_program(s, out, in, inputs, program, length, e) : 0;
}

/* ---- convolutions ---- */

static size_t convolution_workspace(const struct schedule *s, const struct node *n)
{
    return (size_t)s->planned[n - s->graph->nodes]->convolution.workspace;
}

static int add_convolution(struct schedule *s, const struct node *n, struct error *e)
{
    const struct planned *planned = s->planned[n - s->graph->nodes];
    const struct convolution *c = &planned->convolution;
    const int adds = planned->shape.extras & c->extras & ADD_TENSOR;
    const int64_t uids[] = { UID_IN, UID_WEIGHTS, UID_OUT, UID_BIAS, UID_ADDED };
    const struct view *added = adds ? &s->views[n->inputs[n->program->y]] : NULL;
    void *const data[] = {
        s->views[n->inputs[0]].halves,
        schedule_constant(s, n->inputs[1], FILTERS),
        s->views[n->output].halves,
        n->window.bias ? schedule_constant(s, n->inputs[2], AS_IT_LIES) : schedule_zeros(s),
        added ? added->halves : NULL,
    };
    const int64_t count = 3 + !!(c->extras & ADD_BIAS) + !!added;
    void *workspace = schedule_workspace(s);
    struct descriptors d = { .cudnn = s->cudnn };
    cudnnBackendDescriptor_t pack = MAKE(&d, VARIANT_PACK);
    SET(&d, pack, VARIANT_PACK_UNIQUE_IDS, INT64, count, uids);
    SET(&d, pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, count, data);
    SET_ONE(&d, pack, VARIANT_PACK_WORKSPACE, VOID_PTR, workspace);
    FINALIZE(&d, pack);
    if (d.failed) {
        *e = d.error;
        descriptors_free(&d, 0);
        return -1;
    }
    if (schedule_execute(s, c->plan, pack, e))
        return -1;
    const int does = c->extras, relu = !!(does & THEN_RELU);
    return add_epilogue(s, n, n->window.bias && !(does & ADD_BIAS), !!adds + relu, e);
}

/* ---- pictures ---- */

static int add_resize(struct schedule *s, const struct node *n, struct error *e)
{
    struct resize_params p = {
        .in = tensor_of(&s->views[n->inputs[0]]),
        .out = tensor_of(&s->views[n->output]),
        .shift = .5f,
        .mode = RESIZE_LINEAR,
    };
    p.scale_x = (float)p.in.w / (float)p.out.w;
    p.scale_y = (float)p.in.h / (float)p.out.h;
    p.vector = tensor_is_vector(&p.in) && tensor_is_vector(&p.out);
    return ADD_LAUNCH(s, resize, &p, e);
}

/* 1 if n is the mean of whole pictures. */
static int is_whole(const struct graph *g, const struct node *n)
{
    const int *in = g->tensors[n->inputs[0]].dims, *out = g->tensors[n->output].dims;
    const struct window *w = &n->window;
    return n->kind == POOL_AVERAGE && w->kernel[0] == in[2] && w->kernel[1] == in[3] &&
           out[2] == 1 && out[3] == 1 && !w->before[0] && !w->before[1];
}

enum { PIXELS_A_RUN = 64 }; /* of a mean: enough for the eight lanes of a block */

static int splits_of(const int *dims)
{
    const int splits = dims[2] * dims[3] / PIXELS_A_RUN;
    return splits < 1 ? 1 : splits < NORMALISE_SPLITS ? splits : NORMALISE_SPLITS;
}

static size_t pool_workspace(const struct schedule *s, const struct node *n)
{
    const int *dims = s->graph->tensors[n->inputs[0]].dims;
    return is_whole(s->graph, n)
               ? (size_t)dims[0] * (size_t)dims[1] * (size_t)splits_of(dims) * 2 * sizeof(float)
               : 0;
}

static int add_mean(struct schedule *s, const struct node *n, struct error *e)
{
    const struct moments_params moments = {
        .in = tensor_of(&s->views[n->inputs[0]]),
        .partial = schedule_workspace(s),
        .splits = splits_of(s->graph->tensors[n->inputs[0]].dims),
    };
    const struct average_params average = {
        .partial = moments.partial,
        .out = s->views[n->output].halves,
        .n = moments.in.n,
        .c = moments.in.c,
        .pixels = moments.in.h * moments.in.w,
        .splits = moments.splits,
    };
    return ADD_LAUNCH(s, moments, &moments, e) || ADD_LAUNCH(s, average, &average, e) ? -1 : 0;
}

static int add_pool(struct schedule *s, const struct node *n, struct error *e)
{
    const struct window *w = &n->window;
    const struct view *in = &s->views[n->inputs[0]];
    if (is_whole(s->graph, n) && in->stride_h == in->w * in->stride_w)
        return add_mean(s, n, e);
    struct pool_params p = {
        .in = tensor_of(in),
        .out = tensor_of(&s->views[n->output]),
        .average = n->kind == POOL_AVERAGE,
    };
    for (int i = 0; i < 2; i++) {
        p.kernel[i] = w->kernel[i];
        p.stride[i] = w->stride[i];
        p.dilation[i] = w->dilation[i];
        p.before[i] = w->before[i];
    }
    p.vector = tensor_is_vector(&p.in) && tensor_is_vector(&p.out);
    return ADD_LAUNCH(s, pool, &p, e);
}

/* ---- copies ---- */

/* From in to out, which differ in size where there is an offset. */
static int add_box(struct schedule *s, const struct view *in, const struct view *out,
    const int offset[4], float fill, struct error *e)
{
    struct copy_params p = { .in = tensor_of(in), .out = tensor_of(out), .fill = fill };
    memcpy(p.offset, offset, sizeof p.offset);
    p.vector =
        tensor_is_vector(&p.in) && tensor_is_vector(&p.out) && p.offset[3] % TENSOR_VECTOR == 0;
    return ADD_LAUNCH(s, copy, &p, e);
}

static int add_copy(
    struct schedule *s, const struct view *in, const struct view *out, struct error *e)
{
    return in->halves == out->halves ? 0 : add_box(s, in, out, (int[4]) { 0 }, 0, e);
}

/* Of the parts that were not computed where they belong. */
static int add_concat(struct schedule *s, const struct node *n, struct error *e)
{
    int offset[4];
    for (int k = 0; k < n->input_count; k++) {
        const struct view *in = &s->views[n->inputs[k]];
        concat_offset(s->graph, n, k, offset);
        const struct view part = view_part(&s->views[n->output], offset, in, sizeof(uint16_t));
        if (add_copy(s, in, &part, e))
            return -1;
    }
    return 0;
}

static int add_pad(struct schedule *s, const struct node *n, struct error *e)
{
    const struct view *in = &s->views[n->inputs[0]], *out = &s->views[n->output];
    const int *o = n->offset;
    const int rows[4] = { o[0], o[1], o[2], o[3] }, pixels[4] = { o[0], o[2], o[3], o[1] };
    return add_box(s, in, out, out->layout == ROWS ? rows : pixels, n->fill, e);
}

/* A view of its input. */
static int add_nothing(struct schedule *s, const struct node *n, struct error *e)
{
    (void)s;
    (void)n;
    (void)e;
    return 0;
}

/* Only what leaves everything where it is: the same tensor by another name. */
static int add_move(struct schedule *s, const struct node *n, struct error *e)
{
    return s->views[n->inputs[0]].halves == s->views[n->output].halves ? 0
                                                                       : schedule_refuse(s, n, e);
}

/* ---- along the adjacent dimension ---- */

static int add_softmax(struct schedule *s, const struct node *n, struct error *e)
{
    const struct view *in = &s->views[n->inputs[0]], *out = &s->views[n->output];
    if (n->program_length && add_pointwise(s, n, e))
        return -1;
    const struct softmax_params p = {
        .in = n->program_length ? out->halves : in->halves,
        .out = out->halves,
        .before = out->n * out->h * out->w,
        .size = out->c,
        .after = 1,
    };
    return ADD_LAUNCH(s, softmax, &p, e);
}

static int add_normalise(struct schedule *s, const struct node *n, struct error *e)
{
    const struct view *out = &s->views[n->output];
    const struct layer_params p = {
        .in = s->views[n->inputs[0]].halves,
        .out = out->halves,
        .scale = schedule_constant(s, n->inputs[1], FLOATS),
        .bias = schedule_constant(s, n->inputs[2], FLOATS),
        .rows = out->n * out->h * out->w,
        .size = out->c,
        .epsilon = n->epsilon,
    };
    return ADD_LAUNCH(s, layer, &p, e);
}

/* ---- all of them ---- */

/*
 * Convolutions read and write without gaps: cuDNN takes them, but copies the tensor into its workspace first. Kinds
 * that have no line are refused.
 */
static const struct operation operations[PLAIN + 1] = {
    [CONVOLUTION] = { add_convolution, convolution_workspace, 0, 0 },
    [POOL_MAX] = { add_pool, NULL, 1, 1 },
    [POOL_AVERAGE] = { add_pool, pool_workspace, 1, 1 },
    [RESIZE] = { add_resize, NULL, 1, 1 },
    [CONCAT] = { add_concat, NULL, 1, 1 },
    [SLICE] = { add_nothing, NULL, 1, 1 },
    [PAD] = { add_pad, NULL, 1, 1 },
    [POINTWISE] = { add_pointwise, NULL, 1, 1 },
    [SOFTMAX] = { add_softmax, NULL, 0, 0 },
    [NORMALISE] = { add_normalise, NULL, 0, 0 },
    [COPY] = { add_move, NULL, 0, 0 },
};

const struct operation *operation_of(const struct node *n)
{
    return &operations[n->kind];
}

enum form operation_form(const struct node *n, int k)
{
    if (n->kind == CONVOLUTION && k == 1)
        return FILTERS;
    return n->kind == NORMALISE && k ? FLOATS : AS_IT_LIES;
}

int operation_reads_gaps(const struct graph *g, const struct node *n, int k)
{
    (void)g;
    (void)k;
    return operation_of(n)->reads_gaps;
}

/* A whole picture's mean is written as a dense row. */
int operation_writes_gaps(const struct graph *g, const struct node *n)
{
    return operation_of(n)->writes_gaps && !is_whole(g, n);
}

int operation_add_states(struct schedule *s, const struct nn_net *net, struct error *e)
{
    for (int i = 0; i < net->state_count; i++)
        if (add_copy(
                s, &s->views[net->states[i].from->tensor], &s->views[net->states[i].to->tensor], e))
            return -1;
    return 0;
}
