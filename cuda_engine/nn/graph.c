#include "graph.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "plain/plain.h"

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
    g->bytes += bytes;
    return g->owned[g->owned_count++] = p;
}

size_t graph_bytes(const struct graph *g)
{
    return g->bytes + g->tensor_count * sizeof *g->tensors + g->node_count * sizeof *g->nodes;
}

size_t shape_elements(const struct shape *s)
{
    size_t elements = 1;
    for (int i = 0; i < s->rank; i++)
        elements *= s->dims[i];
    return elements;
}

size_t tensor_elements(const struct tensor *t)
{
    return shape_elements(&t->shape);
}

int tensor_is_constant(const struct tensor *t)
{
    return t->data || t->ints;
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

int graph_add_tensor(struct graph *g, const char *name, const struct shape *shape, struct error *e)
{
    const struct shape copy = *shape; /* it may lie in the array that moves */
    struct tensor *tensors = grow(g->tensors, g->tensor_count, sizeof *tensors);
    if (!tensors)
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", g->label);
    g->tensors = tensors;
    struct tensor *t = &tensors[g->tensor_count];
    *t = (struct tensor) { .name = name, .shape = copy, .dims = { 1, 1, 1, 1 }, .producer = -1 };
    for (int i = 0; i < copy.rank; i++) {
        const int at = i + 4 - copy.rank;
        t->dims[at < 0 ? 0 : at] *= copy.dims[i];
    }
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

/* the graph's ends */

static const Onnx__TypeProto__Tensor *tensor_type(const Onnx__ValueInfoProto *v)
{
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return NULL;
    return v->type->tensor_type;
}

static const struct nn_fixed *find_fixed(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->params->fixed_count; i++)
        if (!strcmp(g->params->fixed[i].name, name))
            return &g->params->fixed[i];
    return NULL;
}

/* The sizes of an input: the caller's where it gives them, which must be those of the file where that has them. */
static int read_sizes(const struct graph *g, const char *name, const Onnx__TensorShapeProto *shape,
    const struct nn_fixed *fixed, int64_t *sizes, struct error *e)
{
    if (fixed && fixed->rank != (int)shape->n_dim)
        return error_set(e, "bad_model", "%s: the input %s has %zu dimensions, not %d.", g->label,
            name, shape->n_dim, fixed->rank);
    for (size_t i = 0; i < shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
        const int known = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (!known && !fixed)
            return error_set(
                e, "unsupported_model", "%s: the input %s has no fixed size.", g->label, name);
        if (known && fixed && d->dim_value != fixed->dims[i])
            return error_set(e, "bad_model", "%s: the input %s has a dimension of %lld, not %d.",
                g->label, name, (long long)d->dim_value, fixed->dims[i]);
        sizes[i] = fixed ? fixed->dims[i] : d->dim_value;
    }
    return 0;
}

/* Gives an input the values that it always has. */
static int fix_values(struct graph *g, int index, const float *values, struct error *e)
{
    const struct tensor *t = &g->tensors[index];
    const size_t count = tensor_elements(t);
    float *real = graph_alloc(g, count * sizeof *real, e);
    int64_t *integer = graph_alloc(g, count * sizeof *integer, e);
    if (!real || !integer)
        return -1;
    for (size_t i = 0; i < count; i++) {
        real[i] = values[i];
        integer[i] = (int64_t)values[i];
    }
    g->tensors[index].data = t->shape.type == REAL ? real : NULL;
    g->tensors[index].ints = t->shape.type == REAL ? NULL : integer;
    return 0;
}

static int read_input(
    struct graph *g, const Onnx__ValueInfoProto *v, struct names *names, struct error *e)
{
    const Onnx__TypeProto__Tensor *type = tensor_type(v);
    const char *name = text(v->name);
    struct shape shape;
    int64_t sizes[GRAPH_RANK];
    if (names_lookup(names, name) >= 0)
        return 0; /* the default of an input, as old files list their weights: a constant */
    if (!type || !type->shape || shape_type(type->elem_type, &shape.type) ||
        type->shape->n_dim > GRAPH_RANK)
        return error_set(e, "unsupported_model",
            "%s: the input %s is not a tensor of numbers with at most %d dimensions.", g->label,
            name, GRAPH_RANK);
    const struct nn_fixed *fixed = find_fixed(g, name);
    if (read_sizes(g, name, type->shape, fixed, sizes, e))
        return -1;
    if (shape_set(&shape, g, "input", name, type->shape->n_dim, sizes, 1, e))
        return -1;
    int index = graph_add_tensor(g, name, &shape, e);
    if (index < 0)
        return -1;
    if (fixed && fixed->values) {
        if (fix_values(g, index, fixed->values, e))
            return -1;
    } else
        g->inputs[g->input_count++] = (struct end) { name, index, 0 };
    return names_define(names, name, index, e);
}

/* A constant that is an output is computed all the same: copied. */
static int copy_constant(struct graph *g, int index, struct error *e)
{
    const int copy = graph_add_tensor(g, g->tensors[index].name, &g->tensors[index].shape, e);
    struct node n = { .name = "", .op = "Identity", .kind = PLAIN, .input_count = 1 };
    n.inputs[0] = index;
    n.output = copy;
    n.compute = copy_compute;
    n.settings.copy.rank = 1;
    n.settings.copy.dims[0] = (int)tensor_elements(&g->tensors[index]);
    n.settings.copy.step[0] = 1;
    return copy < 0 || graph_add_node(g, &n, e) < 0 ? -1 : copy;
}

static int read_output(
    struct graph *g, const Onnx__ValueInfoProto *v, const struct names *names, struct error *e)
{
    const char *name = text(v->name);
    int index = names_lookup(names, name);
    if (index < 0)
        return error_set(e, "bad_model", "%s: nothing computes the output %s.", g->label, name);
    if (tensor_is_constant(&g->tensors[index]) && (index = copy_constant(g, index, e)) < 0)
        return -1;
    g->tensors[index].outputs++;
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

static int is_constant(const Onnx__NodeProto *n)
{
    return !strcmp(text(n->op_type), "Constant") && !*text(n->domain);
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
                            "%s: the node %s (%s, opset %d) reads %s, which nothing before it "
                            "computes.",
                            g->label, node_name(p->node[i]), text(p->node[i]->op_type), g->opset,
                            p->node[i]->input[k]);
        }
        before = left;
        for (size_t i = 0; i < p->n_node; i++) {
            if (done[i] || !is_ready(p->node[i], names))
                continue;
            if (is_constant(p->node[i]) ? constant_read_node(g, p->node[i], names, e)
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
    if (!p || !p->n_output)
        return error_set(e, "bad_model", "%s: the network has no output.", g->label);
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
        if (constant_read(g, text(p->initializer[i]->name), p->initializer[i], &names, e))
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

int graph_read(
    struct graph *g, int fd, const char *label, const struct nn_params *params, struct error *e)
{
    size_t size;
    *g = (struct graph) { .label = label, .params = params };
    uint8_t *bytes = read_file(fd, label, &size, e);
    if (!bytes)
        return -1;
    g->model = onnx__model_proto__unpack(NULL, size, bytes);
    g->bytes = size;
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
                    error_set(e, "bad_model",
                        "%s: the node %s (%s, opset %d) needs its own result.", g->label,
                        g->nodes[n].name, g->nodes[n].op, g->opset);
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
