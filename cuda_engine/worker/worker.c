#include "worker.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../media/libav.h"
#include "need.h"
#include "pipeline.h"
#include "sandbox.h"

/* What most clips look like: the network for it is planned before there is one. */
enum { USUAL_WIDTH = 1920, USUAL_HEIGHT = 1080, USUAL_RATE = 30 };

enum { HASH_BUFFER = 256 << 10, LARGE_WIDTH = 4096 };

static int report(void *data, const struct report *r)
{
    const struct worker_params *p = data;
    ssize_t n;
    do
        n = send(p->control, r, sizeof *r, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n != sizeof *r)
        return -1;
    if (r->kind != REPORT_PROBED)
        return 0;
    struct verdict verdict;
    do
        n = recv(p->control, &verdict, sizeof verdict, 0);
    while (n < 0 && errno == EINTR);
    return n == sizeof verdict && verdict.go ? 0 : -1;
}

static int receive_job(int control, struct job *job, struct job_files *files)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(JOB_FILES * sizeof(int))];
    } message;
    struct iovec data = { job, sizeof *job };
    struct msghdr m = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = &message,
        .msg_controllen = sizeof message,
    };
    ssize_t n;
    do
        n = recvmsg(control, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (n != sizeof *job || !c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return -1;
    int *to[JOB_FILES], fds[JOB_FILES];
    const size_t sent = (size_t)job_files(job, files, to);
    if (c->cmsg_len != CMSG_LEN(sent * sizeof *fds))
        return -1;
    memcpy(fds, CMSG_DATA(c), sent * sizeof *fds);
    for (size_t i = 0; i < sent; i++)
        *to[i] = fds[i];
    job->id[sizeof job->id - 1] = job->request_id[sizeof job->request_id - 1] = 0;
    job->model[sizeof job->model - 1] = job->format[sizeof job->format - 1] = 0;
    return 0;
}

/* Of what is on the disk, read back: the muxer writes back and forth. */
static int seal_output(int fd, uint8_t sha256[32], struct error *e)
{
    static uint8_t buffer[HASH_BUFFER];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    int ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    ssize_t n = 1;
    for (off_t at = 0; ok && n > 0; at += n) {
        do
            n = pread(fd, buffer, sizeof buffer, at);
        while (n < 0 && errno == EINTR);
        if (n > 0)
            ok = EVP_DigestUpdate(hash, buffer, (size_t)n);
    }
    ok = ok && EVP_DigestFinal_ex(hash, sha256, NULL);
    EVP_MD_CTX_free(hash);
    if (!ok)
        return error_retry(e, "out_of_memory", "The output's checksum could not be computed.");
    if (n < 0 || fsync(fd))
        return error_retry(
            e, "storage_error", "The output could not be stored: %s.", strerror(errno));
    return 0;
}

/* Whatever loads code or starts threads on first use does so here. */
static int warm_up(struct models *models, const char *model, struct error *e)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct model_output output;
    struct choice choice;
    libav_start();
    if (!EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL))
        return error_set(e, "worker_failed", "There is no SHA-256 in this libcrypto.");
    if (models_choose(models, model, USUAL_WIDTH, USUAL_HEIGHT, USUAL_RATE, &choice, e) &&
        models_choose(models, NULL, USUAL_WIDTH, USUAL_HEIGHT, USUAL_RATE, &choice, e))
        return -1;
    if (models_use(models, &choice, NULL, e))
        return -1;
    const struct raster *input = model_input(models->model);
    float *black = calloc(3 * (size_t)input->width * (size_t)input->height, sizeof *black);
    int failed = !black ? error_retry(e, "out_of_memory", "There is no memory for a picture.")
                        : raster_write(models->device, input, black, e) ||
                              model_run(models->model, &output, e);
    free(black);
    return failed ? -1 : 0;
}

/* On a card that has no room for the network, or cannot run it, the processor does where that may be. */
static int warm_up_somewhere(struct models *models, const char *model, struct error *e)
{
    if (!warm_up(models, model, e))
        return 0;
    models_close(models);
    return device_fall_back(models->device, e) ? -1 : warm_up(models, model, e);
}

/* What the supervisor is to know of a warm worker. */
static struct report ready(const struct worker_params *p, const struct models *models)
{
    struct report r = { .kind = REPORT_READY };
    struct device_card card = device_card(models->device);
    error_set(&r.error, "device", "%s", device_found(models->device));
    if (!card.count)
        return r;
    int height = (int)((p->max_pixels + LARGE_WIDTH - 1) / LARGE_WIDTH);
    struct need_params largest = { .width = LARGE_WIDTH,
        .height = height,
        .canvas_width = LARGE_WIDTH,
        .canvas_height = height,
        .on_card = 1,
        .network = model_card_bytes(models->model) };
    r.need = need_bytes(&largest);
    r.idle = need_idle(largest.network);
    r.cards = card.count;
    r.card = card.ordinal;
    r.card_bytes = card.bytes;
    return r;
}

static void run_job(const struct worker_params *p, const struct job *job,
    const struct job_files *files, struct models *models, struct report *last)
{
    struct pipeline_result result;
    struct pipeline_params pipeline = {
        .job = job,
        .files = *files,
        .device = models->device,
        .models = models,
        .threads = p->threads,
        .report = report,
        .data = (void *)p,
    };
    last->kind = REPORT_FAILED;
    if (pipeline_run(&pipeline, &result, &last->error) ||
        seal_output(files->output, last->sha256, &last->error) ||
        (job->alpha && seal_output(files->alpha, last->alpha_sha256, &last->error)))
        return;
    last->kind = REPORT_DONE;
    last->frames_done = result.frames;
    last->duration_ms = result.duration_ms;
    last->width = result.width;
    last->height = result.height;
    last->bytes = result.bytes;
    last->alpha_bytes = result.alpha_bytes;
}

static enum sandbox_device device_of(const struct models *models)
{
    return device_is_apart(models->device) ? SANDBOX_CARD : SANDBOX_PROCESSOR;
}

/*
 * Into the sandbox, warm. A card's libraries load others, and compile, when a network is planned: that is before the process
 * is shut in; what its driver's threads, which are there already, may open has been said before they were.
 */
static int close_in(const struct worker_params *p, struct models *models, struct error *e)
{
    const int on_card = device_is_apart(models->device);
    if ((on_card && warm_up_somewhere(models, p->model, e)) ||
        (p->sandbox && sandbox_isolate(on_card ? 0 : p->memory_limit, device_of(models), e)) ||
        (!on_card && warm_up(models, p->model, e)))
        return -1;
    if (!p->sandbox)
        return 0;
    /* by now the processor may have become the device */
    return sandbox_seal(p->control, device_of(models), e);
}

int worker_main(const struct worker_params *p)
{
    struct report last = { .kind = REPORT_FAILED };
    struct models models = {
        .budget = p->budget,
        .manifests = p->manifests,
        .manifest_count = p->manifest_count,
        .threads = p->threads,
    };
    struct job job = { 0 };
    struct job_files files = { -1, -1, -1, -1 };
    /* the device first: a card's driver is made of files; and it maps more addresses than any limit */
    if (!p->sandbox || !strcmp(p->device, "cpu") || !sandbox_confine(&last.error))
        models.device = device_open_turn(p->device, p->turn, &last.error);
    if (!models.device || close_in(p, &models, &last.error)) {
        report((void *)p, &last);
        return 1;
    }
    struct report warm = ready(p, &models);
    if (report((void *)p, &warm) || receive_job(p->control, &job, &files))
        return 1;
    run_job(p, &job, &files, &models, &last);
    models_close(&models);
    device_close(models.device);
    return report((void *)p, &last) ? 1 : 0;
}
