/*
 * What plans are made for: the card behind a handle, or one described by its properties. cuDNN takes those as JSON in
 * place of a handle, so that plans can be made, and checked, where there is no card.
 */
#ifndef MATTE_NN_CUDNN_TARGET_H
#define MATTE_NN_CUDNN_TARGET_H

#include <stddef.h>

#include "descriptors.h"

struct target {
    struct descriptors descriptors;
    cudnnBackendDescriptor_t properties; /* NULL: handle */
    cudnnHandle_t handle;
    int sm; /* 86: compute capability 8.6 */
};

/* The card of the current context. The handle stays the caller's, as the library does, and must outlive the target. */
struct target target_of(const struct cudnn *cudnn, cudnnHandle_t handle, int sm);

/*
 * From properties as cuDNN serializes them. label names them in errors. The library stays the caller's and must outlive
 * the target. -1 and *e: not JSON, no compute capability in it (deviceVer), or refused by cuDNN; target_close() is due in
 * either case.
 */
int target_open(struct target *target, const struct cudnn *cudnn, const char *json,
    const char *label, struct error *e);
void target_close(struct target *target);

/* Says to a graph, a heuristic or a plan what it is for. */
void target_of_graph(
    const struct target *target, struct descriptors *d, cudnnBackendDescriptor_t graph);
void target_of_heuristic(
    const struct target *target, struct descriptors *d, cudnnBackendDescriptor_t heuristic);
void target_of_plan(
    const struct target *target, struct descriptors *d, cudnnBackendDescriptor_t plan);

#endif
