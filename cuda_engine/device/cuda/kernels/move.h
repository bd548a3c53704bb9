/* move.cu: tensors in another order of dimensions. */
#ifndef MATTE_KERNELS_MOVE_H
#define MATTE_KERNELS_MOVE_H

#include "tensor.h"

enum { MOVE_RANK = 12, MOVE_VECTOR = 8 };

/*
 * Element (i0, i1, ...) of dims, of which the first `rank` count, lies at the sum of i * from in the input and of i * to
 * in the output, in halves. A step of 0 in the input repeats.
 */
struct move_params {
    const uint16_t *in;
    uint16_t *out;
    int rank; /* 1 at least */
    int dims[MOVE_RANK];
    int from[MOVE_RANK], to[MOVE_RANK];
    int vector; /* 1: eight elements of the last dimension can be read and written at once, as move_is_vector() says */
};

static inline int move_is_vector(const struct move_params *p)
{
    const int last = p->rank - 1;
    int odd = ((uintptr_t)p->in | (uintptr_t)p->out) % 16 || p->dims[last] % MOVE_VECTOR ||
              p->from[last] != 1 || p->to[last] != 1;
    for (int i = 0; i < last; i++)
        odd |= p->from[i] % MOVE_VECTOR || p->to[i] % MOVE_VECTOR;
    return !odd;
}

/* A thread for each element, or eight of them. */
static inline struct launch move_launch(const struct move_params *p)
{
    unsigned items = 1;
    for (int i = 0; i < p->rank; i++)
        items *= (unsigned)p->dims[i];
    const struct launch l = {
        { blocks_for(p->vector ? items / MOVE_VECTOR : items, TENSOR_THREADS), 1, 1 },
        { TENSOR_THREADS, 1, 1 },
        0,
    };
    return l;
}

#endif
