#include "convolution.h"

#include <stdbool.h>
#include <string.h>

/* Candidates that a heuristic is asked for, best first. */
enum { CANDIDATES = 32 };

_Static_assert(sizeof(struct layer) == 20 * sizeof(int), "memcmp() compares shapes");

struct layer layer_of(const struct graph *g, const struct node *n)
{
    const int *weights = g->tensors[n->inputs[1]].dims;
    struct layer s = { .group = n->window.group };
    memcpy(s.in, g->tensors[n->inputs[0]].dims, sizeof s.in);
    memcpy(s.out, g->tensors[n->output].dims, sizeof s.out);
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = weights[2 + i];
        s.stride[i] = n->window.stride[i];
        s.dilation[i] = n->window.dilation[i];
        s.before[i] = n->window.before[i];
        s.after[i] = n->window.after[i];
    }
    if (n->window.bias)
        s.extras = ADD_BIAS;
    const struct instruction *i = n->program, *end = i + n->program_length;
    if (i < end && i->function == ADD &&
        !memcmp(g->tensors[n->inputs[i->y]].dims, s.out, sizeof s.out)) {
        s.extras |= ADD_BIAS | ADD_TENSOR;
        i++;
    }
    if (i < end && i->function == RELU)
        s.extras |= ADD_BIAS | THEN_RELU;
    return s;
}

/* A tensor of N,C,H,W that lies in N,H,W,C order. virt: it exists inside the kernel only. */
static cudnnBackendDescriptor_t add_tensor(
    struct descriptors *d, int64_t uid, const int dims[4], bool virt)
{
    const int64_t n = dims[0], c = dims[1], h = dims[2], w = dims[3];
    const int64_t alignment = 16, size[4] = { n, c, h, w }, strides[4] = { c * h * w, 1, c * w, c };
    const cudnnDataType_t type = virt ? CUDNN_DATA_FLOAT : CUDNN_DATA_HALF;
    cudnnBackendDescriptor_t tensor = MAKE(d, TENSOR);
    SET_ONE(d, tensor, TENSOR_UNIQUE_ID, INT64, uid);
    SET_ONE(d, tensor, TENSOR_DATA_TYPE, DATA_TYPE, type);
    SET(d, tensor, TENSOR_DIMENSIONS, INT64, 4, size);
    SET(d, tensor, TENSOR_STRIDES, INT64, 4, strides);
    SET_ONE(d, tensor, TENSOR_BYTE_ALIGNMENT, INT64, alignment);
    SET_ONE(d, tensor, TENSOR_IS_VIRTUAL, BOOLEAN, virt);
    FINALIZE(d, tensor);
    return tensor;
}

/* What an operation computes: the output unless more extras follow. */
static cudnnBackendDescriptor_t add_result(
    struct descriptors *d, const struct layer *s, int64_t uid, int more)
{
    return add_tensor(d, more ? uid : UID_OUT, s->out, more);
}

static cudnnBackendDescriptor_t add_convolution(struct descriptors *d, const struct layer *s,
    cudnnBackendDescriptor_t in, cudnnBackendDescriptor_t weights, cudnnBackendDescriptor_t out)
{
    const int64_t spatial = 2;
    const int64_t before[2] = { s->before[0], s->before[1] };
    const int64_t after[2] = { s->after[0], s->after[1] };
    const int64_t stride[2] = { s->stride[0], s->stride[1] };
    const int64_t dilation[2] = { s->dilation[0], s->dilation[1] };
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t window = MAKE(d, CONVOLUTION);
    SET_ONE(d, window, CONVOLUTION_SPATIAL_DIMS, INT64, spatial);
    SET_ONE(d, window, CONVOLUTION_COMP_TYPE, DATA_TYPE, compute);
    SET_ONE(d, window, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, mode);
    SET(d, window, CONVOLUTION_PRE_PADDINGS, INT64, 2, before);
    SET(d, window, CONVOLUTION_POST_PADDINGS, INT64, 2, after);
    SET(d, window, CONVOLUTION_FILTER_STRIDES, INT64, 2, stride);
    SET(d, window, CONVOLUTION_DILATIONS, INT64, 2, dilation);
    FINALIZE(d, window);
    cudnnBackendDescriptor_t convolution = MAKE(d, OPERATION_CONVOLUTION_FORWARD);
    SET_ONE(d, convolution, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, window);
    SET_ONE(d, convolution, OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, in);
    SET_ONE(d, convolution, OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, weights);
    SET_ONE(d, convolution, OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, out);
    SET_ONE(d, convolution, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, alpha);
    SET_ONE(d, convolution, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, beta);
    FINALIZE(d, convolution);
    return convolution;
}

/* y = mode(x) or, where b is not NULL, mode(x, b). */
static cudnnBackendDescriptor_t add_pointwise(struct descriptors *d, cudnnPointwiseMode_t mode,
    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y)
{
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t function = MAKE(d, POINTWISE);
    SET_ONE(d, function, POINTWISE_MODE, POINTWISE_MODE, mode);
    SET_ONE(d, function, POINTWISE_MATH_PREC, DATA_TYPE, compute);
    FINALIZE(d, function);
    cudnnBackendDescriptor_t pointwise = MAKE(d, OPERATION_POINTWISE);
    SET_ONE(d, pointwise, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, function);
    SET_ONE(d, pointwise, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, x);
    if (b)
        SET_ONE(d, pointwise, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, b);
    SET_ONE(d, pointwise, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, y);
    FINALIZE(d, pointwise);
    return pointwise;
}

/* The operation graph. The last operation's result is the output, those before exist inside the kernel only. */
static cudnnBackendDescriptor_t add_graph(
    struct descriptors *d, const struct target *target, const struct layer *s, int extras)
{
    const int weights[4] = { s->out[1], s->in[1] / s->group, s->kernel[0], s->kernel[1] };
    const int bias[4] = { 1, s->out[1], 1, 1 };
    const struct {
        enum extra extra;
        cudnnPointwiseMode_t mode;
        int64_t uid;
        const int *dims; /* of the second operand */
    } steps[] = {
        /* in the order that cuDNN has engines for: none adds the bias first */
        { ADD_TENSOR, CUDNN_POINTWISE_ADD, UID_ADDED, s->out },
        { ADD_BIAS, CUDNN_POINTWISE_ADD, UID_BIAS, bias },
        { THEN_RELU, CUDNN_POINTWISE_RELU_FWD, 0, NULL },
    };
    enum { STEPS = sizeof steps / sizeof *steps };
    cudnnBackendDescriptor_t operations[1 + STEPS];
    int64_t count = 0;
    cudnnBackendDescriptor_t result = add_result(d, s, count, extras);
    operations[count++] = add_convolution(d, s, add_tensor(d, UID_IN, s->in, false),
        add_tensor(d, UID_WEIGHTS, weights, false), result);
    for (int i = 0; i < STEPS; i++) {
        if (!(extras & (int)steps[i].extra))
            continue;
        cudnnBackendDescriptor_t before = result, operand = NULL;
        if (steps[i].dims)
            operand = add_tensor(d, steps[i].uid, steps[i].dims, false);
        extras &= ~(int)steps[i].extra;
        result = add_result(d, s, count, extras);
        operations[count++] = add_pointwise(d, steps[i].mode, before, operand, result);
    }
    cudnnBackendDescriptor_t graph = MAKE(d, OPERATIONGRAPH);
    SET(d, graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, count, operations);
    target_of_graph(target, d, graph);
    FINALIZE(d, graph);
    return graph;
}

/* Reads one attribute that is not of a kind of its own. */
static void get(struct descriptors *d, cudnnBackendDescriptor_t from,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
    int64_t *count, void *values)
{
    if (!d->failed)
        d->failed = CUDNN(
            d->cudnn, &d->error, cudnnBackendGetAttribute, from, name, type, room, count, values);
}

/* Makes a plan of a candidate; 1 if it finalizes and its workspace is small enough. */
static int try_candidate(struct convolution *c, const struct target *target,
    cudnnBackendDescriptor_t candidate, int64_t workspace_limit)
{
    struct descriptors *d = &c->descriptors;
    int64_t count;
    cudnnBackendDescriptor_t plan = MAKE(d, EXECUTION_PLAN);
    SET_ONE(d, plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, candidate);
    target_of_plan(target, d, plan);
    FINALIZE(d, plan);
    get(d, plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
        &c->workspace);
    if (d->failed)
        return 0;
    if (c->workspace > workspace_limit) {
        d->failed = error_set(&d->error, "cudnn_error",
            "The plan needs %lld bytes of workspace, at most %lld are given.",
            (long long)c->workspace, (long long)workspace_limit);
        return 0;
    }
    c->plan = plan;
    return 1;
}

/* The first candidate of a heuristic that will do; -1 and the reason in c->descriptors.error. */
static int try_heuristic(struct convolution *c, const struct target *target,
    cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode, int64_t workspace_limit)
{
    struct descriptors *d = &c->descriptors;
    cudnnBackendDescriptor_t candidates[CANDIDATES];
    int64_t count = 0;
    cudnnBackendDescriptor_t heuristic = MAKE(d, ENGINEHEUR);
    SET_ONE(d, heuristic, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, graph);
    SET_ONE(d, heuristic, ENGINEHEUR_MODE, HEUR_MODE, mode);
    target_of_heuristic(target, d, heuristic);
    FINALIZE(d, heuristic);
    for (int i = 0; i < CANDIDATES; i++)
        candidates[i] = MAKE(d, ENGINECFG);
    get(d, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, CANDIDATES,
        &count, candidates);
    if (d->failed)
        return -1;
    d->failed = error_set(&d->error, "cudnn_error", "cuDNN's heuristics know no engine for it.");
    const int kept = d->count;
    for (int64_t i = 0; i < count; i++) {
        descriptors_free(d, kept);
        if (!try_candidate(c, target, candidates[i], workspace_limit))
            continue;
        for (int k = 0; k < CANDIDATES; k++) /* half a MiB each shape */
            if (k != i)
                descriptor_free(d, candidates[k]);
        return 0;
    }
    return -1;
}

/* A plan with these extras; -1 and the reason in c->descriptors.error. */
static int try_extras(struct convolution *c, const struct target *target, const struct layer *s,
    int extras, int64_t workspace_limit)
{
    static const cudnnBackendHeurMode_t modes[] = { CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK };
    struct descriptors *d = &c->descriptors;
    descriptors_free(d, 0);
    cudnnBackendDescriptor_t graph = add_graph(d, target, s, extras);
    if (d->failed)
        return -1;
    const int kept = d->count;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        descriptors_free(d, kept);
        if (!try_heuristic(c, target, graph, modes[i], workspace_limit)) {
            c->extras = extras;
            return 0;
        }
    }
    return -1;
}

int convolution_plan(struct convolution *c, const struct target *target, const struct layer *shape,
    int64_t workspace_limit, struct error *e)
{
    *c = (struct convolution) { .descriptors.cudnn = target->descriptors.cudnn };
    for (int kept = ADD_BIAS | ADD_TENSOR | THEN_RELU, tried = -1; tried; kept /= 2) {
        const int extras = shape->extras & kept;
        if (extras != tried && !try_extras(c, target, shape, extras, workspace_limit))
            return 0;
        tried = extras;
    }
    *e = c->descriptors.error;
    return -1;
}

void convolution_free(struct convolution *c)
{
    descriptors_free(&c->descriptors, 0);
}
