#include "fence.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct fence {
    const struct cuda *cuda;
    CUevent written, read[FENCE_READERS];
    pthread_mutex_t lock; /* of what follows: readers are several threads */
    int is_written, readers;
};

void *fence_open(const struct cuda *c)
{
    struct fence *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->cuda = c;
    pthread_mutex_init(&n->lock, NULL);
    CUresult failed = c->cuEventCreate(&n->written, CU_EVENT_DISABLE_TIMING);
    if (failed)
        n->written = NULL;
    for (int i = 0; !failed && i < FENCE_READERS; i++)
        if ((failed = c->cuEventCreate(&n->read[i], CU_EVENT_DISABLE_TIMING)))
            n->read[i] = NULL;
    if (!failed)
        return n;
    fence_close(n);
    return NULL;
}

void fence_close(void *fence)
{
    struct fence *n = fence;
    if (n->written)
        n->cuda->cuEventDestroy(n->written);
    for (int i = 0; i < FENCE_READERS && n->read[i]; i++)
        n->cuda->cuEventDestroy(n->read[i]);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

int fence_write(struct frame *f, CUstream stream, struct error *e)
{
    struct fence *n = f->fence;
    int result = 0;
    for (int i = 0; !result && i < n->readers; i++)
        result = CUDA(n->cuda, e, cuStreamWaitEvent, stream, n->read[i], 0);
    n->readers = 0;
    return result;
}

int fence_written(struct frame *f, CUstream stream, struct error *e)
{
    struct fence *n = f->fence;
    n->is_written = 1;
    return CUDA(n->cuda, e, cuEventRecord, n->written, stream);
}

int fence_read(const struct frame *f, CUstream stream, struct error *e)
{
    struct fence *n = f->fence;
    return n->is_written ? CUDA(n->cuda, e, cuStreamWaitEvent, stream, n->written, 0) : 0;
}

int fence_done(const struct frame *f, CUstream stream, struct error *e)
{
    struct fence *n = f->fence;
    pthread_mutex_lock(&n->lock);
    int reader = n->readers++;
    pthread_mutex_unlock(&n->lock);
    assert(reader < FENCE_READERS);
    return CUDA(n->cuda, e, cuEventRecord, n->read[reader], stream);
}

int fence_host_write(struct frame *f, struct error *e)
{
    struct fence *n = f->fence;
    int result = 0;
    for (int i = 0; !result && i < n->readers; i++)
        result = CUDA(n->cuda, e, cuEventSynchronize, n->read[i]);
    n->readers = 0;
    n->is_written = 0;
    return result;
}

int fence_host_read(const struct frame *f, struct error *e)
{
    struct fence *n = f->fence;
    return n->is_written ? CUDA(n->cuda, e, cuEventSynchronize, n->written) : 0;
}
