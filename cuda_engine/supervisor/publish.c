#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"

struct publish {
    struct child child;
    int pipe;
    void (*done)(void *data, const char *key, const struct error *why); /* NULL: cancelled */
    void *data;
};

struct outcome {
    int failed;
    char key[STORAGE_KEY];
    struct error why; /* where it failed */
};

static _Noreturn void be_publisher(const struct claim *c, int pipe)
{
    struct outcome o = { 0 };
    o.failed = storage_publish(c, o.key, &o.why) != 0;
    _exit(write(pipe, &o, sizeof o) != sizeof o);
}

static void on_end(void *data, int status)
{
    struct publish *p = data;
    struct outcome o = { 0 };
    if (read(p->pipe, &o, sizeof o) != sizeof o) {
        o.failed = 1;
        error_retry(&o.why, "storage_error", "The output was not stored (status %d).", status);
    }
    close(p->pipe);
    if (p->done) {
        p->done(p->data, o.key, o.failed ? &o.why : 0);
    }
    free(p);
}

struct publish *publish_start(const struct claim *c,
    void (*done)(void *data, const char *key, const struct error *why), void *data, struct error *e)
{
    int ends[2] = { -1, -1 }, kept[STORAGE_FOLDERS + 1];
    struct publish *p = calloc(1, sizeof *p);
    if (!p || pipe2(ends, O_CLOEXEC)) {
        free(p);
        error_retry(e, "storage_error", "The output cannot be stored: %s.", strerror(errno));
        return 0;
    }
    p->pipe = ends[0];
    p->done = done;
    p->data = data;
    storage_folders(kept);
    kept[STORAGE_FOLDERS] = ends[1];
    pid_t pid = child_fork(&p->child, kept, STORAGE_FOLDERS + 1, on_end, p);
    if (!pid) {
        be_publisher(c, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        error_retry(e, "storage_error", "The output cannot be stored: %s.", strerror(errno));
        close(ends[0]);
        free(p);
        return 0;
    }
    return p;
}

void publish_cancel(struct publish *p)
{
    p->done = 0;
    child_kill(&p->child);
}
