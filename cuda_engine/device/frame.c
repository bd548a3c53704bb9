#include "frame.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "backend.h"

/* frame comes first: a struct frame * is a struct slot * */
struct slot {
    struct frame frame;
    struct frame_pool *pool;
    struct slot *next_free;
    int references;
};

struct frame_pool {
    struct device *device;
    struct frame_pool_params params;
    pthread_mutex_t lock;
    pthread_cond_t back;
    struct slot *free;
    int made, out, aborted;
};

struct frame_pool *frame_pool_open(
    struct device *device, const struct frame_pool_params *params, struct error *e)
{
    assert(params->width > 0 && params->height > 0 && params->count > 0);
    struct frame_pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        error_retry(e, "out_of_memory", "There is no memory for a pool of frames.");
        return NULL;
    }
    pool->device = device;
    pool->params = *params;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->back, NULL);
    return pool;
}

static void destroy(struct frame_pool *pool, struct slot *slot)
{
    const struct device_backend *b = pool->device->backend;
    if (slot->frame.fence)
        b->fence_close(slot->frame.fence);
    if (slot->frame.plane[FRAME_Y])
        b->release(pool->device, pool->params.place, slot->frame.plane[FRAME_Y]);
    free(slot);
}

/* One block for all planes, so that a frame is one allocation on every device. */
static struct slot *make(struct frame_pool *pool)
{
    const struct frame_pool_params *p = &pool->params;
    const struct device_backend *b = pool->device->backend;
    struct slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    struct frame *f = &slot->frame;
    int nv12 = p->layout == FRAME_NV12;
    size_t offset[FRAME_PLANES], bytes = 0;
    for (int i = 0; i < (p->alpha ? FRAME_PLANES : FRAME_A); i++) {
        int shift = i == FRAME_U || i == FRAME_V;
        int row = (((p->width + shift) >> shift) << (shift && nv12)) + b->alignment - 1;
        offset[i] = bytes;
        f->stride[i] = row / b->alignment * b->alignment;
        if (i == FRAME_V && nv12)
            offset[i] = offset[FRAME_U] + 1;
        else
            bytes += (size_t)f->stride[i] * (size_t)((p->height + shift) >> shift);
    }
    slot->pool = pool;
    uint8_t *memory = b->allocate(pool->device, p->place, bytes);
    f->plane[FRAME_Y] = memory;
    if (memory && b->fence_open)
        f->fence = b->fence_open(pool->device);
    if (!memory || (b->fence_open && !f->fence)) {
        destroy(pool, slot);
        return NULL;
    }
    for (int i = 0; i < (p->alpha ? FRAME_PLANES : FRAME_A); i++)
        f->plane[i] = memory + offset[i];
    f->width = p->width;
    f->height = p->height;
    f->layout = p->layout;
    f->place = p->place;
    return slot;
}

struct frame *frame_take(struct frame_pool *pool, struct error *e)
{
    struct slot *slot = NULL;
    pthread_mutex_lock(&pool->lock);
    while (!pool->aborted && !pool->free && pool->made == pool->params.count)
        pthread_cond_wait(&pool->back, &pool->lock);
    if (pool->aborted) {
        error_set(e, "cancelled", "The job was stopped.");
    } else if (pool->free) {
        slot = pool->free;
        pool->free = slot->next_free;
    } else if ((slot = make(pool))) {
        pool->made++;
    } else {
        error_retry(e, "out_of_memory", "There is no memory for a frame of %dx%d pixels.",
            pool->params.width, pool->params.height);
    }
    if (slot) {
        slot->references = 1;
        pool->out++;
    }
    pthread_mutex_unlock(&pool->lock);
    return slot ? &slot->frame : NULL;
}

int frame_wait(struct frame *frame, struct error *e)
{
    const struct slot *slot = (const struct slot *)frame;
    const struct device *device = slot->pool->device;
    return frame->fence ? device->backend->fence_wait(device, frame, e) : 0;
}

int frame_fetch(struct frame *to, const struct frame *from, struct error *e)
{
    const struct device *device = ((const struct slot *)to)->pool->device;
    return device->backend->fetch(device, to, from, e);
}

struct frame *frame_ref(struct frame *frame)
{
    struct slot *slot = (struct slot *)frame;
    pthread_mutex_lock(&slot->pool->lock);
    assert(slot->references > 0);
    slot->references++;
    pthread_mutex_unlock(&slot->pool->lock);
    return frame;
}

void frame_release(struct frame *frame)
{
    if (!frame)
        return;
    struct slot *slot = (struct slot *)frame;
    struct frame_pool *pool = slot->pool;
    pthread_mutex_lock(&pool->lock);
    assert(slot->references > 0);
    if (!--slot->references) {
        slot->next_free = pool->free;
        pool->free = slot;
        pool->out--;
        pthread_cond_signal(&pool->back);
    }
    pthread_mutex_unlock(&pool->lock);
}

void frame_pool_abort(struct frame_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->aborted = 1;
    pthread_cond_broadcast(&pool->back);
    pthread_mutex_unlock(&pool->lock);
}

void frame_pool_close(struct frame_pool *pool)
{
    if (!pool)
        return;
    assert(!pool->out);
    for (struct slot *slot = pool->free, *next; slot; slot = next) {
        next = slot->next_free;
        destroy(pool, slot);
    }
    pthread_cond_destroy(&pool->back);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
