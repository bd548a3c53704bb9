/*
 * The operators that are understood: one table of name, opset range and what a node of it becomes.
 */
#ifndef MATTE_NN_OPS_H
#define MATTE_NN_OPS_H

#include "graph.h"
#include "onnx.pb-c.h"

/* A string of a message; what is left out is NULL there. */
static inline const char *text(const char *string)
{
    return string ? string : "";
}

/* A node's name, or that of what it computes where it has none. */
static inline const char *node_name(const Onnx__NodeProto *p)
{
    return *text(p->name) || !p->n_output ? text(p->name) : p->output[0];
}

/* An ONNX node while it is read: its inputs as tensors (-1: left out), its outputs by name. */
struct reading {
    struct graph *graph;
    const Onnx__NodeProto *proto;
    const struct op *op;
    struct error *error;
    int inputs[GRAPH_INPUTS];
    int input_count;
    struct node node;
};

struct op {
    const char *name;
    int since, until; /* opsets, both included */
    int inputs_min, inputs_max;
    enum kind kind;
    enum function function; /* where kind is POINTWISE */
    /* Fills r->node (inputs are copied already), checks, and gives the output's dims. */
    int (*read)(struct reading *r, int dims[4]);
};

extern const struct op ops[];
extern const int op_count;

/* The range of opsets that files may be of. */
enum { OPSET_MIN = 11, OPSET_MAX = 17 };

struct names;

/*
 * Appends to g what proto becomes. Its inputs are g's tensors: lookup() gives the index for a name, or -1. The tensors
 * that it computes are given to define(). -1 and *e naming the node, its operator and the opset.
 */
int ops_read(struct graph *g, const Onnx__NodeProto *proto, struct names *names, struct error *e);

/* graph.c: tensors by name while a file is read. define: -1 and *e where the name is taken. */
int names_lookup(const struct names *names, const char *name);
int names_define(struct names *names, const char *name, int tensor, struct error *e);

#endif
