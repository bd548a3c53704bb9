/*
 * Streams are queues of work. Work runs at once or, under CUEMU_LAZY, only when something waits for it: then a missing
 * wait shows as data that is not there yet. Events mark places in queues.
 */
#include "driver.h"

#include <stdlib.h>
#include <time.h>

struct CUstream_st {
    struct CUstream_st *next;
    struct work *first, **end;
    bool blocking; /* in order with the null stream */
    CUresult failed;
};

/* A place in a queue. An event is the last one that it recorded; who waits, waits for the one that it was then. */
struct mark {
    int references;
    CUstream stream;
    bool reached;
    double at; /* seconds */
};

struct CUevent_st {
    struct mark *mark; /* NULL: nothing was recorded */
};

static struct CUstream_st null_stream = { .end = &null_stream.first, .blocking = true };
static struct CUstream_st *streams = &null_stream;

static bool is_lazy(void)
{
    static int answer = -1;
    if (answer < 0)
        answer = getenv("CUEMU_LAZY") != NULL;
    return answer;
}

static CUstream stream_of(CUstream stream)
{
    return stream && stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD ? stream
                                                                                  : &null_stream;
}

static void drop(struct work *work)
{
    if (work->drop)
        work->drop(work);
    free(work);
}

static void run_first(CUstream s)
{
    struct work *work = s->first;
    s->first = work->next;
    if (!s->first)
        s->end = &s->first;
    if (!s->failed) {
        memory_open();
        s->failed = work->run(work);
        memory_close();
        if (call_is_fatal(s->failed))
            call_lose_context(s->failed);
    }
    drop(work);
}

CUresult stream_drain(CUstream stream)
{
    CUstream s = stream_of(stream);
    lock();
    while (s->first)
        run_first(s);
    CUresult failed = s->failed;
    unlock();
    return failed;
}

void stream_drain_all(void)
{
    lock();
    for (CUstream s = streams; s; s = s->next)
        stream_drain(s);
    unlock();
}

/* The null stream and blocking streams run in the order in which they were given work. */
static void keep_order(CUstream s)
{
    if (s != &null_stream && s->blocking)
        stream_drain(NULL);
    for (CUstream other = streams; s == &null_stream && other; other = other->next)
        if (other != s && other->blocking)
            stream_drain(other);
}

CUresult stream_push(CUstream stream, struct work *work)
{
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUstream s = stream_of(stream);
    lock();
    keep_order(s);
    work->next = NULL;
    *s->end = work;
    s->end = &work->next;
    if (!is_lazy())
        stream_drain(s);
    CUresult failed = s->failed;
    unlock();
    return failed;
}

/* ---- work of the other libraries ---- */

struct foreign_work {
    struct work work;
    int (*run)(void *data);
    void (*drop)(void *data);
    void *data;
};

static CUresult run_foreign(struct work *work)
{
    struct foreign_work *w = (struct foreign_work *)work;
    return w->run(w->data);
}

static void drop_foreign(struct work *work)
{
    struct foreign_work *w = (struct foreign_work *)work;
    if (w->drop)
        w->drop(w->data);
}

int cuemu_work(CUstream stream, int (*run)(void *data), void (*drop_data)(void *data), void *data)
{
    struct foreign_work *w = malloc(sizeof *w);
    if (!w) {
        if (drop_data)
            drop_data(data);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *w = (struct foreign_work) { { NULL, run_foreign, drop_foreign }, run, drop_data, data };
    return stream_push(stream, &w->work);
}

/* Host functions see of device memory what the host does, nothing. */
struct host_work {
    struct work work;
    CUhostFn function;
    void *data;
};

static CUresult run_host(struct work *work)
{
    struct host_work *w = (struct host_work *)work;
    memory_close();
    w->function(w->data);
    memory_open();
    return CUDA_SUCCESS;
}

API CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data)
{
    ENTER_CURRENT;
    struct host_work *w = malloc(sizeof *w);
    if (!w)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *w = (struct host_work) { { NULL, run_host, NULL }, function, data };
    cuemu_trace("host");
    return stream_push(stream, &w->work);
}

int cuemu_wait(CUstream stream)
{
    return stream_drain(stream);
}

/* ---- streams ---- */

API CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    ENTER_CURRENT;
    CUstream s = calloc(1, sizeof *s);
    if (!s)
        return CUDA_ERROR_OUT_OF_MEMORY;
    lock();
    s->end = &s->first;
    s->blocking = !(flags & CU_STREAM_NON_BLOCKING);
    s->next = streams;
    streams = s;
    unlock();
    cuemu_alive(STREAMS, 1);
    *stream = s;
    return CUDA_SUCCESS;
}

API CUresult cuStreamDestroy_v2(CUstream stream)
{
    ENTER_RELEASE;
    lock();
    stream_drain(stream);
    CUstream *link = &streams;
    while (*link && *link != stream)
        link = &(*link)->next;
    bool known = *link && stream != &null_stream;
    if (known) {
        *link = stream->next;
        free(stream);
        cuemu_alive(STREAMS, -1);
    }
    unlock();
    return known ? earlier : CUDA_ERROR_INVALID_HANDLE;
}

API CUresult cuStreamSynchronize(CUstream stream)
{
    ENTER_CURRENT;
    return stream_drain(stream);
}

API CUresult cuStreamQuery(CUstream stream)
{
    ENTER_CURRENT;
    CUstream s = stream_of(stream);
    lock();
    CUresult result = s->first ? CUDA_ERROR_NOT_READY : s->failed;
    if (s->first)
        run_first(s); /* so that asking again and again comes to an end */
    unlock();
    return result;
}

/* ---- events ---- */

struct mark_work {
    struct work work;
    struct mark *mark;
};

static struct mark *hold(struct mark *mark)
{
    mark->references++;
    return mark;
}

static void let_go(struct mark *mark)
{
    if (mark && !--mark->references)
        free(mark);
}

static void reach(const struct mark *mark)
{
    while (!mark->reached && mark->stream->first)
        run_first(mark->stream);
}

static CUresult run_record(struct work *work)
{
    struct mark *mark = ((struct mark_work *)work)->mark;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    mark->at = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    mark->reached = true;
    return CUDA_SUCCESS;
}

static CUresult run_wait(struct work *work)
{
    reach(((struct mark_work *)work)->mark);
    return CUDA_SUCCESS;
}

static void drop_mark(struct work *work)
{
    let_go(((struct mark_work *)work)->mark);
}

static CUresult push_mark(CUstream stream, CUresult (*run)(struct work *work), struct mark *mark)
{
    struct mark_work *w = malloc(sizeof *w);
    if (w)
        *w = (struct mark_work) { { NULL, run, drop_mark }, hold(mark) };
    return stream_push(stream, w ? &w->work : NULL);
}

API CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    ENTER_CURRENT;
    *event = calloc(1, sizeof **event);
    if (!*event)
        return CUDA_ERROR_OUT_OF_MEMORY;
    cuemu_alive(EVENTS, 1);
    return CUDA_SUCCESS;
}

API CUresult cuEventDestroy_v2(CUevent event)
{
    ENTER_RELEASE;
    lock();
    let_go(event->mark);
    unlock();
    free(event);
    cuemu_alive(EVENTS, -1);
    return earlier;
}

API CUresult cuEventRecord(CUevent event, CUstream stream)
{
    ENTER_CURRENT;
    struct mark *mark = calloc(1, sizeof *mark);
    if (!mark)
        return CUDA_ERROR_OUT_OF_MEMORY;
    lock();
    mark->stream = stream_of(stream);
    let_go(event->mark);
    event->mark = hold(mark);
    CUresult result = push_mark(stream, run_record, mark);
    unlock();
    return result;
}

API CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    ENTER_CURRENT;
    lock();
    CUresult result = event->mark ? push_mark(stream, run_wait, event->mark) : CUDA_SUCCESS;
    unlock();
    return result;
}

API CUresult cuEventSynchronize(CUevent event)
{
    ENTER_CURRENT;
    CUresult result = CUDA_SUCCESS;
    lock();
    if (event->mark && !event->mark->reached) {
        reach(event->mark);
        result = event->mark->stream->failed;
    }
    unlock();
    return result;
}

API CUresult cuEventQuery(CUevent event)
{
    ENTER_CURRENT;
    lock();
    CUresult result = event->mark && !event->mark->reached ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
    if (result && event->mark->stream->first)
        run_first(event->mark->stream); /* so that asking again and again comes to an end */
    unlock();
    return result;
}

API CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent from, CUevent to)
{
    ENTER_CURRENT;
    if (!from->mark || !to->mark)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!from->mark->reached || !to->mark->reached)
        return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((to->mark->at - from->mark->at) * 1000);
    return CUDA_SUCCESS;
}
