/*
 * The event loop of matted: one thread, one epoll set, so one loop a process and no object for it. Watches, timers and
 * children live in their owners; setting one that is set moves it, clearing one that is clear does nothing, and after a
 * clear its callback is not called again, not even for an event that was already waiting.
 */
#ifndef MATTE_LOOP_H
#define MATTE_LOOP_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

/* Readiness of a descriptor (EPOLLIN, EPOLLOUT, ...), level triggered. The descriptor stays its owner's. */
struct watch {
    int fd; /* meaningful while on is set */
    void (*on)(void *data, uint32_t events);
    void *data;
};
void watch_set(
    struct watch *w, int fd, uint32_t events, void (*on)(void *data, uint32_t events), void *data);
void watch_clear(struct watch *w);

/* One call at a time of loop_now(). */
struct timer {
    int64_t at;
    struct timer *next, **link; /* link is NULL while clear */
    void (*on)(void *data);
    void *data;
};
void timer_set(struct timer *t, int64_t at, void (*on)(void *data), void *data);
void timer_clear(struct timer *t);

enum { CHILD_KEPT = 256 };

/* A forked process. on is called once, when it has ended and been reaped; status is waitpid's. */
struct child {
    pid_t pid; /* 0 when there is none */
    struct watch watch;
    void (*on)(void *data, int status);
    void *data;
};

/* Forks. In the parent: the pid, watched. In the child: 0, with signals as a new process expects them, SIGKILL on the
 * parent's death, only the descriptors 0, 1, 2 and kept (at most CHILD_KEPT, in any order), and no loop, though it may
 * open one. -1 and errno. */
pid_t child_fork(struct child *c, const int *kept, int kept_count,
    void (*on)(void *data, int status), void *data);

/* Called in every child, before its descriptors are closed. */
void child_forget(void (*forget)(void));
void child_kill(struct child *c);

/* Milliseconds of CLOCK_BOOTTIME: it goes on while the machine sleeps, as the database's clock does. */
int64_t loop_now(void);

/* signal(data, number) is called for TERM, INT and HUP. */
int loop_open(void (*signal)(void *data, int number), void *data, struct error *e);

/* Until loop_stop. */
void loop_run(void);
void loop_stop(void);
void loop_close(void);

#endif
