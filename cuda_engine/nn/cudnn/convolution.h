/*
 * One convolution with what cuDNN does in the same kernel: a tensor added, bias, ReLU. Tensors are fp16 in N,H,W,C order,
 * sums are fp32 and exist only inside. Whatever else a node's program says is left to other kernels.
 */
#ifndef MATTE_NN_CUDNN_CONVOLUTION_H
#define MATTE_NN_CUDNN_CONVOLUTION_H

#include "../graph.h"
#include "target.h"

/* All that decides a convolution's plan on one card; integers only, so that memcmp() compares. */
struct layer {
    int in[4], out[4]; /* N, C, H, W */
    int kernel[2], stride[2], dilation[2], before[2], after[2];
    int group;
    int extras; /* enum extra, or-ed */
};

/*
 * What a plan does with the sums. The tensor that is added and the ReLU are the first instruction or two of the node's
 * program; both take a bias with them, zeros where the node has none: cuDNN 9.19 has no engine for convolution and ReLU
 * alone. Where no plan does all of them, the greatest are left to others first.
 */
enum extra { ADD_BIAS = 1, ADD_TENSOR = 2, THEN_RELU = 4 };

/* How tensors are called when a plan is executed. The one to be added is of the output's size. */
enum { UID_IN = 'x', UID_WEIGHTS = 'w', UID_BIAS = 'b', UID_ADDED = 'a', UID_OUT = 'o' };

struct convolution {
    struct descriptors descriptors;
    cudnnBackendDescriptor_t plan; /* finalized */
    int extras;                    /* of the shape's, those that it does */
    int64_t workspace;             /* bytes that an execution needs */
};

/* Of a node of kind CONVOLUTION. */
struct layer layer_of(const struct graph *g, const struct node *n);

/*
 * The first plan of cuDNN's heuristics that finalizes and needs at most workspace_limit bytes, with as many extras as
 * there is a plan for. target must outlive c. -1 and in *e what cuDNN said of the bare convolution; convolution_free() is
 * due in either case.
 */
int convolution_plan(struct convolution *c, const struct target *target, const struct layer *shape,
    int64_t workspace_limit, struct error *e);
void convolution_free(struct convolution *c);

#endif
