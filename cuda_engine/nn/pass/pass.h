/*
 * What a pass is: a function that looks at one node and those that it reads, and rewrites them to fewer nodes of more
 * work, or to nodes of a faster kind, that give the same outputs. pass.c holds the table of them, in the order in which they run.
 *
 * A pass is called for every node, in an order in which each comes after those that it reads. It leaves what nobody
 * uses any more where it is: between passes graph_sort() drops that, and counts uses anew. It may add tensors and
 * nodes, by which pointers to either move. Constants may be shared: a pass makes new ones.
 */
#ifndef MATTE_NN_PASS_H
#define MATTE_NN_PASS_H

#include "../graph.h"

struct pass {
    const char *name;
    int (*run)(struct graph *g, struct node *n, struct error *e); /* -1 and *e */
};

extern const struct pass passes[];
extern const int pass_count;

/* One file each. */
int scalars_run(struct graph *g, struct node *n, struct error *e);
int batchnorm_run(struct graph *g, struct node *n, struct error *e);
int hardswish_run(struct graph *g, struct node *n, struct error *e);
int gelu_run(struct graph *g, struct node *n, struct error *e);
int normalise_run(struct graph *g, struct node *n, struct error *e);
int copies_run(struct graph *g, struct node *n, struct error *e);
int transposes_run(struct graph *g, struct node *n, struct error *e);
int reductions_run(struct graph *g, struct node *n, struct error *e);
int upsample_run(struct graph *g, struct node *n, struct error *e);
int sink_run(struct graph *g, struct node *n, struct error *e);
int moves_run(struct graph *g, struct node *n, struct error *e);
int columns_run(struct graph *g, struct node *n, struct error *e);
int padding_run(struct graph *g, struct node *n, struct error *e);
int affine_run(struct graph *g, struct node *n, struct error *e);
int epilogue_run(struct graph *g, struct node *n, struct error *e);
int product_run(struct graph *g, struct node *n, struct error *e);
int pointwise_run(struct graph *g, struct node *n, struct error *e);
int softmax_run(struct graph *g, struct node *n, struct error *e);

/* What they share. */

/* The node that computes tensor t, if it is one instruction of a function; NULL otherwise. */
const struct node *producer_of(const struct graph *g, int t, enum function function);

/* The node that computes input k of n, if nothing else uses its result; NULL otherwise. */
struct node *only_producer(const struct graph *g, const struct node *n, int k);

/* The same if it is a convolution and n, which works element by element, keeps its size. */
struct node *convolution_before(const struct graph *g, const struct node *n, int k);

/* Node before computes what n does, and n, whose result nobody reads then, is dropped. */
void take_over(struct graph *g, struct node *before, struct node *n);

/* What n does, if it only moves elements; NULL otherwise. */
const struct copy *copy_of(const struct node *n);

static inline int is_unary(const struct instruction *i)
{
    return i->function < ADD;
}

/* 1 if a tensor has one value a channel of the N, C, H, W size dims. */
int is_per_channel(const struct tensor *t, const int dims[4]);

#endif
