/*
 * Constants of the file: their types, and their values as this engine holds them (graph.h).
 */
#include <string.h>

#include "ops.h"

/* e: ONNX's number of the type; values of a TensorProto's own lists are in the field of that name. */
enum field { FLOATS, INT32S, INT64S, DOUBLES, UINT64S };

static const struct {
    enum type type;
    size_t width;
    enum field field;
} types[] = {
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT] = { REAL, 4, FLOATS },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT8] = { INTEGER, 1, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT8] = { INTEGER, 1, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT16] = { INTEGER, 2, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT16] = { INTEGER, 2, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT32] = { INTEGER, 4, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT64] = { INTEGER, 8, INT64S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__BOOL] = { LOGICAL, 1, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16] = { REAL, 2, INT32S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE] = { REAL, 8, DOUBLES },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT32] = { INTEGER, 4, UINT64S },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT64] = { INTEGER, 8, UINT64S },
};

int shape_type(int64_t onnx, enum type *type)
{
    if (onnx < 0 || onnx >= (int64_t)(sizeof types / sizeof *types) || !types[onnx].width)
        return -1;
    *type = types[onnx].type;
    return 0;
}

int shape_set(struct shape *s, const struct graph *g, const char *what, const char *name,
    size_t rank, const int64_t *sizes, int lowest, struct error *e)
{
    int64_t elements = 1;
    if (rank > GRAPH_RANK)
        return error_set(e, "unsupported_model",
            "%s: the %s %s has %zu dimensions; at most %d are supported.", g->label, what, name,
            rank, GRAPH_RANK);
    s->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        if (sizes[i] < lowest || sizes[i] > GRAPH_ELEMENTS || elements * sizes[i] > GRAPH_ELEMENTS)
            return error_set(e, "bad_model",
                "%s: the %s %s has a dimension of %lld; every dimension must be at least %d and "
                "their product at most %d.",
                g->label, what, name, (long long)sizes[i], lowest, GRAPH_ELEMENTS);
        elements *= sizes[i] ? sizes[i] : 1; /* products of some of them must fit too */
        s->dims[i] = (int)sizes[i];
    }
    return 0;
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    union {
        uint32_t bits;
        float value;
    } r;
    if (exponent == 31)
        r.bits = sign | 0x7f800000 | fraction << 13;
    else if (exponent)
        r.bits = sign | (exponent + 112) << 23 | fraction << 13;
    else {
        r.value = (float)fraction * 0x1p-24f;
        r.bits |= sign;
    }
    return r.value;
}

/* Value i of raw bytes, which need not be aligned. */
static void convert_raw(int onnx, const uint8_t *raw, size_t i, float *real, int64_t *integer)
{
    union {
        float f;
        double d;
        uint16_t h;
        uint8_t u8;
        int16_t i16;
        int32_t i32;
        uint32_t u32;
        int64_t i64;
    } v;
    memcpy(&v, raw + i * types[onnx].width, types[onnx].width);
    switch (onnx) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT: *real = v.f; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16: *real = half_to_float(v.h); break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE: *real = (float)v.d; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: *integer = v.u8; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8: *integer = (int64_t)(v.u8 ^ 0x80) - 0x80; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16: *integer = v.h; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16: *integer = v.i16; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32: *integer = v.i32; break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32: *integer = v.u32; break;
    default: *integer = v.i64; break;
    }
}

/* The list of a type's values in a message, and how long it is. */
static const void *listed(const Onnx__TensorProto *p, size_t *count)
{
    switch (types[p->data_type].field) {
    case FLOATS: *count = p->n_float_data; return p->float_data;
    case INT32S: *count = p->n_int32_data; return p->int32_data;
    case INT64S: *count = p->n_int64_data; return p->int64_data;
    case DOUBLES: *count = p->n_double_data; return p->double_data;
    default: *count = p->n_uint64_data; return p->uint64_data;
    }
}

static void convert_listed(int onnx, const void *list, size_t i, float *real, int64_t *integer)
{
    switch (types[onnx].field) {
    case FLOATS: *real = ((const float *)list)[i]; break;
    case DOUBLES: *real = (float)((const double *)list)[i]; break;
    case INT64S: *integer = ((const int64_t *)list)[i]; break;
    case UINT64S: *integer = (int64_t)((const uint64_t *)list)[i]; break;
    default:
        if (types[onnx].type == REAL) /* float16, one each */
            *real = half_to_float((uint16_t)((const int32_t *)list)[i]);
        else
            *integer = ((const int32_t *)list)[i];
    }
}

int constant_make(struct graph *g, const char *what, const char *name, const Onnx__TensorProto *p,
    struct error *e)
{
    struct shape shape = { REAL, 0, { 0 } };
    if (shape_type(p->data_type, &shape.type))
        return error_set(e, "unsupported_model",
            "%s: the %s %s is of the ONNX type %d; float, float16, double, integers and bool are "
            "supported.",
            g->label, what, name, p->data_type);
    if (shape_set(&shape, g, what, name, p->n_dims, p->dims, 0, e))
        return -1;
    if (p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return error_set(e, "unsupported_model",
            "%s: the %s %s lies in another file, which is not supported.", g->label, what, name);
    const size_t count = shape_elements(&shape), width = types[p->data_type].width;
    size_t have;
    const void *list = listed(p, &have);
    if (p->has_raw_data)
        have = p->raw_data.len % width ? count + 1 : p->raw_data.len / width;
    if (have != count)
        return error_set(e, "bad_model", "%s: the %s %s has %zu values where %zu are due.",
            g->label, what, name, p->raw_data.len % width ? 0 : have, count);
    const int index = graph_add_tensor(g, name, &shape, e);
    if (index >= 0 && p->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && count) {
        /* as they are: the message lives as long as the graph */
        g->tensors[index].data =
            p->has_raw_data ? (const float *)(const void *)p->raw_data.data : p->float_data;
        return index;
    }
    void *values = graph_alloc(g, count * (shape.type == REAL ? 4 : 8), e);
    if (index < 0 || !values)
        return -1;
    float *real = values;
    int64_t *integer = values;
    for (size_t i = 0; i < count; i++)
        if (p->has_raw_data)
            convert_raw(p->data_type, p->raw_data.data, i, real + i, integer + i);
        else if (list)
            convert_listed(p->data_type, list, i, real + i, integer + i);
    g->tensors[index].data = shape.type == REAL ? real : NULL;
    g->tensors[index].ints = shape.type == REAL ? NULL : integer;
    return index;
}

int constant_read(struct graph *g, const char *name, const Onnx__TensorProto *p,
    struct names *names, struct error *e)
{
    const int index = constant_make(g, "constant", name, p, e);
    return index < 0 ? -1 : names_define(names, name, index, e);
}

int constant_read_node(
    struct graph *g, const Onnx__NodeProto *n, struct names *names, struct error *e)
{
    const Onnx__AttributeProto *a = n->n_attribute == 1 ? n->attribute[0] : NULL;
    const char *name = a ? text(a->name) : "";
    Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
    int64_t size = 1;
    t.has_data_type = 1;
    t.dims = &size;
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    if (n->n_output != 1)
        return error_set(e, "bad_model", "%s: the node %s (Constant, opset %d) has %zu outputs.",
            g->label, node_name(n), g->opset, n->n_output);
    if (!strcmp(name, "value") && a->t)
        return constant_read(g, n->output[0], a->t, names, e);
    if (!strcmp(name, "value_int")) {
        t.int64_data = &((Onnx__AttributeProto *)a)->i; /* which is only read */
        t.n_int64_data = 1;
    } else if (!strcmp(name, "value_ints")) {
        t.int64_data = a->ints;
        t.n_int64_data = a->n_ints;
        t.n_dims = 1;
        size = (int64_t)a->n_ints;
    } else if (!strcmp(name, "value_float") || !strcmp(name, "value_floats")) {
        t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        t.n_dims = !strcmp(name, "value_floats");
        t.float_data = t.n_dims ? a->floats : &((Onnx__AttributeProto *)a)->f;
        t.n_float_data = t.n_dims ? a->n_floats : 1;
        size = (int64_t)a->n_floats;
    } else
        return error_set(e, "unsupported_model",
            "%s: the node %s (Constant, opset %d) has a value of a kind that is not supported.",
            g->label, node_name(n), g->opset);
    return constant_read(g, n->output[0], &t, names, e);
}
