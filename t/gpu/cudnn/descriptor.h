/*
 * Descriptors as the program has them: the real one, and what it was told, of which the computation is made. What the real
 * cuDNN says of them is what the program is told.
 */
#ifndef CUEMU_CUDNN_DESCRIPTOR_H
#define CUEMU_CUDNN_DESCRIPTOR_H

#include <stddef.h>

#include "real.h"

struct attribute;
struct program;

struct descriptor {
    cudnnBackendDescriptor_t real;
    cudnnBackendDescriptorType_t type;
    struct attribute *attributes;
    const struct descriptor *graph; /* of an engine's configuration that a heuristic gave */
    struct program *program;        /* of a finalized plan */
};

/* What it was told last; NULL and 0: nothing of that name. */
const void *descriptor_get(
    const struct descriptor *d, cudnnBackendAttributeName_t name, int64_t *count);

/* One value of it, or otherwise. */
int64_t descriptor_int64(
    const struct descriptor *d, cudnnBackendAttributeName_t name, int64_t otherwise);
int descriptor_enum(const struct descriptor *d, cudnnBackendAttributeName_t name, int otherwise);
const struct descriptor *descriptor_other(
    const struct descriptor *d, cudnnBackendAttributeName_t name);

#endif
