#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32 };

static struct {
    int epoll, clock, signals;
    int running;
    struct epoll_event batch[BATCH]; /* of this turn; a cleared watch is taken out of it */
    int batch_count;
    struct timer *timers; /* earliest first: there are a few a job */
    int64_t armed;        /* what the clock is set to, 0: nothing */
    struct watch clock_watch, signal_watch;
    void (*on_signal)(void *data, int number);
    void *signal_data;
    void (*forget)(void);
} loop = { .epoll = -1, .clock = -1, .signals = -1 };

int64_t loop_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

void watch_set(
    struct watch *w, int fd, uint32_t events, void (*on)(void *data, uint32_t events), void *data)
{
    struct epoll_event event = { .events = events, .data.ptr = w };
    int change = w->on && w->fd == fd;
    if (w->on && w->fd != fd) {
        watch_clear(w);
    }
    *w = (struct watch) { fd, on, data };
    if (epoll_ctl(loop.epoll, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event)) {
        abort(); /* a bad descriptor or no kernel memory: nothing would ever wake its owner */
    }
}

void watch_clear(struct watch *w)
{
    if (!w->on) {
        return;
    }
    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, w->fd, 0);
    for (int i = 0; i < loop.batch_count; i++) {
        if (loop.batch[i].data.ptr == w) {
            loop.batch[i].data.ptr = 0;
        }
    }
    w->on = 0;
}

void timer_set(struct timer *t, int64_t at, void (*on)(void *data), void *data)
{
    struct timer **link = &loop.timers;
    timer_clear(t);
    while (*link && (*link)->at <= at) {
        link = &(*link)->next;
    }
    *t = (struct timer) { at, *link, link, on, data };
    if (t->next) {
        t->next->link = &t->next;
    }
    *link = t;
}

void timer_clear(struct timer *t)
{
    if (t->link) {
        *t->link = t->next;
        if (t->next) {
            t->next->link = t->link;
        }
        t->link = 0;
    }
}

static void on_clock(void *data, uint32_t events)
{
    (void)data, (void)events;
    uint64_t expirations;
    if (read(loop.clock, &expirations, sizeof expirations) > 0) {
        loop.armed = 0;
    }
}

static void run_timers(void)
{
    int64_t now = loop_now();
    while (loop.timers && loop.timers->at <= now) {
        struct timer *t = loop.timers;
        timer_clear(t);
        t->on(t->data);
    }
    int64_t at = loop.timers ? loop.timers->at : 0;
    if (at != loop.armed) {
        struct itimerspec when = { .it_value = { at / 1000, at % 1000 * 1000000 } };
        timerfd_settime(loop.clock, TFD_TIMER_ABSTIME, &when, 0);
        loop.armed = at;
    }
}

static void on_signal(void *data, uint32_t events)
{
    (void)data, (void)events;
    struct signalfd_siginfo info;
    while (read(loop.signals, &info, sizeof info) == sizeof info) {
        loop.on_signal(loop.signal_data, (int)info.ssi_signo);
    }
}

static void on_child(void *data, uint32_t events)
{
    (void)events;
    struct child *c = data;
    int status;
    if (waitpid(c->pid, &status, WNOHANG) == c->pid) {
        int fd = c->watch.fd;
        watch_clear(&c->watch);
        close(fd);
        c->pid = 0;
        c->on(c->data, status);
    }
}

static void handled(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void close_all_but(const int *kept, int count)
{
    int sorted[CHILD_KEPT], from = STDERR_FILENO + 1;
    memcpy(sorted, kept, (size_t)count * sizeof *kept);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
    for (int i = 0; i < count; i++) {
        if (sorted[i] > from) {
            close_range((unsigned)from, (unsigned)sorted[i] - 1, 0);
        }
        if (sorted[i] >= from) {
            from = sorted[i] + 1;
        }
    }
    close_range((unsigned)from, ~0u, 0);
}

static void become_child(pid_t parent, const int *kept, int kept_count)
{
    sigset_t set;
    handled(&set);
    setpgid(0, 0); /* Ctrl-C is for the parent, which lets its children finish */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); /* it died before the line above */
    }
    if (loop.forget) {
        loop.forget();
    }
    loop.epoll = loop.clock = loop.signals = -1;
    loop.timers = 0; /* the parent's; a child may open a loop of its own */
    loop.batch_count = 0;
    loop.armed = 0;
    close_all_but(kept, kept_count);
}

void child_forget(void (*forget)(void))
{
    loop.forget = forget;
}

pid_t child_fork(struct child *c, const int *kept, int kept_count,
    void (*on)(void *data, int status), void *data)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        return -1;
    }
    if (!pid) {
        become_child(parent, kept, kept_count);
        return 0;
    }
    int fd = pidfd_open(pid, 0);
    if (fd < 0) {
        int saved = errno;
        kill(pid, SIGKILL);
        waitpid(pid, 0, 0);
        errno = saved;
        return -1;
    }
    c->pid = pid;
    c->on = on;
    c->data = data;
    watch_set(&c->watch, fd, EPOLLIN, on_child, c);
    return pid;
}

void child_kill(struct child *c)
{
    if (c->pid) {
        kill(c->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
    }
}

int loop_open(void (*on_signal_number)(void *data, int number), void *data, struct error *e)
{
    sigset_t set;
    handled(&set);
    sigprocmask(SIG_BLOCK, &set, 0);
    signal(SIGPIPE, SIG_IGN);
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.clock = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    loop.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop.epoll < 0 || loop.clock < 0 || loop.signals < 0) {
        return error_set(e, "loop", "The event loop cannot be made: %s.", strerror(errno));
    }
    loop.on_signal = on_signal_number;
    loop.signal_data = data;
    watch_set(&loop.clock_watch, loop.clock, EPOLLIN, on_clock, 0);
    watch_set(&loop.signal_watch, loop.signals, EPOLLIN, on_signal, 0);
    return 0;
}

void loop_run(void)
{
    loop.running = 1;
    for (run_timers(); loop.running; run_timers()) {
        int n = epoll_wait(loop.epoll, loop.batch, BATCH, -1);
        loop.batch_count = n > 0 ? n : 0;
        for (int i = 0; i < loop.batch_count; i++) {
            struct watch *w = loop.batch[i].data.ptr;
            if (w) {
                w->on(w->data, loop.batch[i].events);
            }
        }
        loop.batch_count = 0;
    }
}

void loop_stop(void)
{
    loop.running = 0;
}

void loop_close(void)
{
    watch_clear(&loop.clock_watch);
    watch_clear(&loop.signal_watch);
    close(loop.clock);
    close(loop.signals);
    close(loop.epoll);
    loop.epoll = loop.clock = loop.signals = -1;
}
