#include "reading.h"

#include <limits.h>
#include <string.h>

#include "plain/plain.h"

/* clang-format off: a table */
const struct op ops[] = {
    /* name, opsets, inputs, outputs, types, constants, infer, compute, lower, function, lowered */
    { "Abs", 6, 17, 1, 1, 1, NUMBERS, 0, unary_infer, unary_compute, NULL, ABS, 0 },
    { "Acos", 7, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ACOS, 0 },
    { "Acosh", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ACOSH, 0 },
    { "Add", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, lower_pointwise, PLUS, ADD },
    { "And", 7, 17, 2, 2, 1, LOGICALS, 0, binary_infer, binary_compute, NULL, AND, 0 },
    { "ArgMax", 1, 17, 1, 1, 1, NUMBERS, 0, arg_infer, arg_compute, NULL, 1, 0 },
    { "ArgMin", 1, 17, 1, 1, 1, NUMBERS, 0, arg_infer, arg_compute, NULL, 0, 0 },
    { "Asin", 7, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ASIN, 0 },
    { "Asinh", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ASINH, 0 },
    { "Atan", 7, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ATAN, 0 },
    { "Atanh", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ATANH, 0 },
    { "AveragePool", 7, 17, 1, 1, 1, REALS, 0, pool_infer, pool_average_compute, lower_pool, 0,
        POOL_AVERAGE },
    { "BatchNormalization", 9, 17, 5, 5, 1, REALS, 0, batch_infer, batch_compute, NULL, 0, 0 },
    { "Cast", 9, 17, 1, 1, 1, ANY, 0, cast_infer, cast_compute, NULL, 0, 0 },
    { "CastLike", 15, 17, 2, 2, 1, ANY, 0, cast_infer, cast_compute, NULL, 0, 0 },
    { "Ceil", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, CEIL, 0 },
    { "Celu", 12, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, CELU, 0 },
    { "Clip", 11, 17, 1, 3, 1, NUMBERS, 0x6, clip_infer, clip_compute, lower_pointwise, 0, CLIP },
    { "Concat", 4, 17, 1, GRAPH_INPUTS, 1, ANY, 0, concat_infer, concat_compute, lower_concat, 0,
        0 },
    { "ConstantOfShape", 9, 17, 1, 1, 1, INTEGERS, 0x1, constant_of_shape_infer,
        constant_of_shape_compute, NULL, 0, 0 },
    { "Conv", 1, 17, 2, 3, 1, REALS, 0x6, conv_infer, conv_compute, lower_conv, 0, 0 },
    { "ConvTranspose", 1, 17, 2, 3, 1, REALS, 0, conv_transpose_infer, conv_transpose_compute, NULL,
        0, 0 },
    { "Cos", 7, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, COS, 0 },
    { "Cosh", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, COSH, 0 },
    { "CumSum", 11, 17, 2, 2, 1, NUMBERS, 0x2, cumulate_infer, cumulate_compute, NULL, 0, 0 },
    { "DepthToSpace", 11, 17, 1, 1, 1, REALS, 0, depth_to_space_infer, copy_compute, NULL, 0, 0 },
    { "Div", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, lower_pointwise, OVER, DIV },
    { "Dropout", 7, 17, 1, 3, 1, REALS, 0x6, same_infer, copy_compute, NULL, 0, 0 },
    { "Elu", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ELU, 0 },
    { "Equal", 7, 17, 2, 2, 1, ANY, 0, binary_infer, binary_compute, NULL, EQUAL, 0 },
    { "Erf", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ERF, 0 },
    { "Exp", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, EXP, 0 },
    { "Expand", 8, 17, 2, 2, 1, ANY, 0x2, expand_infer, copy_compute, NULL, 0, 0 },
    { "EyeLike", 9, 17, 1, 1, 1, ANY, 0, eye_like_infer, eye_like_compute, NULL, 0, 0 },
    { "Flatten", 1, 17, 1, 1, 1, ANY, 0, flatten_infer, copy_compute, NULL, 0, 0 },
    { "Floor", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, FLOOR, 0 },
    { "Gather", 1, 17, 2, 2, 1, ANY, 0, gather_infer, gather_compute, lower_gather, 0, 0 },
    { "GatherElements", 11, 17, 2, 2, 1, ANY, 0, gather_elements_infer, gather_elements_compute,
        NULL, 0, 0 },
    { "GatherND", 11, 17, 2, 2, 1, ANY, 0, gather_nd_infer, gather_nd_compute, NULL, 0, 0 },
    { "Gemm", 7, 17, 2, 3, 1, REALS, 0, gemm_infer, gemm_compute, lower_gemm, 0, 0 },
    { "GlobalAveragePool", 1, 17, 1, 1, 1, REALS, 0, global_pool_infer, pool_average_compute,
        lower_pool, 0, POOL_AVERAGE },
    { "GlobalMaxPool", 1, 17, 1, 1, 1, REALS, 0, global_pool_infer, pool_max_compute, lower_pool, 0,
        POOL_MAX },
    { "Greater", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL, GREATER, 0 },
    { "GreaterOrEqual", 12, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL,
        GREATER_OR_EQUAL, 0 },
    { "Hardmax", 1, 17, 1, 1, 1, REALS, 0, softmax_infer, softmax_compute, NULL, HARDMAX, 0 },
    { "HardSigmoid", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, lower_hard_sigmoid,
        HARD_SIGMOID, LINEAR },
    { "HardSwish", 14, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, lower_pointwise,
        HARD_SWISH, HARDSWISH },
    { "Identity", 1, 17, 1, 1, 1, ANY, 0, same_infer, copy_compute, NULL, 0, 0 },
    { "InstanceNormalization", 6, 17, 3, 3, 1, REALS, 0, instance_infer, instance_compute, NULL, 0,
        0 },
    { "IsInf", 10, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, IS_INF, 0 },
    { "IsNaN", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, IS_NAN, 0 },
    { "LayerNormalization", 17, 17, 2, 3, 3, REALS, 0, layer_infer, layer_compute, lower_layer, 0,
        0 },
    { "LeakyRelu", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, lower_pointwise,
        LEAKY_RELU, LEAKY },
    { "Less", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL, LESS, 0 },
    { "LessOrEqual", 12, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL, LESS_OR_EQUAL,
        0 },
    { "Log", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, LOG, 0 },
    { "LogSoftmax", 1, 17, 1, 1, 1, REALS, 0, softmax_infer, softmax_compute, NULL, LOG_SOFTMAX,
        0 },
    { "LRN", 1, 17, 1, 1, 1, REALS, 0, local_infer, local_compute, NULL, 0, 0 },
    { "MatMul", 1, 17, 2, 2, 1, REALS, 0, matmul_infer, matmul_compute, lower_matmul, 0, 0 },
    { "Max", 8, 17, 1, GRAPH_INPUTS, 1, NUMBERS, 0, variadic_infer, variadic_compute, lower_pair,
        MAXIMUM, MAX },
    { "MaxPool", 8, 17, 1, 1, 1, NUMBERS, 0, pool_infer, pool_max_compute, lower_pool, 0,
        POOL_MAX },
    { "Mean", 8, 17, 1, GRAPH_INPUTS, 1, REALS, 0, variadic_infer, variadic_compute, NULL, OVER,
        0 },
    { "Min", 8, 17, 1, GRAPH_INPUTS, 1, NUMBERS, 0, variadic_infer, variadic_compute, lower_pair,
        MINIMUM, MIN },
    { "Mod", 10, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL, MODULO, 0 },
    { "Mul", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, lower_pointwise, TIMES,
        MUL },
    { "Neg", 6, 17, 1, 1, 1, NUMBERS, 0, unary_infer, unary_compute, NULL, NEG, 0 },
    { "Not", 1, 17, 1, 1, 1, LOGICALS, 0, unary_infer, unary_compute, NULL, NOT, 0 },
    { "OneHot", 9, 17, 3, 3, 1, ANY, 0x2, one_hot_infer, one_hot_compute, NULL, 0, 0 },
    { "Or", 7, 17, 2, 2, 1, LOGICALS, 0, binary_infer, binary_compute, NULL, OR, 0 },
    { "Pad", 11, 17, 2, 3, 1, NUMBERS, 0x6, pad_infer, pad_compute, lower_pad, 0, 0 },
    { "Pow", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL, POWER, 0 },
    { "PRelu", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, NULL, PRELU, 0 },
    { "Range", 11, 17, 3, 3, 1, NUMBERS, 0x7, range_infer, range_compute, NULL, 0, 0 },
    { "Reciprocal", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, RECIPROCAL, 0 },
    { "ReduceL1", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, L1, 0 },
    { "ReduceL2", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, L2, 0 },
    { "ReduceLogSum", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, LOG_SUM,
        0 },
    { "ReduceLogSumExp", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL,
        LOG_SUM_EXP, 0 },
    { "ReduceMax", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, LARGEST, 0 },
    { "ReduceMean", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, MEAN, 0 },
    { "ReduceMin", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, SMALLEST, 0 },
    { "ReduceProd", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, PRODUCT_, 0 },
    { "ReduceSum", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL, SUM, 0 },
    { "ReduceSumSquare", 1, 17, 1, 2, 1, NUMBERS, 0x2, reduce_infer, reduce_compute, NULL,
        SUM_SQUARE, 0 },
    { "Relu", 6, 17, 1, 1, 1, NUMBERS, 0, unary_infer, unary_compute, lower_pointwise, RELU_,
        RELU },
    { "Reshape", 5, 17, 2, 2, 1, ANY, 0x2, reshape_infer, copy_compute, NULL, 0, 0 },
    { "Resize", 11, 17, 1, 4, 1, ANY, 0xe, resize_infer, resize_compute, lower_resize, 0, 0 },
    { "Round", 11, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, ROUND, 0 },
    { "ScatterElements", 11, 17, 3, 3, 1, ANY, 0, scatter_elements_infer, scatter_elements_compute,
        NULL, 0, 0 },
    { "ScatterND", 11, 17, 3, 3, 1, ANY, 0, scatter_nd_infer, scatter_nd_compute, NULL, 0, 0 },
    { "Selu", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SELU, 0 },
    { "Shape", 1, 17, 1, 1, 1, ANY, 0, shape_infer, shape_compute, NULL, 0, 0 },
    { "Shrink", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SHRINK, 0 },
    { "Sigmoid", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, lower_pointwise, LOGISTIC,
        SIGMOID },
    { "Sign", 9, 17, 1, 1, 1, NUMBERS, 0, unary_infer, unary_compute, NULL, SIGN, 0 },
    { "Sin", 7, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SIN, 0 },
    { "Sinh", 9, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SINH, 0 },
    { "Size", 1, 17, 1, 1, 1, ANY, 0, shape_infer, shape_compute, NULL, 1, 0 },
    { "Slice", 10, 17, 3, 5, 1, ANY, 0x1e, slice_infer, copy_compute, lower_slice, 0, 0 },
    { "Softmax", 1, 17, 1, 1, 1, REALS, 0, softmax_infer, softmax_compute, lower_softmax, SOFTMAX_,
        0 },
    { "Softplus", 1, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SOFTPLUS, 0 },
    { "Softsign", 1, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SOFTSIGN, 0 },
    { "SpaceToDepth", 1, 17, 1, 1, 1, REALS, 0, space_to_depth_infer, copy_compute, NULL, 0, 0 },
    { "Split", 2, 17, 1, 2, INT_MAX, ANY, 0x2, split_infer, copy_compute, lower_slice, 0, 0 },
    { "Sqrt", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, SQRT, 0 },
    { "Squeeze", 1, 17, 1, 2, 1, ANY, 0x2, squeeze_infer, copy_compute, NULL, 0, 0 },
    { "Sub", 7, 17, 2, 2, 1, NUMBERS, 0, binary_infer, binary_compute, lower_pointwise, MINUS,
        SUB },
    { "Sum", 8, 17, 1, GRAPH_INPUTS, 1, REALS, 0, variadic_infer, variadic_compute, NULL, PLUS, 0 },
    { "Tan", 7, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL, TAN, 0 },
    { "Tanh", 6, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, lower_pointwise, TANH_, TANH },
    { "ThresholdedRelu", 10, 17, 1, 1, 1, REALS, 0, unary_infer, unary_compute, NULL,
        THRESHOLDED_RELU, 0 },
    { "Tile", 6, 17, 2, 2, 1, ANY, 0x2, tile_infer, copy_compute, NULL, 0, 0 },
    { "TopK", 10, 17, 2, 2, 2, NUMBERS, 0x2, top_infer, top_compute, NULL, 0, 0 },
    { "Transpose", 1, 17, 1, 1, 1, ANY, 0, transpose_infer, copy_compute, NULL, 0, 0 },
    { "Trilu", 14, 17, 1, 2, 1, ANY, 0x2, trilu_infer, trilu_compute, NULL, 0, 0 },
    { "Unsqueeze", 1, 17, 1, 2, 1, ANY, 0x2, unsqueeze_infer, copy_compute, NULL, 0, 0 },
    { "Where", 9, 17, 3, 3, 1, ANY, 0, where_infer, where_compute, NULL, 0, 0 },
    { "Xor", 7, 17, 2, 2, 1, LOGICALS, 0, binary_infer, binary_compute, NULL, XOR, 0 },
};
/* clang-format on */
const int op_count = sizeof ops / sizeof *ops;

const struct op *ops_find(const char *name)
{
    for (int i = 0; i < op_count; i++)
        if (!strcmp(ops[i].name, name))
            return &ops[i];
    return NULL;
}

/* A tensor for inputs that are left out: no elements. */
static int nothing(struct reading *r)
{
    static const float none[1];
    const int t = graph_add_tensor(
        r->graph, "", &(struct shape) { .type = REAL, .rank = 1, .dims = { 0 } }, r->error);
    if (t >= 0)
        r->graph->tensors[t].data = none;
    return t;
}

static int take_inputs(struct reading *r)
{
    struct node *n = &r->node;
    n->input_count = r->input_count;
    for (int k = 0; k < r->input_count; k++) {
        if (!input(r, k) && k < r->op->inputs_min)
            return refuse(r, "needs its input %d", k);
        n->inputs[k] = input(r, k) ? r->inputs[k] : nothing(r);
        if (n->inputs[k] < 0)
            return -1;
        if (input(r, k) && !(r->op->types & 1U << shape_of(r, k)->type))
            return refuse(r, "has an input %d of a type that is not supported", k);
    }
    return 0;
}

static struct array array_of(const struct tensor *t)
{
    struct array a = { .shape = t->shape };
    if (t->shape.type == REAL)
        a.real = (float *)t->data; /* computations only read their inputs */
    else
        a.integer = (int64_t *)t->ints;
    return a;
}

static int is_known(const struct reading *r)
{
    for (int k = 0; k < r->node.input_count; k++)
        if (!tensor_is_constant(&r->graph->tensors[r->node.inputs[k]]))
            return 0;
    return 1;
}

/* Computes the node now: its output is a constant. So is one without elements. */
static int fold(struct reading *r)
{
    struct tensor *out = &r->graph->tensors[r->node.output];
    struct plain p = { .node = &r->node };
    for (int k = 0; k < r->node.input_count; k++)
        p.in[k] = array_of(&r->graph->tensors[r->node.inputs[k]]);
    p.out.shape = r->out;
    p.out.real = graph_alloc(r->graph, shape_elements(&r->out) * element_size(&r->out), r->error);
    if (!p.out.real)
        return -1;
    if (shape_elements(&r->out))
        r->op->compute(&p);
    if (r->out.type == REAL)
        out->data = p.out.real;
    else
        out->ints = p.out.integer;
    return 0;
}

/* Adds what output part of the node becomes. */
static int read_part(struct reading *r, int part, struct names *names)
{
    const char *name = r->proto->output[part];
    int64_t elements = 1;

    r->node = (struct node) { .name = node_name(r->proto), .op = r->op->name, .kind = PLAIN };
    r->node.compute = r->op->compute;
    r->node.settings.part = part;
    r->same = 0;
    if (take_inputs(r) || r->op->infer(r))
        return -1;
    if (r->same && !part)
        return names_define(names, name, r->inputs[0], r->error);
    for (int i = 0; i < r->out.rank; i++)
        if ((elements *= r->out.dims[i] ? r->out.dims[i] : 1) > GRAPH_ELEMENTS)
            return refuse(r, "has a result of more than %d elements", GRAPH_ELEMENTS);
    r->node.output = graph_add_tensor(r->graph, name, &r->out, r->error);
    if (r->node.output < 0 || names_define(names, name, r->node.output, r->error))
        return -1;
    if (!shape_elements(&r->out) || is_known(r))
        return fold(r);
    if (r->op->lower)
        r->op->lower(r);
    return graph_add_node(r->graph, &r->node, r->error) < 0 ? -1 : 0;
}

int ops_read(struct graph *g, const Onnx__NodeProto *p, struct names *names, struct error *e)
{
    struct reading r = { .graph = g, .proto = p, .error = e, .op = ops_find(text(p->op_type)) };

    if (!r.op || (*text(p->domain) && strcmp(p->domain, "ai.onnx")))
        return refuse(&r, "has an operator that is not supported");
    if (g->opset < r.op->since || g->opset > r.op->until)
        return refuse(
            &r, "is of an opset that is not supported; %d to %d are", r.op->since, r.op->until);
    if (p->n_input < (size_t)r.op->inputs_min || p->n_input > (size_t)r.op->inputs_max)
        return refuse(&r, "has %zu inputs; %d to %d are supported", p->n_input, r.op->inputs_min,
            r.op->inputs_max);
    if (p->n_output < 1 || p->n_output > (size_t)r.op->outputs_max)
        return refuse(&r, "has %zu outputs", p->n_output);
    r.input_count = (int)p->n_input;
    for (int i = 0; i < r.input_count; i++)
        r.inputs[i] = names_lookup(names, p->input[i]);
    for (size_t i = 0; i < p->n_output; i++)
        if (*p->output[i] && read_part(&r, (int)i, names))
            return -1;
    return 0;
}
