/*
 * Small ONNX files for tests: begin(), then inputs, constants, nodes and outputs in any order, then open_net() or
 * file_bytes(). Everything lives in one static pool until the next begin().
 */
#ifndef MATTE_UNIT_ONNX_H
#define MATTE_UNIT_ONNX_H

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#include "nn/nn.h"
#include "onnx.pb-c.h"

enum { PARTS = 128, POOL = 4 << 20 };

static struct {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__NodeProto *nodes[PARTS];
    Onnx__ValueInfoProto *inputs[PARTS], *outputs[PARTS];
    Onnx__TensorProto *constants[PARTS];
    size_t used;
    _Alignas(16) char pool[POOL];
} onnx;

__attribute__((unused)) static void *take(size_t bytes)
{
    void *p = onnx.pool + onnx.used;
    onnx.used += (bytes + 15) / 16 * 16;
    assert_true(onnx.used <= POOL);
    return memset(p, 0, bytes);
}

__attribute__((unused)) static char *copy_text(const char *text)
{
    return strcpy(take(strlen(text) + 1), text);
}

/* "a,b" as a list of strings. */
__attribute__((unused)) static size_t split_names(const char *names, char ***list)
{
    size_t count = 0;
    *list = take(PARTS * sizeof **list);
    for (const char *n = names; n; n = strchr(n, ',') ? strchr(n, ',') + 1 : NULL) {
        size_t length = strcspn(n, ",");
        (*list)[count] = take(length + 1);
        memcpy((*list)[count++], n, length);
    }
    return count;
}

__attribute__((unused)) static void begin(int opset)
{
    onnx.used = 0;
    onnx__model_proto__init(&onnx.model);
    onnx__graph_proto__init(&onnx.graph);
    onnx__operator_set_id_proto__init(&onnx.opset);
    onnx.opset.has_version = 1;
    onnx.opset.version = opset;
    onnx.opsets[0] = &onnx.opset;
    onnx.model.graph = &onnx.graph;
    onnx.model.n_opset_import = 1;
    onnx.model.opset_import = onnx.opsets;
    onnx.graph.node = onnx.nodes;
    onnx.graph.input = onnx.inputs;
    onnx.graph.output = onnx.outputs;
    onnx.graph.initializer = onnx.constants;
}

__attribute__((unused)) static Onnx__ValueInfoProto *value(
    const char *name, const int *dims, size_t rank)
{
    Onnx__ValueInfoProto *v = take(sizeof *v);
    onnx__value_info_proto__init(v);
    v->name = copy_text(name);
    v->type = take(sizeof *v->type);
    onnx__type_proto__init(v->type);
    v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    v->type->tensor_type = take(sizeof *v->type->tensor_type);
    onnx__type_proto__tensor__init(v->type->tensor_type);
    v->type->tensor_type->has_elem_type = 1;
    v->type->tensor_type->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (!rank)
        return v;
    Onnx__TensorShapeProto *shape = v->type->tensor_type->shape = take(sizeof *shape);
    onnx__tensor_shape_proto__init(shape);
    shape->n_dim = rank;
    shape->dim = take(rank * sizeof *shape->dim);
    for (size_t i = 0; i < rank; i++) {
        shape->dim[i] = take(sizeof **shape->dim);
        onnx__tensor_shape_proto__dimension__init(shape->dim[i]);
        shape->dim[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        shape->dim[i]->dim_value = dims[i];
    }
    return v;
}

__attribute__((unused)) static void input(const char *name, int n, int c, int h, int w)
{
    onnx.inputs[onnx.graph.n_input++] = value(name, (int[]) { n, c, h, w }, 4);
}

__attribute__((unused)) static void output(const char *name)
{
    onnx.outputs[onnx.graph.n_output++] = value(name, NULL, 0);
}

__attribute__((unused)) static Onnx__TensorProto *constant(
    const char *name, int type, const void *values, size_t width, int rank, const int *dims)
{
    Onnx__TensorProto *t = take(sizeof *t);
    size_t count = 1;
    onnx__tensor_proto__init(t);
    t->name = copy_text(name);
    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = rank;
    t->dims = take((rank + 1) * sizeof *t->dims);
    for (int i = 0; i < rank; i++)
        count *= (size_t)(t->dims[i] = dims[i]);
    t->has_raw_data = 1;
    t->raw_data.len = count * width;
    t->raw_data.data = take(count * width);
    memcpy(t->raw_data.data, values, count * width);
    return onnx.constants[onnx.graph.n_initializer++] = t;
}

__attribute__((unused)) static Onnx__TensorProto *floats(
    const char *name, const float *values, int rank, const int *dims)
{
    return constant(name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, values, sizeof *values, rank, dims);
}

__attribute__((unused)) static Onnx__TensorProto *scalar(const char *name, float x)
{
    return floats(name, &x, 0, NULL);
}

__attribute__((unused)) static Onnx__TensorProto *int64s(
    const char *name, const int64_t *values, int count)
{
    return constant(name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, values, sizeof *values, 1, &count);
}

__attribute__((unused)) static Onnx__NodeProto *node(
    const char *op, const char *inputs, const char *outputs)
{
    Onnx__NodeProto *n = take(sizeof *n);
    onnx__node_proto__init(n);
    n->op_type = copy_text(op);
    n->n_input = split_names(inputs, &n->input);
    n->n_output = split_names(outputs, &n->output);
    n->attribute = take(PARTS * sizeof *n->attribute);
    return onnx.nodes[onnx.graph.n_node++] = n;
}

__attribute__((unused)) static Onnx__AttributeProto *attribute(Onnx__NodeProto *n, const char *name)
{
    Onnx__AttributeProto *a = take(sizeof *a);
    onnx__attribute_proto__init(a);
    a->name = copy_text(name);
    return n->attribute[n->n_attribute++] = a;
}

__attribute__((unused)) static void set_ints(
    Onnx__NodeProto *n, const char *name, int count, const int *values)
{
    Onnx__AttributeProto *a = attribute(n, name);
    a->n_ints = count;
    a->ints = take(count * sizeof *a->ints);
    for (int i = 0; i < count; i++)
        a->ints[i] = values[i];
}

__attribute__((unused)) static void set_int(Onnx__NodeProto *n, const char *name, int x)
{
    Onnx__AttributeProto *a = attribute(n, name);
    a->has_i = 1;
    a->i = x;
}

__attribute__((unused)) static void set_text(Onnx__NodeProto *n, const char *name, const char *text)
{
    Onnx__AttributeProto *a = attribute(n, name);
    a->has_s = 1;
    a->s.len = strlen(text);
    a->s.data = (uint8_t *)copy_text(text);
}

__attribute__((unused)) static uint8_t *file_bytes(size_t *size)
{
    uint8_t *bytes = take(*size = onnx__model_proto__get_packed_size(&onnx.model));
    onnx__model_proto__pack(&onnx.model, bytes);
    return bytes;
}

/* What nn_open() makes of these bytes. */
__attribute__((unused)) static struct nn_net *open_bytes(
    const uint8_t *bytes, size_t size, struct error *e)
{
    int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    *e = (struct error) { 0 };
    struct nn_net *net = nn_open(fd, "test.onnx", &(struct nn_params) { .threads = 2 }, e);
    close(fd);
    return net;
}

__attribute__((unused)) static struct nn_net *open_net(struct error *e)
{
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    return open_bytes(bytes, size, e);
}

#endif
