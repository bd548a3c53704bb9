/* worker/queue.h as its header says it, alone and under many threads (run it under ThreadSanitizer, too). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/queue.h"

enum { THREADS = 4, ITEMS = 20000, CAPACITY = 5 };

static atomic_int dropped;

static void drop(void *item)
{
    atomic_fetch_add(&dropped, 1);
    free(item);
}

static int *number(int n)
{
    int *item = malloc(sizeof *item);
    assert_non_null(item);
    *item = n;
    return item;
}

static void order_end_and_leftovers(void **state)
{
    (void)state;
    void *item;
    struct queue *q = queue_open(CAPACITY, drop);
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(queue_push(q, number(i)), QUEUE_ITEM);
    queue_end(q);
    for (int i = 0; i < CAPACITY - 1; i++) {
        assert_int_equal(queue_pop(q, &item), QUEUE_ITEM);
        assert_int_equal(*(int *)item, i);
        free(item);
    }
    atomic_store(&dropped, 0);
    queue_close(q);
    assert_int_equal(atomic_load(&dropped), 1);

    q = queue_open(1, drop);
    queue_end(q);
    assert_int_equal(queue_pop(q, &item), QUEUE_END);
    assert_int_equal(queue_pop(q, &item), QUEUE_END);
    queue_abort(q);
    assert_int_equal(queue_pop(q, &item), QUEUE_ABORTED);
    queue_close(q);
    queue_close(NULL);
}

static void abort_drops_what_is_inside_and_what_comes(void **state)
{
    (void)state;
    void *item;
    struct queue *q = queue_open(CAPACITY, drop);
    atomic_store(&dropped, 0);
    queue_push(q, number(1));
    queue_push(q, number(2));
    queue_abort(q);
    queue_abort(q);
    assert_int_equal(atomic_load(&dropped), 2);
    assert_int_equal(queue_push(q, number(3)), QUEUE_ABORTED);
    assert_int_equal(atomic_load(&dropped), 3);
    assert_int_equal(queue_pop(q, &item), QUEUE_ABORTED);
    queue_close(q);
}

struct traffic {
    struct queue *q;
    atomic_int pushed, taken, ends, aborts, depth, deepest, producing;
    atomic_char seen[THREADS * ITEMS];
    atomic_int next;
    int abort_at; /* < 0: never */
};

static void *produce(void *data)
{
    struct traffic *t = data;
    int n;
    while ((n = atomic_fetch_add(&t->next, 1)) < THREADS * ITEMS) {
        atomic_fetch_add(&t->pushed, 1);
        if (queue_push(t->q, number(n)) != QUEUE_ITEM) {
            atomic_fetch_add(&t->aborts, 1);
            break;
        }
    }
    if (atomic_fetch_sub(&t->producing, 1) == 1)
        queue_end(t->q);
    return NULL;
}

static void *consume(void *data)
{
    struct traffic *t = data;
    void *item;
    enum queue_state state;
    while ((state = queue_pop(t->q, &item)) == QUEUE_ITEM) {
        atomic_fetch_add(&t->seen[*(int *)item], 1);
        free(item);
        if (atomic_fetch_add(&t->taken, 1) == t->abort_at)
            queue_abort(t->q);
    }
    atomic_fetch_add(state == QUEUE_END ? &t->ends : &t->aborts, 1);
    return NULL;
}

static void run(struct traffic *t, int abort_at)
{
    pthread_t threads[2 * THREADS];
    t->q = queue_open(CAPACITY, drop);
    t->abort_at = abort_at;
    atomic_store(&t->producing, THREADS);
    atomic_store(&dropped, 0);
    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? produce : consume, t), 0);
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    queue_close(t->q);
}

static void every_item_reaches_one_consumer(void **state)
{
    (void)state;
    struct traffic *t = calloc(1, sizeof *t);
    run(t, -1);
    for (int i = 0; i < THREADS * ITEMS; i++)
        assert_int_equal(atomic_load(&t->seen[i]), 1);
    assert_int_equal(atomic_load(&t->ends), THREADS);
    assert_int_equal(atomic_load(&t->aborts), 0);
    assert_int_equal(atomic_load(&dropped), 0);
    free(t);
}

static void abort_frees_both_sides_and_loses_nothing(void **state)
{
    (void)state;
    for (int at = 0; at < 2000; at += 97) {
        struct traffic *t = calloc(1, sizeof *t);
        run(t, at);
        assert_int_equal(atomic_load(&t->ends), 0);
        assert_int_equal(atomic_load(&t->aborts), 2 * THREADS);
        assert_int_equal(atomic_load(&t->pushed), atomic_load(&t->taken) + atomic_load(&dropped));
        free(t);
    }
}

static void the_end_wakes_every_consumer(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct traffic *t = calloc(1, sizeof *t);
        pthread_t threads[THREADS];
        t->q = queue_open(CAPACITY, drop);
        t->abort_at = -1;
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, consume, t), 0);
        queue_end(t->q);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&t->ends), THREADS);
        queue_close(t->q);
        free(t);
    }
}

/* A full queue holds its producer: what was pushed is never more than capacity ahead of what was taken. */
static void *push_counted(void *data)
{
    struct traffic *t = data;
    for (int i = 0; i < 1000; i++) {
        if (queue_push(t->q, number(i)) != QUEUE_ITEM)
            break;
        int depth = atomic_fetch_add(&t->pushed, 1) + 1 - atomic_load(&t->taken);
        if (depth > atomic_load(&t->deepest))
            atomic_store(&t->deepest, depth);
    }
    queue_end(t->q);
    return NULL;
}

static void a_full_queue_holds_its_producer(void **state)
{
    (void)state;
    struct traffic *t = calloc(1, sizeof *t);
    pthread_t thread;
    void *item;
    t->q = queue_open(CAPACITY, drop);
    assert_int_equal(pthread_create(&thread, NULL, push_counted, t), 0);
    while (queue_pop(t->q, &item) == QUEUE_ITEM) {
        free(item);
        atomic_fetch_add(&t->taken, 1);
    }
    pthread_join(thread, NULL);
    queue_close(t->q);
    assert_int_equal(atomic_load(&t->taken), 1000);
    assert_in_range(
        atomic_load(&t->deepest), 1, CAPACITY + 1); /* one may be taken, not yet counted */
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_end_and_leftovers),
        cmocka_unit_test(abort_drops_what_is_inside_and_what_comes),
        cmocka_unit_test(every_item_reaches_one_consumer),
        cmocka_unit_test(abort_frees_both_sides_and_loses_nothing),
        cmocka_unit_test(the_end_wakes_every_consumer),
        cmocka_unit_test(a_full_queue_holds_its_producer),
    };
    alarm(120);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
