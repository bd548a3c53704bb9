/*
 * What the operators' functions ask of the node that is read.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "reading.h"

int refuse(struct reading *r, const char *format, ...)
{
    char reason[300];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return error_set(r->error, "unsupported_model", "%s: the node %s (%s, opset %d) %s.",
        r->graph->label, node_name(r->proto), text(r->proto->op_type), r->graph->opset, reason);
}

const Onnx__AttributeProto *attribute(const struct reading *r, const char *name)
{
    for (size_t i = 0; i < r->proto->n_attribute; i++)
        if (!strcmp(text(r->proto->attribute[i]->name), name))
            return r->proto->attribute[i];
    return NULL;
}

int64_t attribute_int(const struct reading *r, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    return a && a->has_i ? a->i : otherwise;
}

float attribute_float(const struct reading *r, const char *name, float otherwise)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    return a && a->has_f ? a->f : otherwise;
}

int attribute_is(const struct reading *r, const char *name, const char *value)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    return !a || (a->s.len == strlen(value) && !memcmp(a->s.data, value, a->s.len));
}

int attribute_choice(struct reading *r, const char *name, const char *const *values)
{
    for (int i = 0; values[i]; i++)
        if (attribute_is(r, name, values[i]))
            return i;
    const Onnx__AttributeProto *a = attribute(r, name);
    return refuse(r, "has %s %.*s, which is not supported", name,
        (int)(a->s.len < 40 ? a->s.len : 40), (const char *)a->s.data);
}

int attribute_ints(struct reading *r, const char *name, int count, int lowest, int *out)
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

int check_axis(struct reading *r, int64_t value, int rank, int *axis)
{
    if (value < -rank || value >= rank)
        return refuse(r, "has the axis %lld of %d", (long long)value, rank);
    *axis = (int)(value < 0 ? value + rank : value);
    return 0;
}

int attribute_axis(struct reading *r, int64_t otherwise, int rank, int *axis)
{
    return check_axis(r, attribute_int(r, "axis", otherwise), rank, axis);
}

const struct tensor *input(const struct reading *r, int k)
{
    return k < r->input_count && r->inputs[k] >= 0 ? &r->graph->tensors[r->inputs[k]] : NULL;
}

const struct shape *shape_of(const struct reading *r, int k)
{
    return &r->graph->tensors[r->inputs[k]].shape;
}

const int64_t *input_ints(struct reading *r, int k, int count)
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

int input_or_attribute(struct reading *r, int k, const char *name, const int64_t **list, int *count)
{
    const Onnx__AttributeProto *a = attribute(r, name);
    *list = NULL;
    *count = 0;
    if (input(r, k)) {
        if (!(*list = input_ints(r, k, -1)))
            return -1;
        *count = (int)tensor_elements(input(r, k));
    } else if (a) {
        *list = a->ints;
        *count = (int)a->n_ints;
    }
    return 0;
}

int input_number(struct reading *r, int k, float otherwise, float *value)
{
    const struct tensor *t = input(r, k);
    *value = otherwise;
    if (!t || !tensor_elements(t))
        return 0;
    if (!tensor_is_constant(t) || tensor_elements(t) != 1)
        return refuse(r, "needs a constant number as its input %d", k);
    *value = t->data ? t->data[0] : (float)t->ints[0];
    return 0;
}

int infer_broadcast(struct reading *r, int count)
{
    r->out.rank = 0;
    for (int k = 0; k < count; k++) {
        if (!input(r, k))
            return refuse(r, "needs its input %d", k);
        r->out.type = shape_of(r, k)->type;
        if (shape_of(r, k)->rank > r->out.rank)
            r->out.rank = shape_of(r, k)->rank;
    }
    for (int i = 1; i <= r->out.rank; i++) {
        int *size = &r->out.dims[r->out.rank - i];
        *size = 1;
        for (int k = 0; k < count; k++) {
            const struct shape *s = shape_of(r, k);
            const int other = i <= s->rank ? s->dims[s->rank - i] : 1;
            if (other != 1 && *size != 1 && other != *size)
                return refuse(r, "has inputs of sizes that do not broadcast");
            if (other != 1)
                *size = other;
        }
    }
    return 0;
}
