/*
 * Device memory is host memory that nobody may count on: filled with 0xcd, never zero by luck. Under CUEMU_PROTECT it is
 * mapped so that its end lies at a guard page, cannot be touched outside device work, and stays out of reach after it was
 * freed.
 */
#include "driver.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, ALIGN = 256, PITCH = 512, POISON = 0xcd, MEBIBYTE = 1 << 20, CARDS = 8 };

struct allocation {
    struct allocation *next;
    uint8_t *at;
    size_t bytes;
    void *map; /* under CUEMU_PROTECT; NULL: at is from aligned_alloc() */
    size_t map_bytes;
    enum cuemu_kind kind;
    int card;
};

static struct allocation *allocations;
static size_t used[CARDS];
static int opened;

static size_t total(void)
{
    return (size_t)cuemu_setting("CUEMU_MEM_MB", 8192) * MEBIBYTE;
}

static bool is_protected(void)
{
    static int answer = -1;
    if (answer < 0)
        answer = getenv("CUEMU_PROTECT") != NULL;
    return answer;
}

static struct allocation *find(const void *at)
{
    for (struct allocation *a = allocations; a; a = a->next)
        if ((const uint8_t *)at >= a->at && (const uint8_t *)at < a->at + a->bytes)
            return a;
    return NULL;
}

bool memory_is_known(const void *at)
{
    return find(at) != NULL;
}

bool cuemu_is_device_memory(unsigned long long at, size_t bytes, const char *what)
{
    lock();
    const struct allocation *a = find((void *)at);
    bool inside = a && (uint8_t *)at + bytes <= a->at + a->bytes;
    unlock();
    if (!inside)
        cuemu_say("%s: %zu bytes at %#llx are %s", what, bytes, at,
            a ? "past the end of an allocation" : "not device memory");
    return inside;
}

static void set_access(int access)
{
    for (struct allocation *a = allocations; a; a = a->next)
        if (a->map && mprotect(a->map, a->map_bytes, access))
            abort();
}

void memory_open(void)
{
    if (!opened++)
        set_access(PROT_READ | PROT_WRITE);
}

void memory_close(void)
{
    if (!--opened)
        set_access(PROT_NONE);
}

static bool map(struct allocation *a)
{
    a->map_bytes = (a->bytes + PAGE - 1) / PAGE * PAGE;
    a->map = mmap(
        NULL, a->map_bytes + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->map == MAP_FAILED || mprotect(a->map, a->map_bytes, PROT_READ | PROT_WRITE))
        return false;
    a->at = (uint8_t *)a->map + (a->map_bytes - a->bytes) / ALIGN * ALIGN;
    memset(a->map, POISON, a->map_bytes);
    return opened || !mprotect(a->map, a->map_bytes, PROT_NONE);
}

static bool obtain(struct allocation *a)
{
    if (a->kind == DEVICE_MEMORY && is_protected())
        return map(a);
    a->at = aligned_alloc(PITCH, (a->bytes + PITCH - 1) / PITCH * PITCH);
    if (a->at)
        memset(a->at, a->kind == DEVICE_MEMORY ? POISON : 0, a->bytes);
    return a->at;
}

static CUresult allocate(void **at, size_t bytes, enum cuemu_kind kind)
{
    CUresult result = bytes ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
    struct allocation *a = calloc(1, sizeof *a);
    lock();
    int card = context_card();
    if (a && bytes && (kind != DEVICE_MEMORY || used[card] + bytes <= total())) {
        *a = (struct allocation) { allocations, .bytes = bytes, .kind = kind, .card = card };
        if (obtain(a)) {
            allocations = a;
            if (kind == DEVICE_MEMORY)
                used[card] += bytes;
            cuemu_alive(kind, (long)bytes);
            *at = a->at;
            a = NULL;
            result = CUDA_SUCCESS;
        }
    }
    unlock();
    free(a);
    return result;
}

/* Waits for all work, as the driver does. */
static CUresult release(void *at)
{
    if (!at)
        return CUDA_SUCCESS;
    lock();
    stream_drain_all();
    struct allocation **link = &allocations;
    while (*link && (*link)->at != at)
        link = &(*link)->next;
    struct allocation *a = *link;
    if (a) {
        *link = a->next;
        if (a->kind == DEVICE_MEMORY)
            used[a->card] -= a->bytes;
        cuemu_alive(a->kind, -(long)a->bytes);
        if (a->map)
            mmap(a->map, a->map_bytes, PROT_NONE,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        else
            free(a->at);
        free(a);
    } else {
        cuemu_say("free of %p, which is no allocation", at);
    }
    unlock();
    return a ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

int cuemu_allocate(unsigned long long *at, size_t bytes)
{
    return allocate((void **)at, bytes, DEVICE_MEMORY);
}

void cuemu_release(unsigned long long at)
{
    release((void *)at);
}

/* ---- the calls ---- */

API CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes)
{
    ENTER_CURRENT;
    return cuemu_allocate(at, bytes);
}

API CUresult cuMemAllocPitch_v2(
    CUdeviceptr *at, size_t *pitch, size_t width, size_t height, unsigned element)
{
    ENTER_CURRENT;
    *pitch = (width + PITCH - 1) / PITCH * PITCH;
    return cuemu_allocate(at, *pitch * height);
}

API CUresult cuMemFree_v2(CUdeviceptr at)
{
    ENTER_RELEASE;
    CUresult result = context_current() ? release((void *)at) : CUDA_ERROR_INVALID_CONTEXT;
    return result ? result : earlier;
}

API CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned flags)
{
    ENTER_CURRENT;
    return allocate(at, bytes, PINNED_MEMORY);
}

API CUresult cuMemFreeHost(void *at)
{
    ENTER_RELEASE;
    CUresult result = context_current() ? release(at) : CUDA_ERROR_INVALID_CONTEXT;
    return result ? result : earlier;
}

API CUresult cuMemGetInfo_v2(size_t *available, size_t *all)
{
    ENTER_CURRENT;
    *all = total();
    *available = *all - used[context_card()];
    return CUDA_SUCCESS;
}
