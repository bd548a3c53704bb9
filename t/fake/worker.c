/*
 * A worker that follows a script: its input, read by lines. It is linked in the place of worker/worker.c with the real
 * matted.o (`make fake`), so that t/engine*.t can make a worker do anything at any time.
 *
 *   probe FRAMES MS      report, then wait for the verdict        probe! FRAMES MS    report and go on at once
 *   progress FRAMES      sleep MS      write TEXT      alpha TEXT      warn CODE TEXT
 *   done FRAMES MS       report with what was written             lie FRAMES MS       the same with one byte more
 *   fail CODE RETRY TEXT      signal NUMBER      exit STATUS
 *
 * MATTE_FAKE_START=FILE: the worker adds a byte to the file and says that it cannot be made ready.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/job.h"
#include "worker/worker.h"

static int control;

static int say(struct report r)
{
    return send(control, &r, sizeof r, MSG_NOSIGNAL) == sizeof r ? 0 : -1;
}

static int receive_job(struct job *job, struct job_files *files)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(JOB_FILES * sizeof(int))];
    } rights;
    struct iovec body = { job, sizeof *job };
    struct msghdr message = {
        .msg_iov = &body, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights
    };
    if (recvmsg(control, &message, 0) != sizeof *job) {
        return -1;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int *those[JOB_FILES], fds[JOB_FILES], count = job_files(job, files, those);
    if (!header) {
        return -1;
    }
    memcpy(fds, CMSG_DATA(header), (size_t)count * sizeof(int));
    for (int i = 0; i < count; i++) {
        *those[i] = fds[i];
    }
    return 0;
}

static void doze(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, 0);
}

/* Follows one line; 1 when the worker is to end. */
static int follow(char *line, const struct job_files *files, struct report *r)
{
    char word[32] = "";
    long long a = 0, b = 0;
    int at = 0;
    struct verdict verdict;

    line[strcspn(line, "\n")] = 0;
    sscanf(line, "%31s %n", word, &at);
    const char *rest = line + at;
    sscanf(rest, "%lld %lld", &a, &b);
    r->error = (struct error) { 0 };
    if (!strcmp(word, "probe") || !strcmp(word, "probe!")) {
        *r = (struct report) { REPORT_PROBED, .frames_total = a, .duration_ms = b, .width = 64,
            .height = 48 };
        say(*r);
        return word[5] ? 0 : recv(control, &verdict, sizeof verdict, 0) <= 0 || !verdict.go;
    }
    if (!strcmp(word, "progress")) {
        r->kind = REPORT_PROGRESS;
        r->frames_done = a;
        say(*r);
    } else if (!strcmp(word, "sleep")) {
        doze((long)a);
    } else if (!strcmp(word, "write")) {
        ssize_t n = write(files->output, rest, strlen(rest));
        r->bytes += n > 0 ? n : 0;
    } else if (!strcmp(word, "alpha")) {
        ssize_t n = write(files->alpha, rest, strlen(rest));
        r->alpha_bytes += n > 0 ? n : 0;
    } else if (!strcmp(word, "warn")) {
        r->kind = REPORT_WARNING;
        sscanf(rest, "%40s %n", r->error.code, &at);
        snprintf(r->error.text, sizeof r->error.text, "%s", rest + at);
        say(*r);
    } else if (!strcmp(word, "done") || !strcmp(word, "lie")) {
        r->kind = REPORT_DONE;
        r->frames_done = a;
        r->duration_ms = b;
        r->bytes += word[0] == 'l';
        memset(r->sha256, 0xab, sizeof r->sha256);
        memset(r->alpha_sha256, 0xcd, sizeof r->alpha_sha256);
        fsync(files->output);
        say(*r);
        return 1;
    } else if (!strcmp(word, "fail")) {
        r->kind = REPORT_FAILED;
        sscanf(rest, "%40s %d %n", r->error.code, &r->error.retry, &at);
        snprintf(r->error.text, sizeof r->error.text, "%s", rest + at);
        say(*r);
        return 1;
    } else if (!strcmp(word, "signal")) {
        signal((int)a, SIG_DFL);
        raise((int)a);
    } else if (!strcmp(word, "exit")) {
        _exit((int)a);
    } else {
        r->kind = REPORT_FAILED;
        error_set(&r->error, "unreadable_media", "The file is not a video.");
        say(*r);
        return 1;
    }
    return 0;
}

int worker_main(const struct worker_params *p)
{
    struct job job;
    struct report r = { REPORT_READY };
    char line[512];
    struct job_files files;

    control = p->control;
    if (getenv("MATTE_FAKE_START")) {
        FILE *starts = fopen(getenv("MATTE_FAKE_START"), "a");
        fputc('x', starts);
        fclose(starts);
        r.kind = REPORT_FAILED;
        error_set(&r.error, "model_not_installed", "The network cannot be planned.");
        say(r);
        return 1;
    }
    if (say(r) || receive_job(&job, &files)) {
        return 1;
    }
    FILE *script = fdopen(files.input, "r");
    r = (struct report) { 0 };
    while (fgets(line, sizeof line, script)) {
        if (follow(line, &files, &r)) {
            break;
        }
    }
    return 0;
}
