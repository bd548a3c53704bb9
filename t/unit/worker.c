/* A worker as the supervisor sees it: forked, shut in, one job over the control socket, and gone. */
#include "clip.h"
#include "fake_model.h"

#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "worker/job.h"
#include "worker/worker.h"

static struct manifest *manifest;
static int source;

struct worker {
    pid_t pid;
    int control;
};

static struct worker start(int manifest_count)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    struct worker w = { fork(), pair[0] };
    if (!w.pid) {
        const struct manifest *manifests[] = { manifest };
        struct worker_params p = {
            .control = pair[1],
            .manifests = manifests,
            .manifest_count = manifest_count,
            .threads = 2,
#ifndef __SANITIZE_ADDRESS__ /* which reserves more addresses than any limit */
            .memory_limit = (int64_t)2 << 30,
#endif
            .device = "auto",
            .sandbox = 1,
        };
        close(pair[0]);
        _exit(worker_main(&p));
    }
    close(pair[1]);
    return w;
}

static struct report hear(const struct worker *w)
{
    struct report r;
    assert_int_equal(recv(w->control, &r, sizeof r, 0), sizeof r);
    return r;
}

static void send_job(const struct worker *w, const struct job *job, int input, int output)
{
    int files[2] = { input, output };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof files)];
    } message = { .space = { 0 } };
    struct iovec data = { (void *)job, sizeof *job };
    struct msghdr m = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &message, .msg_controllen = sizeof message
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof files);
    memcpy(CMSG_DATA(c), files, sizeof files);
    assert_int_equal(sendmsg(w->control, &m, 0), sizeof *job);
}

static int end(struct worker *w)
{
    int status;
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    close(w->control);
    return status;
}

static struct job usual(void)
{
    return (struct job) { .id = "d2719c8e-6d3c-4a43-9b8e-0f8a8e6f5f10",
        .model = "human",
        .format = "webm",
        .max_pixels = 1000000,
        .max_ms = 60000 };
}

/* Runs one job to its last report. */
static struct report work(const struct job *job, int input, int output, int go)
{
    struct worker w = start(1);
    assert_int_equal(hear(&w).kind, REPORT_READY);
    send_job(&w, job, input, output);
    int64_t done = 0;
    struct report r;
    for (;;) {
        r = hear(&w);
        if (r.kind == REPORT_PROBED) {
            struct verdict verdict = { go };
            assert_int_equal(r.frames_total, 30);
            assert_int_equal(r.duration_ms, 1200);
            assert_int_equal(send(w.control, &verdict, sizeof verdict, 0), sizeof verdict);
        } else if (r.kind == REPORT_PROGRESS) {
            assert_true(r.frames_done > done || (!done && r.need)); /* a card: what it holds */
            done = r.frames_done;
        } else if (r.kind == REPORT_WARNING) {
            assert_string_equal(r.error.code, "audio_transcoded");
        } else {
            break;
        }
    }
    int status = end(&w);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return r;
}

static void a_job_is_done(void **state)
{
    (void)state;
    struct job job = usual();
    int out = scratch();
    struct report r = work(&job, source, out, 1);
    if (r.kind != REPORT_DONE)
        fail_msg("%s: %s", r.error.code, r.error.text);
    struct stat st;
    assert_int_equal(fstat(out, &st), 0);
    assert_int_equal(r.bytes, st.st_size);
    assert_int_equal(r.frames_done, 30);
    assert_int_equal(r.duration_ms, 1200);
    assert_int_equal(r.width, 160);
    assert_int_equal(r.height, 90);
    unsigned char *bytes = malloc((size_t)st.st_size), sha256[SHA256_DIGEST_LENGTH];
    assert_int_equal(pread(out, bytes, (size_t)st.st_size, 0), st.st_size);
    SHA256(bytes, (size_t)st.st_size, sha256);
    assert_memory_equal(r.sha256, sha256, sizeof sha256);
    free(bytes);
    close(out);
}

static void a_job_without_credits_is_not_done(void **state)
{
    (void)state;
    struct job job = usual();
    int out = scratch();
    struct report r = work(&job, source, out, 0);
    assert_int_equal(r.kind, REPORT_FAILED);
    assert_string_equal(r.error.code, "cancelled");
    assert_int_equal(lseek(out, 0, SEEK_END), 0);
    close(out);
}

static void a_bad_input_fails_with_its_code(void **state)
{
    (void)state;
    struct job job = usual();
    int out = scratch(), empty = scratch();
    struct report r = work(&job, empty, out, 1);
    assert_int_equal(r.kind, REPORT_FAILED);
    assert_string_equal(r.error.code, "empty_input");
    close(empty);
    close(out);
}

static void an_unknown_model_fails(void **state)
{
    (void)state;
    struct job job = usual();
    int out = scratch();
    strcpy(job.model, "pro");
    struct report r = work(&job, source, out, 1);
    assert_string_equal(r.error.code, "model_not_installed");
    close(out);
}

static void a_full_disk_is_a_storage_error(void **state)
{
    (void)state;
    struct job job = usual();
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    struct report r = work(&job, source, full, 1);
    assert_string_equal(r.error.code, "storage_error");
    close(full);
}

static void without_models_it_says_so_and_ends(void **state)
{
    (void)state;
    struct worker w = start(0);
    struct report r = hear(&w);
    assert_int_equal(r.kind, REPORT_FAILED);
    assert_string_equal(r.error.code, "model_not_installed");
    int status = end(&w);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void it_ends_when_the_supervisor_does(void **state)
{
    (void)state;
    struct worker w = start(1);
    assert_int_equal(hear(&w).kind, REPORT_READY);
    shutdown(w.control, SHUT_RDWR);
    int status = end(&w);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

/* A half job, or one without its files, is no job. */
static void a_bad_message_ends_it(void **state)
{
    (void)state;
    struct worker w = start(1);
    struct job job = usual();
    assert_int_equal(hear(&w).kind, REPORT_READY);
    assert_int_equal(send(w.control, &job, sizeof job, 0), sizeof job);
    int status = end(&w);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static int open_all(void **state)
{
    (void)state;
    struct error e;
    manifest = manifest_open(NULL, NULL, &e);
    source = clip(TEST_CLIP);
    return !manifest;
}

static int close_all(void **state)
{
    (void)state;
    manifest_close(manifest);
    close(source);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_done),
        cmocka_unit_test(a_job_without_credits_is_not_done),
        cmocka_unit_test(a_bad_input_fails_with_its_code),
        cmocka_unit_test(an_unknown_model_fails),
        cmocka_unit_test(a_full_disk_is_a_storage_error),
        cmocka_unit_test(without_models_it_says_so_and_ends),
        cmocka_unit_test(it_ends_when_the_supervisor_does),
        cmocka_unit_test(a_bad_message_ends_it),
    };
    alarm(120);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_all, close_all);
}
