#include "fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "untrusted.h"

enum {
    REDIRECTS = 3,
    HEADER_BYTES = 65536,
    URL_BYTES = 2048,
    HOST_BYTES = 253,
    LOW_SPEED_BYTES = 16384, /* a second, for */
    LOW_SPEED_SECONDS = 30,
    KILL_MS = 15000, /* after its own limit, which name resolution may pass */
};

/* ---- the child ---- */

struct transfer {
    const struct fetch_params *params;
    struct fetch_result *result;
    CURL *curl;
    char host[HOST_BYTES + 1]; /* of this hop */
    int64_t headers;           /* bytes of this hop */
    int denied;
};

static int denied(struct transfer *t)
{
    t->denied = 1;
    return error_set(&t->result->error, "url_denied",
        "This service does not fetch from the address of %s.", t->host);
}

static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = data;
    if (purpose != CURLSOCKTYPE_IPCXN || !address_allowed(t->params->policy, &a->addr)) {
        denied(t);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* The address again, of the connection that the request is about to be sent on. */
static int before_request(void *data, char *address, char *local, int port, int local_port)
{
    (void)local, (void)local_port;
    struct transfer *t = data;
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    const struct sockaddr *sa = 0;
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        sa = (const struct sockaddr *)&v4;
    } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        sa = (const struct sockaddr *)&v6;
    }
    if (!address_allowed(t->params->policy, sa)) {
        denied(t);
        return CURL_PREREQFUNC_ABORT;
    }
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *data)
{
    (void)bytes;
    struct transfer *t = data;
    t->headers += (int64_t)(size * n);
    return t->headers > HEADER_BYTES ? 0 : n;
}

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

/* Takes a part of the URL into buffer; -1 where it has none or does not fit. */
static int part(CURLU *url, CURLUPart which, unsigned flags, char *buffer, size_t size)
{
    char *text = 0;
    int rc =
        curl_url_get(url, which, &text, flags) || (size_t)snprintf(buffer, size, "%s", text) >= size
            ? -1
            : 0;
    curl_free(text);
    return rc;
}

/* Resolves the host, judges every address that it has, and adds them to *pins, so that libcurl asks no second time. */
static int resolve(struct transfer *t, const char *port, struct curl_slist **pins)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    char bare[HOST_BYTES + 1], pin[1024], address[INET6_ADDRSTRLEN];
    size_t length = strlen(t->host), used;

    int bracket = t->host[0] == '[';
    snprintf(bare, sizeof bare, "%.*s", (int)(length - 2 * (size_t)bracket), t->host + bracket);
    int rc = getaddrinfo(bare, port, &hints, &list);
    if (rc) {
        return error_retry(&t->result->error, "fetch_unreachable",
            "The name %s does not resolve: %s.", t->host, gai_strerror(rc));
    }
    rc = 0;
    used = (size_t)snprintf(pin, sizeof pin, "%s:%s:", t->host, port);
    for (struct addrinfo *i = list; i; i = i->ai_next) {
        if (!address_allowed(t->params->policy, i->ai_addr)) {
            rc = denied(t);
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

/* What a URL must be before anything is asked of the network. */
static int judge(struct transfer *t, CURLU *url, struct curl_slist **pins)
{
    char scheme[16], port[8], zone[2];
    struct error *e = &t->result->error;
    if (part(url, CURLUPART_HOST, CURLU_PUNYCODE, t->host, sizeof t->host) ||
        curl_url_set(url, CURLUPART_HOST, t->host, 0) ||
        part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port)) {
        return error_set(e, "url_denied", "The host of the video's URL is not valid.");
    }
    if (part(url, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        return error_set(e, "url_denied", "Only http and https are fetched.");
    }
    if (!part(url, CURLUPART_ZONEID, 0, zone, sizeof zone)) {
        return error_set(e, "url_denied", "A URL with a zone is not fetched.");
    }
    return resolve(t, port, pins);
}

static int64_t time_left(int64_t end)
{
    int64_t left = end - loop_now();
    return left < 1 ? 1 : left;
}

static void set_options(struct transfer *t, CURLU *url, struct curl_slist *pins, int64_t end)
{
    CURL *c = t->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_CURLU, url);
    curl_easy_setopt(c, CURLOPT_RESOLVE, pins);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(c, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, NULL); /* a decoder would be a bomb's fuse */
    curl_easy_setopt(c, CURLOPT_USERAGENT, "matted");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->params->max_bytes);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)t->params->connect_timeout);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)time_left(end));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED_BYTES);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_SECONDS);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
}

/* The error that a transfer without an HTTP error ended with. */
static int explain(struct transfer *t, CURLcode rc)
{
    static const struct {
        const char *text;
        CURLcode rc;
        int retry;
    } causes[] = {
        { "The name %s does not resolve.", CURLE_COULDNT_RESOLVE_HOST, 1 },
        { "The server %s does not accept connections.", CURLE_COULDNT_CONNECT, 1 },
        { "The server %s closed the connection before the end of the video.", CURLE_PARTIAL_FILE,
            1 },
        { "The server %s closed the connection without an answer.", CURLE_GOT_NOTHING, 1 },
        { "The connection to %s was lost.", CURLE_RECV_ERROR, 1 },
        { "The certificate of %s is not valid.", CURLE_PEER_FAILED_VERIFICATION, 0 },
        { "The server %s does not speak TLS 1.2 or later.", CURLE_SSL_CONNECT_ERROR, 0 },
        { "The server %s does not speak HTTP.", CURLE_UNSUPPORTED_PROTOCOL, 0 },
    };
    struct error *e = &t->result->error;
    if (e->code[0]) {
        return -1; /* a callback has said it */
    }
    if (rc == CURLE_FILESIZE_EXCEEDED) {
        return too_large(t);
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        curl_off_t connected = 0;
        curl_easy_getinfo(t->curl, CURLINFO_CONNECT_TIME_T, &connected);
        return connected ? error_retry(e, "fetch_timeout",
                               "The video did not arrive from %s in time.", t->host)
                         : error_retry(e, "fetch_unreachable",
                               "The server %s did not answer in time.", t->host);
    }
    if (t->headers > HEADER_BYTES) {
        return error_set(e, "fetch_unreachable",
            "The server %s sends more than %d bytes of headers.", t->host, HEADER_BYTES);
    }
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        if (causes[i].rc == rc) {
            error_set(e, "fetch_unreachable", causes[i].text, t->host);
            e->retry = causes[i].retry;
            return -1;
        }
    }
    return error_retry(e, "fetch_unreachable", "The video cannot be fetched from %s: %s.", t->host,
        curl_easy_strerror(rc));
}

/* One request. 0: the body is there; 1: url is where to go next; -1. */
static int request(struct transfer *t, CURLU *url, int64_t end)
{
    struct error *e = &t->result->error;
    struct curl_slist *pins = 0;
    char *next = 0;
    if (judge(t, url, &pins)) {
        return -1;
    }
    t->headers = 0;
    set_options(t, url, pins, end);
    CURLcode rc = curl_easy_perform(t->curl);
    curl_slist_free_all(pins);
    long status = status_of(t);
    t->result->status = (int32_t)status;
    curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &next);
    if (t->denied || status < 200 || (status < 300 && rc)) {
        return explain(t, rc);
    }
    if (status < 300) {
        return 0;
    }
    if (status >= 500) {
        return error_retry(
            e, "fetch_5xx", "The server %s answered with status %ld.", t->host, status);
    }
    if (status >= 400 || !next) {
        return error_set(
            e, "fetch_4xx", "The server %s answered with status %ld.", t->host, status);
    }
    if (strlen(next) > URL_BYTES || curl_url_set(url, CURLUPART_URL, next, CURLU_DISALLOW_USER)) {
        return error_set(
            e, "url_denied", "The server %s redirects to a URL that is not fetched.", t->host);
    }
    return 1;
}

static void run(const struct fetch_params *params, struct fetch_result *result)
{
    struct transfer t = { .params = params, .result = result };
    int64_t end = loop_now() + params->timeout;
    CURLU *url = curl_url();
    t.curl = curl_easy_init();
    if (!url || !t.curl) {
        error_retry(&result->error, "out_of_memory", "The fetcher has no memory.");
    } else if (strlen(params->url) > URL_BYTES ||
               curl_url_set(url, CURLUPART_URL, params->url, CURLU_DISALLOW_USER)) {
        error_set(&result->error, "url_denied", "The video's URL is not one that is fetched.");
    } else {
        int more = 1;
        for (int hop = 0; more == 1 && hop <= REDIRECTS; hop++) {
            more = request(&t, url, end);
        }
        if (more == 1) {
            error_set(&result->error, "url_denied", "The server %s redirects more than %d times.",
                t.host, REDIRECTS);
        }
    }
    curl_easy_cleanup(t.curl);
    curl_url_cleanup(url);
}

/* Leaves of the file system what names and certificates need, to be read. */
static int hide_files(void)
{
    static const char *const readable[] = { "/etc", "/usr", "/lib", "/lib64",
        "/run/systemd/resolve" };
    const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    const struct landlock_ruleset_attr all = { .handled_access_fs =
                                                   (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (rules < 0) {
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1; /* a kernel without it */
    }
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
        struct landlock_path_beneath_attr rule = { .allowed_access = reading,
            .parent_fd = open(readable[i], O_PATH | O_CLOEXEC) };
        if (rule.parent_fd >= 0) {
            syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
            close(rule.parent_fd);
        }
    }
    int rc = (int)syscall(SYS_landlock_restrict_self, rules, 0);
    close(rules);
    return rc;
}

/* Takes from this process what a server that takes it over could want. */
static int confine(int64_t max_bytes)
{
    static const int refused[] = { SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
        SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd),
        SCMP_SYS(kill), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(mount),
        SCMP_SYS(umount2), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(keyctl),
        SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
        SCMP_SYS(io_uring_setup), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),
        SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(truncate) };
    static const struct {
        int resource;
        rlim_t limit;
    } limits[] = { { RLIMIT_CORE, 0 }, { RLIMIT_NOFILE, 64 } };
    const rlim_t size = (rlim_t)max_bytes + 1;
    int rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
             setrlimit(RLIMIT_FSIZE, &(struct rlimit) { size, size }) || hide_files();
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        rc |= setrlimit(limits[i].resource, &(struct rlimit) { limits[i].limit, limits[i].limit });
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    }
    rc |= seccomp_load(filter);
    seccomp_release(filter);
    return rc;
}

static _Noreturn void be_fetcher(const struct fetch_params *params, int pipe)
{
    struct fetch_result result = { 0 };
    setenv("RES_OPTIONS", "timeout:2 attempts:2", 1); /* a name gets some 5 s */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (confine(params->max_bytes) || curl_global_init(CURL_GLOBAL_DEFAULT)) {
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
