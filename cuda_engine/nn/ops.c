#include "ops.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Fills *r->error with a sentence that starts with the node; returns -1. */
__attribute__((format(printf, 2, 3))) static int refuse(struct reading *r, const char *format, ...)
{
    char reason[300];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return error_set(r->error, "unsupported_model", "%s: the node %s (%s, opset %d) %s.",
        r->graph->label, node_name(r->proto), text(r->proto->op_type), r->graph->opset, reason);
}

/* attributes */

static const Onnx__AttributeProto *attribute(const struct reading *r, const char *name)
{
    for (size_t i = 0; i < r->proto->n_attribute; i++)
        if (!strcmp(text(r->proto->attribute[i]->name), name))
            return r->proto->attribute[i];
    return NULL;
}

static int64_t attribute_int(const struct reading *r, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    return a && a->has_i ? a->i : otherwise;
}

/* 1 if the attribute is value, or left out. */
static int attribute_is(const struct reading *r, const char *name, const char *value)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    return !a || (a->s.len == strlen(value) && !memcmp(a->s.data, value, a->s.len));
}

/* count integers of lowest..GRAPH_SIDE into out; where the attribute is left out, lowest. */
static int attribute_ints(struct reading *r, const char *name, int count, int lowest, int *out)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    if (a && a->n_ints != (size_t)count)
        return refuse(r, "has %zu %s where %d are due", a->n_ints, name, count);
    for (int i = 0; i < count; i++) {
        if (a && (a->ints[i] < lowest || a->ints[i] > GRAPH_SIDE))
            return refuse(r, "has %s of %lld; %d to %d is supported", name, (long long)a->ints[i],
                lowest, GRAPH_SIDE);
        out[i] = a ? (int)a->ints[i] : lowest;
    }
    return 0;
}

static int attribute_axis(struct reading *r, int64_t otherwise, int *axis)
{
    int64_t a = attribute_int(r, "axis", otherwise);
    if (a < -4 || a > 3)
        return refuse(r, "has the axis %lld of 4", (long long)a);
    *axis = (int)(a < 0 ? a + 4 : a);
    return 0;
}

/* inputs */

/* The input's tensor, or NULL where it is left out. */
static const struct tensor *input(const struct reading *r, int k)
{
    return k < r->input_count && r->inputs[k] >= 0 ? &r->graph->tensors[r->inputs[k]] : NULL;
}

/* The values of an input that must be a constant of count integers (any number: -1); NULL after refusing. */
static const int64_t *input_ints(struct reading *r, int k, int count)
{
    const struct tensor *t = input(r, k);
    if (!t || !t->ints || (count >= 0 && tensor_elements(t) != (size_t)count)) {
        if (count >= 0)
            refuse(r, "needs a constant of %d integers as its input %d", count, k);
        else
            refuse(r, "needs a constant of integers as its input %d", k);
        return NULL;
    }
    return t->ints;
}

/* The node's first input, once taken. */
static const struct tensor *first(const struct reading *r)
{
    return &r->graph->tensors[r->node.inputs[0]];
}

/* Keeps the first count inputs, which must be computed, as the node's. */
static int take_inputs(struct reading *r, int count)
{
    for (int i = 0; i < count; i++) {
        const struct tensor *t = input(r, i);
        if (!t || t->data || t->ints)
            return refuse(r, "needs a computed tensor as its input %d", i);
        r->node.inputs[i] = r->inputs[i];
    }
    r->node.input_count = count;
    return 0;
}

/* one function a kind of operator */

static int read_window(struct reading *r, const int in[4], int dims[4])
{
    struct node *n = &r->node;
    int pads[4] = { 0 };
    if (!attribute_is(r, "auto_pad", "NOTSET"))
        return refuse(r, "has auto_pad, which is not supported");
    if (attribute_int(r, "ceil_mode", 0))
        return refuse(r, "has ceil_mode, which is not supported");
    if (attribute_ints(r, "strides", 2, 1, n->window.stride) ||
        attribute_ints(r, "dilations", 2, 1, n->window.dilation) ||
        attribute_ints(r, "pads", 4, 0, pads))
        return -1;
    for (int i = 0; i < 2; i++) {
        n->window.before[i] = pads[i];
        n->window.after[i] = pads[i + 2];
        int64_t span = (int64_t)(n->window.kernel[i] - 1) * n->window.dilation[i] + 1;
        int64_t room = (int64_t)in[2 + i] + pads[i] + pads[i + 2] - span;
        if (room < 0)
            return refuse(r, "has a window larger than its input");
        dims[2 + i] = (int)(room / n->window.stride[i]) + 1;
    }
    return 0;
}

static int read_conv(struct reading *r, int dims[4])
{
    struct node *n = &r->node;
    if (take_inputs(r, 1))
        return -1;
    const struct tensor *x = first(r), *w = input(r, 1), *b = input(r, 2);
    if (!w || !w->data || w->rank != 4)
        return refuse(r, "needs constant weights of 4 dimensions");
    if (b && (!b->data || b->rank != 1 || b->dims[3] != w->dims[0]))
        return refuse(r, "needs a constant bias of %d values", w->dims[0]);
    int64_t group = attribute_int(r, "group", 1);
    if (group < 1 || group > w->dims[0] || w->dims[0] % group || w->dims[1] * group != x->dims[1])
        return refuse(r, "has %lld groups for %d input channels and weights of %d x %d",
            (long long)group, x->dims[1], w->dims[0], w->dims[1]);
    for (int i = 0; i < 2; i++)
        n->window.kernel[i] = w->dims[2 + i];
    int kernel[2] = { 0 };
    if (attribute(r, "kernel_shape") && (attribute_ints(r, "kernel_shape", 2, 1, kernel) ||
                                            memcmp(kernel, n->window.kernel, sizeof kernel)))
        return refuse(r, "has a kernel_shape that is not its weights'");
    if (w->dims[2] > GRAPH_SIDE || w->dims[3] > GRAPH_SIDE)
        return refuse(r, "has a window larger than its input");
    n->window.group = (int)group;
    n->inputs[1] = r->inputs[1];
    n->input_count = 2;
    if (b) {
        n->window.bias = 1;
        n->inputs[n->input_count++] = r->inputs[2];
    }
    dims[0] = x->dims[0];
    dims[1] = w->dims[0];
    return read_window(r, x->dims, dims);
}

static int read_pool(struct reading *r, int dims[4])
{
    struct node *n = &r->node;
    if (take_inputs(r, 1))
        return -1;
    const struct tensor *x = first(r);
    if (attribute_ints(r, "kernel_shape", 2, 1, n->window.kernel) || read_window(r, x->dims, dims))
        return -1;
    for (int i = 0; i < 2; i++)
        if (n->window.before[i] >= n->window.kernel[i] || n->window.after[i] >= n->window.kernel[i])
            return refuse(r, "has padding as wide as its window");
    if (n->kind == POOL_AVERAGE && attribute_int(r, "count_include_pad", 0) &&
        (n->window.before[0] || n->window.before[1] || n->window.after[0] || n->window.after[1]))
        return refuse(r, "counts its padding, which is not supported");
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    return 0;
}

static int read_global_pool(struct reading *r, int dims[4])
{
    if (take_inputs(r, 1))
        return -1;
    const int *in = first(r)->dims;
    for (int i = 0; i < 2; i++) {
        r->node.window.kernel[i] = in[2 + i];
        r->node.window.stride[i] = r->node.window.dilation[i] = 1;
        dims[i] = in[i];
        dims[2 + i] = 1;
    }
    return 0;
}

static int read_resize(struct reading *r, int dims[4])
{
    if (take_inputs(r, 1))
        return -1;
    const struct tensor *x = first(r), *scales = input(r, 2);
    if (scales && tensor_elements(scales))
        return refuse(r, "is given by scales; sizes are supported");
    const int64_t *sizes = input_ints(r, 3, 4);
    if (!sizes)
        return -1;
    if (!attribute_is(r, "mode", "linear") || !attribute(r, "mode"))
        return refuse(r, "has a mode other than linear");
    for (int i = 0; i < 4; i++) {
        if (i < 2 ? sizes[i] != x->dims[i] : sizes[i] < 1 || sizes[i] > GRAPH_SIDE)
            return refuse(r, "has sizes that are not supported");
        dims[i] = (int)sizes[i];
    }
    /* pytorch_half_pixel differs where a side of the output is 1 */
    if (!attribute_is(r, "coordinate_transformation_mode", "half_pixel") &&
        (!attribute_is(r, "coordinate_transformation_mode", "pytorch_half_pixel") || dims[2] == 1 ||
            dims[3] == 1))
        return refuse(r, "has coordinates other than half_pixel");
    return 0;
}

static int read_concat(struct reading *r, int dims[4])
{
    if (take_inputs(r, r->input_count) || attribute_axis(r, 1, &r->node.axis))
        return -1;
    int64_t size = 0;
    for (int k = 0; k < r->input_count; k++) {
        const struct tensor *t = input(r, k);
        for (int i = 0; i < 4; i++)
            if (i != r->node.axis && t->dims[i] != first(r)->dims[i])
                return refuse(r, "has inputs of different sizes");
        size += t->dims[r->node.axis];
    }
    if (size > GRAPH_ELEMENTS)
        return refuse(r, "has a result that is too large");
    memcpy(dims, first(r)->dims, 4 * sizeof *dims);
    dims[r->node.axis] = (int)size;
    return 0;
}

static int read_slice(struct reading *r, int dims[4])
{
    static const int64_t in_order[4] = { 0, 1, 2, 3 };
    if (take_inputs(r, 1))
        return -1;
    const int64_t *starts = input_ints(r, 1, -1);
    if (!starts)
        return -1;
    int count = (int)tensor_elements(input(r, 1));
    if (count > 4)
        return refuse(r, "has %d axes of 4", count);
    const int64_t *ends = input_ints(r, 2, count);
    const int64_t *axes = input(r, 3) ? input_ints(r, 3, count) : in_order;
    if (!ends || !axes)
        return -1;
    if (input(r, 4)) {
        const int64_t *steps = input_ints(r, 4, count);
        for (int i = 0; i < count; i++)
            if (!steps || steps[i] != 1)
                return refuse(r, "has a step other than 1");
    }
    const int *in = first(r)->dims;
    memcpy(dims, in, 4 * sizeof *dims);
    for (int i = 0; i < count; i++) {
        if (axes[i] < -4 || axes[i] > 3)
            return refuse(r, "has the axis %lld of 4", (long long)axes[i]);
        int axis = (int)(axes[i] & 3); /* -1 is 3 */
        int64_t size = in[axis], bounds[2] = { starts[i], ends[i] };
        for (int k = 0; k < 2; k++) {
            if (bounds[k] < 0)
                bounds[k] = bounds[k] < -size ? 0 : bounds[k] + size;
            if (bounds[k] > size)
                bounds[k] = size;
        }
        if (bounds[1] <= bounds[0])
            return refuse(r, "has an empty result");
        r->node.offset[axis] = (int)bounds[0];
        dims[axis] = (int)(bounds[1] - bounds[0]);
    }
    return 0;
}

static int read_pad(struct reading *r, int dims[4])
{
    if (take_inputs(r, 1))
        return -1;
    const int64_t *pads = input_ints(r, 1, 8);
    if (!pads)
        return -1;
    if (!attribute_is(r, "mode", "constant"))
        return refuse(r, "has a mode other than constant");
    if (input(r, 2) && !tensor_scalar(input(r, 2), &r->node.fill))
        return refuse(r, "needs a constant number as its input 2");
    const int *in = first(r)->dims;
    for (int i = 0; i < 4; i++) {
        if (pads[i] < 0 || pads[i] > GRAPH_SIDE || pads[i + 4] < 0 || pads[i + 4] > GRAPH_SIDE)
            return refuse(r, "has pads that are not supported");
        r->node.offset[i] = (int)pads[i];
        dims[i] = (int)(in[i] + pads[i] + pads[i + 4]);
    }
    return 0;
}

static int read_pointwise(struct reading *r, int dims[4])
{
    struct node *n = &r->node;
    struct instruction *i = &n->program[0];
    int computed = 0;

    n->program_length = 1;
    *i = (struct instruction) { .function = r->op->function, .x = 0, .y = r->op->inputs_min - 1 };
    n->input_count = r->op->inputs_min;
    for (int k = 0; k < 4; k++)
        dims[k] = 1;
    for (int k = 0; k < n->input_count; k++) {
        const struct tensor *t = input(r, k);
        if (!t || t->ints)
            return refuse(r, "needs floats as its input %d", k);
        computed += !t->data;
        n->inputs[k] = r->inputs[k];
        for (int d = 0; d < 4; d++) {
            if (t->dims[d] != 1 && dims[d] != 1 && t->dims[d] != dims[d])
                return refuse(r, "has inputs of sizes that do not broadcast");
            if (t->dims[d] != 1)
                dims[d] = t->dims[d];
        }
    }
    if (!computed)
        return refuse(r, "computes with constants only, which is not supported");
    return 0;
}

static int read_clip(struct reading *r, int dims[4])
{
    if (read_pointwise(r, dims))
        return -1;
    struct instruction *i = &r->node.program[0];
    i->low = -INFINITY;
    i->high = INFINITY;
    if (input(r, 1) && !tensor_scalar(input(r, 1), &i->low))
        return refuse(r, "needs a constant number as its input 1");
    if (input(r, 2) && !tensor_scalar(input(r, 2), &i->high))
        return refuse(r, "needs a constant number as its input 2");
    return 0;
}

/* Split gives several tensors: a slice each. Identity gives its input another name. Both are read by ops_read(). */
static int read_special(struct reading *r, int dims[4])
{
    if (take_inputs(r, 1))
        return -1;
    memcpy(dims, first(r)->dims, 4 * sizeof *dims);
    return 0;
}

const struct op ops[] = {
    /* name, opsets, inputs, kind, function, read */
    { "Add", 7, 17, 2, 2, POINTWISE, ADD, read_pointwise },
    { "AveragePool", 11, 17, 1, 1, POOL_AVERAGE, 0, read_pool },
    { "Clip", 11, 17, 1, 3, POINTWISE, CLIP, read_clip },
    { "Concat", 11, 17, 1, GRAPH_INPUTS, CONCAT, 0, read_concat },
    { "Conv", 11, 17, 2, 3, CONVOLUTION, 0, read_conv },
    { "Div", 7, 17, 2, 2, POINTWISE, DIV, read_pointwise },
    { "GlobalAveragePool", 1, 17, 1, 1, POOL_AVERAGE, 0, read_global_pool },
    { "HardSwish", 14, 17, 1, 1, POINTWISE, HARDSWISH, read_pointwise },
    { "Identity", 1, 17, 1, 1, SLICE, 0, read_special },
    { "Max", 8, 17, 2, 2, POINTWISE, MAX, read_pointwise },
    { "MaxPool", 11, 17, 1, 1, POOL_MAX, 0, read_pool },
    { "Min", 8, 17, 2, 2, POINTWISE, MIN, read_pointwise },
    { "Mul", 7, 17, 2, 2, POINTWISE, MUL, read_pointwise },
    { "Pad", 11, 17, 2, 3, PAD, 0, read_pad },
    { "Relu", 6, 17, 1, 1, POINTWISE, RELU, read_pointwise },
    { "Resize", 11, 17, 4, 4, RESIZE, 0, read_resize },
    { "Sigmoid", 6, 17, 1, 1, POINTWISE, SIGMOID, read_pointwise },
    { "Slice", 11, 17, 3, 5, SLICE, 0, read_slice },
    { "Split", 11, 17, 1, 2, SLICE, 0, read_special },
    { "Sub", 7, 17, 2, 2, POINTWISE, SUB, read_pointwise },
    { "Tanh", 6, 17, 1, 1, POINTWISE, TANH, read_pointwise },
};
const int op_count = sizeof ops / sizeof *ops;

static const struct op *find_op(const char *name)
{
    for (int i = 0; i < op_count; i++)
        if (!strcmp(ops[i].name, name))
            return &ops[i];
    return NULL;
}

/* Adds r->node with its output. */
static int append(struct reading *r, const char *output, const int dims[4], struct names *names)
{
    int64_t elements = 1;
    for (int i = 0; i < 4; i++)
        if ((elements *= dims[i]) > GRAPH_ELEMENTS)
            return refuse(r, "has a result of more than %d elements", GRAPH_ELEMENTS);
    r->node.output = graph_add_tensor(r->graph, output, dims, r->error);
    if (r->node.output < 0 || graph_add_node(r->graph, &r->node, r->error) < 0)
        return -1;
    return names_define(names, output, r->node.output, r->error);
}

static int read_split(struct reading *r, int dims[4], struct names *names)
{
    const Onnx__NodeProto *p = r->proto;
    const Onnx__AttributeProto *listed = attribute(r, "split"); /* opset 11 and 12 */
    const int64_t *sizes = NULL;
    int axis = 0;
    if (attribute_axis(r, 0, &axis))
        return -1;
    int whole = dims[axis], count = (int)p->n_output;
    if (input(r, 1)) {
        if (!(sizes = input_ints(r, 1, count)))
            return -1;
    } else if (listed) {
        if (listed->n_ints != p->n_output)
            return refuse(r, "has %zu sizes for %d outputs", listed->n_ints, count);
        sizes = listed->ints;
    } else if (whole % count)
        return refuse(r, "has no sizes, and %d outputs of %d together", count, whole);
    for (int i = 0; i < count; i++) {
        int64_t size = sizes ? sizes[i] : whole / count;
        if (size < 1 || size > whole - r->node.offset[axis])
            return refuse(r, "has sizes that are not its input's");
        dims[axis] = (int)size;
        if (append(r, p->output[i], dims, names))
            return -1;
        r->node.offset[axis] += (int)size;
    }
    if (r->node.offset[axis] != whole)
        return refuse(r, "has sizes that are not its input's");
    return 0;
}

int ops_read(struct graph *g, const Onnx__NodeProto *p, struct names *names, struct error *e)
{
    struct reading r = { .graph = g, .proto = p, .error = e, .op = find_op(text(p->op_type)) };
    int dims[4];

    if (!r.op || (*text(p->domain) && strcmp(p->domain, "ai.onnx")))
        return refuse(&r, "has an operator that is not supported");
    if (g->opset < r.op->since || g->opset > r.op->until)
        return refuse(
            &r, "is of an opset that is not supported; %d to %d are", r.op->since, r.op->until);
    if (p->n_input < (size_t)r.op->inputs_min || p->n_input > (size_t)r.op->inputs_max)
        return refuse(&r, "has %zu inputs; %d to %d are supported", p->n_input, r.op->inputs_min,
            r.op->inputs_max);
    if (p->n_output < 1 || (p->n_output > 1 && strcmp(r.op->name, "Split")))
        return refuse(&r, "has %zu outputs", p->n_output);
    r.input_count = (int)p->n_input;
    for (int i = 0; i < r.input_count; i++)
        r.inputs[i] = names_lookup(names, p->input[i]);
    r.node.name = node_name(p);
    r.node.op = r.op->name;
    r.node.kind = r.op->kind;
    if (r.op->read(&r, dims))
        return -1;
    if (!strcmp(r.op->name, "Identity"))
        return names_define(names, p->output[0], r.inputs[0], e);
    if (!strcmp(r.op->name, "Split"))
        return read_split(&r, dims, names);
    return append(&r, p->output[0], dims, names);
}
