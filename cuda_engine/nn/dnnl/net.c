#include "../nn.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* An input or output as the caller sees it. */
struct port {
    const char *name;
    struct nn_tensor tensor;
    struct view view;
    enum type type;
    enum layout layout;
    size_t count;
};

/* A recurrent state: where a run leaves it, and where the next one looks for it. */
struct state {
    struct view from, to;
};

struct nn_net {
    struct graph graph;
    struct plan plan;
    struct port *ports; /* the graph's inputs, then its outputs */
    struct state *states;
    int state_count;
    int threads;
    char label[256];
};

/* OpenMP's thread count is the calling thread's: it is set for a call and put back. */
static int set_threads(int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

static struct end *find_end(struct end *ends, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(ends[i].name, name))
            return &ends[i];
    return NULL;
}

static int mark_states(struct graph *g, const struct nn_params *params, struct error *e)
{
    for (int i = 0; i < params->state_count; i++) {
        const char *const *names = params->states[i];
        struct end *in = find_end(g->inputs, g->input_count, names[0]);
        struct end *out = find_end(g->outputs, g->output_count, names[1]);
        if (!in || !out)
            return error_set(e, "bad_model", "%s has no %s called %s.", g->label,
                in ? "output" : "input", names[in ? 1 : 0]);
        const struct tensor *from = &g->tensors[in->tensor], *to = &g->tensors[out->tensor];
        if (memcmp(from->dims, to->dims, sizeof from->dims) || from->shape.rank != to->shape.rank ||
            from->shape.type != REAL || to->shape.type != REAL)
            return error_set(e, "bad_model",
                "%s: the state's input %s and output %s differ in size.", g->label, in->name,
                out->name);
        in->state = out->state = 1;
    }
    return 0;
}

static int make_states(struct nn_net *net, const struct nn_params *params, struct error *e)
{
    struct graph *g = &net->graph;
    net->states = graph_alloc(g, params->state_count * sizeof *net->states, e);
    if (!net->states)
        return -1;
    for (; net->state_count < params->state_count; net->state_count++) {
        const char *const *names = params->states[net->state_count];
        net->states[net->state_count] = (struct state) {
            .from = net->plan.views[find_end(g->outputs, g->output_count, names[1])->tensor],
            .to = net->plan.views[find_end(g->inputs, g->input_count, names[0])->tensor],
        };
    }
    nn_reset(net);
    return 0;
}

static void port_load(const struct port *p)
{
    int64_t *integers = (int64_t *)(void *)p->view.data;
    if (p->layout == CHANNELS_LAST)
        view_load(&p->view, p->tensor.data);
    else if (p->type == REAL)
        memcpy(p->view.data, p->tensor.data, p->count * sizeof *p->view.data);
    else
        for (size_t i = 0; i < p->count; i++)
            integers[i] = (int64_t)p->tensor.data[i];
}

static void port_store(const struct port *p)
{
    const int64_t *integers = (const int64_t *)(const void *)p->view.data;
    if (p->layout == CHANNELS_LAST)
        view_store(p->tensor.data, &p->view);
    else if (p->type == REAL)
        memcpy(p->tensor.data, p->view.data, p->count * sizeof *p->view.data);
    else
        for (size_t i = 0; i < p->count; i++)
            p->tensor.data[i] = (float)integers[i];
}

static int make_ports(struct nn_net *net, struct error *e)
{
    const struct graph *g = &net->graph;
    net->ports =
        graph_alloc(&net->graph, (g->input_count + g->output_count) * sizeof *net->ports, e);
    if (!net->ports)
        return -1;
    for (int i = 0; i < g->input_count + g->output_count; i++) {
        const struct end *end =
            i < g->input_count ? &g->inputs[i] : &g->outputs[i - g->input_count];
        const struct tensor *t = &g->tensors[end->tensor];
        struct port *port = &net->ports[i];
        size_t bytes = tensor_elements(t) * sizeof(float);
        *port = (struct port) { .name = end->name,
            .view = net->plan.views[end->tensor],
            .type = t->shape.type,
            .layout = t->layout,
            .count = tensor_elements(t),
            .tensor = { .n = t->dims[0],
                .c = t->dims[1],
                .h = t->dims[2],
                .w = t->dims[3],
                .rank = t->shape.rank } };
        memcpy(port->tensor.dims, t->shape.dims, sizeof port->tensor.dims);
        if (end->state)
            continue;
        if (!(port->tensor.data = plan_alloc(&net->plan, bytes, e)))
            return -1;
        memset(port->tensor.data, 0, bytes);
    }
    return 0;
}

struct nn_net *nn_open(int fd, const char *label, const struct nn_params *params, struct error *e)
{
    struct nn_net *net = calloc(1, sizeof *net);
    if (!net) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", label);
        return NULL;
    }
    snprintf(net->label, sizeof net->label, "%s", label);
    net->threads = params->threads > 0 ? params->threads : omp_get_num_procs();
    int before = set_threads(net->threads);
    int result = graph_read(&net->graph, fd, net->label, params, e) || graph_fuse(&net->graph, e) ||
                 mark_states(&net->graph, params, e) || plan_make(&net->plan, &net->graph, e) ||
                 make_ports(net, e) || make_states(net, params, e);
    set_threads(before);
    if (result) {
        nn_close(net);
        return NULL;
    }
    return net;
}

int nn_tensor(struct nn_net *net, const char *name, struct nn_tensor *out, struct error *e)
{
    for (int i = 0; i < net->graph.input_count + net->graph.output_count; i++)
        if (!strcmp(net->ports[i].name, name)) {
            *out = net->ports[i].tensor;
            return 0;
        }
    return error_set(
        e, "bad_model", "%s has no input or output called %s.", net->graph.label, name);
}

int nn_run(struct nn_net *net, struct error *e)
{
    (void)e;
    const int inputs = net->graph.input_count, ports = inputs + net->graph.output_count;
    int before = set_threads(net->threads);
    for (int i = 0; i < inputs; i++)
        if (net->ports[i].tensor.data)
            port_load(&net->ports[i]);
    plan_run(&net->plan);
    for (int i = inputs; i < ports; i++)
        if (net->ports[i].tensor.data)
            port_store(&net->ports[i]);
    for (int i = 0; i < net->state_count; i++)
        view_copy(&net->states[i].to, &net->states[i].from);
    set_threads(before);
    return 0;
}

void nn_reset(struct nn_net *net)
{
    for (int i = 0; i < net->state_count; i++) {
        const struct view *v = &net->states[i].to; /* an input's, so without gaps */
        memset(v->data, 0, v->n * v->stride_n * sizeof *v->data);
    }
}

size_t nn_bytes(const struct nn_net *net)
{
    return graph_bytes(&net->graph) + net->plan.bytes;
}

void nn_close(struct nn_net *net)
{
    if (!net)
        return;
    plan_free(&net->plan);
    graph_free(&net->graph);
    free(net);
}
