/* Attention as one node: what a network has as a product, a softmax, a product, and copies before and after. */
#ifndef MATTE_NN_CUDNN_ATTENTION_H
#define MATTE_NN_CUDNN_ATTENTION_H

#include "../graph.h"

/* Where the elements of a batch, a head and a row lie in a tensor in rows; those of a row are adjacent. In elements. */
struct heads {
    ptrdiff_t base, batch, head, row;
};

/*
 * An ATTENTION node, of inputs: queries, keys, values, and a bias where there is one: softmax(queries * transposed keys
 * * scale + bias) * values. The first three may be one tensor.
 */
struct attention {
    int batches, heads, queries, keys, depth;
    float scale;
    struct heads in[3], out;
    struct heads bias; /* of rows that are padded to eight elements */
};

/*
 * Makes such nodes of g, fused, where the kernel for it takes them: depths of 16 and 32, rows at multiples of eight
 * elements. What they read through copies and slices they read where it was. -1 and *e.
 */
int attention_fuse(struct graph *g, struct error *e);

#endif
