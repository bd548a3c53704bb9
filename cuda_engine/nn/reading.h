/*
 * An ONNX node while it is read, and what the operators' functions ask of it.
 */
#ifndef MATTE_NN_READING_H
#define MATTE_NN_READING_H

#include "ops.h"

/* Its inputs as tensors (-1: left out), and what becomes of it. */
struct reading {
    struct graph *graph;
    const Onnx__NodeProto *proto;
    const struct op *op;
    struct error *error;
    int inputs[GRAPH_INPUTS];
    int input_count;
    struct shape out; /* of output node.settings.part; infer() fills it */
    int same;         /* infer() sets it: the output is input 0 by another name */
    struct node node;
};

/* Fills *r->error with a sentence that starts with the node; returns -1. */
__attribute__((format(printf, 2, 3))) int refuse(struct reading *r, const char *format, ...);

const Onnx__AttributeProto *attribute(const struct reading *r, const char *name);
int64_t attribute_int(const struct reading *r, const char *name, int64_t otherwise);
float attribute_float(const struct reading *r, const char *name, float otherwise);
/* 1 if the attribute is value, or left out. */
int attribute_is(const struct reading *r, const char *name, const char *value);
/* The index of the attribute's text in a NULL-ended list, 0 where it is left out; -1 after refuse(). */
int attribute_choice(struct reading *r, const char *name, const char *const *values);
/* count integers of lowest..GRAPH_SIDE into out; where the attribute is left out, lowest. */
int attribute_ints(struct reading *r, const char *name, int count, int lowest, int *out);
/* The attribute axis, or another number, as 0..rank-1. */
int attribute_axis(struct reading *r, int64_t otherwise, int rank, int *axis);
int check_axis(struct reading *r, int64_t value, int rank, int *axis);

/* Input k's tensor, or NULL where it is left out. */
const struct tensor *input(const struct reading *r, int k);
/* Its shape; it must be there. */
const struct shape *shape_of(const struct reading *r, int k);
/* The values of an input that must be a constant of count integers (any number: -1); NULL after refuse(). */
const int64_t *input_ints(struct reading *r, int k, int count);
/* Integers given by an attribute in older opsets and by input k in newer: *list NULL and 0 where left out. */
int input_or_attribute(
    struct reading *r, int k, const char *name, const int64_t **list, int *count);
/* A constant of one number, or otherwise where it is left out. */
int input_number(struct reading *r, int k, float otherwise, float *value);

/* r->out is what inputs 0 to count - 1 broadcast to, of the type of the last. */
int infer_broadcast(struct reading *r, int count);

/* lower.c */
int lower_pointwise(struct reading *r);
int lower_pair(struct reading *r);
int lower_hard_sigmoid(struct reading *r);
int lower_conv(struct reading *r);
int lower_pool(struct reading *r);
int lower_resize(struct reading *r);
int lower_concat(struct reading *r);
int lower_slice(struct reading *r);
int lower_pad(struct reading *r);
int lower_matmul(struct reading *r);
int lower_gemm(struct reading *r);
int lower_softmax(struct reading *r);
int lower_layer(struct reading *r);
int lower_gather(struct reading *r);

#endif
