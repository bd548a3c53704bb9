#include "egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- one request ---- */

int egress_denied(struct egress *g)
{
    g->denied = 1;
    return error_set(
        g->error, "url_denied", "This service does not connect to the address of %s.", g->host);
}

static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct egress *g = data;
    if (purpose != CURLSOCKTYPE_IPCXN || !address_allowed(g->policy, &a->addr)) {
        egress_denied(g);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* The address again, of the connection that the request is about to be sent on. */
static int before_request(void *data, char *address, char *local, int port, int local_port)
{
    (void)local, (void)local_port;
    struct egress *g = data;
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    const struct sockaddr *sa = 0;
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        sa = (const struct sockaddr *)&v4;
    } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        sa = (const struct sockaddr *)&v6;
    }
    if (g->denied || !address_allowed(g->policy, sa)) {
        egress_denied(g);
        return CURL_PREREQFUNC_ABORT;
    }
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *data)
{
    struct egress *g = data;
    g->headers += (int64_t)(size * n);
    g->answered =
        n == 2 && !memcmp(bytes, "\r\n", 2); /* of the last answer: 100 comes before 200 */
    return g->headers > EGRESS_HEADERS ? 0 : n;
}

int egress_part(CURLU *url, CURLUPart which, unsigned flags, char *buffer, size_t size)
{
    char *text = 0;
    int rc =
        curl_url_get(url, which, &text, flags) || (size_t)snprintf(buffer, size, "%s", text) >= size
            ? -1
            : 0;
    curl_free(text);
    return rc;
}

int egress_begin(struct egress *g, CURLU *url)
{
    char scheme[16], zone[2];
    g->headers = 0;
    g->denied = g->answered = 0;
    if (egress_part(url, CURLUPART_HOST, CURLU_PUNYCODE, g->host, sizeof g->host) ||
        curl_url_set(url, CURLUPART_HOST, g->host, 0)) {
        return error_set(g->error, "url_denied", "The host of the URL is not valid.");
    }
    if (egress_part(url, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        return error_set(g->error, "url_denied", "Only http and https URLs are allowed.");
    }
    if (!egress_part(url, CURLUPART_ZONEID, 0, zone, sizeof zone)) {
        return error_set(g->error, "url_denied", "A URL with a zone is not allowed.");
    }
    return 0;
}

void egress_set_up(struct egress *g, CURL *c, CURLU *url)
{
    curl_easy_setopt(c, CURLOPT_CURLU, url);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, g);
    curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(c, CURLOPT_PREREQDATA, g);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, g);
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
}

int egress_explain(const struct egress *g, CURL *curl, CURLcode rc)
{
    static const struct {
        const char *text;
        CURLcode rc;
        int retry;
    } causes[] = {
        { "The name %s does not resolve.", CURLE_COULDNT_RESOLVE_HOST, 1 },
        { "The server %s does not accept connections.", CURLE_COULDNT_CONNECT, 1 },
        { "The server %s closed the connection before the end of its answer.", CURLE_PARTIAL_FILE,
            1 },
        { "The server %s closed the connection without an answer.", CURLE_GOT_NOTHING, 1 },
        { "The connection to %s was lost.", CURLE_RECV_ERROR, 1 },
        { "The connection to %s was lost.", CURLE_SEND_ERROR, 1 },
        { "The certificate of %s is not valid.", CURLE_PEER_FAILED_VERIFICATION, 0 },
        { "The server %s does not speak TLS 1.2 or later.", CURLE_SSL_CONNECT_ERROR, 0 },
        { "The server %s does not speak HTTP.", CURLE_UNSUPPORTED_PROTOCOL, 0 },
    };
    struct error *e = g->error;
    if (e->code[0]) {
        return -1; /* a callback has said it */
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        curl_off_t connected = 0;
        curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connected);
        return connected ? error_retry(e, "fetch_timeout",
                               "The answer did not arrive from %s in time.", g->host)
                         : error_retry(e, "fetch_unreachable",
                               "The server %s did not answer in time.", g->host);
    }
    if (g->headers > EGRESS_HEADERS) {
        return error_set(e, "fetch_unreachable",
            "The server %s sends more than %d bytes of headers.", g->host, EGRESS_HEADERS);
    }
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        if (causes[i].rc == rc) {
            error_set(e, "fetch_unreachable", causes[i].text, g->host);
            e->retry = causes[i].retry;
            return -1;
        }
    }
    return error_retry(e, "fetch_unreachable", "The server %s cannot be asked: %s.", g->host,
        curl_easy_strerror(rc));
}

/* ---- the process ---- */

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

int egress_confine(int64_t max_bytes, int max_files)
{
    static const int refused[] = { SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
        SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd),
        SCMP_SYS(kill), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(mount),
        SCMP_SYS(umount2), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(keyctl),
        SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
        SCMP_SYS(io_uring_setup), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),
        SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(truncate) };
    const struct {
        int resource;
        rlim_t limit;
    } limits[] = { { RLIMIT_CORE, 0 }, { RLIMIT_NOFILE, (rlim_t)max_files },
        { RLIMIT_FSIZE, (rlim_t)max_bytes + 1 } };
    setenv("RES_OPTIONS", "timeout:2 attempts:2", 1); /* a name gets some 5 s */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    int rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
             hide_files();
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        rc |= setrlimit(limits[i].resource, &(struct rlimit) { limits[i].limit, limits[i].limit });
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    }
    rc |= seccomp_load(filter);
    seccomp_release(filter);
    return rc || curl_global_init(CURL_GLOBAL_DEFAULT) ? -1 : 0;
}
