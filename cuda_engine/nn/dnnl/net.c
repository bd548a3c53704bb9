#include <stdlib.h>
#include <string.h>

#include "../backend.h"
#include "plan.h"

/* An input or output of the graph: as the caller sees it, and as it lies. */
struct port {
    float *data;
    struct view view;
    enum type type;
    enum layout layout;
    size_t count;
};

struct dnnl_net {
    struct plan plan;
    struct port *ports; /* the graph's inputs, then its outputs */
};

static void port_load(const struct port *p)
{
    int64_t *integers = (int64_t *)(void *)p->view.data;
    if (p->layout == CHANNELS_LAST)
        view_load(&p->view, p->data);
    else if (p->type == REAL)
        memcpy(p->view.data, p->data, p->count * sizeof *p->view.data);
    else
        for (size_t i = 0; i < p->count; i++)
            integers[i] = (int64_t)p->data[i];
}

static void port_store(const struct port *p)
{
    const int64_t *integers = (const int64_t *)(const void *)p->view.data;
    if (p->layout == CHANNELS_LAST)
        view_store(p->data, &p->view);
    else if (p->type == REAL)
        memcpy(p->data, p->view.data, p->count * sizeof *p->view.data);
    else
        for (size_t i = 0; i < p->count; i++)
            p->data[i] = (float)integers[i];
}

static int make_ports(struct nn_net *net, struct dnnl_net *d, struct error *e)
{
    const struct graph *g = &net->graph;
    const int count = g->input_count + g->output_count;
    if (!(d->ports = graph_alloc(&net->graph, count * sizeof *d->ports, e)))
        return -1;
    for (int i = 0; i < count; i++) {
        const struct end *end =
            i < g->input_count ? &g->inputs[i] : &g->outputs[i - g->input_count];
        const struct tensor *t = &g->tensors[end->tensor];
        const size_t bytes = tensor_elements(t) * sizeof(float);
        struct port *port = &d->ports[i];
        *port = (struct port) { .view = d->plan.views[end->tensor],
            .type = t->shape.type,
            .layout = t->layout,
            .count = tensor_elements(t) };
        if (end->state)
            continue;
        if (!(net->ports[i].data = port->data = plan_alloc(&d->plan, bytes, e)))
            return -1;
        memset(port->data, 0, bytes);
    }
    return 0;
}

static int dnnl_open(struct nn_net *net, const struct nn_params *params, struct error *e)
{
    (void)params;
    struct dnnl_net *d = net->context = calloc(1, sizeof *d);
    if (!d)
        return error_retry(
            e, "out_of_memory", "There is no memory for the network %s.", net->label);
    return plan_make(&d->plan, &net->graph, e) || make_ports(net, d, e) ? -1 : 0;
}

static void clear_states(const struct nn_net *net, const struct dnnl_net *d)
{
    for (int i = 0; i < net->state_count; i++) {
        const struct view *v = &d->plan.views[net->states[i].to->tensor]; /* an input's: no gaps */
        memset(v->data, 0, v->n * v->stride_n * sizeof *v->data);
    }
}

static int dnnl_run(struct nn_net *net, struct error *e)
{
    (void)e;
    const struct dnnl_net *d = net->context;
    const int inputs = net->graph.input_count, ports = inputs + net->graph.output_count;
    if (net->fresh)
        clear_states(net, d);
    for (int i = 0; i < inputs; i++)
        if (d->ports[i].data)
            port_load(&d->ports[i]);
    plan_run(&d->plan);
    for (int i = inputs; i < ports; i++)
        if (d->ports[i].data)
            port_store(&d->ports[i]);
    for (int i = 0; i < net->state_count; i++)
        view_copy(
            &d->plan.views[net->states[i].to->tensor], &d->plan.views[net->states[i].from->tensor]);
    return 0;
}

static size_t dnnl_bytes(const struct nn_net *net)
{
    const struct dnnl_net *d = net->context;
    return graph_bytes(&net->graph) + d->plan.bytes;
}

static void dnnl_close(struct nn_net *net)
{
    struct dnnl_net *d = net->context;
    if (!d)
        return;
    plan_free(&d->plan);
    free(d);
}

const struct backend backend_dnnl = {
    .open = dnnl_open,
    .run = dnnl_run,
    .bytes = dnnl_bytes,
    .close = dnnl_close,
};
