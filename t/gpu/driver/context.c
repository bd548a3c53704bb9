/* Cards, contexts and the texts of errors. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CARDS = 8, DEPTH = 16 };

struct CUctx_st {
    int card;
};

static struct {
    struct CUctx_st context;
    int references;
} primary[CARDS];

static _Thread_local CUcontext stack[DEPTH];
static _Thread_local int depth;

CUcontext context_current(void)
{
    return depth ? stack[depth - 1] : NULL;
}

int context_card(void)
{
    return depth ? stack[depth - 1]->card : 0;
}

static int cards(void)
{
    long n = cuemu_setting("CUEMU_CARDS", 1);
    return n < CARDS ? (int)n : CARDS;
}

static bool is_card(CUdevice device)
{
    return device >= 0 && device < cards();
}

/* ---- the driver ---- */

API CUresult cuInit(unsigned flags)
{
    ENTER;
    return cards() ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

API CUresult cuDriverGetVersion(int *version)
{
    ENTER;
    *version = (int)cuemu_setting("CUEMU_DRIVER", CUDA_VERSION);
    return CUDA_SUCCESS;
}

static const struct {
    CUresult result;
    const char *name, *text;
} errors[] = {
    { CUDA_SUCCESS, "CUDA_SUCCESS", "no error" },
    { CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument" },
    { CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory" },
    { CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected" },
    { CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal" },
    { CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid" },
    { CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context" },
    { CUDA_ERROR_ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE",
        "uncorrectable ECC error encountered" },
    { CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found" },
    { CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready" },
    { CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
        "an illegal memory access was encountered" },
    { CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure" },
    { CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported" },
    { CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error" },
};

static CUresult describe(CUresult result, const char **name, const char **text)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].result == result) {
            *name = errors[i].name;
            *text = errors[i].text;
            return CUDA_SUCCESS;
        }
    *name = *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

/* These two cannot fail on request: they are how a failure is told. */
API CUresult cuGetErrorName(CUresult result, const char **name)
{
    const char *text;
    return describe(result, name, &text);
}

API CUresult cuGetErrorString(CUresult result, const char **text)
{
    const char *name;
    return describe(result, &name, text);
}

/* ---- cards ---- */

API CUresult cuDeviceGetCount(int *count)
{
    ENTER;
    *count = cards();
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER;
    if (!is_card(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    ENTER;
    snprintf(name, (size_t)length, "Emulated card");
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    ENTER;
    memset(uuid, 0, sizeof *uuid);
    uuid->bytes[0] = (char)device;
    return CUDA_SUCCESS;
}

static int capability(void)
{
    return (int)cuemu_setting("CUEMU_SM", 86);
}

API CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    ENTER;
    *major = capability() / 10;
    *minor = capability() % 10;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    ENTER;
    if (!is_card(device))
        return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability() / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability() % 10; break;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT: *value = 512; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 16; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 << 10; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 99 << 10; break;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: *value = 1; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

/* ---- contexts ---- */

static CUresult push(CUcontext context)
{
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (depth == DEPTH)
        return CUDA_ERROR_UNKNOWN;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

API CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device)
{
    ENTER;
    if (!is_card(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *context = calloc(1, sizeof **context);
    if (!*context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    (*context)->card = device;
    cuemu_alive(CONTEXTS, 1);
    return push(*context);
}

API CUresult cuCtxDestroy_v2(CUcontext context)
{
    ENTER_RELEASE;
    stream_drain_all();
    if (depth && stack[depth - 1] == context)
        depth--;
    free(context);
    cuemu_alive(CONTEXTS, -1);
    return earlier;
}

API CUresult cuCtxPushCurrent_v2(CUcontext context)
{
    ENTER;
    return push(context);
}

API CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
    ENTER_RELEASE;
    if (!depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUcontext top = stack[--depth];
    if (context)
        *context = top;
    return earlier;
}

API CUresult cuCtxGetCurrent(CUcontext *context)
{
    ENTER;
    *context = context_current();
    return CUDA_SUCCESS;
}

API CUresult cuCtxSetCurrent(CUcontext context)
{
    ENTER;
    if (depth)
        depth--;
    return context ? push(context) : CUDA_SUCCESS;
}

API CUresult cuCtxGetDevice(CUdevice *device)
{
    ENTER_CURRENT;
    *device = context_card();
    return CUDA_SUCCESS;
}

API CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    ENTER_CURRENT;
    return CUDA_SUCCESS;
}

API CUresult cuCtxSynchronize(void)
{
    ENTER_CURRENT;
    stream_drain_all();
    return cuemu_enter("the work before cuCtxSynchronize");
}

API CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    ENTER;
    if (!is_card(device))
        return CUDA_ERROR_INVALID_DEVICE;
    lock();
    primary[device].context.card = device;
    primary[device].references++;
    unlock();
    cuemu_alive(CONTEXTS, 1);
    *context = &primary[device].context;
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER_RELEASE;
    lock();
    bool known = is_card(device) && primary[device].references > 0;
    if (known)
        primary[device].references--;
    unlock();
    if (!known)
        return CUDA_ERROR_INVALID_CONTEXT;
    cuemu_alive(CONTEXTS, -1);
    return earlier;
}

API CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    return cuDevicePrimaryCtxRelease_v2(device);
}

API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    ENTER;
    return is_card(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

API CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    ENTER;
    *flags = 0;
    *active = primary[device].references > 0;
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    ENTER;
    return CUDA_ERROR_NOT_SUPPORTED;
}

API CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
    return cuDevicePrimaryCtxReset_v2(device);
}
