/*
 * The convolutions of a graph planned for one card. Making plans takes time and networks repeat themselves, so they are
 * kept by card and shape, in a cache that any number of graphs may share.
 */
#ifndef MATTE_NN_CUDNN_PLAN_H
#define MATTE_NN_CUDNN_PLAN_H

#include "convolution.h"

/* A convolution as planned, or as refused. */
struct planned {
    struct planned *next;
    int sm;
    struct layer shape;
    int layers; /* nodes that have been given it */
    struct convolution convolution;
    int refused;
    struct error error; /* where refused: the first node that asked, and cuDNN's text */
};

/* Plans by compute capability and shape; to be begun with first NULL. For one thread at a time. */
struct plan_cache {
    struct planned *first;
    int64_t workspace_limit; /* of each plan, bytes */
};

/* After all that uses its plans, before the cards that they are for. */
void plan_cache_free(struct plan_cache *cache);

/*
 * Plans every convolution of g, which must be fused. of, of g->node_count elements, becomes each node's plan, the
 * cache's; NULL where the node is no convolution. That cuDNN refuses a shape is no error here. -1 and *e: no memory.
 */
int plan_convolutions(const struct graph *g, const struct target *target, struct plan_cache *cache,
    const struct planned **of, struct error *e);

/* What a cache holds for one compute capability. */
struct plan_report {
    int layers, shapes; /* convolutions, and distinct ones */
    int plans, refused; /* of the shapes */
    int extras, fused;  /* of the shapes: that have some; of those, planned with all of them */
    int64_t workspace;  /* the largest that an execution needs, bytes */
};

struct plan_report plan_cache_report(const struct plan_cache *cache, int sm);

#endif
