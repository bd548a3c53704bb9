/*
 * Plain computations: every operator on tensors in rows, as ONNX defines it. They fold constants while a file is read and
 * run the nodes for which no backend has anything faster.
 *
 * NAME_infer() is for struct op's infer, NAME_compute() for its compute. A computation may use OpenMP, allocates nothing,
 * and does not fail: infer has checked everything, and the output has elements (copy_compute()'s may have none).
 */
#ifndef MATTE_NN_PLAIN_H
#define MATTE_NN_PLAIN_H

#include "../reading.h"

/* float where shape.type is REAL, else int64_t. Left out inputs have no elements. */
struct array {
    struct shape shape;
    union {
        float *real;
        int64_t *integer;
    };
};

struct plain {
    const struct node *node;
    struct array in[GRAPH_INPUTS];
    struct array out;
};

/* glibc picks the widest at load time; sanitizers cannot instrument that */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORISED
#endif

/* Elements before, along and after an axis. */
struct span {
    size_t before, size, after;
};

static inline struct span span_of(const struct shape *s, int axis)
{
    struct span p = { 1, s->dims[axis], 1 };
    for (int i = 0; i < s->rank; i++)
        if (i != axis)
            *(i < axis ? &p.before : &p.after) *= s->dims[i];
    return p;
}

/* 4 or 8 bytes. */
static inline size_t element_size(const struct shape *s)
{
    return s->type == REAL ? sizeof(float) : sizeof(int64_t);
}

/* elementwise.c */
enum unary {
    ABS,
    ACOS,
    ACOSH,
    ASIN,
    ASINH,
    ATAN,
    ATANH,
    CEIL,
    CELU,
    COS,
    COSH,
    ELU,
    ERF,
    EXP,
    FLOOR,
    HARD_SIGMOID,
    HARD_SWISH,
    IS_INF,
    IS_NAN,
    LEAKY_RELU,
    LOG,
    NEG,
    NOT,
    RECIPROCAL,
    RELU_,
    ROUND,
    SELU,
    SHRINK,
    LOGISTIC,
    SIGN,
    SIN,
    SINH,
    SOFTPLUS,
    SOFTSIGN,
    SQRT,
    TAN,
    TANH_,
    THRESHOLDED_RELU,
};
enum binary {
    PLUS,
    MINUS,
    TIMES,
    OVER,
    MINIMUM,
    MAXIMUM,
    POWER,
    MODULO,
    PRELU,
    EQUAL,
    LESS,
    LESS_OR_EQUAL,
    GREATER,
    GREATER_OR_EQUAL,
    AND,
    OR,
    XOR,
};
int unary_infer(struct reading *r);
void unary_compute(const struct plain *p);
int binary_infer(struct reading *r);
void binary_compute(const struct plain *p);
int variadic_infer(struct reading *r);
void variadic_compute(const struct plain *p);
int clip_infer(struct reading *r);
void clip_compute(const struct plain *p);
int where_infer(struct reading *r);
void where_compute(const struct plain *p);
int cast_infer(struct reading *r);
void cast_compute(const struct plain *p);

/* copies.c: shapes and copies with strides */
void copy_compute(const struct plain *p);
int same_infer(struct reading *r);
int shape_infer(struct reading *r);
void shape_compute(const struct plain *p);
int reshape_infer(struct reading *r);
int flatten_infer(struct reading *r);
int squeeze_infer(struct reading *r);
int unsqueeze_infer(struct reading *r);
int transpose_infer(struct reading *r);
int expand_infer(struct reading *r);
int tile_infer(struct reading *r);
int slice_infer(struct reading *r);
int split_infer(struct reading *r);
int depth_to_space_infer(struct reading *r);
int space_to_depth_infer(struct reading *r);

/* gather.c: copies by index */
int concat_infer(struct reading *r);
void concat_compute(const struct plain *p);
int pad_infer(struct reading *r);
void pad_compute(const struct plain *p);
int gather_infer(struct reading *r);
void gather_compute(const struct plain *p);
int gather_elements_infer(struct reading *r);
void gather_elements_compute(const struct plain *p);
int gather_nd_infer(struct reading *r);
void gather_nd_compute(const struct plain *p);
int scatter_elements_infer(struct reading *r);
void scatter_elements_compute(const struct plain *p);
int scatter_nd_infer(struct reading *r);
void scatter_nd_compute(const struct plain *p);

/* fill.c: values from little */
int constant_of_shape_infer(struct reading *r);
void constant_of_shape_compute(const struct plain *p);
int range_infer(struct reading *r);
void range_compute(const struct plain *p);
int one_hot_infer(struct reading *r);
void one_hot_compute(const struct plain *p);
int eye_like_infer(struct reading *r);
void eye_like_compute(const struct plain *p);
int trilu_infer(struct reading *r);
void trilu_compute(const struct plain *p);

/* reduce.c */
enum reduction { SUM, MEAN, LARGEST, SMALLEST, PRODUCT_, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };
int reduce_infer(struct reading *r);
/* Sets copy, which walks a tensor with the reduced axes last, and count, of how many elements one result is. */
void reduce_walk(struct settings *s, const struct shape *in, const char *reduced);
void reduce_compute(const struct plain *p);
int arg_infer(struct reading *r); /* op->function 1: the largest */
void arg_compute(const struct plain *p);
int cumulate_infer(struct reading *r);
void cumulate_compute(const struct plain *p);
int top_infer(struct reading *r);
void top_compute(const struct plain *p);

/* normalise.c */
enum { SOFTMAX_, LOG_SOFTMAX, HARDMAX };
int softmax_infer(struct reading *r);
void softmax_compute(const struct plain *p);
int batch_infer(struct reading *r);
void batch_compute(const struct plain *p);
int instance_infer(struct reading *r);
void instance_compute(const struct plain *p);
int layer_infer(struct reading *r);
void layer_compute(const struct plain *p);
int local_infer(struct reading *r);
void local_compute(const struct plain *p);

/* product.c: products of matrices */
int matmul_infer(struct reading *r);
void matmul_compute(const struct plain *p);
int gemm_infer(struct reading *r);
void gemm_compute(const struct plain *p);

/* window.c */
int conv_infer(struct reading *r);
void conv_compute(const struct plain *p);
int conv_transpose_infer(struct reading *r);
void conv_transpose_compute(const struct plain *p);
int pool_infer(struct reading *r);
void pool_max_compute(const struct plain *p);
void pool_average_compute(const struct plain *p);
int global_pool_infer(struct reading *r);

/* sample.c */
enum { NEAREST, BILINEAR, CUBIC };
enum { HALF_PIXEL, PYTORCH_HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC, CROP, HALF_PIXEL_FOR_NEAREST };
int resize_infer(struct reading *r);
/* The element that is nearest to x by a rounding (settings.keep), and to output element i along an axis: which is there. */
int resize_nearest(int rounding, float x);
int resize_source(const struct settings *s, int axis, int rank, int i, int in, int out);
void resize_compute(const struct plain *p);

#endif
