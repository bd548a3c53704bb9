/* product.cu: products of matrices. */
#ifndef MATTE_KERNELS_PRODUCT_H
#define MATTE_KERNELS_PRODUCT_H

#include "matrix.h"
#include "pointwise.h"

enum {
    PRODUCT_TILE = 64,  /* rows and columns of the output that a block makes */
    PRODUCT_DEPTH = 32, /* of the sums in one step */
    PRODUCT_THREADS = 128,
    PRODUCT_PROGRAM = 4,
};

/*
 * out = a * b, of rows x depth by depth x columns, for each batch and head; then program, each instruction from the
 * result so far (x is not read) and operands[y].
 */
struct product_params {
    struct matrix16 a, b, out; /* out is neither a nor b */
    int rows, columns, depth;
    int batches, heads;
    int turned; /* 1: b is given with its columns adjacent, as columns x depth */
    struct matrix16 operands[PRODUCT_PROGRAM]; /* of out's size, or rows repeated; may be out */
    struct pointwise_instruction program[PRODUCT_PROGRAM];
    int length; /* of the program */
};

static inline struct launch product_launch(const struct product_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->columns, PRODUCT_TILE),
            blocks_for((unsigned)p->rows, PRODUCT_TILE), (unsigned)(p->batches * p->heads) },
        { PRODUCT_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
