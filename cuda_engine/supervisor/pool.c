#include "pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../log.h"
#include "cards.h"
#include "loop.h"
#include "untrusted.h"

enum {
    START_MS = 300000,  /* to plan every model */
    GOODBYE_MS = 5000,  /* from the last report to the exit */
    BACKOFF_MIN = 1000, /* after a worker that did not become warm */
    BACKOFF_MAX = 60000,
};

struct worker {
    enum { ABSENT, STARTING, FREE, TAKEN, WORKING, PROBED, FINISHED } state;
    struct child child;
    int control; /* the supervisor's end */
    struct watch watch;
    struct timer timer; /* ABSENT: start; STARTING and FINISHED: kill */
    const struct pool_user *user;
    void *data;
    int64_t oom_kills;     /* of the machine, when the job was sent */
    int card;              /* NO_CARD: none, or it is not known yet which */
    int64_t held;          /* of its memory */
    int has_job;           /* as cards_hold() was told */
    int64_t idle;          /* of what is held, without a job */
    int64_t largest;       /* what a job may need */
    int served;            /* a job was sent */
    char model[JOB_MODEL]; /* whose network is planned */
    int warnings;
};

static struct pool_params params;
static struct worker *workers;
static int slots; /* one more than jobs at a time */
static int stopping;
static int64_t largest;       /* of what workers said that a job may need */
static char asked[JOB_MODEL]; /* the model of the last job */
static int backoff;           /* before the next start; 0 once a worker has served */
static struct error said; /* why the last worker did not become warm: each reason is said once */

static void start(void *data);
static void replenish(void);

/* Holds so much of a card, in the place of what was held before. job: 1: with a job, 0: waiting for one. */
static void hold(struct worker *w, int card, int64_t bytes, int job)
{
    cards_hold(w->card, -w->held, -w->has_job);
    w->card = card;
    w->held = bytes;
    w->has_job = job;
    cards_hold(card, bytes, job);
}

/* There may be room again for a job, or for a worker. */
static void tell_room(void)
{
    replenish();
    if (pool_free() > 0) {
        params.ready(params.data);
    }
}

/* How often the kernel has killed a process for want of memory. */
static int64_t oom_kills(void)
{
    char line[128];
    long long n = 0;
    FILE *in = fopen("/proc/vmstat", "re");
    while (in && fgets(line, sizeof line, in)) {
        if (sscanf(line, "oom_kill %lld", &n) == 1) {
            break;
        }
    }
    if (in) {
        fclose(in);
    }
    return n;
}

/* Why a process that said neither DONE nor FAILED has ended. */
static void explain(const struct worker *w, int status, struct error *e)
{
    static const struct {
        int signal;
        const char *code, *text;
    } causes[] = {
        { SIGSYS, "decode_error", "The video made the decoder do what no decoder may (SIGSYS)." },
        { SIGSEGV, "decode_error", "The video crashed the decoder (SIGSEGV)." },
        { SIGBUS, "decode_error", "The video crashed the decoder (SIGBUS)." },
        { SIGXCPU, "job_timeout", "The job used up its processor time." },
    };
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        if (causes[i].signal == number) {
            error_retry(e, causes[i].code, "%s", causes[i].text);
            return;
        }
    }
    if (number == SIGKILL && oom_kills() > w->oom_kills) {
        error_retry(e, "out_of_memory", "The job needed more memory than this machine has.");
    } else if (number) {
        error_retry(e, "worker_crashed", "The worker was ended by signal %d (%s).", number,
            strsignal(number));
    } else {
        error_retry(e, "worker_crashed", "The worker ended with status %d before the job was done.",
            WEXITSTATUS(status));
    }
}

/* ---- reports ---- */

static int is_in(int64_t n, int64_t min, int64_t max)
{
    return n >= min && n <= max;
}

/* 1 if a worker in this state may say this. */
static int is_valid(const struct worker *w, struct report *r)
{
    enum { MAX_SIDE = 65535 };
    const int64_t max_frames = 1 << 30, max_ms = INT64_C(1) << 40;

    int has_error = !untrusted_error(&r->error);
    switch (r->kind) {
    case REPORT_READY:
        return w->state == STARTING && is_in(r->card, 0, CARDS - 1) &&
               is_in(r->cards, 0, INT32_MAX) && is_in(r->card_bytes, 0, INT64_MAX) &&
               is_in(r->idle, 0, INT64_MAX) && is_in(r->need, r->idle, INT64_MAX / 2);
    case REPORT_PROBED:
        untrusted_text(r->network, sizeof r->network);
        return w->state == WORKING && is_in(r->frames_total, 1, max_frames) &&
               is_in(r->duration_ms, 0, max_ms) && is_in(r->width, 1, MAX_SIDE) &&
               is_in(r->height, 1, MAX_SIDE);
    case REPORT_PROGRESS:
        return w->state == PROBED && is_in(r->frames_done, 0, max_frames) &&
               is_in(r->need, 0, INT64_MAX);
    case REPORT_WARNING:
        return (w->state == WORKING || w->state == PROBED) && w->warnings < JOB_WARNINGS &&
               has_error;
    case REPORT_DONE:
        return w->state == PROBED && is_in(r->frames_done, 1, max_frames) &&
               is_in(r->duration_ms, 0, max_ms) && is_in(r->width, 1, MAX_SIDE) &&
               is_in(r->height, 1, MAX_SIDE) && is_in(r->bytes, 1, INT64_MAX) &&
               is_in(r->alpha_bytes, 0, INT64_MAX);
    case REPORT_FAILED:
        return (w->state == STARTING || w->state == WORKING || w->state == PROBED) && has_error;
    }
    return 0;
}

static void kill_late(void *data)
{
    struct worker *w = data;
    child_kill(&w->child);
}

static void said_not_warm(const struct error *why)
{
    if (strcmp(why->text, said.text) != 0) {
        log_event(
            LOG_ERROR, "worker_not_ready", log_str("code", why->code), log_str("err", why->text));
        said = *why;
    }
}

static void on_report(struct worker *w, struct report *r)
{
    int was = w->state;
    if (!is_valid(w, r)) {
        log_event(LOG_ERROR, "worker_report_refused", log_num("pid", w->child.pid),
            log_num("kind", r->kind));
        child_kill(&w->child);
        return;
    }
    w->warnings += r->kind == REPORT_WARNING;
    switch (r->kind) {
    case REPORT_READY:
        timer_clear(&w->timer);
        w->state = FREE;
        w->idle = r->idle;
        w->largest = r->need;
        r->card = r->cards ? r->card : NO_CARD;
        largest = r->cards ? r->need : largest;
        cards_found(r->cards, r->card, r->card_bytes);
        hold(w, r->card, r->idle, 0);
        said.text[0] = 0;
        log_event(LOG_INFO, "worker_ready", log_num("pid", w->child.pid),
            log_str("model", w->model), log_str("device", r->error.text));
        params.ready(params.data);
        return;
    case REPORT_PROBED: w->state = PROBED; break;
    case REPORT_DONE:
    case REPORT_FAILED:
        w->state = FINISHED;
        timer_set(&w->timer, loop_now() + GOODBYE_MS, kill_late, w);
        break;
    case REPORT_PROGRESS:
        if (r->need) {
            hold(w, w->card, r->need < w->largest ? r->need : w->largest, 1);
            log_event(LOG_INFO, "worker_holds", log_num("pid", w->child.pid),
                log_num("card", w->card), log_num("mib", w->held >> 20));
        }
        break;
    case REPORT_WARNING: break;
    }
    if (was == STARTING) {
        said_not_warm(&r->error);
    } else if (w->user) {
        w->user->report(w->data, r);
    }
    if (r->kind == REPORT_PROGRESS && r->need) {
        tell_room();
    }
}

/* 1 while there may be more. */
static int receive(struct worker *w)
{
    struct report r;
    ssize_t n = recv(w->control, &r, sizeof r, MSG_DONTWAIT | MSG_TRUNC);
    if (n == sizeof r) {
        on_report(w, &r);
    } else if (n > 0) {
        child_kill(&w->child);
    }
    return n > 0;
}

static void on_control(void *data, uint32_t events)
{
    struct worker *w = data;
    if (!receive(w) && events & (EPOLLHUP | EPOLLERR)) {
        watch_clear(&w->watch);
        child_kill(&w->child); /* it is exiting already, or will never be heard of again */
    }
}

/* ---- life ---- */

static int is_busy(const struct worker *w)
{
    return w->state == TAKEN || w->state == WORKING || w->state == PROBED;
}

static int is_free(const struct worker *w)
{
    return w->state == FREE && cards_fit(w->card, w->largest - w->idle);
}

static int is_coming(const struct worker *w)
{
    return w->state == STARTING || w->state == FREE || (w->state == ABSENT && w->timer.link);
}

static int count(int (*is)(const struct worker *w))
{
    int n = 0;
    for (int i = 0; i < slots; i++) {
        n += is(&workers[i]);
    }
    return n;
}

/* While jobs run, one worker more than they need is made ready, so that the next job need not wait for that. */
static void replenish(void)
{
    int wanted = slots - count(is_busy) - count(is_coming);
    wanted = stopping ? 0 : wanted;
    for (int i = 0; i < slots && wanted > 0 && count(is_coming) < params.workers; i++) {
        if (workers[i].state == ABSENT && !workers[i].timer.link &&
            cards_turn(largest, i) != NO_CARD) {
            timer_set(&workers[i].timer, loop_now() + backoff, start, &workers[i]);
            wanted--;
        }
    }
}

static void on_exit_of_worker(void *data, int status)
{
    struct worker *w = data;
    struct error why;

    while (receive(w)) { /* what it said before it ended counts */
    }
    watch_clear(&w->watch);
    close(w->control);
    timer_clear(&w->timer);
    explain(w, status, &why);
    if (w->state == STARTING) {
        said_not_warm(&why);
    }

    log_event(LOG_INFO, "worker_ended", log_num("card", w->card), log_num("served", w->served));

    int finished = w->state == FINISHED;
    const struct pool_user *user = w->user;
    w->user = 0;
    w->state = ABSENT;
    hold(w, NO_CARD, 0, 0);
    if (w->served) {
        backoff = 0;
    } else {
        backoff = backoff ? backoff * 2 : BACKOFF_MIN;
        backoff = backoff > BACKOFF_MAX ? BACKOFF_MAX : backoff;
    }
    tell_room();
    if (user && !finished) {
        user->ended(w->data, &why);
    }
}

/* In the forked child: never returns. */
static _Noreturn void be_worker(int control, int turn)
{
    struct worker_params p = params.worker;
    p.control = control;
    p.turn = turn;
    p.model = asked;
    _exit(worker_main(&p));
}

static void start(void *data)
{
    struct worker *w = data;
    int pair[2], kept[CHILD_KEPT], n = 0, turn = cards_turn(largest, (int)(w - workers));

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        log_event(LOG_ERROR, "worker_not_started", log_str("err", strerror(errno)));
        timer_set(&w->timer, loop_now() + BACKOFF_MAX, start, w);
        return;
    }
    kept[n++] = pair[1];
    for (int m = 0; m < params.worker.manifest_count; m++) {
        n += manifest_descriptors(params.worker.manifests[m], kept + n, CHILD_KEPT - n);
    }
    pid_t pid = child_fork(&w->child, kept, n, on_exit_of_worker, w);
    if (!pid) {
        be_worker(pair[1], turn < 0 ? 0 : turn);
    }
    close(pair[1]);
    if (pid < 0) {
        log_event(LOG_ERROR, "worker_not_started", log_str("err", strerror(errno)));
        close(pair[0]);
        timer_set(&w->timer, loop_now() + BACKOFF_MAX, start, w);
        return;
    }
    w->state = STARTING;
    hold(w, turn, largest, 0);
    w->control = pair[0];
    w->served = w->warnings = 0;
    memcpy(w->model, asked, sizeof w->model);
    watch_set(&w->watch, w->control, EPOLLIN, on_control, w);
    timer_set(&w->timer, loop_now() + START_MS, kill_late, w);
}

void pool_open(const struct pool_params *p)
{
    params = *p;
    snprintf(asked, sizeof asked, "%s", p->worker.model);
    slots = p->workers + 1;
    cards_open(p->card_reserve);
    workers = calloc((size_t)slots, sizeof *workers);
    if (!workers) {
        abort();
    }
    for (int i = 0; i < slots; i++) {
        workers[i].card = NO_CARD;
    }
    replenish();
}

void pool_stop(void)
{
    stopping = 1;
    for (int i = 0; i < slots; i++) {
        if (workers[i].state == ABSENT) {
            timer_clear(&workers[i].timer);
        } else if (!workers[i].user) {
            child_kill(&workers[i].child);
        }
    }
}

int pool_free(void)
{
    int room = params.workers - count(is_busy), ready = count(is_free);
    return stopping ? 0 : room < ready ? room : ready;
}

/* ---- jobs ---- */

struct worker *pool_take(const char *model, const struct pool_user *user, void *data)
{
    struct worker *taken = 0;
    for (int i = 0; i < slots && pool_free() > 0; i++) {
        struct worker *w = &workers[i];
        if (is_free(w) && (!taken || !strcmp(w->model, model))) {
            taken = w;
        }
    }
    snprintf(asked, sizeof asked, "%s", model);
    if (taken) {
        taken->state = TAKEN;
        hold(taken, taken->card, taken->largest, 1);
        taken->user = user;
        taken->data = data;
    }
    return taken;
}

static int send_or_kill(struct worker *w, const struct msghdr *message)
{
    if (sendmsg(w->control, message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        child_kill(&w->child);
        return -1;
    }
    return 0;
}

int pool_send_job(struct worker *w, const struct job *job, struct job_files files)
{
    int *those[JOB_FILES], fds[JOB_FILES] = { 0 };
    const size_t count = (size_t)job_files(job, &files, those), sent = count * sizeof *fds;
    for (size_t i = 0; i < count; i++) {
        fds[i] = *those[i];
    }
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof fds)];
    } rights = { .header = { CMSG_LEN(sent), SOL_SOCKET, SCM_RIGHTS } };
    struct iovec body = { (void *)job, sizeof *job };
    struct msghdr message = { .msg_iov = &body,
        .msg_iovlen = 1,
        .msg_control = &rights,
        .msg_controllen = CMSG_SPACE(sent) };

    memcpy(CMSG_DATA(&rights.header), fds, sent);
    w->state = WORKING;
    w->served = 1;
    w->oom_kills = oom_kills();
    replenish();
    return send_or_kill(w, &message);
}

int pool_send_verdict(struct worker *w, int go)
{
    struct verdict verdict = { go };
    struct iovec body = { &verdict, sizeof verdict };
    return send_or_kill(w, &(struct msghdr) { .msg_iov = &body, .msg_iovlen = 1 });
}

void pool_drop(struct worker *w)
{
    w->user = 0;
    if (w->state == TAKEN && !stopping) {
        w->state = FREE;
        hold(w, w->card, w->idle, 0);
        params.ready(params.data);
    } else if (w->state != FINISHED && w->state != ABSENT) {
        child_kill(&w->child);
    }
}
