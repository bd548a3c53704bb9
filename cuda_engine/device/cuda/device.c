#include "backend.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "transfer.h"

enum { ALIGNMENT = 256 }; /* of rows: what copies and kernels of a card are fastest with */

/* Of a card's memory must be free for a worker to start: the driver's context, a network, and a video of Full HD. */
static const size_t memory_needed = (size_t)1 << 30;

/* Without them the processor decodes and encodes. */
static const char *const codecs[] = { "libnvcuvid.so.1", "libnvidia-encode.so.1" };

enum { CODECS = sizeof codecs / sizeof *codecs };

static void cuda_device_close(struct device *device)
{
    struct card *card = device->context;
    CUstream streams[] = { card->decode, card->compute, card->encode };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        if (streams[i])
            card->cuda.cuStreamDestroy(streams[i]);
    for (size_t i = 0; i < CODECS; i++)
        if (card->codecs[i])
            dlclose(card->codecs[i]);
    crossing_close(card);
    cuda_close(&card->cuda);
    free(card);
}

static int open_streams(struct card *card, struct error *e)
{
    CUstream *streams[] = { &card->decode, &card->compute, &card->encode };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        CUstream stream;
        if (CUDA(&card->cuda, e, cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING))
            return -1;
        *streams[i] = stream;
    }
    return 0;
}

static int cuda_device_open(struct device *device, int ordinal, int turn, struct error *e)
{
    struct card *card = calloc(1, sizeof *card);
    if (!card)
        return error_retry(e, "out_of_memory", "There is no memory for a device.");
    device->context = card;
    if (!cuda_open(&card->cuda, ordinal, turn, memory_needed, e) && !open_streams(card, e)) {
        for (int i = 0; i < CODECS; i++)
            card->codecs[i] = dlopen(codecs[i], RTLD_NOW | RTLD_LOCAL);
        return 0;
    }
    cuda_device_close(device);
    return -1;
}

static const char *cuda_device_found(const struct device *device)
{
    return card_of(device)->cuda.found;
}

static struct device_card cuda_card(const struct device *device)
{
    const struct cuda *c = &card_of(device)->cuda;
    return (struct device_card) { c->count, c->ordinal, (int64_t)c->bytes };
}

static void *cuda_allocate(struct device *device, enum frame_place place, size_t bytes)
{
    const struct cuda *c = &card_of(device)->cuda;
    void *host = NULL;
    CUdeviceptr memory = 0;
    if (cuda_enter(c, NULL))
        return NULL;
    if (place == FRAME_HOST)
        return CUDA(c, NULL, cuMemHostAlloc, &host, bytes, 0) ? NULL : host;
    return CUDA(c, NULL, cuMemAlloc, &memory, bytes) ? NULL : (void *)memory;
}

static void cuda_release(struct device *device, enum frame_place place, void *memory)
{
    const struct cuda *c = &card_of(device)->cuda;
    cuda_enter(c, NULL);
    if (place == FRAME_HOST)
        c->cuMemFreeHost(memory);
    else
        c->cuMemFree((CUdeviceptr)memory);
}

static void *cuda_fence_open(struct device *device)
{
    return fence_open(&card_of(device)->cuda);
}

static int cuda_fence_wait(const struct device *device, struct frame *frame, struct error *e)
{
    return cuda_enter(&card_of(device)->cuda, e) ? -1 : fence_host_read(frame, e);
}

static int cuda_fetch(
    const struct device *device, struct frame *to, const struct frame *from, struct error *e)
{
    const struct card *card = card_of(device);
    return cuda_enter(&card->cuda, e) || fence_host_write(to, e) ||
                   transfer(&card->cuda, to, from, card->compute, e)
               ? -1
               : 0;
}

const struct card *card_of(const struct device *device)
{
    return device->backend == &device_cuda ? device->context : NULL;
}

const struct device_backend device_cuda = {
    .name = "cuda",
    .numbered = 1,
    .alignment = ALIGNMENT,
    .open = cuda_device_open,
    .close = cuda_device_close,
    .found = cuda_device_found,
    .card = cuda_card,
    .allocate = cuda_allocate,
    .release = cuda_release,
    .fence_open = cuda_fence_open,
    .fence_close = fence_close,
    .fence_wait = cuda_fence_wait,
    .fetch = cuda_fetch,
    .raster_open = cuda_raster_open,
    .raster_close = cuda_raster_close,
    .raster_read = cuda_raster_read,
    .raster_write = cuda_raster_write,
    .raster_copy = cuda_raster_copy,
    .sampler_open = cuda_sampler_open,
    .sampler_run = cuda_sampler_run,
    .sampler_close = cuda_sampler_close,
    .fit_open = cuda_fit_open,
    .fit_put = cuda_fit_put,
    .fit_take = cuda_fit_take,
    .fit_close = cuda_fit_close,
    .scaler_open = cuda_scaler_open,
    .scaler_run = cuda_scaler_run,
    .scaler_close = cuda_scaler_close,
    .solver_open = cuda_solver_open,
    .solver_run = cuda_solver_run,
    .solver_close = cuda_solver_close,
    .compositor_open = cuda_compositor_open,
    .compositor_run = cuda_compositor_run,
    .compositor_close = cuda_compositor_close,
};
