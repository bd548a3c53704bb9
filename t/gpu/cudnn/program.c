#include "program.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../driver/emulation.h"

/* Four numbers, or two of a window. */
static bool read_numbers(
    const struct descriptor *d, cudnnBackendAttributeName_t name, int64_t wanted, int64_t *to)
{
    int64_t count;
    const int64_t *values = descriptor_get(d, name, &count);
    if (count != wanted)
        return false;
    memcpy(to, values, (size_t)count * sizeof *to);
    return true;
}

static bool read_tensor(const struct descriptor *d, struct tensor *t)
{
    const char *is_virtual = descriptor_get(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, NULL);
    *t = (struct tensor) {
        .uid = descriptor_int64(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0),
        .is_virtual = is_virtual && *is_virtual,
    };
    const int type = descriptor_enum(d, CUDNN_ATTR_TENSOR_DATA_TYPE, -1);
    return type == (t->is_virtual ? CUDNN_DATA_FLOAT : CUDNN_DATA_HALF) &&
           read_numbers(d, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, t->dims) &&
           read_numbers(d, CUDNN_ATTR_TENSOR_STRIDES, 4, t->strides);
}

static bool read_convolution(const struct descriptor *d, struct operation *o)
{
    const struct descriptor *window =
        descriptor_other(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
    o->is_convolution = o->has_other = 1;
    return read_tensor(descriptor_other(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X), &o->x) &&
           read_tensor(
               descriptor_other(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W), &o->other) &&
           read_tensor(descriptor_other(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y), &o->y) &&
           read_numbers(window, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, o->before) &&
           read_numbers(window, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, o->after) &&
           read_numbers(window, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, o->stride) &&
           read_numbers(window, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, o->dilation);
}

static bool read_pointwise(const struct descriptor *d, struct operation *o)
{
    const struct descriptor *function =
        descriptor_other(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const struct descriptor *second = descriptor_other(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    o->mode = descriptor_enum(function, CUDNN_ATTR_POINTWISE_MODE, -1);
    o->has_other = second != NULL;
    return (o->mode == CUDNN_POINTWISE_ADD || o->mode == CUDNN_POINTWISE_RELU_FWD) &&
           o->has_other == (o->mode == CUDNN_POINTWISE_ADD) &&
           read_tensor(descriptor_other(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC), &o->x) &&
           (!second || read_tensor(second, &o->other)) &&
           read_tensor(descriptor_other(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC), &o->y);
}

static bool read_operation(const struct descriptor *d, struct operation *o)
{
    return d->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR
               ? read_convolution(d, o)
           : d->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR ? read_pointwise(d, o)
                                                                     : false;
}

static bool read_plan(const struct descriptor *plan, struct program *p)
{
    const struct descriptor *config =
        descriptor_other(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    int64_t count;
    const struct descriptor *const *operations =
        descriptor_get(config ? config->graph : NULL, CUDNN_ATTR_OPERATIONGRAPH_OPS, &count);
    if (count < 1 || count > OPERATIONS ||
        real()->cudnnBackendGetAttribute(plan->real, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
            CUDNN_TYPE_INT64, 1, &(int64_t) { 0 }, &p->workspace))
        return false;
    for (; p->count < count; p->count++)
        if (!read_operation(operations[p->count], &p->operations[p->count]))
            return false;
    return true;
}

struct program *program_of(const struct descriptor *plan)
{
    struct program *p = calloc(1, sizeof *p);
    if (p && read_plan(plan, p)) {
        p->references = 1;
        return p;
    }
    cuemu_say("a plan of cuDNN's computes what is not emulated");
    free(p);
    return NULL;
}

void program_release(struct program *p)
{
    if (p && !--p->references)
        free(p);
}
