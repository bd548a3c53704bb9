/*
 * Stands for libcudnn.so.9: the calls of its graph API. Descriptors are the real library's, which refuses and plans as it
 * would for a card; a handle stands for that card, and executing a plan computes it on the processor, on the stream.
 */
#include <stdlib.h>
#include <string.h>

#include "../driver/emulation.h"
#include "program.h"

struct cudnnContext {
    struct CUstream_st *stream;
};

struct attribute {
    struct attribute *next;
    cudnnBackendAttributeName_t name;
    int64_t count;
    _Alignas(8) char values[];
};

#define ENTER                                                                \
    do {                                                                     \
        if (cuemu_enter(__func__))                                           \
            return strstr(__func__, "Create") ? CUDNN_STATUS_ALLOC_FAILED    \
                                              : CUDNN_STATUS_INTERNAL_ERROR; \
    } while (0)

/* ---- what a descriptor was told ---- */

const void *descriptor_get(
    const struct descriptor *d, cudnnBackendAttributeName_t name, int64_t *count)
{
    const struct attribute *a = d ? d->attributes : NULL;
    while (a && a->name != name)
        a = a->next;
    if (count)
        *count = a ? a->count : 0;
    return a ? a->values : NULL;
}

int64_t descriptor_int64(
    const struct descriptor *d, cudnnBackendAttributeName_t name, int64_t otherwise)
{
    const int64_t *value = descriptor_get(d, name, NULL);
    return value ? *value : otherwise;
}

int descriptor_enum(const struct descriptor *d, cudnnBackendAttributeName_t name, int otherwise)
{
    const int *value = descriptor_get(d, name, NULL);
    return value ? *value : otherwise;
}

const struct descriptor *descriptor_other(
    const struct descriptor *d, cudnnBackendAttributeName_t name)
{
    const struct descriptor *const *value = descriptor_get(d, name, NULL);
    return value ? *value : NULL;
}

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_HANDLE: return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR: return 1;
    default: return 4;
    }
}

static int record(struct descriptor *d, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    const size_t bytes = size_of(type) * (size_t)count;
    struct attribute *a = malloc(sizeof *a + bytes);
    if (!a)
        return -1;
    *a = (struct attribute) { d->attributes, name, count };
    memcpy(a->values, values, bytes);
    d->attributes = a;
    return 0;
}

/* ---- handles ---- */

API cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    ENTER;
    *handle = calloc(1, sizeof **handle);
    if (!*handle)
        return CUDNN_STATUS_ALLOC_FAILED;
    cuemu_alive(CUDNN_HANDLES, 1);
    return CUDNN_STATUS_SUCCESS;
}

API cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    const int earlier = cuemu_enter(__func__);
    free(handle);
    cuemu_alive(CUDNN_HANDLES, -1);
    return earlier ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

API cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    ENTER;
    handle->stream = (struct CUstream_st *)stream;
    return CUDNN_STATUS_SUCCESS;
}

API size_t cudnnGetVersion(void)
{
    return real()->cudnnGetVersion();
}

API const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return real()->cudnnGetErrorString(status);
}

API void cudnnGetLastErrorString(char *text, size_t room)
{
    real()->cudnnGetLastErrorString(text, room);
}

/* ---- descriptors ---- */

API cudnnStatus_t cudnnBackendCreateDescriptor(
    cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor)
{
    ENTER;
    struct descriptor *d = calloc(1, sizeof *d);
    if (!d)
        return CUDNN_STATUS_ALLOC_FAILED;
    d->type = type;
    const cudnnStatus_t status = real()->cudnnBackendCreateDescriptor(type, &d->real);
    if (status) {
        free(d);
        return status;
    }
    cuemu_alive(CUDNN_DESCRIPTORS, 1);
    *descriptor = d;
    return CUDNN_STATUS_SUCCESS;
}

API cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    const int earlier = cuemu_enter(__func__);
    struct descriptor *d = descriptor;
    cudnnStatus_t status = real()->cudnnBackendDestroyDescriptor(d->real);
    while (d->attributes) {
        struct attribute *next = d->attributes->next;
        free(d->attributes);
        d->attributes = next;
    }
    program_release(d->program);
    free(d);
    cuemu_alive(CUDNN_DESCRIPTORS, -1);
    return earlier ? CUDNN_STATUS_INTERNAL_ERROR : status;
}

/* What the real library is told in place of descriptors of ours. */
static cudnnStatus_t set_others(const struct descriptor *d, cudnnBackendAttributeName_t name,
    int64_t count, struct descriptor *const *others)
{
    cudnnBackendDescriptor_t *reals = malloc((size_t)(count + !count) * sizeof *reals);
    if (!reals)
        return CUDNN_STATUS_ALLOC_FAILED;
    for (int64_t i = 0; i < count; i++)
        reals[i] = others[i] ? others[i]->real : NULL;
    const cudnnStatus_t status = real()->cudnnBackendSetAttribute(
        d->real, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, reals);
    free(reals);
    return status;
}

/* Where a handle is asked for there is none: the card's properties say the same. */
static cudnnStatus_t set_handle(const struct descriptor *d, cudnnBackendAttributeName_t name)
{
    if (name != CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
        return CUDNN_STATUS_SUCCESS;
    return real()->cudnnBackendSetAttribute(d->real, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &real()->card);
}

API cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
    const void *values)
{
    ENTER;
    struct descriptor *d = descriptor;
    if (record(d, name, type, count, values))
        return CUDNN_STATUS_ALLOC_FAILED;
    if (type == CUDNN_TYPE_HANDLE)
        return set_handle(d, name);
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        return set_others(d, name, count, values);
    return real()->cudnnBackendSetAttribute(d->real, name, type, count, values);
}

/* The results of a heuristic come in descriptors of the caller's. */
static cudnnStatus_t get_others(const struct descriptor *d, cudnnBackendAttributeName_t name,
    int64_t room, int64_t *count, struct descriptor **others)
{
    cudnnBackendDescriptor_t *reals = malloc((size_t)(room + !room) * sizeof *reals);
    if (!reals)
        return CUDNN_STATUS_ALLOC_FAILED;
    for (int64_t i = 0; i < room && others; i++)
        reals[i] = others[i]->real;
    const cudnnStatus_t status = real()->cudnnBackendGetAttribute(
        d->real, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, room, count, others ? (void *)reals : NULL);
    for (int64_t i = 0; i < room && others; i++)
        others[i]->graph = descriptor_other(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    free(reals);
    return status;
}

API cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
    int64_t *count, void *values)
{
    ENTER;
    const struct descriptor *d = descriptor;
    return type == CUDNN_TYPE_BACKEND_DESCRIPTOR
               ? get_others(d, name, room, count, values)
               : real()->cudnnBackendGetAttribute(d->real, name, type, room, count, values);
}

API cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    ENTER;
    struct descriptor *d = descriptor;
    if (d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR &&
        !descriptor_get(d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, NULL)) {
        const cudnnStatus_t status = real()->cudnnBackendSetAttribute(d->real,
            CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &real()->card);
        if (status)
            return status;
    }
    const cudnnStatus_t status = real()->cudnnBackendFinalize(d->real);
    if (!status && d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        d->program = program_of(d);
    return status;
}

/* ---- execution ---- */

API cudnnStatus_t cudnnBackendExecute(
    cudnnHandle_t handle, cudnnBackendDescriptor_t plan_, cudnnBackendDescriptor_t pack_)
{
    ENTER;
    const struct descriptor *plan = plan_, *pack = pack_;
    struct execution *x = plan->program ? execution_of(plan->program, pack) : NULL;
    if (!x)
        return CUDNN_STATUS_BAD_PARAM;
    execution_trace(x);
    return cuemu_work(handle->stream, execution_run, execution_drop, x)
               ? CUDNN_STATUS_EXECUTION_FAILED
               : CUDNN_STATUS_SUCCESS;
}
