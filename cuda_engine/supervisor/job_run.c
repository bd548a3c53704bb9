#include "job_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yajl/yajl_gen.h>

#include "../log.h"
#include "fetch.h"
#include "lease.h"
#include "pool.h"
#include "publish.h"
#include "storage.h"

struct job_run {
    struct claim claim;
    struct lease lease;
    /* ENDING: the database has been told how it ended, and nothing else is left to do */
    enum { FETCHING, PROBING, HOLDING, WORKING, ENDING } state;
    int64_t claimed;       /* loop_now() */
    struct worker *worker; /* NULL: given back */
    struct fetch *fetch;
    struct publish *publish;
    struct report result; /* of the worker, while its output is published */
    struct job_files files;
    int published; /* the output has its name: whatever happens now, it stays */
    struct timer wall;
    struct prompt prompt;
    struct error warnings[JOB_WARNINGS + 1]; /* the worker's, and one of the prompt */
    int warning_count;
    struct job_run *next, **link;
};

#define run_log(level, r, event, ...)                                                           \
    log_event(level, event, log_str("job_id", (r)->claim.id),                                   \
        log_str("request_id", (r)->claim.request_id), log_str("trace_id", (r)->claim.trace_id), \
        log_num("lease_no", (r)->claim.lease_no), log_num("ms", loop_now() - (r)->claimed),     \
        __VA_ARGS__)

static const struct config *config;
static struct models models; /* manifests alone: what they understand */
static void (*run_ended)(void);
static struct job_run *runs;
static int run_count;

/* ---- ends ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void drop_worker(struct job_run *r)
{
    struct worker *w = r->worker;
    r->worker = 0;
    if (w) {
        pool_drop(w);
    }
}

/* Stops what works for the run. */
static void stop(struct job_run *r)
{
    timer_clear(&r->wall);
    if (r->fetch) {
        fetch_cancel(r->fetch);
        r->fetch = 0;
    }
    if (r->publish) {
        publish_cancel(r->publish);
        r->publish = 0;
    }
    drop_worker(r);
    close_fd(&r->files.input);
    close_fd(&r->files.image);
    if (r->files.output >= 0 && !r->published) {
        storage_discard(&r->claim);
    }
    close_fd(&r->files.output);
    close_fd(&r->files.alpha);
}

static void end(struct job_run *r)
{
    lease_close(&r->lease);
    database_forget(r);
    *r->link = r->next;
    if (r->next) {
        r->next->link = r->link;
    }
    run_count--;
    stop(r);
    free(r);
    run_ended();
}

static void on_lost(void *data)
{
    end(data);
}

static void on_ended(void *data, const struct database_answer *answer)
{
    static const char *const outcomes[] = {
        [DATABASE_NULL] = "the lease was lost, or an earlier call had taken effect",
        [DATABASE_REFUSED] = "the database refused",
        [DATABASE_UNKNOWN] = "the database did not answer",
    };
    struct job_run *r = data;
    if (answer->outcome == DATABASE_ROW) {
        run_log(
            LOG_INFO, r, "job_ended", log_str("status", r->published ? "completed" : answer->text));
    } else { /* the lease runs out, and the reaper decides */
        run_log(LOG_WARN, r, "job_end_unknown", log_str("err", outcomes[answer->outcome]));
    }
    end(r);
}

/* Nothing but the last call of the database is left; it is repeated for as long as the lease lasts. */
static void begin_end(struct job_run *r)
{
    r->state = ENDING;
    lease_finish(&r->lease);
    database_forget(r); /* a hold may be under way */
    stop(r);
}

static void fail(struct job_run *r, const struct error *why)
{
    run_log(LOG_WARN, r, "job_attempt_failed", log_str("code", why->code),
        log_str("err", why->text), log_num("retry", why->retry));
    begin_end(r);
    database_fail(&r->claim, why, r->lease.until, on_ended, r);
}

static void release(struct job_run *r)
{
    run_log(LOG_INFO, r, "job_released", log_num("attempt", r->claim.attempt));
    begin_end(r);
    database_release(&r->claim, r->lease.until, on_ended, r);
}

static void on_cancelled(void *data)
{
    struct error why;
    error_set(&why, "cancelled", "The job was cancelled.");
    fail(data, &why);
}

static void on_wall(void *data)
{
    struct error why;
    struct job_run *r = data;
    error_set(&why, "job_timeout", "The job took longer than %lld s.",
        (long long)((loop_now() - r->claimed) / 1000));
    fail(r, &why);
}

/* ---- the work ---- */

/* The warnings as the JSON array that the database keeps. yajl owns the text. */
static const char *warnings_json(const struct job_run *r, yajl_gen *gen)
{
    const unsigned char *text;
    size_t length;
    *gen = yajl_gen_alloc(0);
    if (!*gen) {
        abort();
    }
    yajl_gen_array_open(*gen);
    for (int i = 0; i < r->warning_count; i++) {
        const char *members[] = { "code", r->warnings[i].code, "message", r->warnings[i].text };
        yajl_gen_map_open(*gen);
        for (int m = 0; m < 4; m++) {
            yajl_gen_string(*gen, (const unsigned char *)members[m], strlen(members[m]));
        }
        yajl_gen_map_close(*gen);
    }
    yajl_gen_array_close(*gen);
    yajl_gen_get_buf(*gen, &text, &length);
    return (const char *)text;
}

static void on_published(void *data, const char *key, const struct error *why)
{
    struct job_run *r = data;
    yajl_gen gen;
    r->publish = 0;
    if (why) {
        fail(r, why);
        return;
    }
    r->published = 1;
    run_log(LOG_INFO, r, "job_stored", log_num("bytes", r->result.bytes),
        log_num("frames", r->result.frames_done));
    begin_end(r);
    database_complete(
        &r->claim, key, &r->result, warnings_json(r, &gen), r->lease.until, on_ended, r);
    yajl_gen_free(gen);
}

static int is_as_large(int file, int64_t bytes)
{
    struct stat st;
    return !fstat(file, &st) && st.st_size == bytes;
}

/* The worker says that the output is on disk. */
static void on_done(struct job_run *r, const struct report *result)
{
    struct error why;
    if (!is_as_large(r->files.output, result->bytes) ||
        (r->claim.alpha && !is_as_large(r->files.alpha, result->alpha_bytes))) {
        error_retry(&why, "storage_error", "The output does not have the size that was written.");
        fail(r, &why);
        return;
    }
    drop_worker(r); /* its end is no failure any more */
    r->result = *result;
    r->publish = publish_start(&r->claim, on_published, r, &why);
    if (!r->publish) {
        fail(r, &why);
    }
}

static void on_hold(void *data, const struct database_answer *answer)
{
    struct job_run *r = data;
    struct error why;
    if (answer->outcome == DATABASE_ROW && !strcmp(answer->text, "held")) {
        r->state = WORKING;
        pool_send_verdict(r->worker, 1);
    } else if (answer->outcome == DATABASE_REFUSED) {
        error_retry(&why, "engine_lost", "The database refused to hold the credits.");
        fail(r, &why);
    } else { /* the job has failed with the code that came, or is no longer ours */
        run_log(LOG_WARN, r, "job_not_held", log_str("code", answer->text));
        end(r);
    }
}

static void on_report(void *data, const struct report *report)
{
    struct job_run *r = data;
    struct error why;
    switch (report->kind) {
    case REPORT_PROBED:
        r->state = HOLDING;
        run_log(LOG_INFO, r, "job_probed", log_num("output_ms", report->duration_ms),
            log_num("frames", report->frames_total), log_num("width", report->width),
            log_num("height", report->height), log_str("network", report->network));
        timer_set(&r->wall,
            loop_now() + config->job_timeout + config->job_timeout_factor * report->duration_ms,
            on_wall, r);
        database_hold(
            &r->claim, report->duration_ms, report->frames_total, r->lease.until, on_hold, r);
        return;
    case REPORT_WARNING:
        run_log(LOG_WARN, r, "job_warning", log_str("code", report->error.code),
            log_str("err", report->error.text));
        r->warnings[r->warning_count++] = report->error;
        return;
    case REPORT_FAILED: fail(r, &report->error); return;
    case REPORT_PROGRESS:
    case REPORT_DONE:
        if (r->state != WORKING) {
            error_retry(
                &why, "worker_crashed", "The worker did not wait until the credits were held.");
            fail(r, &why);
        } else if (report->kind == REPORT_DONE) {
            on_done(r, report);
        } else {
            r->lease.frames_done = report->frames_done;
        }
        return;
    case REPORT_READY: return;
    }
}

static void on_worker_ended(void *data, const struct error *why)
{
    struct job_run *r = data;
    r->worker = 0;
    fail(r, why);
}

static void fill_job(const struct job_run *r, struct job *job)
{
    const struct claim *c = &r->claim;
    const int64_t max_ms = config->max_seconds * 1000;
    memset(job, 0, sizeof *job);
    memcpy(job->id, c->id, sizeof job->id);
    memcpy(job->request_id, c->request_id, sizeof job->request_id);
    memcpy(job->model, c->model, sizeof job->model);
    memcpy(job->format, c->format, sizeof job->format);
    job->background = c->background;
    memcpy(job->color, c->color, sizeof job->color);
    job->composition = c->composition;
    job->prompt = r->prompt;
    job->alpha = c->alpha;
    job->lossless = config->webm_alpha_lossless != 0;
    job->refine = (config->calm ? REFINE_CALM : 0) | (config->clean ? REFINE_CLEAN : 0) |
                  (config->edges ? REFINE_EDGES : 0) | (config->colors ? REFINE_COLORS : 0) |
                  (config->guide ? REFINE_GUIDE : 0);
    job->preview_ms = c->preview_ms;
    job->max_pixels = config->max_pixels;
    job->max_image_bytes = config->image_max_bytes;
    job->max_ms = c->max_ms > 0 && c->max_ms < max_ms ? c->max_ms : max_ms;
}

/* Everything that the worker needs is there. */
static void send_work(struct job_run *r)
{
    struct error why;
    struct job job;
    if (storage_output(&r->claim, &r->files, &why)) {
        fail(r, &why);
        return;
    }
    r->state = PROBING;
    fill_job(r, &job);
    pool_send_job(r->worker, &job, r->files);
}

/* -1: the run has failed. */
static int start_fetch(struct job_run *r, const char *url, int file, int64_t max_bytes,
    void (*done)(void *data, const struct fetch_result *result))
{
    struct error why;
    struct fetch_params params = { .url = url,
        .file = file,
        .max_bytes = max_bytes,
        .timeout = config->fetch_timeout,
        .connect_timeout = config->fetch_connect_timeout,
        .policy = &config->egress };
    r->fetch = fetch_start(&params, done, r, &why);
    if (!r->fetch) {
        fail(r, &why);
    }
    return r->fetch ? 0 : -1;
}

/* The same error, and whose it is. */
static struct error of_image(const struct error *why)
{
    struct error e = *why;
    snprintf(e.text, sizeof e.text, "background.image_url: %.470s", why->text);
    return e;
}

static void on_image(void *data, const struct fetch_result *result)
{
    struct job_run *r = data;
    r->fetch = 0;
    if (result->failed) {
        struct error why = of_image(&result->error);
        fail(r, &why);
    } else {
        send_work(r);
    }
}

static void get_image(struct job_run *r)
{
    struct error why;
    if (r->claim.background != BACKGROUND_IMAGE) {
        send_work(r);
        return;
    }
    r->files.image = storage_input(&r->claim, &why);
    if (r->files.image < 0) {
        fail(r, &why);
        return;
    }
    start_fetch(r, r->claim.image_url, r->files.image, config->image_max_bytes, on_image);
}

/* The input is there. */
static void on_input(struct job_run *r)
{
    struct stat st;
    struct error why;
    if (fstat(r->files.input, &st) || lseek(r->files.input, 0, SEEK_SET)) {
        error_retry(&why, "storage_error", "The input cannot be read back.");
        fail(r, &why);
        return;
    }
    if (!st.st_size) {
        error_set(&why, "empty_input", "The video has no bytes.");
        fail(r, &why);
        return;
    }
    if (st.st_size > config->fetch_max_bytes) {
        error_set(&why, "too_large", "The video is larger than %lld bytes.",
            (long long)config->fetch_max_bytes);
        fail(r, &why);
        return;
    }
    run_log(LOG_INFO, r, "job_input", log_num("bytes", st.st_size));
    get_image(r);
}

static void on_fetched(void *data, const struct fetch_result *result)
{
    struct job_run *r = data;
    r->fetch = 0;
    if (result->failed) {
        fail(r, &result->error);
    } else {
        on_input(r);
    }
}

static void get_input(struct job_run *r)
{
    struct error why;
    int is_upload = r->claim.input_path[0] != 0;
    r->files.input = is_upload ? storage_upload(&r->claim, &why) : storage_input(&r->claim, &why);
    if (r->files.input < 0) {
        fail(r, &why);
    } else if (is_upload) {
        on_input(r);
    } else {
        start_fetch(r, r->claim.video_url, r->files.input, config->fetch_max_bytes, on_fetched);
    }
}

/*
 * Before anything is fetched or a worker taken, so that a job that asks for nothing known fails at once and costs nothing.
 * Here and not where the job is made: what words are known is the network's, and a job may be started by psql.
 */
static int read_prompt(struct job_run *r)
{
    const struct claim *c = &r->claim;
    struct error why;
    if (!*c->text_prompt) {
        return 0;
    }
    int result = prompt_parse(&r->prompt, c->text_prompt, strlen(c->text_prompt), &why);
    if (!result) {
        result = models_understand(&models, c->model, &r->prompt, &why);
    }
    if (result < 0) {
        fail(r, &why);
    } else if (result) {
        r->warnings[r->warning_count++] = why;
    }
    return result;
}

void job_run_open(const struct config *c, const struct models *m, void (*ended)(void))
{
    config = c;
    models = *m;
    run_ended = ended;
}

void job_run_start(const struct claim *claim, int64_t sent)
{
    static const struct pool_user user = { on_report, on_worker_ended };
    struct job_run *r = calloc(1, sizeof *r);
    if (!r) {
        return; /* the lease runs out, and another engine takes the job */
    }
    r->claim = *claim;
    r->claimed = loop_now();
    r->files = (struct job_files) { -1, -1, -1, -1 };
    r->next = runs;
    r->link = &runs;
    if (r->next) {
        r->next->link = &r->next;
    }
    runs = r;
    run_count++;
    r->lease.lost = on_lost;
    r->lease.cancelled = on_cancelled;
    r->lease.data = r;
    lease_open(&r->lease, &r->claim, sent, config->lease, config->heartbeat);

    if (read_prompt(r) < 0) {
        return;
    }
    r->worker = pool_take(claim->model, &user, r);
    if (!r->worker) {
        release(r);
        return;
    }
    run_log(LOG_INFO, r, "job_claimed", log_num("attempt", claim->attempt),
        log_str("model", claim->model), log_str("format", claim->format));
    timer_set(&r->wall, loop_now() + 2 * config->fetch_timeout + config->job_timeout, on_wall, r);
    get_input(r);
}

static struct job_run *find(const char *id)
{
    struct job_run *r = runs;
    while (r && (r->state == ENDING || strcmp(r->claim.id, id) != 0)) {
        r = r->next;
    }
    return r;
}

int job_run_has(const char *id)
{
    return find(id) != 0;
}

void job_run_look(const char *id)
{
    struct job_run *r = find(id);
    if (r) {
        lease_beat(&r->lease);
    }
}

int job_run_count(void)
{
    return run_count;
}

void job_run_release_all(void)
{
    for (struct job_run *r = runs, *next; r; r = next) {
        next = r->next;
        if (r->state != ENDING) {
            release(r);
        }
    }
}
