/*
 * Nodes for which there is no kernel: the plain computations of nn/plain, which the driver calls in the order of the stream
 * while nobody waits. Their tensors of floats cross to pinned memory and back as halves; integers never leave it. Each
 * such node costs tens of microseconds: what networks do much of has a kernel.
 */
#ifndef MATTE_NN_CUDNN_HOST_H
#define MATTE_NN_CUDNN_HOST_H

#include "../../device/cuda/card.h"
#include "../graph.h"
#include "../place.h"

struct hosted;

struct host {
    const struct card *card;
    const struct graph *graph;
    char *memory; /* pinned; NULL: no node needs any */
    struct hosted_tensor {
        int used, here; /* by a PLAIN node; its values are there when the next such node is added */
        size_t values, halves; /* where in memory */
    } * tensors;
};

/* Gives the PLAIN nodes of g memory. -1 and *e; in either case host_free() is due, when nothing is queued any more. */
int host_open(struct host *h, const struct card *card, struct graph *g, struct error *e);

/* Makes PLAIN node n, after those added before. views: of every tensor. NULL and *e. */
struct hosted *host_add(
    struct host *h, const struct node *n, const struct view *views, struct error *e);

/* Queues it. */
int host_run(const struct host *h, const struct hosted *hosted, struct error *e);

void host_free(struct host *h);

#endif
