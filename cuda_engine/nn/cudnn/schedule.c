#include "schedule.h"

#include <stdlib.h>
#include <string.h>

#include "half.h"

#define WORKSPACE_LIMIT ((int64_t)256 << 20) /* of one convolution */

enum {
    ALIGNMENT = 256, /* of all that lies in device memory */
    PIXEL = 4,       /* halves of three channels at a graph's end */
};

#define SCHEDULE_FATBIN(file) extern const unsigned long long file##_fatbin[];
SCHEDULE_MODULES(SCHEDULE_FATBIN)

static const struct placing placing = {
    .element = sizeof(uint16_t),
    .alignment = ALIGNMENT,
    .keeps_inputs = 1,
    .reads_gaps = operation_reads_gaps,
    .writes_gaps = operation_writes_gaps,
};

/* The next place for so many bytes. */
static size_t take(size_t *end, size_t bytes)
{
    const size_t at = *end;
    *end += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

int schedule_refuse(const struct schedule *s, const struct node *n, struct error *e)
{
    return error_set(e, "unsupported_model",
        "%s: the node %s (%s) is none that a card can compute here.", s->graph->label, n->name,
        n->op);
}

/* ---- what is queued ---- */

static struct step *add_step(struct schedule *s, struct error *e)
{
    if (s->step_count == s->step_room) {
        const int room = s->step_room ? 2 * s->step_room : 64;
        struct step *steps = realloc(s->steps, room * sizeof *steps);
        if (!steps) {
            error_retry(
                e, "out_of_memory", "There is no memory for the network %s.", s->graph->label);
            return NULL;
        }
        s->steps = steps;
        s->step_room = room;
    }
    return &s->steps[s->step_count++];
}

int schedule_launch(struct schedule *s, const struct kernel *kernel, struct launch launch,
    const void *params, size_t bytes, struct error *e)
{
    void *copy = graph_alloc(s->graph, bytes, e);
    struct step *step = copy ? add_step(s, e) : NULL;
    if (!step)
        return -1;
    *step =
        (struct step) { .kernel = kernel, .launch = launch, .params = memcpy(copy, params, bytes) };
    return 0;
}

int schedule_execute(struct schedule *s, cudnnBackendDescriptor_t plan,
    cudnnBackendDescriptor_t pack, struct error *e)
{
    struct step *step = add_step(s, e);
    if (!step) {
        s->cudnn->cudnnBackendDestroyDescriptor(pack);
        return -1;
    }
    *step = (struct step) { .plan = plan, .pack = pack };
    return 0;
}

static int clear_states(const struct schedule *s, struct error *e)
{
    for (int i = 0; i < s->graph->input_count; i++) {
        const struct view *v = &s->views[s->graph->inputs[i].tensor];
        const size_t bytes = (size_t)v->n * (size_t)v->stride_n * sizeof *v->halves;
        if (s->graph->inputs[i].state && CUDA(&s->card->cuda, e, cuMemsetD8Async,
                                             (CUdeviceptr)v->halves, 0, bytes, s->card->compute))
            return -1;
    }
    return 0;
}

/* Where it fails the driver knows better, if it was the driver's fault. */
static int execute(const struct schedule *s, const struct step *step, struct error *e)
{
    struct error why;
    if (!CUDNN(s->cudnn, &why, cudnnBackendExecute, s->handle, step->plan, step->pack))
        return 0;
    if (CUDA(&s->card->cuda, e, cuStreamSynchronize, s->card->compute))
        return -1;
    return error_retry(e, "device_error", "%s", why.text);
}

int schedule_run(const struct schedule *s, int fresh, struct error *e)
{
    if (fresh && clear_states(s, e))
        return -1;
    for (int i = 0; i < s->step_count; i++) {
        const struct step *step = &s->steps[i];
        const struct launch *l = &step->launch;
        if (step->kernel ? kernel_launch(step->kernel, l->grid, l->block, l->shared_bytes,
                               s->card->compute, step->params, e)
                         : execute(s, step, e))
            return -1;
    }
    return 0;
}

/* ---- memory ---- */

void *schedule_constant(const struct schedule *s, int t, enum form form)
{
    return (void *)(s->memory + s->constants[t][form]);
}

void *schedule_zeros(const struct schedule *s)
{
    return (void *)(s->memory + s->zeros);
}

void *schedule_workspace(const struct schedule *s)
{
    return (void *)(s->memory + s->workspace);
}

static void place_constant(struct schedule *s, int t, enum form form)
{
    const struct tensor *tensor = &s->graph->tensors[t];
    const size_t width = form == FLOATS ? sizeof(float) : sizeof(uint16_t);
    if (tensor->data && !s->constants[t][form])
        s->constants[t][form] = take(&s->bytes, tensor_elements(tensor) * width);
}

/* Weights first: what lies at 0 is not there, so zeros are there. Then activations, then the workspace. */
static void lay_out(struct schedule *s)
{
    const struct graph *g = s->graph;
    size_t workspace = 0;
    int channels = 1;
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == CONVOLUTION && channels < g->tensors[g->nodes[i].output].dims[1])
            channels = g->tensors[g->nodes[i].output].dims[1];
    s->zeros = take(&s->bytes, (size_t)channels * sizeof(uint16_t));
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        const struct operation *o = operation_of(n);
        const size_t bytes = o->workspace ? o->workspace(s, n) : 0;
        workspace = bytes > workspace ? bytes : workspace;
        for (int k = 0; k < n->input_count; k++)
            place_constant(s, n->inputs[k], operation_form(n, k));
    }
    for (int i = 0; i < g->output_count; i++)
        place_constant(s, g->outputs[i].tensor, AS_IT_LIES);
    s->arena = take(&s->bytes, s->places.bytes);
    s->workspace = take(&s->bytes, workspace);
}

static void store_filters(uint16_t *to, const struct tensor *t)
{
    const int *d = t->dims, window = d[2] * d[3];
    for (int out = 0; out < d[0]; out++)
        for (int i = 0; i < window; i++)
            for (int in = 0; in < d[1]; in++)
                *to++ = half_of(t->data[((ptrdiff_t)out * d[1] + in) * window + i]);
}

static void store_halves(uint16_t *to, const struct tensor *t)
{
    const int *d = t->dims;
    const ptrdiff_t plane = (ptrdiff_t)d[2] * d[3], picture = d[1] * plane, count = d[0] * picture;
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t n = i / picture, pixel = i / d[1] % plane, channel = i % d[1];
        to[i] = half_of(t->data[t->layout == ROWS ? i : n * picture + channel * plane + pixel]);
    }
}

static void store_constant(void *to, const struct tensor *t, enum form form)
{
    if (form == FILTERS)
        store_filters(to, t);
    else if (form == AS_IT_LIES)
        store_halves(to, t);
    else
        memcpy(to, t->data, tensor_elements(t) * sizeof *t->data);
}

/* All that lies before the arena, at once; and zeros into the arena, which inputs keep where nothing is written. */
static int upload(struct schedule *s, struct error *e)
{
    const struct cuda *c = &s->card->cuda;
    char *staged = calloc(1, s->arena);
    if (!staged)
        return error_retry(
            e, "out_of_memory", "There is no memory for the network %s.", s->graph->label);
    for (int t = 0; t < s->graph->tensor_count; t++)
        for (int form = 0; form < FORMS; form++)
            if (s->constants[t][form])
                store_constant(
                    staged + s->constants[t][form], &s->graph->tensors[t], (enum form)form);
    const int failed =
        CUDA(c, e, cuMemcpyHtoDAsync, s->memory, staged, s->arena, s->card->compute) ||
        CUDA(c, e, cuMemsetD8Async, s->memory + s->arena, 0, s->bytes - s->arena,
            s->card->compute) ||
        CUDA(c, e, cuStreamSynchronize, s->card->compute);
    free(staged);
    return failed ? -1 : 0;
}

static int allocate(struct schedule *s, struct error *e)
{
    CUdeviceptr memory;
    if (CUDA(&s->card->cuda, e, cuMemAlloc, &memory, s->bytes))
        return -1;
    s->memory = memory;
    return upload(s, e);
}

static void make_views(struct schedule *s)
{
    for (int t = 0; t < s->graph->tensor_count; t++) {
        const struct tensor *tensor = &s->graph->tensors[t];
        s->views[t] = places_view(&s->places, t, (void *)(s->memory + s->arena));
        if (tensor_is_constant(tensor))
            s->views[t] = dense_view(tensor, tensor->layout, schedule_constant(s, t, AS_IT_LIES));
    }
}

/* ---- planning ---- */

/* 1 if tensor t has gaps between its rows: a part of another one's width, or computed as one. */
static int has_row_gaps(const struct graph *g, int t)
{
    const int *dims = g->tensors[t].dims, producer = g->tensors[t].producer;
    if (producer >= 0 && g->nodes[producer].kind == SLICE) {
        const int *whole = g->tensors[g->nodes[producer].inputs[0]].dims;
        return dims[0] != whole[0] || dims[2] != whole[2] || dims[3] != whole[3];
    }
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            if (g->nodes[i].kind == CONCAT && g->nodes[i].axis != 1 && g->nodes[i].inputs[k] == t)
                return 1;
    return 0;
}

/* An output becomes a copy of what it was. */
static int copy_output(struct graph *g, struct end *end, struct error *e)
{
    const struct tensor from = g->tensors[end->tensor];
    struct node copy = { .name = end->name, .op = "copy", .kind = CONCAT, .axis = 1 };
    copy.inputs[0] = end->tensor;
    copy.input_count = 1;
    copy.output = graph_add_tensor(g, end->name, &from.shape, e);
    if (copy.output < 0 || graph_add_node(g, &copy, e) < 0)
        return -1;
    g->tensors[end->tensor].outputs--;
    g->tensors[copy.output].outputs++;
    end->tensor = copy.output;
    return graph_sort(g, e);
}

/* 1 if nodes that can do with gaps, or nobody, write picture t of three channels. */
static int may_be_words(const struct graph *g, const struct tensor *t)
{
    const struct node *n = t->producer >= 0 ? &g->nodes[t->producer] : NULL;
    return t->shape.type == REAL && t->shape.rank == 4 && t->dims[1] == PIXEL - 1 &&
           (!n || (n->kind != SLICE && operation_writes_gaps(g, n)));
}

/* What crosses the net's ends has no gaps between rows; pictures of three channels are words, where kernels can do that. */
static int prepare_ends(struct graph *g, struct error *e)
{
    for (int i = 0; i < g->output_count; i++)
        if (!g->outputs[i].state && has_row_gaps(g, g->outputs[i].tensor) &&
            copy_output(g, &g->outputs[i], e))
            return -1;
    for (int i = 0; i < g->input_count + g->output_count; i++) {
        const struct end *end =
            i < g->input_count ? &g->inputs[i] : &g->outputs[i - g->input_count];
        struct tensor *t = &g->tensors[end->tensor];
        if (!end->state && may_be_words(g, t))
            t->step = PIXEL;
    }
    return 0;
}

static int load_kernels(struct schedule *s, struct error *e)
{
#define SCHEDULE_LOAD(file)                                               \
    if (module_load(&s->file##_module, &s->card->cuda, file##_fatbin, e)) \
        return -1;
    SCHEDULE_MODULES(SCHEDULE_LOAD)
#define SCHEDULE_FIND(file, name, shared)                            \
    if (KERNEL_FIND(&s->file##_module, &s->name, name, (shared), e)) \
        return -1;
    SCHEDULE_KERNELS(SCHEDULE_FIND)
    return 0;
}

static int is_known(const struct schedule *s, const struct graph *g, struct error *e)
{
    for (int i = 0; i < g->node_count; i++)
        if (!operation_of(&g->nodes[i])->add)
            return schedule_refuse(s, &g->nodes[i], e);
    for (int i = 0; i < g->input_count; i++)
        if (g->tensors[g->inputs[i].tensor].shape.type != REAL)
            return error_set(e, "unsupported_model",
                "%s: the input %s is of whole numbers, which a card is not given here.", g->label,
                g->inputs[i].name);
    return 0;
}

static int plan_all(struct schedule *s, const struct target *target, struct error *e)
{
    struct graph *g = s->graph;
    s->plans.workspace_limit = WORKSPACE_LIMIT;
    if (!(s->planned = graph_alloc(g, g->node_count * sizeof *s->planned, e)) ||
        plan_convolutions(g, target, &s->plans, s->planned, e))
        return -1;
    for (int i = 0; i < g->node_count; i++)
        if (s->planned[i] && s->planned[i]->refused) {
            *e = s->planned[i]->error;
            return -1;
        }
    return 0;
}

static int add_steps(struct schedule *s, const struct nn_net *net, struct error *e)
{
    for (int i = 0; i < s->graph->node_count; i++)
        if (operation_of(&s->graph->nodes[i])->add(s, &s->graph->nodes[i], e))
            return -1;
    return operation_add_states(s, net, e);
}

int schedule_make(struct schedule *s, struct nn_net *net, const struct card *card,
    const struct target *target, struct error *e)
{
    struct graph *g = &net->graph;
    *s = (struct schedule) {
        .card = card,
        .cudnn = target->descriptors.cudnn,
        .handle = target->handle,
        .graph = g,
    };
    if (is_known(s, g, e))
        return -1;
    if (prepare_ends(g, e) || places_make(&s->places, g, &placing, e) || plan_all(s, target, e))
        return -1;
    s->views = graph_alloc(g, g->tensor_count * sizeof *s->views, e);
    s->constants = graph_alloc(g, g->tensor_count * sizeof *s->constants, e);
    if (!s->views || !s->constants)
        return -1;
    lay_out(s);
    if (load_kernels(s, e) || allocate(s, e))
        return -1;
    make_views(s);
    return add_steps(s, net, e);
}

void schedule_free(struct schedule *s)
{
    if (!s->card)
        return;
    const struct cuda *c = &s->card->cuda;
    c->cuStreamSynchronize(s->card->compute);
    for (int i = 0; i < s->step_count; i++)
        if (s->steps[i].pack)
            s->cudnn->cudnnBackendDestroyDescriptor(s->steps[i].pack);
    free(s->steps);
    plan_cache_free(&s->plans);
#define SCHEDULE_UNLOAD(file) module_unload(&s->file##_module);
    SCHEDULE_MODULES(SCHEDULE_UNLOAD)
    if (s->memory)
        c->cuMemFree(s->memory);
}
