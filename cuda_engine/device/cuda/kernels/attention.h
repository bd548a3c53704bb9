/* attention.cu: what each query takes of the values, by how it agrees with their keys. */
#ifndef MATTE_KERNELS_ATTENTION_H
#define MATTE_KERNELS_ATTENTION_H

#include "matrix.h"

enum {
    ATTENTION_QUERIES = 64, /* to a block */
    ATTENTION_KEYS = 32,    /* at a time */
    ATTENTION_THREADS = 128,
};

/* For each batch and head: out = softmax(queries * transposed keys * scale + bias) * values. */
struct attention_params {
    struct matrix16 queries, keys, values, out; /* rows of depth; vector is 1 of each */
    struct matrix16 bias;                       /* query_count x key_count; data NULL: none */
    int query_count, key_count;
    int depth; /* 16 or 32 */
    int batches, heads;
    float scale;
};

static inline struct launch attention_launch(const struct attention_params *p)
{
    const struct launch l = {
        { blocks_for((unsigned)p->query_count, ATTENTION_QUERIES), (unsigned)p->heads,
            (unsigned)p->batches },
        { ATTENTION_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
