/*
 * Descriptors are all that cuDNN's graph API knows. Those of one purpose live and die together; and after a first call
 * that failed the others do nothing, so that a graph is written down like a list and checked once, at its end.
 */
#ifndef MATTE_NN_CUDNN_DESCRIPTORS_H
#define MATTE_NN_CUDNN_DESCRIPTORS_H

#include "library.h"

enum { DESCRIPTORS = 64 };

struct descriptors {
    const struct cudnn *cudnn;
    cudnnBackendDescriptor_t list[DESCRIPTORS];
    int count;
    int failed;         /* -1 after a call that did */
    struct error error; /* of that call */
};

/* Destroys all but the first kept; what had failed is forgotten. */
void descriptors_free(struct descriptors *d, int kept);

/* Destroys one of them, to which no other refers. */
void descriptor_free(struct descriptors *d, cudnnBackendDescriptor_t which);

/* A new one, to be set and finalized; NULL when something failed. At most DESCRIPTORS. */
cudnnBackendDescriptor_t descriptor_make(
    struct descriptors *d, cudnnBackendDescriptorType_t type, const char *type_name);
void descriptor_set(struct descriptors *d, cudnnBackendDescriptor_t to,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
    const void *values, const char *attribute_name);
void descriptor_finalize(struct descriptors *d, cudnnBackendDescriptor_t which, const char *what);

/* The same with the names by which an error is told. SET_ONE takes a variable, not a value. */
#define MAKE(d, type) descriptor_make((d), CUDNN_BACKEND_##type##_DESCRIPTOR, #type)
#define SET(d, to, name, type, count, values) \
    descriptor_set((d), (to), CUDNN_ATTR_##name, CUDNN_TYPE_##type, (count), (values), #name)
#define SET_ONE(d, to, name, type, value) SET(d, to, name, type, 1, &(value))
#define FINALIZE(d, which)                descriptor_finalize((d), (which), #which)

#endif
