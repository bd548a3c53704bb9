/*
 * The operators that are understood: one table of name, opsets, what may come in, and how a node of it is computed.
 *
 * Every operator has a plain computation (nn/plain), which also folds it where all it reads is known. Where lower() can,
 * it makes a node of a faster kind instead.
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

struct reading;

/* Bits of struct op's types. */
enum {
    REALS = 1 << REAL,
    INTEGERS = 1 << INTEGER,
    LOGICALS = 1 << LOGICAL,
    NUMBERS = REALS | INTEGERS,
    ANY = NUMBERS | LOGICALS,
};

struct op {
    const char *name;
    int since, until; /* opsets, both included */
    int inputs_min, inputs_max, outputs_max;
    unsigned types;     /* of inputs */
    unsigned constants; /* bit k: input k has to be a constant */
    /*
     * Checks the node, gives r->out from the inputs and r->node.settings from the attributes. r->node.inputs are the
     * node's; it may drop the last ones. -1 after refuse().
     */
    int (*infer)(struct reading *r);
    void (*compute)(const struct plain *p);
    int (*lower)(struct reading *r); /* 1: r->node is of another kind than PLAIN now */
    int function;                    /* infer's */
    int lowered;                     /* lower's: an enum function or enum kind */
};

extern const struct op ops[];
extern const int op_count;

/* The range of opsets that files may be of. */
enum { OPSET_MIN = 1, OPSET_MAX = 17 };

/* The operator of that name, or NULL. */
const struct op *ops_find(const char *name);

struct names;

/*
 * Appends to g what proto becomes. Its inputs are g's tensors; those that it computes are defined in names. -1 and *e
 * naming the node, its operator and the opset.
 */
int ops_read(struct graph *g, const Onnx__NodeProto *proto, struct names *names, struct error *e);

/* graph.c: tensors by name while a file is read. define: -1 and *e where the name is taken. */
int names_lookup(const struct names *names, const char *name);
int names_define(struct names *names, const char *name, int tensor, struct error *e);

/* constant.c */

/* The type in which values of an ONNX type are held; -1 where it is not supported. */
int shape_type(int64_t onnx, enum type *type);
/* Sets rank and dims of s; -1 and *e where the rank is too high or a size is below lowest. */
int shape_set(struct shape *s, const struct graph *g, const char *what, const char *name,
    size_t rank, const int64_t *sizes, int lowest, struct error *e);
/* Adds a constant; its index, or -1 and *e. what: "constant", for errors. */
int constant_make(struct graph *g, const char *what, const char *name, const Onnx__TensorProto *p,
    struct error *e);
int constant_read(struct graph *g, const char *name, const Onnx__TensorProto *p,
    struct names *names, struct error *e);

int constant_read_node(
    struct graph *g, const Onnx__NodeProto *n, struct names *names, struct error *e);

#endif
