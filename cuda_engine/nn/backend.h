/* What a backend implements; for nn/ only. net.c reads and checks, a backend plans and runs. */
#ifndef MATTE_NN_BACKEND_H
#define MATTE_NN_BACKEND_H

#include "graph.h"

/* A recurrent state: the graph's output whose value the next run reads as an input. */
struct state {
    const struct end *from, *to;
};

struct nn_net {
    const struct backend *backend;
    void *context; /* the backend's own */
    struct graph graph;
    struct nn_tensor *ports; /* of the graph's inputs, then of its outputs */
    struct state *states;
    int state_count;
    int fresh; /* 1: the next run begins with states of zeros */
    int threads;
    char label[256];
};

struct backend {
    /* Plans net->graph, and says in net->ports where their data lie. -1 and *e; in either case close() is due. */
    int (*open)(struct nn_net *net, const struct nn_params *params, struct error *e);
    int (*run)(struct nn_net *net, struct error *e);
    size_t (*bytes)(const struct nn_net *net);
    void (*close)(struct nn_net *net); /* context may be NULL */
};

extern const struct backend backend_dnnl;
extern const struct backend backend_cudnn; /* where the build has cuDNN's headers: WITH_CUDNN */

#endif
