#include "graph.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"

struct names {
    struct hsearch_data table;
    const char *label;
};

void *graph_alloc(struct graph *g, size_t bytes, struct error *e)
{
    void **owned = realloc(g->owned, (g->owned_count + 1) * sizeof *owned);
    void *p = NULL;
    if (owned) {
        g->owned = owned;
        p = calloc(1, bytes ? bytes : 1);
    }
    if (!p) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", g->label);
        return NULL;
    }
    return g->owned[g->owned_count++] = p;
}

size_t tensor_elements(const struct tensor *t)
{
    return (size_t)t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

int tensor_scalar(const struct tensor *t, float *value)
{
    if (!t->data || tensor_elements(t) != 1)
        return 0;
    *value = t->data[0];
    return 1;
}

/* Makes room for one more element in an array that grows by doubling. */
static void *grow(void *array, int count, size_t size)
{
    if (count & (count - 1))
        return array;
    return realloc(array, (count ? 2 * (size_t)count : 1) * size);
}

int graph_add_tensor(struct graph *g, const char *name, const int dims[4], struct error *e)
{
    struct tensor *tensors = grow(g->tensors, g->tensor_count, sizeof *tensors);
    if (!tensors)
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", g->label);
    g->tensors = tensors;
    struct tensor *t = &tensors[g->tensor_count];
    *t = (struct tensor) { .name = name, .rank = 4, .producer = -1 };
    memcpy(t->dims, dims, sizeof t->dims);
    return g->tensor_count++;
}

int graph_add_node(struct graph *g, const struct node *n, struct error *e)
{
    struct node *nodes = grow(g->nodes, g->node_count, sizeof *nodes);
    if (!nodes)
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", g->label);
    g->nodes = nodes;
    nodes[g->node_count] = *n;
    return g->node_count++;
}

/* names */

int names_lookup(const struct names *names, const char *name)
{
    ENTRY *found = NULL;
    if (!*name)
        return -1;
    hsearch_r((ENTRY) { .key = (char *)name }, FIND, &found, (struct hsearch_data *)&names->table);
    return found ? (int)(intptr_t)found->data : -1;
}

int names_define(struct names *names, const char *name, int tensor, struct error *e)
{
    ENTRY *made = NULL;
    if (names_lookup(names, name) >= 0)
        return error_set(e, "bad_model", "%s: the tensor %s is defined twice.", names->label, name);
    ENTRY entry = { .key = (char *)name, .data = (void *)(intptr_t)tensor };
    if (!hsearch_r(entry, ENTER, &made, &names->table))
        return error_set(e, "bad_model", "%s: there are too many tensors.", names->label);
    return 0;
}

/* constants */

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

static int dims_of(const struct graph *g, const char *what, const char *name, size_t rank,
    const int64_t *sizes, int dims[4], struct error *e)
{
    int64_t elements = 1;
    if (rank > 4)
        return error_set(e, "unsupported_model",
            "%s: the %s %s has %zu dimensions; at most 4 are supported.", g->label, what, name,
            rank);
    for (int i = 0; i < 4; i++) {
        int64_t size = i < 4 - (int)rank ? 1 : sizes[i - (4 - (int)rank)];
        if (size < 1 || size > GRAPH_ELEMENTS || elements * size > GRAPH_ELEMENTS)
            return error_set(e, "bad_model",
                "%s: the %s %s has a dimension of %lld; every dimension must be at least 1 and "
                "their product at most %d.",
                g->label, what, name, (long long)size, GRAPH_ELEMENTS);
        elements *= size;
        dims[i] = (int)size;
    }
    return 0;
}

/* Adds a constant from its message. The values stay in the message where they can. */
static int read_constant(struct graph *g, const char *name, const Onnx__TensorProto *p,
    struct names *names, struct error *e)
{
    int dims[4];
    if (dims_of(g, "constant", name, p->n_dims, p->dims, dims, e))
        return -1;
    int index = graph_add_tensor(g, name, dims, e);
    if (index < 0 || names_define(names, name, index, e))
        return -1;
    struct tensor *t = &g->tensors[index];
    size_t count = tensor_elements(t), have, width;
    const void *values;

    t->rank = (int)p->n_dims;
    switch (p->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        width = sizeof(float);
        values = p->float_data;
        have = p->n_float_data;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        width = sizeof(int64_t);
        values = p->int64_data;
        have = p->n_int64_data;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16: /* in int32_data, one each */
        width = sizeof(uint16_t);
        values = p->int32_data;
        have = p->n_int32_data;
        break;
    default:
        return error_set(e, "unsupported_model",
            "%s: the constant %s is of the ONNX type %d; float, float16 and int64 are supported.",
            g->label, name, p->data_type);
    }
    if (p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return error_set(e, "unsupported_model",
            "%s: the constant %s lies in another file, which is not supported.", g->label, name);
    if (p->has_raw_data) {
        values = p->raw_data.data;
        have = p->raw_data.len / width;
        if (p->raw_data.len % width)
            have = 0;
    }
    if (have != count)
        return error_set(e, "bad_model", "%s: the constant %s has %zu values where %zu are due.",
            g->label, name, have, count);
    if (p->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16) {
        float *f = graph_alloc(g, count * sizeof *f, e);
        if (!f)
            return -1;
        for (size_t i = 0; i < count; i++) {
            uint16_t bits;
            if (p->has_raw_data)
                memcpy(&bits, (const char *)values + i * width, width);
            else
                bits = (uint16_t)p->int32_data[i];
            f[i] = half_to_float(bits);
        }
        t->data = f;
    } else if (p->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64)
        t->ints = values;
    else
        t->data = values;
    return 0;
}

/* the graph's ends */

static const Onnx__TypeProto__Tensor *tensor_type(const Onnx__ValueInfoProto *v)
{
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return NULL;
    return v->type->tensor_type;
}

static int read_input(
    struct graph *g, const Onnx__ValueInfoProto *v, struct names *names, struct error *e)
{
    const Onnx__TypeProto__Tensor *type = tensor_type(v);
    const char *name = text(v->name);
    int64_t sizes[4];
    int dims[4];
    if (names_lookup(names, name) >= 0)
        return 0; /* the default of an input, as old files list their weights: a constant */
    if (!type || type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || !type->shape ||
        type->shape->n_dim != 4)
        return error_set(e, "unsupported_model",
            "%s: the input %s is not a tensor of floats with 4 dimensions.", g->label, name);
    for (int i = 0; i < 4; i++) {
        const Onnx__TensorShapeProto__Dimension *d = type->shape->dim[i];
        if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            return error_set(
                e, "unsupported_model", "%s: the input %s has no fixed size.", g->label, name);
        sizes[i] = d->dim_value;
    }
    if (dims_of(g, "input", name, 4, sizes, dims, e))
        return -1;
    int index = graph_add_tensor(g, name, dims, e);
    if (index < 0)
        return -1;
    g->inputs[g->input_count++] = (struct end) { name, index, 0 };
    return names_define(names, name, index, e);
}

static int read_output(
    struct graph *g, const Onnx__ValueInfoProto *v, const struct names *names, struct error *e)
{
    const char *name = text(v->name);
    int index = names_lookup(names, name);
    if (index < 0)
        return error_set(e, "bad_model", "%s: nothing computes the output %s.", g->label, name);
    struct tensor *t = &g->tensors[index];
    if (t->data || t->ints)
        return error_set(e, "bad_model", "%s: the output %s is a constant.", g->label, name);
    t->outputs++;
    g->outputs[g->output_count++] = (struct end) { name, index, 0 };
    return 0;
}

/* the nodes, in an order that lets each be read after those it needs (files need not have one) */

static int is_ready(const Onnx__NodeProto *n, const struct names *names)
{
    for (size_t i = 0; i < n->n_input; i++)
        if (*n->input[i] && names_lookup(names, n->input[i]) < 0)
            return 0;
    return 1;
}

static const Onnx__TensorProto *constant_value(const Onnx__NodeProto *n)
{
    if (strcmp(text(n->op_type), "Constant") || n->n_output != 1 || n->n_attribute != 1 ||
        strcmp(text(n->attribute[0]->name), "value"))
        return NULL;
    return n->attribute[0]->t;
}

static int read_nodes(
    struct graph *g, const Onnx__GraphProto *p, struct names *names, struct error *e)
{
    char *done = graph_alloc(g, p->n_node, e);
    if (!done)
        return -1;
    for (size_t left = p->n_node, before = left + 1; left;) {
        if (left == before) {
            for (size_t i = 0; i < p->n_node; i++)
                for (size_t k = 0; !done[i] && k < p->node[i]->n_input; k++)
                    if (*p->node[i]->input[k] && names_lookup(names, p->node[i]->input[k]) < 0)
                        return error_set(e, "bad_model",
                            "%s: the node %s (%s) reads %s, which nothing before it computes.",
                            g->label, node_name(p->node[i]), text(p->node[i]->op_type),
                            p->node[i]->input[k]);
        }
        before = left;
        for (size_t i = 0; i < p->n_node; i++) {
            if (done[i] || !is_ready(p->node[i], names))
                continue;
            const Onnx__TensorProto *constant = constant_value(p->node[i]);
            if (constant ? read_constant(g, p->node[i]->output[0], constant, names, e)
                         : ops_read(g, p->node[i], names, e))
                return -1;
            done[i] = 1;
            left--;
        }
    }
    return 0;
}

static int read_model(struct graph *g, const Onnx__ModelProto *m, struct error *e)
{
    const Onnx__GraphProto *p = m->graph;
    int result = -1;

    for (size_t i = 0; i < m->n_opset_import; i++)
        if (!*text(m->opset_import[i]->domain) || !strcmp(m->opset_import[i]->domain, "ai.onnx"))
            g->opset = (int)m->opset_import[i]->version;
    if (g->opset < OPSET_MIN || g->opset > OPSET_MAX)
        return error_set(e, "unsupported_model",
            "%s: the file is of ONNX opset %d; %d to %d are supported.", g->label, g->opset,
            OPSET_MIN, OPSET_MAX);
    if (!p || !p->n_input || !p->n_output)
        return error_set(e, "bad_model", "%s: the network has no input or no output.", g->label);
    g->inputs = graph_alloc(g, p->n_input * sizeof *g->inputs, e);
    g->outputs = graph_alloc(g, p->n_output * sizeof *g->outputs, e);
    if (!g->inputs || !g->outputs)
        return -1;

    struct names names = { .label = g->label };
    size_t most = p->n_initializer + p->n_input;
    for (size_t i = 0; i < p->n_node; i++)
        most += p->node[i]->n_output;
    if (!hcreate_r(most + most / 2 + 1, &names.table))
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", g->label);
    for (size_t i = 0; i < p->n_initializer; i++)
        if (read_constant(g, text(p->initializer[i]->name), p->initializer[i], &names, e))
            goto out;
    for (size_t i = 0; i < p->n_input; i++)
        if (read_input(g, p->input[i], &names, e))
            goto out;
    if (read_nodes(g, p, &names, e))
        goto out;
    for (size_t i = 0; i < p->n_output; i++)
        if (read_output(g, p->output[i], &names, e))
            goto out;
    result = graph_sort(g, e);
out:
    hdestroy_r(&names.table);
    return result;
}

/* Reads the whole file behind fd; NULL and *e. */
static uint8_t *read_file(int fd, const char *label, size_t *size, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > GRAPH_FILE) {
        error_set(e, "bad_model", "%s is not a file of at most %lld bytes.", label,
            (long long)GRAPH_FILE);
        return NULL;
    }
    uint8_t *bytes = malloc(st.st_size + 1);
    if (!bytes) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", label);
        return NULL;
    }
    for (*size = 0; *size < (size_t)st.st_size;) {
        ssize_t n = pread(fd, bytes + *size, st.st_size - *size, (off_t)*size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            error_set(e, "bad_model", "%s cannot be read: %s.", label,
                n ? strerror(errno) : "it is shorter than it was");
            free(bytes);
            return NULL;
        }
        *size += n;
    }
    return bytes;
}

int graph_read(struct graph *g, int fd, const char *label, struct error *e)
{
    size_t size;
    *g = (struct graph) { .label = label };
    uint8_t *bytes = read_file(fd, label, &size, e);
    if (!bytes)
        return -1;
    g->model = onnx__model_proto__unpack(NULL, size, bytes);
    free(bytes);
    if (!g->model)
        return error_set(e, "bad_model", "%s is not an ONNX file.", label);
    return read_model(g, g->model, e);
}

void graph_free(struct graph *g)
{
    for (int i = 0; i < g->owned_count; i++)
        free(g->owned[i]);
    free(g->owned);
    free(g->tensors);
    free(g->nodes);
    if (g->model)
        onnx__model_proto__free_unpacked(g->model, NULL);
    *g = (struct graph) { 0 };
}

/* order */

int graph_sort(struct graph *g, struct error *e)
{
    int *stack = calloc(g->node_count + 1, sizeof *stack);
    int *place = calloc(
        g->node_count + 1, sizeof *place); /* 0: not seen, -1: on the stack, else place + 1 */
    struct node *sorted = calloc(g->node_count + 1, sizeof *sorted);
    int count = 0, result = -1;

    if (!stack || !place || !sorted) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", g->label);
        goto out;
    }
    for (int i = 0; i < g->tensor_count; i++) {
        g->tensors[i].producer = -1;
        g->tensors[i].uses = g->tensors[i].outputs;
    }
    for (int i = 0; i < g->node_count; i++)
        g->tensors[g->nodes[i].output].producer = i;

    for (int o = 0; o < g->output_count; o++) {
        int depth = 0, first = g->tensors[g->outputs[o].tensor].producer;
        if (first >= 0 && !place[first])
            stack[depth++] = first;
        while (depth) {
            int n = stack[depth - 1], next = -1;
            place[n] = -1;
            for (int i = 0; i < g->nodes[n].input_count && next < 0; i++) {
                int before = g->tensors[g->nodes[n].inputs[i]].producer;
                if (before >= 0 && place[before] < 0) {
                    error_set(e, "bad_model", "%s: the node %s (%s) needs its own result.",
                        g->label, g->nodes[n].name, g->nodes[n].op);
                    goto out;
                }
                if (before >= 0 && !place[before])
                    next = before;
            }
            if (next >= 0) {
                stack[depth++] = next;
                continue;
            }
            sorted[count++] = g->nodes[n];
            place[n] = count;
            depth--;
        }
    }
    if (count)
        memcpy(g->nodes, sorted, count * sizeof *sorted);
    g->node_count = count;
    for (int i = 0; i < g->tensor_count; i++)
        g->tensors[i].producer = -1;
    for (int n = 0; n < count; n++) {
        g->tensors[g->nodes[n].output].producer = n;
        for (int i = 0; i < g->nodes[n].input_count; i++)
            g->tensors[g->nodes[n].inputs[i]].uses++;
    }
    result = 0;
out:
    free(stack);
    free(place);
    free(sorted);
    return result;
}
