#include "backend.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WITH_CUDNN
#include "../device/cuda/card.h"
#endif

static const struct backend *backend_for(const struct device *device)
{
#ifdef WITH_CUDNN
    if (device && card_of(device))
        return &backend_cudnn;
#endif
    (void)device;
    return &backend_dnnl;
}

static struct end *find_end(struct end *ends, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(ends[i].name, name))
            return &ends[i];
    return NULL;
}

static int make_states(struct nn_net *net, const struct nn_params *params, struct error *e)
{
    struct graph *g = &net->graph;
    net->fresh = 1;
    if (!(net->states = graph_alloc(g, params->state_count * sizeof *net->states, e)))
        return -1;
    for (; net->state_count < params->state_count; net->state_count++) {
        const char *const *names = params->states[net->state_count];
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
        net->states[net->state_count] = (struct state) { out, in };
    }
    return 0;
}

/* The graph's inputs and outputs, one after the other. */
static const struct end *end_at(const struct graph *g, int i)
{
    return i < g->input_count ? &g->inputs[i] : &g->outputs[i - g->input_count];
}

static int make_ports(struct nn_net *net, struct error *e)
{
    const struct graph *g = &net->graph;
    const int count = g->input_count + g->output_count;
    if (!(net->ports = graph_alloc(&net->graph, count * sizeof *net->ports, e)))
        return -1;
    for (int i = 0; i < count; i++) {
        const struct tensor *t = &g->tensors[end_at(g, i)->tensor];
        net->ports[i] = (struct nn_tensor) {
            .n = t->dims[0],
            .c = t->dims[1],
            .h = t->dims[2],
            .w = t->dims[3],
            .rank = t->shape.rank,
        };
        memcpy(net->ports[i].dims, t->shape.dims, sizeof net->ports[i].dims);
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
    net->backend = backend_for(params->device);
    net->threads = params->threads > 0 ? params->threads : omp_get_num_procs();
    const int before =
        omp_get_max_threads(); /* the calling thread's: what is folded runs in them too */
    omp_set_num_threads(net->threads);
    const int result = graph_read(&net->graph, fd, net->label, params, e) ||
                       graph_fuse(&net->graph, e) || make_states(net, params, e) ||
                       make_ports(net, e) || net->backend->open(net, params, e);
    omp_set_num_threads(before);
    if (result) {
        nn_close(net);
        return NULL;
    }
    return net;
}

int nn_tensor(struct nn_net *net, const char *name, struct nn_tensor *out, struct error *e)
{
    for (int i = 0; i < net->graph.input_count + net->graph.output_count; i++)
        if (!strcmp(end_at(&net->graph, i)->name, name)) {
            *out = net->ports[i];
            return 0;
        }
    return error_set(
        e, "bad_model", "%s has no input or output called %s.", net->graph.label, name);
}

int nn_run(struct nn_net *net, struct error *e)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(net->threads);
    const int result = net->backend->run(net, e);
    omp_set_num_threads(before);
    if (!result)
        net->fresh = 0;
    return result;
}

void nn_reset(struct nn_net *net)
{
    net->fresh = 1;
}

size_t nn_bytes(const struct nn_net *net)
{
    return net->backend->bytes(net);
}

int64_t nn_card_bytes(const struct nn_net *net)
{
    return net->backend == &backend_dnnl ? 0 : (int64_t)nn_bytes(net);
}

void nn_close(struct nn_net *net)
{
    if (!net)
        return;
    net->backend->close(net);
    graph_free(&net->graph);
    free(net);
}
