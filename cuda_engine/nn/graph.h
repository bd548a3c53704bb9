/*
 * A network as the planner sees it: tensors of fixed N,C,H,W size and nodes of a few kinds, in an order in which every
 * node comes after those that it reads. Made from an ONNX file by graph_read(); ops.c says what each operator becomes;
 * pass/ makes fewer nodes of more work. Nothing here knows how a node is computed: that is a backend's.
 */
#ifndef MATTE_NN_GRAPH_H
#define MATTE_NN_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "nn.h"

enum {
    GRAPH_RANK = NN_RANK,
    GRAPH_SPACE = 3,    /* dimensions of a window */
    GRAPH_INPUTS = 16,  /* of one node */
    GRAPH_PROGRAM = 16, /* instructions of one node */
    GRAPH_SIDE = 1 << 14,
    GRAPH_ELEMENTS = 1 << 28, /* of one tensor: 1 GiB of floats */
};

/* The largest ONNX file that is read. */
#define GRAPH_FILE (INT64_C(1) << 30)

/* How values are held: REAL (float, float16, double) as float, the others (all integers, bool) as int64_t. */
enum type {
    REAL,
    INTEGER,
    LOGICAL,
};

struct shape {
    enum type type;
    int rank;
    int dims[GRAPH_RANK];
};

/* Where a tensor's elements lie: as the file has them, or (four dimensions of REAL only) channels last. */
enum layout {
    ROWS,
    CHANNELS_LAST,
};

struct tensor {
    const char *name;
    struct shape shape; /* as the file has it */
    int dims
        [4]; /* the same as N, C, H, W: ones before a lower rank, N a product for a higher one */
    enum layout layout; /* a backend's choice */
    int step; /* the same: elements from pixel to pixel, where that is more than its channels */
    const float *data;   /* a constant's values in ROWS, where they are REAL; NULL where computed */
    const int64_t *ints; /* a constant's values, where they are not */
    int producer;        /* node; -1 for constants and graph inputs */
    int uses;            /* by nodes and by the graph's outputs */
    int outputs;         /* of the graph: how many it is */
};

/* A graph input or output; several outputs may be one tensor. */
struct end {
    const char *name;
    int tensor;
    int state; /* 1: of a recurrent state, so the tensor lives from run to run */
};

/* What one instruction computes, element by element, from x (and y). */
enum function {
    RELU,
    CLIP,   /* min(max(x, low), high) */
    LINEAR, /* x * low + high */
    LEAKY,  /* x > 0 ? x : x * low */
    SIGMOID,
    TANH,
    HARDSWISH, /* x * min(max(x + 3, 0), 6) / 6 */
    GELU,      /* x * (1 + erf(x / sqrt 2)) / 2 */
    ADD,
    SUB,
    MUL,
    DIV,
    MIN,
    MAX,
};

/* Operands: k >= 0 is the node's input k, ~k the result of instruction k. y is not read by unary functions. */
struct instruction {
    enum function function;
    int x, y;
    float low, high;
};

enum kind {
    CONVOLUTION, /* input 0, weights 1, bias 2 where there is one; then operands of its program */
    POOL_MAX,
    POOL_AVERAGE, /* padding is not counted */
    RESIZE,       /* linear, half pixel centres, edges repeated */
    CONCAT,
    SLICE,     /* step 1 */
    PAD,       /* with a constant */
    POINTWISE, /* the program over inputs broadcast to the output's size */
    PRODUCT,   /* of matrices: inputs 0 and 1, then operands of its program */
    SOFTMAX,   /* along axis, of what the program gives (of input 0 where it is empty) */
    NORMALISE, /* input 0 along axis to mean 0, deviation 1; times input 1, plus input 2 */
    COPY,      /* settings.copy */
    PLAIN,     /* compute() over tensors in ROWS */
};

struct plain;

/*
 * A copy of a tensor's elements, in the file's order: element i of the output is element base + the sum of the digits of
 * i in dims times step of the input.
 */
enum { COPY_RANK = 2 * GRAPH_RANK };
struct copy {
    int rank, dims[COPY_RANK];
    ptrdiff_t step[COPY_RANK], base;
};

/* The attributes of a PLAIN node; each operator says which it uses. */
struct settings {
    int axis, part, mode, keep;
    float alpha, beta;
    int count;
    int64_t list[2 * GRAPH_RANK];
    float scale[GRAPH_RANK], region[2 * GRAPH_RANK];
    struct copy copy;
};

struct window {
    int rank; /* 2 but in PLAIN nodes; H, W then */
    int kernel[GRAPH_SPACE], stride[GRAPH_SPACE], dilation[GRAPH_SPACE];
    int before[GRAPH_SPACE], after[GRAPH_SPACE]; /* padding */
    int group, bias, counts_padding;
};

struct node {
    const char *name;
    const char *op; /* ONNX operator, for errors */
    enum kind kind;
    int inputs[GRAPH_INPUTS];
    int input_count;
    int output;
    struct window window;
    struct settings settings;
    void (*compute)(const struct plain *p); /* PLAIN */
    union {
        int offset[4]; /* SLICE: of the output in the input; PAD: of the input in the output */
        int axis;      /* CONCAT, SOFTMAX, NORMALISE: of the last four */
        int columns; /* PRODUCT: 1 where input 1 has its matrices' columns adjacent, not their rows */
    };
    float fill;    /* PAD */
    float epsilon; /* NORMALISE: added to the variance */
    /* POINTWISE: its last result is the output. CONVOLUTION, PRODUCT: applied to the sums in turn, x not being read. */
    struct instruction program[GRAPH_PROGRAM];
    int program_length;
};

struct graph {
    const char *label;
    int opset;
    const struct nn_params *params; /* while it is read */
    struct tensor *tensors;
    int tensor_count;
    struct node *nodes;
    int node_count;
    struct end *inputs, *outputs;
    int input_count, output_count;
    void *model; /* the ONNX message; names and constants point into it */
    void **owned;
    int owned_count;
    size_t bytes; /* of the message, and of owned */
};

/* Reads the file behind fd into *g. -1 and *e; in either case graph_free() is due. label must outlive g. */
int graph_read(
    struct graph *g, int fd, const char *label, const struct nn_params *params, struct error *e);
void graph_free(struct graph *g);

/* Zeroed memory that lives as long as g; NULL and *e when there is none. */
void *graph_alloc(struct graph *g, size_t bytes, struct error *e);

/* All that g holds. */
size_t graph_bytes(const struct graph *g);

size_t shape_elements(const struct shape *s);
size_t tensor_elements(const struct tensor *t);

/* 1 if t's values are known. */
int tensor_is_constant(const struct tensor *t);

/* 1 and *value if t is a constant of one element. */
int tensor_scalar(const struct tensor *t, float *value);

/* Adds a computed tensor or a node, growing the array (pointers into it move). -1 and *e. */
int graph_add_tensor(struct graph *g, const char *name, const struct shape *shape, struct error *e);
int graph_add_node(struct graph *g, const struct node *n, struct error *e);

/* Drops nodes whose results nobody uses, sorts the rest, and sets producer and uses anew. -1 and *e: a cycle. */
int graph_sort(struct graph *g, struct error *e);

/*
 * copy.c. *c, whose input is what inner gives, becomes the copy of inner's input that gives the same: 1. 0 and *c as it
 * was where that is not one copy.
 */
int copy_compose(struct copy *c, const struct copy *inner);

/* The same copy in as few dimensions as can be, as copy_compose() makes it. */
struct copy copy_simple(const struct copy *c);

/* 1 if all elements stay in their order, of one in as few dimensions as can be. */
int copy_is_same(const struct copy *c);

/* pass/pass.c: rewrites g to fewer nodes that give the same outputs. */
int graph_fuse(struct graph *g, struct error *e);

#endif
