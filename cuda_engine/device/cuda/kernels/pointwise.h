/* pointwise.cu: programs of element-wise functions. */
#ifndef MATTE_KERNELS_POINTWISE_H
#define MATTE_KERNELS_POINTWISE_H

#include "tensor.h"

enum { POINTWISE_INPUTS = 16, POINTWISE_PROGRAM = 16 };

/* In the order of nn/graph.h. */
enum pointwise_function {
    POINTWISE_RELU,
    POINTWISE_CLIP,
    POINTWISE_LINEAR,
    POINTWISE_LEAKY,
    POINTWISE_SIGMOID,
    POINTWISE_TANH,
    POINTWISE_HARDSWISH,
    POINTWISE_GELU,
    POINTWISE_ADD,
    POINTWISE_SUB,
    POINTWISE_MUL,
    POINTWISE_DIV,
    POINTWISE_MIN,
    POINTWISE_MAX,
    POINTWISE_FUNCTIONS,
};

/* Operands: k >= 0 is input k, ~k the result of instruction k, which is an earlier one. */
struct pointwise_instruction {
    short function, x, y;
    float low, high;
};

/* An input; a stride of 0 repeats it along that dimension. */
struct pointwise_input {
    const uint16_t *data;
    int stride_n, stride_h, stride_w, stride_c; /* the last 1 or 0 */
};

struct pointwise_params {
    struct tensor16 out; /* of the last instruction's results; may be an input */
    struct pointwise_input in[POINTWISE_INPUTS];
    struct pointwise_instruction program[POINTWISE_PROGRAM];
    int length; /* of the program */
    int vector; /* 1: out and every input can be read four channels at once */
};

static inline struct launch pointwise_launch(const struct pointwise_params *p)
{
    struct launch l = tensor_launch(&p->out, p->vector);
    const int kept = p->length > 2 ? p->length - 2 : 0;
    l.shared_bytes = (unsigned)(kept * TENSOR_THREADS * TENSOR_VECTOR * (int)sizeof(float));
    return l;
}

#endif
