/*
 * Broken ONNX files: cut off, with bits flipped, and with parts of the message exchanged for others of their kind. Each is
 * refused with a sentence that says what is wrong, or opened and run.
 *
 *   models FIRST COUNT [MODEL.onnx...]
 *
 * Runs the cases FIRST to FIRST + COUNT - 1, which are always the same: most from the blocks of t/unit, every tenth from
 * one of the files. Prints refused=, ran= and planned= (opened, but too large to be run here). A case that takes longer
 * than a minute fails, as does a crash; either is told with the case's number.
 */
#include "../unit/blocks.h"

#include <signal.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include "nn/ops.h"

enum { LONGEST_S = 60, RUN_BYTES = 16 << 20, WAYS = 14 };

static volatile sig_atomic_t current;
static uint64_t seed;
static int verbose;

static uint32_t number(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

/* 0 .. count - 1, or 0 where there is nothing to choose from. */
static size_t below(size_t count)
{
    return count ? number() % count : 0;
}

static int64_t odd_integer(void)
{
    static const int64_t of[] = { -1, 0, 1, 2, 3, 5, 8, 63, 1 << 14, (1 << 14) + 1, 1 << 20,
        INT32_MAX, INT32_MIN, (int64_t)UINT32_MAX + 1, INT64_MAX, INT64_MIN };
    return of[below(sizeof of / sizeof *of)];
}

static char *new_text(const char *text)
{
    return strdup(text ? text : "");
}

static void replace_text(char **at, const char *text)
{
    char *copy = new_text(text); /* it may be the one that is replaced */
    if (*at != protobuf_c_empty_string)
        free(*at);
    *at = copy;
}

/* Some tensor's name. */
static const char *some_name(const Onnx__GraphProto *g)
{
    const Onnx__NodeProto *n = g->n_node ? g->node[below(g->n_node)] : NULL;
    switch (below(3)) {
    case 0: return g->n_initializer ? g->initializer[below(g->n_initializer)]->name : "";
    case 1: return n && n->n_input ? n->input[below(n->n_input)] : "";
    default: return n && n->n_output ? n->output[below(n->n_output)] : "";
    }
}

static Onnx__AttributeProto *some_attribute(const Onnx__GraphProto *g)
{
    for (int i = 0; i < 20 && g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[below(g->n_node)];
        if (n->n_attribute)
            return n->attribute[below(n->n_attribute)];
    }
    return NULL;
}

static void break_attribute(Onnx__AttributeProto *a)
{
    if (!a)
        return;
    if (a->n_ints && below(4)) {
        a->ints[below(a->n_ints)] = odd_integer();
        return;
    }
    switch (below(6)) {
    case 0:
        a->has_i = 1;
        a->i = odd_integer();
        break;
    case 1:
        a->has_f = 1;
        a->f = below(2) ? NAN : (float)odd_integer();
        break;
    case 2: a->n_ints -= a->n_ints > 0; break;
    case 3: a->has_s = a->has_i = a->has_f = 0; break;
    default: replace_text(&a->name, below(2) ? "axis" : "value"); break;
    }
}

static void break_initializer(Onnx__TensorProto *t)
{
    const size_t width = 8;
    switch (below(5)) {
    case 0: t->data_type = (int32_t)below(20); break;
    case 1:
        if (t->n_dims)
            t->dims[below(t->n_dims)] = odd_integer();
        break;
    case 2: t->n_dims -= t->n_dims > 0; break;
    case 3: t->raw_data.len = below(t->raw_data.len + 1); break;
    default:
        if (t->raw_data.len >= width) {
            const int64_t odd = odd_integer();
            memcpy(t->raw_data.data + below(t->raw_data.len / width) * width, &odd, sizeof odd);
        }
    }
}

static void break_shape(const Onnx__ValueInfoProto *v)
{
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return;
    Onnx__TypeProto__Tensor *type = v->type->tensor_type;
    if (!type->shape || !type->shape->n_dim || !below(4))
        type->elem_type = (int32_t)below(20);
    else {
        Onnx__TensorShapeProto__Dimension *d = type->shape->dim[below(type->shape->n_dim)];
        if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            d->dim_value = odd_integer();
    }
}

static void break_node(Onnx__GraphProto *g, int way)
{
    Onnx__NodeProto *n = g->node[below(g->n_node)];
    switch (way) {
    case 0: replace_text(&n->op_type, ops[below(op_count)].name); break;
    case 1:
        if (n->n_input)
            replace_text(&n->input[below(n->n_input)], some_name(g));
        break;
    case 2:
        if (n->n_output)
            replace_text(&n->output[below(n->n_output)], some_name(g));
        break;
    case 3:
        if (n->n_input)
            free(n->input[--n->n_input]);
        break;
    default: /* gone: another takes its place */
        onnx__node_proto__free_unpacked(n, NULL);
        for (size_t i = 0; i < g->n_node; i++)
            if (g->node[i] == n)
                g->node[i] = g->node[--g->n_node];
    }
}

/* Breaks one thing of a message that was unpacked. */
static void break_message(Onnx__ModelProto *m)
{
    Onnx__GraphProto *g = m->graph;
    const int way = (int)below(WAYS);
    if (way < 5 && g->n_node)
        break_node(g, way);
    else if (way < 8)
        break_attribute(some_attribute(g));
    else if (way < 11 && g->n_initializer)
        break_initializer(g->initializer[below(g->n_initializer)]);
    else if (way < 13 && g->n_input)
        break_shape(g->input[below(g->n_input)]);
    else if (m->n_opset_import)
        m->opset_import[0]->version = (int64_t)below(20);
}

struct bytes {
    uint8_t *data;
    size_t size;
};

static struct bytes break_bytes(const struct bytes *from)
{
    const size_t flips = 1 + below(3);
    struct bytes b = { malloc(from->size), from->size };
    memcpy(b.data, from->data, from->size);
    /* what is not weights lies at the ends */
    for (size_t i = 0; i < flips; i++) {
        const size_t place = below(2) ? below(b.size) : below(b.size < 4096 ? b.size : 4096);
        b.data[below(2) ? place : b.size - 1 - place] ^= (uint8_t)(1 << below(8));
    }
    return b;
}

static struct bytes broken(const struct bytes *from)
{
    const size_t times = 1 + below(3);
    if (!below(5)) {
        struct bytes b = { malloc(from->size), below(from->size) };
        memcpy(b.data, from->data, b.size);
        return b;
    }
    if (!below(4))
        return break_bytes(from);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, from->size, from->data);
    for (size_t i = 0; i < times; i++)
        break_message(m);
    struct bytes b = { NULL, onnx__model_proto__get_packed_size(m) };
    b.data = malloc(b.size + 1);
    onnx__model_proto__pack(m, b.data);
    onnx__model_proto__free_unpacked(m, NULL);
    return b;
}

static struct bytes built(void (*build)(void))
{
    struct bytes b;
    build();
    const uint8_t *packed = file_bytes(&b.size);
    b.data = malloc(b.size);
    memcpy(b.data, packed, b.size);
    return b;
}

static struct bytes read_model(const char *path)
{
    struct bytes b = { NULL, 0 };
    FILE *f = fopen(path, "re");
    if (!f || fseek(f, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    b.size = (size_t)ftell(f);
    b.data = malloc(b.size);
    rewind(f);
    if (fread(b.data, 1, b.size, f) != b.size)
        exit(2);
    fclose(f);
    return b;
}

static void give_up(const char *why, const char *text)
{
    fprintf(stderr, "models: case %d: %s%s\n", (int)current, why, text);
    exit(1);
}

static void too_long(int signal_number)
{
    (void)signal_number;
    give_up("it takes too long", "");
}

#ifdef __SANITIZE_ADDRESS__
static void died(void)
{
    fprintf(stderr, "models: it was case %d\n", (int)current);
}
#endif

/* A refusal has a code, and a sentence that names the file; and the node, if it is about one, as one finds it. */
static void check_refusal(const struct error *e)
{
    const size_t length = strlen(e->text);
    if (!*e->code || length < 10 || e->text[length - 1] != '.')
        give_up("no sentence: ", e->text);
    if (strcmp(e->code, "out_of_memory") && !strstr(e->text, "test.onnx"))
        give_up("which file? ", e->text);
    if (strstr(e->text, "the node ") && !strstr(e->text, ", opset "))
        give_up("which opset? ", e->text);
}

int main(int argc, char **argv)
{
    enum { BLOCKS = sizeof blocks / sizeof *blocks };
    struct bytes sources[BLOCKS + 8];
    int refused = 0, ran = 0, planned = 0;
    if (argc < 3 || argc - 3 > 8) {
        fprintf(stderr, "usage: models FIRST COUNT [MODEL.onnx...]\n");
        return 2;
    }
    const int first = atoi(argv[1]), count = atoi(argv[2]), files = argc - 3;
    nn_start(argv);
    verbose = getenv("VERBOSE") != NULL;
    signal(SIGALRM, too_long);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(died);
#endif
    for (int i = 0; i < BLOCKS; i++)
        sources[i] = built(blocks[i].build);
    for (int i = 0; i < files; i++)
        sources[BLOCKS + i] = read_model(argv[3 + i]);
    for (current = first; current < first + count; current++) {
        struct error e;
        seed = (uint64_t)current * 0x9e3779b97f4a7c15u;
        const int real = files && current % 10 == 0;
        struct bytes b = broken(&sources[real ? BLOCKS + current / 10 % files : current % BLOCKS]);
        alarm(LONGEST_S);
        struct nn_net *net = open_bytes(b.data, b.size, &e);
        if (!net) {
            check_refusal(&e);
            refused++;
        } else if (nn_bytes(net) > RUN_BYTES) {
            planned++;
        } else {
            if (nn_run(net, &e))
                give_up("does not run: ", e.text);
            ran++;
        }
        if (verbose)
            printf("# %d: %s\n", (int)current, net ? "opened" : e.text);
        nn_close(net);
        free(b.data);
    }
    alarm(0);
    for (int i = 0; i < BLOCKS + files; i++)
        free(sources[i].data);
    printf("fuzz.models.cases=%d\nfuzz.models.refused=%d\nfuzz.models.ran=%d\nfuzz.models.planned=%"
           "d\n",
        count, refused, ran, planned);
    return 0;
}
