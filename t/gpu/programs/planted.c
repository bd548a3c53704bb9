/*
 * planted FAULT: does one thing that a program must not do with a card, for the test that the emulation sees it. Each is
 * one that runs without a word on the emulation in its plain mode, or would on a card.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/cuda/card.h"
#include "device/cuda/transfer.h"

enum { WIDTH = 64, HEIGHT = 32, NO_CARD = 77, SEEN = 3 };

static struct device *device;
static const struct card *card;
static struct error e;

static struct frame_pool *open_pool(enum frame_place place)
{
    struct frame_pool_params p = {
        .width = WIDTH, .height = HEIGHT, .count = 1, .layout = FRAME_NV12, .place = place
    };
    struct frame_pool *pool = frame_pool_open(device, &p, &e);
    if (!pool)
        abort();
    return pool;
}

static int fail(void)
{
    fprintf(stderr, "%s\n", e.text);
    return SEEN;
}

/* The host reads device memory as if it were its own. */
static int host_reads(void)
{
    struct frame_pool *pool = open_pool(FRAME_DEVICE);
    struct frame *f = frame_take(pool, &e);
    return f ? *(volatile uint8_t *)f->plane[FRAME_Y] & 0 : fail();
}

/* A stream reads a frame that another writes. wait: as it is done right. */
static int streams_meet(int wait)
{
    const struct cuda *c = &card->cuda;
    struct frame_pool *pools[] = { open_pool(FRAME_HOST), open_pool(FRAME_DEVICE),
        open_pool(FRAME_HOST) };
    struct frame *from = frame_take(pools[0], &e), *on = frame_take(pools[1], &e);
    struct frame *to = frame_take(pools[2], &e);
    memset(from->plane[FRAME_Y], 77, WIDTH);
    memset(to->plane[FRAME_Y], 0, WIDTH);
    CUDA_MEMCPY2D up = {
        .srcMemoryType = CU_MEMORYTYPE_HOST,
        .srcHost = from->plane[FRAME_Y],
        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
        .dstDevice = (CUdeviceptr)on->plane[FRAME_Y],
        .WidthInBytes = WIDTH,
        .Height = 1,
    };
    CUDA_MEMCPY2D down = {
        .srcMemoryType = CU_MEMORYTYPE_DEVICE,
        .srcDevice = up.dstDevice,
        .dstMemoryType = CU_MEMORYTYPE_HOST,
        .dstHost = to->plane[FRAME_Y],
        .WidthInBytes = WIDTH,
        .Height = 1,
    };
    if (CUDA(c, &e, cuMemcpy2DAsync, &up, card->decode) || fence_written(on, card->decode, &e) ||
        (wait && fence_read(on, card->compute, &e)) ||
        CUDA(c, &e, cuMemcpy2DAsync, &down, card->compute) ||
        CUDA(c, &e, cuStreamSynchronize, card->compute))
        return fail();
    int wrong = to->plane[FRAME_Y][0] != 77;
    struct frame *frames[] = { from, on, to };
    for (int i = 0; i < 3; i++) {
        frame_release(frames[i]);
        frame_pool_close(pools[i]);
    }
    return wrong ? SEEN : 0;
}

static int no_wait(void)
{
    return streams_meet(0);
}

static int with_wait(void)
{
    return streams_meet(1);
}

static CUdeviceptr allocate(size_t bytes)
{
    CUdeviceptr memory = 0;
    if (CUDA(&card->cuda, &e, cuMemAlloc, &memory, bytes))
        exit(fail());
    return memory;
}

/* A copy of one byte more than there is. */
static int copy_too_much(void)
{
    CUdeviceptr memory = allocate(256);
    static uint8_t bytes[257];
    CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_HOST,
        .srcHost = bytes,
        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
        .dstDevice = memory,
        .WidthInBytes = sizeof bytes,
        .Height = 1,
    };
    int failed = CUDA(&card->cuda, &e, cuMemcpy2DAsync, &copy, card->compute);
    card->cuda.cuMemFree(memory);
    return failed ? fail() : 0;
}

static int free_twice(void)
{
    CUdeviceptr memory = allocate(256);
    card->cuda.cuMemFree(memory);
    return CUDA(&card->cuda, &e, cuMemFree, memory) ? fail() : 0;
}

static int leak_memory(void)
{
    allocate(256);
    return 0;
}

static int leak_event(void)
{
    CUevent event;
    return CUDA(&card->cuda, &e, cuEventCreate, &event, 0) ? fail() : 0;
}

/* A thread that never entered the context. */
static int no_context(void)
{
    card->cuda.cuCtxSetCurrent(NULL);
    CUdeviceptr memory;
    return CUDA(&card->cuda, &e, cuMemAlloc, &memory, 256) ? fail() : 0;
}

static const struct {
    const char *name;
    int (*plant)(void);
} faults[] = {
    { "none", with_wait },
    { "host-read", host_reads },
    { "no-wait", no_wait },
    { "copy-too-much", copy_too_much },
    { "free-twice", free_twice },
    { "leak-memory", leak_memory },
    { "leak-event", leak_event },
    { "no-context", no_context },
};

int main(int argc, char **argv)
{
    device = device_open("cuda", &e);
    if (!device)
        return NO_CARD;
    card = card_of(device);
    int result = 2;
    for (size_t i = 0; argc == 2 && i < sizeof faults / sizeof *faults; i++)
        if (strcmp(argv[1], faults[i].name) == 0)
            result = faults[i].plant();
    device_close(device);
    return result;
}
