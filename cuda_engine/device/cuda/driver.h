/*
 * The CUDA driver. Its library is loaded when a device is opened and no program is linked with it, so that the same one
 * starts where there is neither card nor driver and says so. Types are those of <cuda.h>; there is no CUDA runtime.
 *
 * A context is current for a thread, not for a process: whatever calls the driver on a thread that may be new to it
 * begins with cuda_enter(). FFmpeg and cuDNN leave the current context as they find it.
 */
#ifndef MATTE_DEVICE_CUDA_DRIVER_H
#define MATTE_DEVICE_CUDA_DRIVER_H

#include <cuda.h>
#include <stddef.h>

#include "../../error.h"

/* Every function of it that is called. <cuda.h> makes some names the newest version's; so is the symbol looked up. */
#define CUDA_CALLS(CALL)             \
    CALL(cuInit)                     \
    CALL(cuDriverGetVersion)         \
    CALL(cuGetErrorName)             \
    CALL(cuGetErrorString)           \
    CALL(cuDeviceGetCount)           \
    CALL(cuDeviceGet)                \
    CALL(cuDeviceGetName)            \
    CALL(cuDeviceGetAttribute)       \
    CALL(cuDevicePrimaryCtxSetFlags) \
    CALL(cuDevicePrimaryCtxRetain)   \
    CALL(cuDevicePrimaryCtxRelease)  \
    CALL(cuCtxSetCurrent)            \
    CALL(cuMemGetInfo)               \
    CALL(cuMemAlloc)                 \
    CALL(cuMemFree)                  \
    CALL(cuMemHostAlloc)             \
    CALL(cuMemFreeHost)              \
    CALL(cuMemsetD8Async)            \
    CALL(cuMemcpyHtoDAsync)          \
    CALL(cuMemcpyDtoHAsync)          \
    CALL(cuMemcpy2DAsync)            \
    CALL(cuStreamCreate)             \
    CALL(cuStreamDestroy)            \
    CALL(cuStreamSynchronize)        \
    CALL(cuStreamWaitEvent)          \
    CALL(cuEventCreate)              \
    CALL(cuEventDestroy)             \
    CALL(cuEventRecord)              \
    CALL(cuEventSynchronize)         \
    CALL(cuModuleLoadData)           \
    CALL(cuModuleUnload)             \
    CALL(cuModuleGetFunction)        \
    CALL(cuFuncGetParamInfo)         \
    CALL(cuFuncSetAttribute)         \
    CALL(cuLaunchKernel)

enum { CUDA_NAME = 96, CUDA_FOUND = 256 };

/* The loaded library and one card with its primary context, which FFmpeg shares. Functions may be called anywhere. */
struct cuda {
    void *library;
    CUdevice device;
    CUcontext context;
    int ordinal;            /* N of cuda:N */
    int sm;                 /* 86: compute capability 8.6 */
    char name[CUDA_NAME];   /* the card's */
    char found[CUDA_FOUND]; /* a sentence for the log: card, memory, driver */
#define CUDA_FIELD(call) __typeof__(call) *(call);
    CUDA_CALLS(CUDA_FIELD)
#undef CUDA_FIELD
};

/*
 * Loads the driver and takes card cuda:ordinal, or the first that suits where ordinal is -1; its context is current
 * then. need: bytes of its memory that must be free. -1 and *e (device_unavailable) with the reason: no library, a driver
 * too old for the kernels that were built, no card, none of that number, a card too old, or one with too little memory.
 */
int cuda_open(struct cuda *c, int ordinal, size_t need, struct error *e);

/* After everything that was made on it; c may be all zeros. */
void cuda_close(struct cuda *c);

/* Makes the context current for the calling thread. */
int cuda_enter(const struct cuda *c, struct error *e);

/*
 * 0 if result is success; otherwise -1 and in *e a sentence with the call and the driver's own text: out_of_memory
 * (retry), device_lost (retry) after which no call on this context works again, or device_error (retry).
 */
int cuda_check(const struct cuda *c, CUresult result, const char *call, struct error *e);

/* Calls a function of the driver and checks. */
#define CUDA(c, e, call, ...) cuda_check((c), (c)->call(__VA_ARGS__), #call, (e))

#endif
