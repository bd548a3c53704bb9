#include "sweep.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "database.h"
#include "loop.h"
#include "storage.h"

enum {
    PATHS = 100,   /* a step */
    JOBS = 100,    /* a step: with all that belongs to them a thousand rows and more */
    ROWS = 1000,   /* a step, of a kind */
    LIST = 16384,  /* bytes of a message: a verb and at most PATHS paths, one a line */
    WALKS = 4,     /* in the time that orphans are kept */
    NICENESS = 19, /* of the child */
};

/* What the parent asks for; the child answers each with a list. */
#define REMOVE '-' /* the paths that follow. The answer: those that are gone. */
#define WALK   '?' /* go on through the folders. The answer: some old files; none at the end. */

/* ---- the child ---- */

static void add_line(char *list, size_t *length, const char *path)
{
    *length += (size_t)snprintf(list + *length, LIST - *length, "%s%s", *length ? "\n" : "", path);
}

static void remove_files(char *paths, char *gone, size_t *length)
{
    char *rest = paths;
    for (char *path; (path = strsep(&rest, "\n"));) {
        if (!storage_remove(path)) {
            add_line(gone, length, path);
        } else {
            log_event(LOG_ERROR, "file_not_removed", log_str("file", path),
                log_str("err", strerror(errno)));
        }
    }
}

/* Up to PATHS files that have not been touched since before. */
static void walk(FTS *tree, time_t before, char *old, size_t *length)
{
    FTSENT *f;
    for (int n = 0; n < PATHS && (f = fts_read(tree));) {
        if (f->fts_info == FTS_F && f->fts_statp->st_ctime < before &&
            f->fts_pathlen < STORAGE_KEY) {
            add_line(old, length, f->fts_path);
            n++;
        }
    }
}

static _Noreturn void be_sweeper(int control, int state, int64_t keep_orphans)
{
    static char *const folders[] = { "uploads", "outputs", 0 };
    static char request[LIST + 1], answer[LIST + 1];
    ssize_t n;
    setpriority(PRIO_PROCESS, 0, NICENESS);
    storage_sweep();
    FTS *tree = fchdir(state) ? 0 : fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, 0);
    while (tree && (n = recv(control, request, LIST, 0)) > 0) {
        size_t length = 0;
        request[n] = answer[0] = 0;
        if (*request == REMOVE) {
            remove_files(request + 1, answer, &length);
        } else {
            walk(tree, time(0) - (time_t)(keep_orphans / 1000), answer, &length);
        }
        if (send(control, answer, length + 1, 0) < 0) {
            break;
        }
    }
    _exit(!tree);
}

/* ---- a round ---- */

static const struct config *config;
static struct {
    struct timer timer;
    struct child child;
    struct watch watch;
    int control; /* -1: no round is under way */
    int orphans; /* this round looks for them */
    int64_t walk_at;
    void (*on_list)(char *list); /* the child's next answer */
    int closed, again;
} sweep = { .control = -1 };

static void finish(void)
{
    if (sweep.control >= 0) {
        watch_clear(&sweep.watch);
        close(sweep.control); /* the child reads its end */
        sweep.control = -1;
    }
    database_forget(&sweep);
}

static void ask_child(char verb, const char *paths, void (*on_list)(char *list))
{
    char request[LIST];
    size_t length = (size_t)snprintf(request, sizeof request, "%c%s", verb, paths);
    sweep.on_list = on_list;
    if (length >= sizeof request || send(sweep.control, request, length, MSG_DONTWAIT) < 0) {
        finish();
    }
}

static void on_answer(void *data, uint32_t events)
{
    (void)data, (void)events;
    char list[LIST + 1];
    ssize_t n = recv(sweep.control, list, sizeof list, MSG_DONTWAIT);
    if (n <= 0) {
        finish(); /* it has ended: on_end says so */
        return;
    }
    list[n - 1] = 0;
    sweep.on_list(list);
}

static int count_lines(const char *list)
{
    int n = *list != 0;
    for (const char *c = list; (c = strchr(c, '\n')); c++) {
        n++;
    }
    return n;
}

/* -- orphans: the child finds old files, the database tells which of them nobody claims -- */

static void look_for_orphans(void);

static void on_orphans_removed(char *gone)
{
    if (*gone) {
        log_event(LOG_WARN, "orphans_removed", log_num("files", count_lines(gone)),
            log_str("first", strtok(gone, "\n")));
    }
    look_for_orphans();
}

static void on_unclaimed(void *data, const struct database_answer *answer)
{
    (void)data;
    if (answer->outcome == DATABASE_ROW) {
        ask_child(REMOVE, answer->text, on_orphans_removed);
    } else if (answer->outcome == DATABASE_NULL) {
        look_for_orphans();
    } else {
        finish();
    }
}

static void on_old_files(char *list)
{
    if (*list) {
        database_sweep_unclaimed(list, on_unclaimed, &sweep);
    } else {
        sweep.walk_at = loop_now() + config->keep_orphans / WALKS;
        finish();
    }
}

static void look_for_orphans(void)
{
    ask_child(WALK, "", on_old_files);
}

/* -- rows -- */

static void remove_rows(void);

static void on_rows(void *data, const struct database_answer *answer)
{
    (void)data;
    if (answer->outcome != DATABASE_ROW) {
        finish();
    } else if (strtol(answer->text, 0, 10) == ROWS) {
        remove_rows();
    } else if (loop_now() >= sweep.walk_at) {
        look_for_orphans();
    } else {
        finish();
    }
}

static void remove_rows(void)
{
    database_sweep_rows(config->keep_records, ROWS, on_rows, &sweep);
}

/* -- jobs -- */

static void remove_jobs(void);

static void on_jobs(void *data, const struct database_answer *answer)
{
    (void)data;
    if (answer->outcome != DATABASE_ROW) {
        finish();
        return;
    }
    long n = strtol(answer->text, 0, 10);
    if (n) {
        log_event(LOG_INFO, "jobs_removed", log_num("jobs", n));
    }
    if (n == JOBS) {
        remove_jobs();
    } else {
        remove_rows();
    }
}

static void remove_jobs(void)
{
    database_sweep_jobs(config->keep_jobs, JOBS, on_jobs, &sweep);
}

/* -- files that are due -- */

static void ask_due(void);

static void on_done(void *data, const struct database_answer *answer)
{
    (void)data;
    if (answer->outcome != DATABASE_ROW) {
        finish();
    } else if (strtol(answer->text, 0, 10) == PATHS) {
        ask_due();
    } else {
        remove_jobs();
    }
}

static void on_removed(char *gone)
{
    if (*gone) {
        log_event(LOG_INFO, "files_removed", log_num("files", count_lines(gone)));
    }
    database_sweep_done(gone, on_done, &sweep);
}

static void on_due(void *data, const struct database_answer *answer)
{
    (void)data;
    if (answer->outcome == DATABASE_ROW) {
        ask_child(REMOVE, answer->text, on_removed);
    } else if (answer->outcome == DATABASE_NULL) {
        remove_jobs();
    } else {
        finish();
    }
}

static void ask_due(void)
{
    database_sweep_due(config->keep_uploads, config->keep_outputs, PATHS, on_due, &sweep);
}

/* ---- rounds ---- */

static void begin(void *data);

static void on_end(void *data, int status)
{
    (void)data;
    if (status) {
        log_event(LOG_ERROR, "sweeper_failed", log_num("status", status));
    }
    finish();
    if (!sweep.closed) {
        timer_set(&sweep.timer, loop_now() + (sweep.again ? 0 : config->sweep), begin, 0);
    }
}

static void begin(void *data)
{
    (void)data;
    int ends[2], kept[STORAGE_FOLDERS + 1];
    sweep.again = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        timer_set(&sweep.timer, loop_now() + config->sweep, begin, 0);
        return;
    }
    storage_folders(kept);
    kept[STORAGE_FOLDERS] = ends[1];
    pid_t pid = child_fork(&sweep.child, kept, STORAGE_FOLDERS + 1, on_end, 0);
    if (!pid) {
        be_sweeper(ends[1], kept[0], config->keep_orphans);
    }
    close(ends[1]);
    sweep.control = ends[0];
    if (pid < 0) {
        on_end(0, errno);
        return;
    }
    watch_set(&sweep.watch, sweep.control, EPOLLIN, on_answer, 0);
    ask_due();
}

void sweep_open(const struct config *c)
{
    config = c;
    begin(0);
}

void sweep_now(void)
{
    if (sweep.child.pid) {
        sweep.again = 1;
    } else if (!sweep.closed) {
        timer_set(&sweep.timer, loop_now(), begin, 0);
    }
}

void sweep_close(void)
{
    sweep.closed = 1;
    timer_clear(&sweep.timer);
    finish();
}
