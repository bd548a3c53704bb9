#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "egress.h"
#include "untrusted.h"

enum {
    REDIRECTS = 3,
    LOW_SPEED_BYTES = 16384, /* a second, for */
    LOW_SPEED_SECONDS = 30,
    FILES = 64,
    KILL_MS = 15000, /* after its own limit, which name resolution may pass */
};

/* ---- the child ---- */

struct transfer {
    const struct fetch_params *params;
    struct fetch_result *result;
    CURL *curl;
    struct egress egress; /* of this hop */
};

static long status_of(const struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int too_large(struct transfer *t)
{
    return error_set(&t->result->error, "too_large", "The file is larger than %lld bytes.",
        (long long)t->params->max_bytes);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *data)
{
    struct transfer *t = data;
    if (status_of(t) / 100 != 2) {
        return 0; /* nobody wants the page of an error or a redirect */
    }
    if (t->result->bytes + (int64_t)(size * n) > t->params->max_bytes) {
        too_large(t);
        return 0;
    }
    for (size_t at = 0; at < size * n;) {
        ssize_t written = write(t->params->file, bytes + at, size * n - at);
        if (written < 0 && errno != EINTR) {
            error_retry(&t->result->error, "storage_error", "The file cannot be stored: %s.",
                strerror(errno));
            return 0;
        }
        at += written < 0 ? 0 : (size_t)written;
    }
    t->result->bytes += (int64_t)(size * n);
    return n;
}

/* Resolves the host, judges every address that it has, and adds them to *pins, so that libcurl asks no second time. */
static int resolve(struct transfer *t, CURLU *url, struct curl_slist **pins)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    char bare[EGRESS_HOST + 1], pin[1024], address[INET6_ADDRSTRLEN], port[8];
    size_t length = strlen(t->egress.host), used;

    if (egress_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port)) {
        return error_set(&t->result->error, "url_denied", "The port of the URL is not valid.");
    }
    int bracket = t->egress.host[0] == '[';
    snprintf(
        bare, sizeof bare, "%.*s", (int)(length - 2 * (size_t)bracket), t->egress.host + bracket);
    int rc = getaddrinfo(bare, port, &hints, &list);
    if (rc) {
        return error_retry(&t->result->error, "fetch_unreachable",
            "The name %s does not resolve: %s.", t->egress.host, gai_strerror(rc));
    }
    rc = 0;
    used = (size_t)snprintf(pin, sizeof pin, "%s:%s:", t->egress.host, port);
    for (struct addrinfo *i = list; i; i = i->ai_next) {
        if (!address_allowed(t->params->policy, i->ai_addr)) {
            rc = egress_denied(&t->egress);
            break;
        }
        if (!getnameinfo(
                i->ai_addr, i->ai_addrlen, address, sizeof address, 0, 0, NI_NUMERICHOST) &&
            used + strlen(address) + 4 < sizeof pin) {
            used += (size_t)snprintf(
                pin + used, sizeof pin - used, "%s%s", i == list ? "" : ",", address);
        }
    }
    freeaddrinfo(list);
    if (!rc && !bracket) {
        *pins = curl_slist_append(0, pin);
    }
    return rc;
}

static int64_t time_left(int64_t end)
{
    int64_t left = end - loop_now();
    return left < 1 ? 1 : left;
}

/* How a fetch differs from another request. */
static void set_options(struct transfer *t, CURLU *url, struct curl_slist *pins, int64_t end)
{
    CURL *c = t->curl;
    curl_easy_reset(c);
    egress_set_up(&t->egress, c, url);
    curl_easy_setopt(c, CURLOPT_RESOLVE, pins);
    curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->params->max_bytes);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)t->params->connect_timeout);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)time_left(end));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED_BYTES);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_SECONDS);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
}

/* One request. 0: the body is there; 1: url is where to go next; -1. */
static int request(struct transfer *t, CURLU *url, int64_t end)
{
    struct error *e = &t->result->error;
    struct curl_slist *pins = 0;
    char *next = 0;
    if (egress_begin(&t->egress, url) || resolve(t, url, &pins)) {
        return -1;
    }
    set_options(t, url, pins, end);
    CURLcode rc = curl_easy_perform(t->curl);
    curl_slist_free_all(pins);
    long status = status_of(t);
    t->result->status = (int32_t)status;
    curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &next);
    if (t->egress.denied || status < 200 || (status < 300 && rc)) {
        return rc == CURLE_FILESIZE_EXCEEDED ? too_large(t)
                                             : egress_explain(&t->egress, t->curl, rc);
    }
    if (status < 300) {
        return 0;
    }
    if (status >= 500) {
        return error_retry(
            e, "fetch_5xx", "The server %s answered with status %ld.", t->egress.host, status);
    }
    if (status >= 400 || !next) {
        return error_set(
            e, "fetch_4xx", "The server %s answered with status %ld.", t->egress.host, status);
    }
    if (strlen(next) > EGRESS_URL || curl_url_set(url, CURLUPART_URL, next, CURLU_DISALLOW_USER)) {
        return error_set(e, "url_denied", "The server %s redirects to a URL that is not fetched.",
            t->egress.host);
    }
    return 1;
}

static void run(const struct fetch_params *params, struct fetch_result *result)
{
    struct transfer t = { .params = params,
        .result = result,
        .egress = { .policy = params->policy, .error = &result->error } };
    int64_t end = loop_now() + params->timeout;
    CURLU *url = curl_url();
    t.curl = curl_easy_init();
    if (!url || !t.curl) {
        error_retry(&result->error, "out_of_memory", "The fetcher has no memory.");
    } else if (strlen(params->url) > EGRESS_URL ||
               curl_url_set(url, CURLUPART_URL, params->url, CURLU_DISALLOW_USER)) {
        error_set(&result->error, "url_denied", "The URL is not one that is fetched.");
    } else {
        int more = 1;
        for (int hop = 0; more == 1 && hop <= REDIRECTS; hop++) {
            more = request(&t, url, end);
        }
        if (more == 1) {
            error_set(&result->error, "url_denied", "The server %s redirects more than %d times.",
                t.egress.host, REDIRECTS);
        }
    }
    curl_easy_cleanup(t.curl);
    curl_url_cleanup(url);
}

static _Noreturn void be_fetcher(const struct fetch_params *params, int pipe)
{
    struct fetch_result result = { 0 };
    if (egress_confine(params->max_bytes, FILES)) {
        error_retry(&result.error, "worker_crashed", "The fetcher cannot be confined.");
    } else {
        run(params, &result);
    }
    result.failed = result.error.code[0] != 0;
    _exit(write(pipe, &result, sizeof result) != sizeof result);
}

/* ---- the supervisor ---- */

struct fetch {
    struct child child;
    struct timer timer;
    int pipe, timed_out;
    void (*done)(void *data, const struct fetch_result *result); /* NULL: cancelled */
    void *data;
};

static void on_late(void *data)
{
    struct fetch *f = data;
    f->timed_out = 1;
    child_kill(&f->child);
}

static void on_end(void *data, int status)
{
    struct fetch *f = data;
    struct fetch_result result = { 0 };
    ssize_t n = read(f->pipe, &result, sizeof result);
    if (f->timed_out) {
        result.failed = 1;
        error_retry(&result.error, "fetch_timeout", "The file did not arrive in time.");
    } else if (n != sizeof result || (result.failed && untrusted_error(&result.error))) {
        result.failed = 1;
        error_retry(&result.error, "worker_crashed", "The fetcher ended early (%s %d).",
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    timer_clear(&f->timer);
    close(f->pipe);
    if (f->done) {
        f->done(f->data, &result);
    }
    free(f);
}

struct fetch *fetch_start(const struct fetch_params *params,
    void (*done)(void *data, const struct fetch_result *result), void *data, struct error *e)
{
    int ends[2] = { -1, -1 };
    struct fetch *f = calloc(1, sizeof *f);
    if (!f || pipe2(ends, O_CLOEXEC)) {
        free(f);
        error_retry(e, "storage_error", "The fetcher cannot be started: %s.", strerror(errno));
        return 0;
    }
    f->pipe = ends[0];
    f->done = done;
    f->data = data;
    pid_t pid = child_fork(&f->child, (int[]) { params->file, ends[1] }, 2, on_end, f);
    if (!pid) {
        be_fetcher(params, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        error_retry(e, "worker_crashed", "The fetcher cannot be started: %s.", strerror(errno));
        close(ends[0]);
        free(f);
        return 0;
    }
    timer_set(&f->timer, loop_now() + params->timeout + KILL_MS, on_late, f);
    return f;
}

void fetch_cancel(struct fetch *f)
{
    f->done = 0;
    child_kill(&f->child);
}
