/*
 * cuDNN's graph API. The library is loaded when a network is planned for a card: no program is linked with it, so that
 * the same one starts where there is neither card nor cuDNN.
 */
#ifndef MATTE_NN_CUDNN_LIBRARY_H
#define MATTE_NN_CUDNN_LIBRARY_H

#include <cudnn_backend.h>

#include "../../error.h"

/* Every function of it that is called. */
#define CUDNN_CALLS(CALL)              \
    CALL(cudnnGetVersion)              \
    CALL(cudnnGetErrorString)          \
    CALL(cudnnGetLastErrorString)      \
    CALL(cudnnCreate)                  \
    CALL(cudnnDestroy)                 \
    CALL(cudnnSetStream)               \
    CALL(cudnnBackendExecute)          \
    CALL(cudnnBackendCreateDescriptor) \
    CALL(cudnnBackendSetAttribute)     \
    CALL(cudnnBackendGetAttribute)     \
    CALL(cudnnBackendFinalize)         \
    CALL(cudnnBackendDestroyDescriptor)

/* The loaded library; its functions may be called from any thread. */
struct cudnn {
    void *library;
#define CUDNN_FIELD(name) __typeof__(name) *(name);
    CUDNN_CALLS(CUDNN_FIELD)
#undef CUDNN_FIELD
};

/*
 * Loads libcudnn.so.9 from where the system finds libraries. -1 and *e: it is not there, lacks a function, or is older
 * than the headers that this was built with.
 */
int cudnn_open(struct cudnn *c, struct error *e);
void cudnn_close(struct cudnn *c);

/* 0 if status is success; otherwise -1 and in *e a sentence with what was called and cuDNN's own text. */
int cudnn_check(const struct cudnn *c, cudnnStatus_t status, const char *call, struct error *e);

/* Calls a function of the library and checks. */
#define CUDNN(c, e, call, ...) cudnn_check((c), (c)->call(__VA_ARGS__), #call, (e))

#endif
