#include <stdlib.h>

#include "schedule.h"

struct cudnn_net {
    const struct card *card;
    struct cudnn cudnn;
    struct target target;
    struct schedule schedule;
};

static int open_cudnn(struct cudnn_net *c, struct error *e)
{
    cudnnHandle_t handle;
    if (cuda_enter(&c->card->cuda, e) || cudnn_open(&c->cudnn, e) ||
        CUDNN(&c->cudnn, e, cudnnCreate, &handle))
        return -1;
    c->target = target_of(&c->cudnn, handle, c->card->cuda.sm);
    return CUDNN(&c->cudnn, e, cudnnSetStream, handle, (cudaStream_t)c->card->compute);
}

static void make_ports(struct nn_net *net, const struct schedule *s)
{
    const struct graph *g = &net->graph;
    for (int i = 0; i < g->input_count + g->output_count; i++) {
        const struct end *end =
            i < g->input_count ? &g->inputs[i] : &g->outputs[i - g->input_count];
        const struct view *v = &s->views[end->tensor];
        if (end->state)
            continue;
        net->ports[i].halves = v->halves;
        net->ports[i].step = v->layout == ROWS ? 0 : (int)v->stride_w;
    }
}

static int cudnn_net_open(struct nn_net *net, const struct nn_params *params, struct error *e)
{
    struct cudnn_net *c = net->context = calloc(1, sizeof *c);
    if (!c)
        return error_retry(
            e, "out_of_memory", "There is no memory for the network %s.", net->label);
    c->card = card_of(params->device);
    if (open_cudnn(c, e) || schedule_make(&c->schedule, net, c->card, &c->target, e))
        return -1;
    make_ports(net, &c->schedule);
    return 0;
}

static int cudnn_net_run(struct nn_net *net, struct error *e)
{
    const struct cudnn_net *c = net->context;
    return cuda_enter(&c->card->cuda, e) ? -1 : schedule_run(&c->schedule, net->fresh, e);
}

static size_t cudnn_net_bytes(const struct nn_net *net)
{
    return ((const struct cudnn_net *)net->context)->schedule.bytes;
}

static void cudnn_net_close(struct nn_net *net)
{
    struct cudnn_net *c = net->context;
    if (!c)
        return;
    cuda_enter(&c->card->cuda, NULL);
    schedule_free(&c->schedule);
    if (c->target.handle)
        c->cudnn.cudnnDestroy(c->target.handle);
    cudnn_close(&c->cudnn);
    free(c);
}

const struct backend backend_cudnn = {
    .open = cudnn_net_open,
    .run = cudnn_net_run,
    .bytes = cudnn_net_bytes,
    .close = cudnn_net_close,
};
