/* pool.cu: the largest or the mean of a window. */
#ifndef MATTE_KERNELS_POOL_H
#define MATTE_KERNELS_POOL_H

#include "tensor.h"

/* Of pairs: along the height, along the width. Every window holds at least one input sample. */
struct pool_params {
    struct tensor16 in, out;                          /* of the same n and c */
    int kernel[2], stride[2], dilation[2], before[2]; /* before: padding */
    int average; /* 0: the largest; 1: the mean of what is not padding */
    int vector;  /* 1: both can be read four channels at once */
};

static inline struct launch pool_launch(const struct pool_params *p)
{
    return tensor_launch(&p->out, p->vector);
}

#endif
