#include "queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t room, work;
    void (*drop)(void *item);
    int ended, aborted;
    int capacity, first, count;
    void *items[];
};

struct queue *queue_open(int capacity, void (*drop)(void *item))
{
    assert(capacity > 0);
    struct queue *q = calloc(1, sizeof *q + (size_t)capacity * sizeof *q->items);
    if (!q)
        return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->room, NULL);
    pthread_cond_init(&q->work, NULL);
    q->drop = drop;
    q->capacity = capacity;
    return q;
}

enum queue_state queue_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    assert(!q->ended);
    while (q->count == q->capacity && !q->aborted)
        pthread_cond_wait(&q->room, &q->lock);
    int aborted = q->aborted;
    if (!aborted) {
        q->items[(q->first + q->count++) % q->capacity] = item;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    if (!aborted)
        return QUEUE_ITEM;
    q->drop(item);
    return QUEUE_ABORTED;
}

static void *take(struct queue *q)
{
    void *item = q->items[q->first];
    q->first = (q->first + 1) % q->capacity;
    q->count--;
    return item;
}

enum queue_state queue_pop(struct queue *q, void **item)
{
    enum queue_state state = QUEUE_ITEM;
    pthread_mutex_lock(&q->lock);
    while (!q->count && !q->ended && !q->aborted)
        pthread_cond_wait(&q->work, &q->lock);
    if (q->aborted) {
        state = QUEUE_ABORTED;
    } else if (!q->count) {
        state = QUEUE_END;
    } else {
        *item = take(q);
        pthread_cond_signal(&q->room);
    }
    pthread_mutex_unlock(&q->lock);
    return state;
}

void queue_end(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    assert(!q->ended);
    q->ended = 1;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
}

void queue_abort(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->aborted = 1;
    while (q->count)
        q->drop(take(q));
    pthread_cond_broadcast(&q->room);
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
}

void queue_close(struct queue *q)
{
    if (!q)
        return;
    while (q->count)
        q->drop(take(q));
    pthread_cond_destroy(&q->room);
    pthread_cond_destroy(&q->work);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
