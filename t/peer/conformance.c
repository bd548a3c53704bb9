/*
 * ONNX's own cases: runs each whose operators, opset and types the operator table claims, and compares with the case's
 * outputs.
 *
 *   conformance FOLDER     with Debian's libonnx-testdata: /usr/share/libonnx-testdata/data/node
 *   conformance --table    prints the operator table as cuda_engine/nn/operators.md has it
 *
 * FOLDER holds one folder a case: model.onnx and test_data_set_N/{input,output}_K.pb. Inputs of which the table says that
 * they have to be constants become that. Prints a line for each failed case, the operators that are not in the table, and
 * claimed=, passed=, failed=, cases=.
 */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/nn.h"
#include "nn/reading.h"

enum { NAMES = 4096 };

static const double relative = 1e-3, absolute = 1e-5;

static struct {
    char name[64];
    int cases;
} unclaimed[NAMES];
static int unclaimed_count;
static char tested[NAMES]; /* by place in the table */

static uint8_t *read_bytes(const char *path, size_t *size)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    uint8_t *bytes = malloc(st.st_size + 1);
    if (!bytes || read(fd, bytes, st.st_size) != st.st_size) {
        perror(path);
        exit(2);
    }
    close(fd);
    *size = st.st_size;
    return bytes;
}

static Onnx__TensorProto *read_tensor(const char *folder, const char *what, size_t k)
{
    char path[1024];
    size_t size;
    snprintf(path, sizeof path, "%s/test_data_set_0/%s_%zu.pb", folder, what, k);
    uint8_t *bytes = read_bytes(path, &size);
    if (!bytes)
        return NULL;
    Onnx__TensorProto *t = onnx__tensor_proto__unpack(NULL, size, bytes);
    free(bytes);
    return t;
}

static void count_unclaimed(const char *name)
{
    int i = 0;
    while (i < unclaimed_count && strcmp(unclaimed[i].name, name))
        i++;
    if (i == NAMES)
        return;
    if (i == unclaimed_count)
        snprintf(unclaimed[unclaimed_count++].name, sizeof unclaimed[i].name, "%s", name);
    unclaimed[i].cases++;
}

/* The type of a graph's input or output as a bit of struct op's types; 0 where it is not supported. */
static unsigned type_bit(const Onnx__ValueInfoProto *v)
{
    enum type type;
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
        shape_type(v->type->tensor_type->elem_type, &type))
        return 0;
    const Onnx__TensorShapeProto *shape = v->type->tensor_type->shape;
    return shape && shape->n_dim > GRAPH_RANK ? 0 : 1U << type;
}

static const Onnx__ValueInfoProto *find_input(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_input; i++)
        if (!strcmp(text(g->input[i]->name), name))
            return g->input[i];
    return NULL;
}

/* 1 if the table has the node's operator, at this opset, with its inputs' number and types. */
static int claims_node(const Onnx__GraphProto *g, const Onnx__NodeProto *n, int opset)
{
    const struct op *op = *text(n->domain) ? NULL : ops_find(text(n->op_type));
    if (!strcmp(text(n->op_type), "Constant") && !*text(n->domain))
        return 1;
    if (!op) {
        count_unclaimed(text(n->op_type));
        return 0;
    }
    if (opset < op->since || opset > op->until || n->n_input < (size_t)op->inputs_min ||
        n->n_input > (size_t)op->inputs_max || n->n_output > (size_t)op->outputs_max)
        return 0;
    for (size_t k = 0; k < n->n_input; k++) {
        const Onnx__ValueInfoProto *v = find_input(g, n->input[k]);
        if (v && !(type_bit(v) & op->types))
            return 0;
    }
    return 1;
}

static int claims_model(const Onnx__ModelProto *m)
{
    const Onnx__GraphProto *g = m->graph;
    int opset = 0, claimed = 1;
    for (size_t i = 0; i < m->n_opset_import; i++)
        if (!*text(m->opset_import[i]->domain))
            opset = (int)m->opset_import[i]->version;
    for (size_t i = 0; i < g->n_node; i++)
        claimed &= claims_node(g, g->node[i], opset);
    for (size_t i = 0; i < g->n_input; i++)
        claimed &= type_bit(g->input[i]) != 0;
    for (size_t i = 0; i < g->n_output; i++)
        claimed &= type_bit(g->output[i]) != 0;
    return claimed && opset >= OPSET_MIN && opset <= OPSET_MAX;
}

/* 1 if some node needs that tensor, or what is computed of more than its size, as a constant. */
static int is_needed(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        const struct op *op = ops_find(text(n->op_type));
        for (size_t k = 0; op && k < n->n_input; k++) {
            if (strcmp(n->input[k], name))
                continue;
            if (op->constants >> k & 1)
                return 1;
            for (size_t o = 0; strcmp(op->name, "Shape") && o < n->n_output; o++)
                if (is_needed(g, n->output[o]))
                    return 1;
        }
    }
    return 0;
}

static int has_elements(const Onnx__TensorProto *t)
{
    for (size_t i = 0; i < t->n_dims; i++)
        if (!t->dims[i])
            return 0;
    return 1;
}

/* The values of a tensor's message, as a tensor of scratch. */
static const struct tensor *values_of(
    struct graph *scratch, const Onnx__TensorProto *t, struct error *e)
{
    const int index = constant_make(scratch, "value", text(t->name), t, e);
    return index < 0 ? NULL : &scratch->tensors[index];
}

static double value_at(const struct tensor *t, size_t i)
{
    return t->data ? t->data[i] : (double)t->ints[i];
}

static int compare(struct nn_net *net, const char *name, const struct tensor *due, struct error *e)
{
    struct nn_tensor got;
    if (nn_tensor(net, name, &got, e))
        return -1;
    if (got.rank != due->shape.rank || memcmp(got.dims, due->shape.dims, got.rank * sizeof(int)))
        return error_set(e, "differs", "%s is of another size.", name);
    for (size_t i = 0; i < tensor_elements(due); i++) {
        const double x = got.data[i], y = value_at(due, i);
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= absolute + relative * fabs(y)))
            return error_set(e, "differs", "%s[%zu] is %g, not %g.", name, i, x, y);
    }
    return 0;
}

static struct nn_net *open_model(const Onnx__ModelProto *m, const char *label, struct error *e)
{
    const size_t size = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = malloc(size + 1);
    const int fd = memfd_create("onnx", MFD_CLOEXEC);
    struct nn_net *net = NULL;
    if (bytes && fd >= 0) {
        onnx__model_proto__pack(m, bytes);
        if (write(fd, bytes, size) == (ssize_t)size)
            net = nn_open(fd, label, &(struct nn_params) { .threads = 1 }, e);
    }
    free(bytes);
    close(fd);
    return net;
}

/* Makes the inputs that have to be known initialisers; the rest are put into the network by fill(). */
static void fix_inputs(Onnx__GraphProto *g, Onnx__TensorProto **given)
{
    const size_t inputs = g->n_input;
    g->initializer = realloc(g->initializer, (g->n_initializer + inputs) * sizeof *g->initializer);
    for (size_t i = 0; i < inputs; i++) {
        Onnx__TensorProto *t = given[i];
        if (!t || (has_elements(t) && !is_needed(g, text(g->input[i]->name))))
            continue;
        free(t->name);
        t->name = strdup(text(g->input[i]->name));
        g->initializer[g->n_initializer++] = t;
        given[i] = NULL;
    }
}

static int fill(struct nn_net *net, const char *name, const struct tensor *values, struct error *e)
{
    struct nn_tensor to;
    if (nn_tensor(net, name, &to, e))
        return -1;
    for (size_t i = 0; i < tensor_elements(values); i++)
        to.data[i] = (float)value_at(values, i);
    return 0;
}

static int run_case(Onnx__ModelProto *m, const char *folder, const char *name, struct error *e)
{
    Onnx__GraphProto *g = m->graph;
    Onnx__TensorProto *given[64] = { NULL };
    struct graph scratch = { .label = name };
    int result = -1;
    for (size_t i = 0; i < g->n_input && i < 64; i++)
        given[i] = read_tensor(folder, "input", i);
    fix_inputs(g, given);
    struct nn_net *net = open_model(m, name, e);
    if (!net)
        goto out;
    for (size_t i = 0; i < g->n_input; i++) {
        const struct tensor *t = given[i] ? values_of(&scratch, given[i], e) : NULL;
        if (given[i] && (!t || fill(net, text(g->input[i]->name), t, e)))
            goto out;
    }
    if (nn_run(net, e))
        goto out;
    for (size_t i = 0; i < g->n_output; i++) {
        Onnx__TensorProto *due = read_tensor(folder, "output", i);
        const struct tensor *t = due ? values_of(&scratch, due, e) : NULL;
        const int differs = !t || compare(net, text(g->output[i]->name), t, e);
        /* scratch points into the message, and the next tensor needs nothing of it */
        if (due)
            onnx__tensor_proto__free_unpacked(due, NULL);
        if (differs)
            goto out;
    }
    result = 0;
out:
    for (size_t i = 0; i < 64; i++)
        if (given[i])
            onnx__tensor_proto__free_unpacked(given[i], NULL);
    nn_close(net);
    graph_free(&scratch);
    return result;
}

/* The kind that lower() makes, in words; for nodes of what it does not take, and where there is none, plain C. */
static const char *kind_of(const struct op *op)
{
    static const struct {
        int (*lower)(struct reading *r);
        const char *kind;
    } kinds[] = {
        { lower_conv, "convolution" },
        { lower_pool, "pool" },
        { lower_resize, "resize" },
        { lower_concat, "copy or view" },
        { lower_slice, "view" },
        { lower_gather, "copy" },
        { lower_pad, "copy" },
        { lower_matmul, "product" },
        { lower_gemm, "product" },
        { lower_softmax, "softmax" },
        { lower_layer, "normalisation" },
        { lower_pointwise, "element-wise" },
        { lower_pair, "element-wise" },
        { lower_hard_sigmoid, "element-wise" },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && op->lower; i++)
        if (kinds[i].lower == op->lower)
            return kinds[i].kind;
    return op->lower ? "?" : "";
}

static void print_table(void)
{
    printf("| operator | opsets | inputs | outputs | of | constant | faster as |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < op_count; i++) {
        static const struct {
            unsigned bit;
            const char *name;
        } types[] = { { REALS, "floats" }, { INTEGERS, "integers" }, { LOGICALS, "bools" } };
        const struct op *op = &ops[i];
        char most[12] = "any";
        if (op->outputs_max < NAMES)
            snprintf(most, sizeof most, "%d", op->outputs_max);
        printf("| %s | %d-%d | %d-%d | %s |", op->name, op->since, op->until, op->inputs_min,
            op->inputs_max, most);
        for (int t = 0, some = 0; t < 3; t++)
            if (op->types & types[t].bit)
                printf("%s%s", some++ ? ", " : " ", types[t].name);
        printf(" |");
        for (int k = 0, some = 0; k < op->inputs_max; k++)
            if (op->constants >> k & 1)
                printf("%s%d", some++ ? ", " : " ", k);
        printf(" | %s |\n", kind_of(op));
    }
}

static int is_case(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static int by_cases(const void *a, const void *b)
{
    return strcmp(a, b);
}

int main(int argc, char **argv)
{
    struct dirent **entries;
    int claimed = 0, passed = 0, failed = 0;

    nn_start(argv);
    if (argc == 2 && !strcmp(argv[1], "--table")) {
        print_table();
        return 0;
    }
    const int cases = argc == 2 ? scandir(argv[1], &entries, is_case, alphasort) : -1;
    if (cases < 0) {
        fprintf(stderr, "conformance FOLDER | --table\n");
        return 2;
    }
    for (int i = 0; i < cases; i++) {
        struct error e = { 0 };
        char folder[512], path[600];
        size_t size = 0;
        snprintf(folder, sizeof folder, "%s/%s", argv[1], entries[i]->d_name);
        snprintf(path, sizeof path, "%s/model.onnx", folder);
        uint8_t *bytes = read_bytes(path, &size);
        Onnx__ModelProto *m = bytes ? onnx__model_proto__unpack(NULL, size, bytes) : NULL;
        free(bytes);
        if (m && claims_model(m)) {
            claimed++;
            for (size_t k = 0; k < m->graph->n_node; k++)
                if (ops_find(text(m->graph->node[k]->op_type)))
                    tested[ops_find(m->graph->node[k]->op_type) - ops] = 1;
            if (run_case(m, folder, entries[i]->d_name, &e)) {
                failed++;
                printf("failed %s: %s\n", entries[i]->d_name, e.text);
            } else
                passed++;
        }
        if (m)
            onnx__model_proto__free_unpacked(m, NULL);
        free(entries[i]);
    }
    free(entries);
    qsort(unclaimed, unclaimed_count, sizeof *unclaimed, by_cases);
    for (int i = 0; i < unclaimed_count; i++)
        printf("unclaimed %s: %d\n", unclaimed[i].name, unclaimed[i].cases);
    for (int i = 0; i < op_count; i++)
        if (!tested[i])
            printf("untested %s\n", ops[i].name);
    printf("cases=%d\nclaimed=%d\npassed=%d\nfailed=%d\n", cases, claimed, passed, failed);
    return failed != 0;
}
