/* resize.cu: tensors to another height and width. */
#ifndef MATTE_KERNELS_RESIZE_H
#define MATTE_KERNELS_RESIZE_H

#include "tensor.h"

/* Linear, or the nearest by ONNX' names of how halves are rounded. */
enum resize_mode {
    RESIZE_LINEAR,
    RESIZE_PREFER_FLOOR,
    RESIZE_PREFER_CEIL,
    RESIZE_FLOOR,
    RESIZE_CEIL,
};

/*
 * Output sample i lies at (i + shift) * scale - shift of the input, edges repeated. Half pixel centres: shift .5,
 * scale in / out. Asymmetric: shift 0. Aligned corners: shift 0, scale (in - 1) / (out - 1).
 */
struct resize_params {
    struct tensor16 in, out; /* of the same n and c */
    float scale_x, scale_y, shift;
    int mode;
    int vector; /* 1: both can be read four channels at once */
};

static inline struct launch resize_launch(const struct resize_params *p)
{
    return tensor_launch(&p->out, p->vector);
}

#endif
