/* What a finalized plan computes: a convolution and what is done to its sums, element by element. */
#ifndef CUEMU_CUDNN_PROGRAM_H
#define CUEMU_CUDNN_PROGRAM_H

#include "descriptor.h"

enum { OPERATIONS = 8, BINDINGS = 16 };

/* A tensor of halves, in memory, or (virtual) of floats that exist during the computation only. */
struct tensor {
    int64_t uid;
    int64_t dims[4], strides[4]; /* N, C, H, W */
    int is_virtual;
};

struct operation {
    int is_convolution;
    struct tensor x, other, y; /* other: weights, or the second operand */
    int has_other;
    int mode; /* cudnnPointwiseMode_t */
    int64_t before[2], after[2], stride[2], dilation[2];
};

struct program {
    int references;
    int count;
    struct operation operations[OPERATIONS];
    int64_t workspace; /* bytes */
};

/* Of a plan; NULL, and said why, where it is none of these. */
struct program *program_of(const struct descriptor *plan);
void program_release(struct program *p);

/* A program with addresses: of a variant pack, which must have all that it needs; NULL, and said why. */
struct execution;
struct execution *execution_of(struct program *p, const struct descriptor *pack);
void execution_trace(const struct execution *x);

/* For cuemu_work(). */
int execution_run(void *execution);
void execution_drop(void *execution);

#endif
