/*
 * A bounded queue between the threads of a pipeline: any number of producers and consumers, first in, first out.
 *
 * Who blocks: queue_push() while the queue is full, queue_pop() while it is empty.
 * Who owns: an item belongs to the queue from the call of queue_push(), whatever that returns, until queue_pop() hands
 *   it out. What nobody takes is given to drop().
 * The end: the producing side calls queue_end() exactly once, after its last push. Consumers get what remains, each item
 *   exactly once, and then QUEUE_END, every one of them and however often they ask.
 * Giving up: queue_abort(), from any thread and any number of times, before or after the end. Every item inside is
 *   dropped, every blocked or later push and pop returns QUEUE_ABORTED at once. So a consumer that fails frees its
 *   producers, a producer that fails frees its consumers, and neither has to know the other.
 * Closing: by one thread, after every other thread has left.
 */
#ifndef MATTE_QUEUE_H
#define MATTE_QUEUE_H

enum queue_state { QUEUE_ABORTED = -1, QUEUE_END = 0, QUEUE_ITEM = 1 };

struct queue;

/* capacity items at most, at least 1. NULL: no memory. */
struct queue *queue_open(int capacity, void (*drop)(void *item));

/* QUEUE_ITEM, or QUEUE_ABORTED: the item has been dropped. */
enum queue_state queue_push(struct queue *q, void *item);

/* *item is written with QUEUE_ITEM only. */
enum queue_state queue_pop(struct queue *q, void **item);

void queue_end(struct queue *q);
void queue_abort(struct queue *q);

/* Drops what is left; q may be NULL. */
void queue_close(struct queue *q);

#endif
