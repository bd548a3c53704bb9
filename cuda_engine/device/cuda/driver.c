#include "driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char soname[] = "libcuda.so.1";
static const char unavailable[] = "device_unavailable";

enum {
    SM_NEEDED = 75, /* the oldest that kernels are built for */
    /* machine code of one major version of the toolkit runs on every driver of that version or a later one */
    DRIVER_NEEDED = CUDA_VERSION / 1000 * 1000,
    MEBIBYTE = 1 << 20,
};

static int load(struct cuda *c, struct error *e)
{
    c->library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!c->library)
        return error_set(e, unavailable, "There is no CUDA driver here: %s.", dlerror());
#define CUDA_SYMBOL(call) #call
#define CUDA_LOAD(call)                                                                       \
    if (!(c->call = (__typeof__(call) *)dlsym(c->library, CUDA_SYMBOL(call))))                \
        return error_set(e, unavailable, "The CUDA driver is too old: %s has no %s.", soname, \
            CUDA_SYMBOL(call));
    CUDA_CALLS(CUDA_LOAD)
#undef CUDA_LOAD
#undef CUDA_SYMBOL
    return 0;
}

/* What the driver says while a device is looked for: there is none to be had, whatever it was. */
static int look(const struct cuda *c, CUresult result, const char *call, struct error *e)
{
    struct error why;
    if (!cuda_check(c, result, call, &why))
        return 0;
    return error_set(e, unavailable, "The CUDA driver does not start: %s", why.text);
}

#define LOOK(c, e, call, ...) look((c), (c)->call(__VA_ARGS__), #call, (e))

static int start(struct cuda *c, int *cards, struct error *e)
{
    int version = 0;
    CUresult result = c->cuInit(0);
    if (result == CUDA_ERROR_NO_DEVICE)
        return error_set(e, unavailable, "There is a CUDA driver here, but no card.");
    if (look(c, result, "cuInit", e) || LOOK(c, e, cuDriverGetVersion, &version))
        return -1;
    if (version < DRIVER_NEEDED)
        return error_set(e, unavailable,
            "The CUDA driver is too old: it is for CUDA %d.%d and %d.%d is needed.", version / 1000,
            version % 1000 / 10, DRIVER_NEEDED / 1000, DRIVER_NEEDED % 1000 / 10);
    return LOOK(c, e, cuDeviceGetCount, cards);
}

/* Makes the card the one of *c, if it suits. */
static int take(struct cuda *c, int ordinal, size_t need, struct error *e)
{
    int major = 0, minor = 0;
    size_t available = 0, total = 0;
    c->ordinal = ordinal;
    if (LOOK(c, e, cuDeviceGet, &c->device, ordinal) ||
        LOOK(c, e, cuDeviceGetName, c->name, (int)sizeof c->name, c->device) ||
        LOOK(c, e, cuDeviceGetAttribute, &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            c->device) ||
        LOOK(c, e, cuDeviceGetAttribute, &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            c->device))
        return -1;
    c->sm = 10 * major + minor;
    if (c->sm < SM_NEEDED)
        return error_set(e, unavailable,
            "cuda:%d (%s) is too old: it has compute capability %d.%d and %d.%d is needed.",
            ordinal, c->name, major, minor, SM_NEEDED / 10, SM_NEEDED % 10);
    /* the processor is for decoding and the encoders; a thread that waits for the card sleeps */
    CUcontext context;
    if (LOOK(c, e, cuDevicePrimaryCtxSetFlags, c->device, CU_CTX_SCHED_BLOCKING_SYNC) ||
        LOOK(c, e, cuDevicePrimaryCtxRetain, &context, c->device))
        return -1;
    c->context = context;
    if (LOOK(c, e, cuCtxSetCurrent, c->context) || LOOK(c, e, cuMemGetInfo, &available, &total))
        return -1;
    c->bytes = total;
    if (available < need)
        return error_set(e, unavailable,
            "cuda:%d (%s) is too small: %zu of its %zu MiB are free and %zu MiB are needed.",
            ordinal, c->name, available / MEBIBYTE, total / MEBIBYTE, need / MEBIBYTE);
    snprintf(c->found, sizeof c->found,
        "cuda:%d is %s, compute capability %d.%d, with %zu of %zu MiB free.", ordinal, c->name,
        major, minor, available / MEBIBYTE, total / MEBIBYTE);
    return 0;
}

static void give_back(struct cuda *c)
{
    if (!c->context)
        return;
    c->cuCtxSetCurrent(NULL);
    c->cuDevicePrimaryCtxRelease(c->device);
    c->context = NULL;
}

/* The first card that suits, from the turn-th on; where none does, *e is about that. */
static int take_first(struct cuda *c, int turn, size_t need, struct error *e)
{
    if (!c->count)
        return error_set(e, unavailable, "There is a CUDA driver here, but no card.");
    for (int i = 0; i < c->count; i++) {
        struct error why;
        if (!take(c, (turn + i) % c->count, need, &why))
            return 0;
        give_back(c);
        if (!i)
            *e = why;
    }
    return -1;
}

int cuda_open(struct cuda *c, int ordinal, int turn, size_t need, struct error *e)
{
    struct error why = { 0 };
    *c = (struct cuda) { 0 };
    if (load(c, &why) || start(c, &c->count, &why))
        goto failed;
    if (ordinal >= c->count) {
        error_set(&why, unavailable, "There is no cuda:%d: the machine has %d CUDA card%s.",
            ordinal, c->count, c->count == 1 ? "" : "s");
        goto failed;
    }
    if (ordinal < 0 ? take_first(c, turn, need, &why) : take(c, ordinal, need, &why))
        goto failed;
    return 0;
failed:
    cuda_close(c);
    return error_set(e, why.code, "%s", why.text);
}

void cuda_close(struct cuda *c)
{
    give_back(c);
    if (c->library)
        dlclose(c->library);
    *c = (struct cuda) { 0 };
}

int cuda_enter(const struct cuda *c, struct error *e)
{
    return CUDA(c, e, cuCtxSetCurrent, c->context);
}

/* After these the driver refuses everything else on the context, and no other can be made in the process. */
static int is_lost(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_EXTERNAL_DEVICE: return 1;
    default: return 0;
    }
}

int cuda_check(const struct cuda *c, CUresult result, const char *call, struct error *e)
{
    const char *name = "an unknown error", *text = "the driver does not say what it is";
    if (!result)
        return 0;
    c->cuGetErrorName(result, &name);
    c->cuGetErrorString(result, &text);
    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        return error_retry(
            e, "out_of_memory", "%s gave %s: the card's memory is used up.", call, name);
    return error_retry(
        e, is_lost(result) ? "device_lost" : "device_error", "%s gave %s: %s.", call, name, text);
}
