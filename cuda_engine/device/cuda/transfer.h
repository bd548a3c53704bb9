/* Frames copied between the host, the card, and parts of the card. */
#ifndef MATTE_DEVICE_CUDA_TRANSFER_H
#define MATTE_DEVICE_CUDA_TRANSFER_H

#include "fence.h"

/*
 * Queues a copy of from's pixels and copies its times. Both of one size and layout; alpha is copied where both have it. The
 * context must be current. Errors are those of cuda_check().
 */
int transfer(const struct cuda *c, struct frame *to, const struct frame *from, CUstream stream,
    struct error *e);

/* A picture of NV12 in device memory, which nothing but work on stream touches, copied into a frame of that layout and size. */
struct surface {
    CUdeviceptr luma, chroma;
    size_t pitch; /* of both */
};

int transfer_surface(const struct cuda *c, struct frame *to, const struct surface *from,
    CUstream stream, struct error *e);

#endif
