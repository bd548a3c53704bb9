/*
 * What the files of the emulated driver share. Host memory stands for device memory, queues for streams, the executor for
 * the multiprocessors. One recursive lock guards everything: nothing runs beside anything else.
 */
#ifndef CUEMU_DRIVER_H
#define CUEMU_DRIVER_H

/* so that the names of the interface are not made those of its newest version */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "emulation.h"

/* ---- calls (call.c) ---- */

#define ENTER                               \
    do {                                    \
        int fault_ = cuemu_enter(__func__); \
        if (fault_)                         \
            return fault_;                  \
    } while (0)

/* The same for calls that need a current context. */
#define ENTER_CURRENT                          \
    do {                                       \
        ENTER;                                 \
        if (!context_current())                \
            return CUDA_ERROR_INVALID_CONTEXT; \
    } while (0)

/*
 * The same for calls that give something back. They do it though they fail: an error of theirs is one of earlier work, as
 * the driver's manual says.
 */
#define ENTER_RELEASE const CUresult earlier = cuemu_enter(__func__)

/* The context is lost: every later call fails with result. */
void call_lose_context(CUresult result);

/* Does a fault of this number take the context with it? */
bool call_is_fatal(CUresult result);

void lock(void);
void unlock(void);

/* ---- contexts (context.c) ---- */

CUcontext context_current(void);
int context_card(void); /* of the current context */

/* ---- memory (memory.c) ---- */

/* Device or pinned memory. */
bool memory_is_known(const void *at);

/* Between open and close, which may nest, the host may touch device memory. */
void memory_open(void);
void memory_close(void);

/* ---- streams (stream.c) ---- */

/* A piece of work; a struct that begins with this, from malloc(). */
struct work {
    struct work *next;
    CUresult (*run)(
        struct work *work); /* device memory is open; what is not 0 stays with the stream */
    void (*drop)(struct work *work); /* frees what it holds beside itself; may be NULL */
};

/* Takes work. What an earlier piece of the stream failed with, or 0. work NULL: there was no memory for it. */
CUresult stream_push(CUstream stream, struct work *work);

/* Runs all that is queued, on this stream or on every one. */
CUresult stream_drain(CUstream stream);
void stream_drain_all(void);

#endif
