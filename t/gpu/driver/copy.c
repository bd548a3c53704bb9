/*
 * Copies and fills. Each is a line of the trace: the direction, the size, and whether the host's memory is pinned. As the
 * driver does, a pageable source is read at the call, and a copy to pageable memory has happened when the call returns.
 */
#include "driver.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct side {
    uint8_t *at; /* of the first byte that is copied */
    size_t pitch;
    bool device, pinned;
};

struct copy_work {
    struct work work;
    struct side from, to;
    size_t width, height;
    uint8_t *staged; /* what a pageable source held */
};

static CUresult run_copy(struct work *work)
{
    struct copy_work *w = (struct copy_work *)work;
    const uint8_t *from = w->staged ? w->staged : w->from.at;
    size_t pitch = w->staged ? w->width : w->from.pitch;
    for (size_t y = 0; y < w->height; y++)
        memmove(w->to.at + y * w->to.pitch, from + y * pitch, w->width);
    return CUDA_SUCCESS;
}

static void drop_copy(struct work *work)
{
    free(((struct copy_work *)work)->staged);
}

static struct side side_of(CUmemorytype type, const void *host, CUdeviceptr device, size_t x,
    size_t y, size_t pitch, size_t width)
{
    struct side s = { .pitch = pitch ? pitch : width };
    uint8_t *base = type == CU_MEMORYTYPE_HOST ? (uint8_t *)host : (uint8_t *)device;
    s.at = base + y * s.pitch + x;
    s.device = type == CU_MEMORYTYPE_DEVICE;
    s.pinned = !s.device && memory_is_known(s.at);
    if (type == CU_MEMORYTYPE_UNIFIED) {
        s.device = memory_is_known(s.at);
        s.pinned = false;
    }
    return s;
}

static bool is_good(const struct side *s, size_t width, size_t height, const char *what)
{
    if (width > s->pitch && height > 1)
        return false;
    return !s->device ||
           cuemu_is_device_memory((CUdeviceptr)s->at, (height - 1) * s->pitch + width, what);
}

static void stage(struct copy_work *w)
{
    w->staged = malloc(w->width * w->height);
    for (size_t y = 0; w->staged && y < w->height; y++)
        memcpy(w->staged + y * w->width, w->from.at + y * w->from.pitch, w->width);
}

static CUresult copy(const CUDA_MEMCPY2D *c, CUstream stream, bool waits)
{
    if (!c->WidthInBytes || !c->Height)
        return CUDA_SUCCESS;
    struct copy_work *w = calloc(1, sizeof *w);
    if (!w)
        return CUDA_ERROR_OUT_OF_MEMORY;
    lock();
    w->work = (struct work) { NULL, run_copy, drop_copy };
    w->width = c->WidthInBytes;
    w->height = c->Height;
    w->from = side_of(
        c->srcMemoryType, c->srcHost, c->srcDevice, c->srcXInBytes, c->srcY, c->srcPitch, w->width);
    w->to = side_of(
        c->dstMemoryType, c->dstHost, c->dstDevice, c->dstXInBytes, c->dstY, c->dstPitch, w->width);
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    if (is_good(&w->from, w->width, w->height, "source of a copy") &&
        is_good(&w->to, w->width, w->height, "destination of a copy")) {
        bool host = !w->from.device || !w->to.device;
        bool pageable = (!w->from.device && !w->from.pinned) || (!w->to.device && !w->to.pinned);
        cuemu_trace("%s %zux%zu%s",
            !host            ? "dtod"
            : w->from.device ? "dtoh"
            : w->to.device   ? "htod"
                             : "htoh",
            w->width, w->height,
            !host      ? ""
            : pageable ? " pageable"
                       : " pinned");
        if (!w->from.device && !w->from.pinned)
            stage(w);
        waits |= !w->to.device && !w->to.pinned;
        result = stream_push(stream, &w->work);
        w = NULL;
        if (waits && !result)
            result = stream_drain(stream);
    }
    unlock();
    free(w);
    return result;
}

static CUresult copy_row(CUmemorytype to_type, CUdeviceptr to, CUmemorytype from_type,
    CUdeviceptr from, size_t bytes, CUstream stream, bool waits)
{
    CUDA_MEMCPY2D c = {
        .srcMemoryType = from_type,
        .srcHost = (void *)from,
        .srcDevice = from,
        .dstMemoryType = to_type,
        .dstHost = (void *)to,
        .dstDevice = to,
        .WidthInBytes = bytes,
        .Height = 1,
    };
    return copy(&c, stream, waits);
}

API CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *c)
{
    ENTER_CURRENT;
    return copy(c, NULL, true);
}

API CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *c, CUstream stream)
{
    ENTER_CURRENT;
    return copy(c, stream, false);
}

#define DEVICE  CU_MEMORYTYPE_DEVICE
#define HOST    CU_MEMORYTYPE_HOST
#define UNIFIED CU_MEMORYTYPE_UNIFIED

API CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    ENTER_CURRENT;
    return copy_row(UNIFIED, to, UNIFIED, from, bytes, NULL, true);
}

API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER_CURRENT;
    return copy_row(UNIFIED, to, UNIFIED, from, bytes, stream, false);
}

API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    ENTER_CURRENT;
    return copy_row(DEVICE, to, HOST, (CUdeviceptr)from, bytes, NULL, true);
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    ENTER_CURRENT;
    return copy_row(DEVICE, to, HOST, (CUdeviceptr)from, bytes, stream, false);
}

API CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    ENTER_CURRENT;
    return copy_row(HOST, (CUdeviceptr)to, DEVICE, from, bytes, NULL, true);
}

API CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER_CURRENT;
    return copy_row(HOST, (CUdeviceptr)to, DEVICE, from, bytes, stream, false);
}

API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    ENTER_CURRENT;
    return copy_row(DEVICE, to, DEVICE, from, bytes, NULL, false);
}

API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER_CURRENT;
    return copy_row(DEVICE, to, DEVICE, from, bytes, stream, false);
}

/* ---- fills ---- */

struct fill_work {
    struct work work;
    uint8_t *at, value;
    size_t bytes;
};

static CUresult run_fill(struct work *work)
{
    struct fill_work *w = (struct fill_work *)work;
    memset(w->at, w->value, w->bytes);
    return CUDA_SUCCESS;
}

API CUresult cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t bytes, CUstream stream)
{
    ENTER_CURRENT;
    if (!cuemu_is_device_memory(at, bytes, "fill"))
        return CUDA_ERROR_INVALID_VALUE;
    struct fill_work *w = malloc(sizeof *w);
    if (w)
        *w = (struct fill_work) { { NULL, run_fill, NULL }, (uint8_t *)at, value, bytes };
    return stream_push(stream, w ? &w->work : NULL);
}
