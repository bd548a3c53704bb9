#include "transfer.h"

#include <assert.h>

static CUDA_MEMCPY2D copy_of(
    enum frame_place place, uint8_t *to, int to_stride, size_t row, size_t rows)
{
    return (CUDA_MEMCPY2D) {
        .dstMemoryType = place == FRAME_HOST ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE,
        .dstHost = place == FRAME_HOST ? to : NULL,
        .dstDevice = place == FRAME_HOST ? 0 : (CUdeviceptr)to,
        .dstPitch = (size_t)to_stride,
        .WidthInBytes = row,
        .Height = rows,
    };
}

/* Of plane i of a frame; 0 for the second half of interleaved chroma, which goes with the first. */
static size_t row_of(const struct frame *f, int i)
{
    size_t chroma = (size_t)(f->width + 1) / 2;
    switch (i) {
    case FRAME_U: return f->layout == FRAME_NV12 ? 2 * chroma : chroma;
    case FRAME_V: return f->layout == FRAME_NV12 ? 0 : chroma;
    default: return (size_t)f->width;
    }
}

static size_t rows_of(const struct frame *f, int i)
{
    int shift = i == FRAME_U || i == FRAME_V;
    return (size_t)((f->height + shift) >> shift);
}

int transfer(const struct cuda *c, struct frame *to, const struct frame *from, CUstream stream,
    struct error *e)
{
    assert(to->width == from->width && to->height == from->height && to->layout == from->layout);
    int result = fence_write(to, stream, e) || fence_read(from, stream, e) ? -1 : 0;
    for (int i = 0; !result && i < FRAME_PLANES; i++) {
        if (!row_of(to, i) || !to->plane[i] || !from->plane[i])
            continue;
        CUDA_MEMCPY2D copy =
            copy_of(to->place, to->plane[i], to->stride[i], row_of(to, i), rows_of(to, i));
        copy.srcPitch = (size_t)from->stride[i];
        if (from->place == FRAME_HOST) {
            copy.srcMemoryType = CU_MEMORYTYPE_HOST;
            copy.srcHost = from->plane[i];
        } else {
            copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
            copy.srcDevice = (CUdeviceptr)from->plane[i];
        }
        result = CUDA(c, e, cuMemcpy2DAsync, &copy, stream);
    }
    if (result || fence_done(from, stream, e) || fence_written(to, stream, e))
        return -1;
    to->pts = from->pts;
    to->duration = from->duration;
    return 0;
}

int transfer_surface(const struct cuda *c, struct frame *to, const struct surface *from,
    CUstream stream, struct error *e)
{
    assert(to->layout == FRAME_NV12);
    int result = fence_write(to, stream, e);
    for (int i = FRAME_Y; !result && i <= FRAME_U; i++) {
        CUDA_MEMCPY2D copy =
            copy_of(to->place, to->plane[i], to->stride[i], row_of(to, i), rows_of(to, i));
        copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
        copy.srcDevice = i == FRAME_Y ? from->luma : from->chroma;
        copy.srcPitch = from->pitch;
        result = CUDA(c, e, cuMemcpy2DAsync, &copy, stream);
    }
    return result ? -1 : fence_written(to, stream, e);
}
