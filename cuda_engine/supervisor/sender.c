#include "sender.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../log.h"
#include "egress.h"
#include "loop.h"
#include "untrusted.h"

enum {
    BODY_BYTES = 16384, /* of an answer that are read, for politeness; nobody looks at them */
    CONNECT_SHARE = 3,  /* of the time for a connection to stand: a third */
    FILES_A_POST = 6,   /* a socket, and what its name takes */
    FILES = 32,         /* besides */
    LATE = 2,           /* times the timeout, after which the process is taken for hung */
};

/* What crosses the socket: this, then the URL, the headers and the body. */
struct head {
    uint64_t id;
    uint32_t url, headers, body; /* bytes */
};

/* ---- the child ---- */

struct post {
    CURL *curl;
    CURLU *url;
    struct curl_slist *headers;
    struct egress egress;
    struct sender_result result;
    int64_t begun;
    size_t body; /* bytes of the answer */
};

static struct {
    const struct sender_params *params;
    int socket;
    CURLM *multi;
    struct timer timer;
    struct watch watch;
} child;

static size_t on_body(char *bytes, size_t size, size_t n, void *data)
{
    (void)bytes;
    struct post *p = data;
    p->body += size * n;
    return p->body > BODY_BYTES ? 0 : n;
}

/* The status decides, once the headers are complete: how the body ends does not matter. */
static void finish(struct post *p, CURLcode rc)
{
    long status = 0;
    curl_off_t retry_after = 0;
    if (p->curl && p->egress.answered && !p->egress.denied) {
        curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(p->curl, CURLINFO_RETRY_AFTER, &retry_after);
    } else {
        egress_explain(&p->egress, p->curl, rc);
    }
    p->result.status = (int32_t)status;
    p->result.retry_after = (int32_t)(retry_after > INT32_MAX ? INT32_MAX : retry_after);
    p->result.ms = (int32_t)(loop_now() - p->begun);
    if (send(child.socket, &p->result, sizeof p->result, 0) != sizeof p->result) {
        _exit(1);
    }
    curl_multi_remove_handle(child.multi, p->curl);
    curl_easy_cleanup(p->curl);
    curl_slist_free_all(p->headers);
    curl_url_cleanup(p->url);
    free(p);
}

static void finish_ended(void)
{
    CURLMsg *message;
    for (int left; (message = curl_multi_info_read(child.multi, &left));) {
        char *p = 0;
        CURLcode rc = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &p);
        finish((struct post *)(void *)p, rc);
    }
}

static void act(curl_socket_t fd, int what)
{
    int running;
    curl_multi_socket_action(child.multi, fd, what, &running);
    finish_ended();
}

static void on_timer(void *data)
{
    (void)data;
    act(CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(void *data, uint32_t events)
{
    struct watch *w = data; /* libcurl may free it */
    act(w->fd, (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

/* libcurl: watch this socket */
static int want_socket(CURL *curl, curl_socket_t fd, int what, void *data, void *known)
{
    (void)curl, (void)data;
    struct watch *w = known;
    if (what == CURL_POLL_REMOVE) {
        watch_clear(w);
        free(w);
        return 0;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w) {
            _exit(1);
        }
        curl_multi_assign(child.multi, fd, w);
    }
    watch_set(w, fd,
        (what != CURL_POLL_OUT ? EPOLLIN : 0u) | (what != CURL_POLL_IN ? EPOLLOUT : 0u), on_socket,
        w);
    return 0;
}

/* libcurl: call me in ms */
static int want_timer(CURLM *multi, long ms, void *data)
{
    (void)multi, (void)data;
    if (ms < 0) {
        timer_clear(&child.timer);
    } else {
        timer_set(&child.timer, loop_now() + ms, on_timer, 0);
    }
    return 0;
}

/* One after another, from lines. */
static struct curl_slist *header_list(char *lines)
{
    struct curl_slist *list = curl_slist_append(0, "Expect:"); /* a 100 is not waited for */
    char *rest;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(0, "\n", &rest)) {
        list = curl_slist_append(list, line);
    }
    return list;
}

static void set_options(struct post *p, const char *body, size_t bytes)
{
    CURL *c = p->curl;
    egress_set_up(&p->egress, c, p->url);
    curl_easy_setopt(c, CURLOPT_PRIVATE, p);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)bytes);
    curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)child.params->timeout);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)child.params->timeout / CONNECT_SHARE + 1);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* nobody waits for a resolver's thread */
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, p);
}

static void begin(const struct head *h, char *text)
{
    struct post *p = calloc(1, sizeof *p);
    if (!p) {
        _exit(1);
    }
    p->begun = loop_now();
    p->result.id = h->id;
    p->egress = (struct egress) { .policy = child.params->policy, .error = &p->result.error };
    char *headers = text + h->url, *body = headers + h->headers;
    p->url = curl_url();
    p->curl = curl_easy_init();
    if (!p->url || !p->curl) {
        _exit(1);
    }
    if (h->url > EGRESS_URL + 1 || curl_url_set(p->url, CURLUPART_URL, text, CURLU_DISALLOW_USER)) {
        error_set(&p->result.error, "url_denied", "The URL is not one that is sent to.");
    } else if (!egress_begin(&p->egress, p->url)) {
        p->headers = header_list(headers);
        set_options(p, body, h->body);
        if (!curl_multi_add_handle(child.multi, p->curl)) {
            return;
        }
    }
    finish(p, CURLE_FAILED_INIT);
}

static void on_request(void *data, uint32_t events)
{
    (void)events;
    char *text = data;
    struct head h;
    struct iovec parts[] = { { &h, sizeof h }, { text, SENDER_BYTES } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    ssize_t n = recvmsg(child.socket, &message, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        _exit(0); /* the supervisor has closed it */
    }
    begin(&h, text);
}

static void on_signal(void *data, int number)
{
    (void)data, (void)number; /* the supervisor says when it is over */
}

static _Noreturn void be_sender(const struct sender_params *params, int fd)
{
    static char text[SENDER_BYTES];
    struct error e;
    child.params = params;
    child.socket = fd;
    if (egress_confine(0, params->connections * FILES_A_POST + FILES) ||
        loop_open(on_signal, 0, &e) || !(child.multi = curl_multi_init())) {
        _exit(1);
    }
    curl_multi_setopt(child.multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(child.multi, CURLMOPT_TIMERFUNCTION, want_timer);
    watch_set(&child.watch, fd, EPOLLIN, on_request, text);
    loop_run();
    _exit(0);
}

/* ---- the supervisor ---- */

/* Taken and not answered yet, the oldest first. */
struct waiting {
    uint64_t id;
    int64_t late; /* loop_now() at which the process is taken for hung */
    char *text;   /* what is still to be sent to it, with its head; NULL: nothing */
    size_t bytes;
    struct waiting *next;
};

static struct {
    struct sender_params params;
    void (*done)(void *data, const struct sender_result *result);
    void *data;
    struct child process;
    int socket;
    struct watch watch;
    struct timer hung;
    struct waiting *first, **last;
} sender;

static void on_socket_ready(void *data, uint32_t events);

static void on_hung(void *data)
{
    (void)data;
    child_kill(&sender.process);
}

/* Sends what fits and waits for what is needed next. */
static void advance(void)
{
    int full = 0;
    for (struct waiting *w = sender.first; w && !full; w = w->next) {
        if (w->text) {
            full = send(sender.socket, w->text, w->bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
            if (!full) {
                free(w->text);
                w->text = 0;
            }
        }
    }
    watch_set(&sender.watch, sender.socket, EPOLLIN | (full ? EPOLLOUT : 0u), on_socket_ready, 0);
    if (sender.first) {
        timer_set(&sender.hung, sender.first->late, on_hung, 0);
    } else {
        timer_clear(&sender.hung);
    }
}

/* Answers *link, which is no longer waited for. */
static void answer(struct waiting **link, const struct sender_result *result)
{
    struct waiting *w = *link;
    *link = w->next;
    if (!w->next) {
        sender.last = link;
    }
    sender.done(sender.data, result);
    free(w->text);
    free(w);
}

/* Nothing that the process says is believed. */
static void take(struct sender_result *r)
{
    struct waiting **link = &sender.first;
    while (*link && (*link)->id != r->id) {
        link = &(*link)->next;
    }
    int failed = r->error.code[0] != 0;
    if (!*link || r->ms < 0 || r->retry_after < 0 || r->status < 0 || r->status > 999 ||
        failed == (r->status != 0) || (failed && untrusted_error(&r->error))) {
        child_kill(&sender.process);
        return;
    }
    answer(link, r);
}

/* Takes what has arrived. */
static void take_all(void)
{
    struct sender_result r;
    while (recv(sender.socket, &r, sizeof r, MSG_DONTWAIT) == sizeof r) {
        take(&r);
    }
}

static void on_socket_ready(void *data, uint32_t events)
{
    (void)data;
    take_all();
    if (events & (EPOLLHUP | EPOLLERR)) {
        watch_clear(&sender.watch); /* its end follows */
    } else {
        advance();
    }
}

static void on_end(void *data, int status)
{
    (void)data;
    struct sender_result lost = { 0 };
    error_retry(&lost.error, "sender_lost", "The sender ended early (%s %d).",
        WIFSIGNALED(status) ? "signal" : "status",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    log_event(LOG_ERROR, "sender_ended", log_str("err", lost.error.text));
    take_all();
    watch_clear(&sender.watch);
    timer_clear(&sender.hung);
    close(sender.socket);
    while (sender.first) {
        lost.id = sender.first->id;
        answer(&sender.first, &lost);
    }
}

/* 0 where the process runs. */
static int start(struct error *e)
{
    int ends[2];
    if (sender.process.pid) {
        return 0;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        return error_retry(e, "sender_lost", "The sender cannot be started: %s.", strerror(errno));
    }
    pid_t pid = child_fork(&sender.process, &ends[1], 1, on_end, 0);
    if (!pid) {
        be_sender(&sender.params, ends[1]);
    }
    int reason = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return error_retry(e, "sender_lost", "The sender cannot be started: %s.", strerror(reason));
    }
    sender.socket = ends[0];
    return 0;
}

int sender_post(uint64_t id, const char *url, const char *headers, const char *body,
    size_t body_bytes, struct error *e)
{
    struct head h = { id, (uint32_t)strlen(url) + 1, (uint32_t)strlen(headers) + 1,
        (uint32_t)body_bytes };
    size_t bytes = h.url + h.headers + body_bytes;
    if (bytes > SENDER_BYTES) {
        return error_set(e, "too_large", "The event has more than %d bytes.", SENDER_BYTES);
    }
    if (start(e)) {
        return -1;
    }
    struct waiting *w = calloc(1, sizeof *w);
    if (!w || !(w->text = malloc(sizeof h + bytes))) {
        abort(); /* the process is lost, and what was claimed is claimed again */
    }
    w->id = id;
    w->late = loop_now() + LATE * sender.params.timeout;
    w->bytes = sizeof h + bytes;
    memcpy(w->text, &h, sizeof h);
    memcpy(w->text + sizeof h, url, h.url);
    memcpy(w->text + sizeof h + h.url, headers, h.headers);
    memcpy(w->text + sizeof h + h.url + h.headers, body, body_bytes);
    *sender.last = w;
    sender.last = &w->next;
    advance();
    return 0;
}

void sender_open(const struct sender_params *params,
    void (*done)(void *data, const struct sender_result *result), void *data)
{
    sender.params = *params;
    sender.done = done;
    sender.data = data;
    sender.last = &sender.first;
}

void sender_close(void)
{
    if (sender.process.pid) {
        int fd = sender.process.watch.fd;
        watch_clear(&sender.process.watch); /* nobody hears of its end */
        close(fd);
        watch_clear(&sender.watch);
        timer_clear(&sender.hung);
        close(sender.socket);
        child_kill(&sender.process);
        sender.process.pid = 0;
    }
    while (sender.first) {
        struct waiting *w = sender.first;
        sender.first = w->next;
        free(w->text);
        free(w);
    }
    sender.last = &sender.first;
}
