/* The real libcudnn_graph.so.9, which validates graphs and plans for the card of CUEMU_SM though none is there. */
#ifndef CUEMU_CUDNN_REAL_H
#define CUEMU_CUDNN_REAL_H

#include <cudnn_backend.h>

#define REAL_CALLS(CALL)               \
    CALL(cudnnGetVersion)              \
    CALL(cudnnGetErrorString)          \
    CALL(cudnnGetLastErrorString)      \
    CALL(cudnnBackendCreateDescriptor) \
    CALL(cudnnBackendSetAttribute)     \
    CALL(cudnnBackendGetAttribute)     \
    CALL(cudnnBackendFinalize)         \
    CALL(cudnnBackendDestroyDescriptor)

struct real {
#define REAL_FIELD(name) __typeof__(name) *(name);
    REAL_CALLS(REAL_FIELD)
#undef REAL_FIELD
    cudnnBackendDescriptor_t card; /* its properties */
};

/* Loads it at the first use; the process ends where it is not there. */
const struct real *real(void);

#endif
