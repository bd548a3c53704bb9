#include "doorbell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../log.h"
#include "loop.h"

enum { MESSAGE = 128, CONNECTIONS = 256, A_TURN = 64, BACKLOG = 64 };

struct connection {
    struct watch watch;
    uint64_t id;
    int64_t bad; /* messages dropped */
    struct connection *next, **link;
};

static struct {
    struct sockaddr_un address;
    struct watch watch;
    int open, count;
    uint64_t last_id;
    struct connection *connections;
    struct doorbell_events events;
    void *data;
} bell;

static void drop(struct connection *c)
{
    if (c->bad) {
        log_event(LOG_WARN, "doorbell_bad_messages", log_num("count", c->bad));
    }
    *c->link = c->next;
    if (c->next) {
        c->next->link = c->link;
    }
    int fd = c->watch.fd;
    watch_clear(&c->watch);
    close(fd);
    free(c);
    bell.count--;
}

/* "<verb> <n> <uuid>"; -1 where it is anything else. */
static int parse(const char *message, char verb[8], struct doorbell_ring *ring)
{
    int length = 0;
    char n[20];
    if (sscanf(message, "%7[a-z] %19[0-9] %36[0-9a-f-]%n", verb, n, ring->job, &length) != 3 ||
        message[length] || strlen(ring->job) != 36) {
        return -1;
    }
    ring->n = strtoull(n, 0, 10);
    return 0;
}

static void on_message(struct connection *c, const char *message)
{
    char verb[8];
    struct doorbell_ring ring = { .connection = c->id };
    int good = !parse(message, verb, &ring);
    if (good && !strcmp(verb, "start")) {
        bell.events.start(bell.data, &ring);
    } else if (good && !strcmp(verb, "cancel")) {
        bell.events.cancel(bell.data, &ring);
    } else {
        c->bad++;
    }
}

static void on_readable(void *data, uint32_t events)
{
    (void)events;
    struct connection *c = data;
    char message[MESSAGE + 1];
    for (int i = 0; i < A_TURN; i++) {
        ssize_t n = recv(c->watch.fd, message, MESSAGE, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            drop(c);
            return;
        }
        if (n > MESSAGE || memchr(message, 0, (size_t)n)) {
            c->bad++;
            continue;
        }
        message[n] = 0;
        on_message(c, message);
    }
}

static void on_connection(void *data, uint32_t events)
{
    (void)data, (void)events;
    struct ucred peer = { 0 };
    socklen_t length = sizeof peer;
    int fd = accept4(bell.watch.fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    struct connection *c = bell.count < CONNECTIONS ? calloc(1, sizeof *c) : 0;
    if (!c) {
        close(fd);
        return;
    }
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    log_event(LOG_INFO, "doorbell_connected", log_num("pid", peer.pid), log_num("uid", peer.uid));
    bell.count++;
    c->id = ++bell.last_id;
    c->next = bell.connections;
    c->link = &bell.connections;
    if (c->next) {
        c->next->link = &c->next;
    }
    bell.connections = c;
    watch_set(&c->watch, fd, EPOLLIN, on_readable, c);
}

void doorbell_answer(const struct doorbell_ring *ring, const char *word)
{
    for (struct connection *c = bell.connections; c; c = c->next) {
        if (c->id == ring->connection) {
            char text[64];
            int n = snprintf(text, sizeof text, "%llu %s", (unsigned long long)ring->n, word);
            /* who does not read its answers does without them */
            (void)!send(c->watch.fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
            return;
        }
    }
}

/* 1 where somebody accepts connections at the address. */
static int is_answered(int fd)
{
    return !connect(fd, (const struct sockaddr *)&bell.address, sizeof bell.address) ||
           errno == EAGAIN;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int doorbell_open(const char *path, unsigned mode, const struct doorbell_events *events, void *data,
    struct error *e)
{
    bell.events = *events;
    bell.data = data;
    bell.address.sun_family = AF_UNIX;
    if ((size_t)snprintf(bell.address.sun_path, sizeof bell.address.sun_path, "%s", path) >=
        sizeof bell.address.sun_path) {
        return error_set(e, "config", "socket: %s is longer than %zu bytes.", path,
            sizeof bell.address.sun_path - 1);
    }
    int probe = new_socket();
    int taken = probe >= 0 && is_answered(probe);
    close(probe);
    if (taken) {
        return error_set(e, "config", "socket: another process answers on %s.", path);
    }
    unlink(path);
    int fd = new_socket();
    mode_t old = umask(0777 & ~mode); /* the socket is never open to more than that */
    int rc = bind(fd, (const struct sockaddr *)&bell.address, sizeof bell.address);
    int reason = errno;
    umask(old);
    if (rc || listen(fd, BACKLOG)) {
        error_set(e, "config", "socket: %s: %s.", path, strerror(rc ? reason : errno));
        close(fd);
        return -1;
    }
    bell.open = 1;
    watch_set(&bell.watch, fd, EPOLLIN, on_connection, 0);
    return 0;
}

void doorbell_close(void)
{
    while (bell.connections) {
        drop(bell.connections);
    }
    if (bell.open) {
        int fd = bell.watch.fd;
        watch_clear(&bell.watch);
        close(fd);
        unlink(bell.address.sun_path);
        bell.open = 0;
    }
}
