/*
 * matted: the engine's supervisor. One process, one thread, one event loop. It claims jobs from the database, fetches
 * their videos, hands them to worker processes, stores what these make and tells the database. It never decodes a byte
 * of a client's and never waits for anything but its loop.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "log.h"
#include "matte/manifest.h"
#include "nn/nn.h"
#include "supervisor/config.h"
#include "supervisor/database.h"
#include "supervisor/dispatch.h"
#include "supervisor/doorbell.h"
#include "supervisor/job_run.h"
#include "supervisor/loop.h"
#include "supervisor/pool.h"
#include "supervisor/privilege.h"
#include "supervisor/secret.h"
#include "supervisor/storage.h"
#include "supervisor/sweep.h"
#include "supervisor/webhook.h"

enum { MANIFESTS = 16, LAST_CALLS_MS = 6000 };

static struct config config;
static struct secret_keys keys;
static const struct manifest *manifests[MANIFESTS];
static int manifest_count;
static char engine_id[128];
static int draining, status;
static struct timer drain;

/* ---- models ---- */

static int is_manifest(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return d->d_name[0] != '.' && dot && !strcmp(dot, ".json");
}

/* Opens a manifest and keeps it, unless it serves nothing: no job asks for such a network. */
static int add_manifest(const char *path, struct error *e)
{
    struct manifest *m = manifest_open(path, config.model_files, e);
    if (!m) {
        return -1;
    }
    if (m->serve_count) {
        manifests[manifest_count++] = m;
    } else {
        manifest_close(m);
    }
    return 0;
}

/* Opens every manifest of the folder, in the order of their names. */
static int open_manifests(struct error *e)
{
    struct dirent **list;
    int rc = 0, n = scandir(config.models, &list, is_manifest, alphasort);
    if (n < 0) {
        return error_set(e, "config", "models: %s: %s.", config.models, strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", config.models, list[i]->d_name);
        if (!rc && manifest_count == MANIFESTS) {
            rc = error_set(
                e, "config", "models: %s holds more than %d manifests.", config.models, MANIFESTS);
        } else if (!rc) {
            rc = add_manifest(path, e);
        }
        free(list[i]);
    }
    free(list);
    if (!rc && !manifest_count) {
        rc = error_set(
            e, "config", "models: %s holds no manifest that serves a model.", config.models);
    }
    return rc;
}

/* ---- the end ---- */

static void stop_if_done(void)
{
    if (draining && !job_run_count() && !dispatch_is_claiming() && !webhook_count()) {
        loop_stop();
    }
}

/* Its end is told to the client. */
static void on_run_ended(void)
{
    webhook_now();
    stop_if_done();
}

static void on_last_calls(void *data)
{
    (void)data;
    log_event(LOG_WARN, "stopped_early", log_num("jobs", job_run_count()));
    loop_stop();
}

static void on_drained(void *data)
{
    (void)data;
    timer_set(&drain, loop_now() + LAST_CALLS_MS, on_last_calls, 0);
    job_run_release_all();
    webhook_close();
    stop_if_done();
}

/* TERM and INT: finish what ends soon, give the rest back; a second one: give it back now. */
static void on_signal(void *data, int number)
{
    (void)data;
    if (number == SIGHUP) {
        if (log_open(config.log)) {
            log_event(LOG_ERROR, "log_not_reopened", log_str("err", strerror(errno)));
        }
        return;
    }
    log_event(LOG_INFO, "stopping", log_num("signal", number), log_num("jobs", job_run_count()));
    int64_t patience = draining ? 0 : config.drain;
    draining = 1;
    dispatch_stop();
    webhook_stop();
    pool_stop();
    timer_set(&drain, loop_now() + patience, on_drained, 0);
    stop_if_done();
}

/* ---- the start ---- */

static void on_ring(void *data, const struct doorbell_ring *ring)
{
    (void)data;
    dispatch_ring(ring);
}

static void on_ring_cancel(void *data, const struct doorbell_ring *ring)
{
    (void)data;
    job_run_look(ring->job);
    doorbell_answer(ring, "ok");
}

static void on_work(void *data)
{
    (void)data;
    dispatch_now();
}

/* What a forked child is not to find in its memory. */
static void forget_secrets(void)
{
    database_abandon();
    explicit_bzero(&config.link_secret, sizeof config.link_secret);
    explicit_bzero(&keys, sizeof keys);
}

/* The first answer of the database: before anything is claimed. */
static void on_keys(void *data, const struct database_answer *answer)
{
    (void)data;
    struct error e;
    if (answer->outcome == DATABASE_ROW && *answer->text == 't') {
        webhook_open(&config, &keys, stop_if_done);
        return;
    }
    if (answer->outcome == DATABASE_ROW) {
        secret_keys_refused(&keys, &e);
        log_event(LOG_ERROR, "not_started", log_str("err", e.text));
    } /* else the log has the database's own words */
    status = EX_CONFIG;
    loop_stop();
}

/* Descriptors 0 and 1 are /dev/null, so that nothing opened later, here or in a child, is taken for them. */
static void open_standard(void)
{
    int null;
    do {
        null = open("/dev/null", O_RDWR);
    } while (null >= 0 && null <= STDERR_FILENO); /* those that were closed are filled by the way */
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    close(null);
}

static int threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    long n = config.threads ? config.threads : processors / config.workers;
    return n < 1 ? 1 : (int)n;
}

static void name_engine(void)
{
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    if (*config.engine_id) {
        snprintf(engine_id, sizeof engine_id, "%s", config.engine_id);
    } else {
        snprintf(engine_id, sizeof engine_id, "%s:%d", host, (int)getpid());
    }
}

/* Everything that needs root, then what does not. */
static int start(struct error *e)
{
    static const struct doorbell_events bell = { on_ring, on_ring_cancel };
    static const struct database_events events = { on_work, on_work };
    struct privilege who;
    char names[SECRET_NAMES];

    if (privilege_find(config.user, config.group, &who, e) || open_manifests(e) ||
        secret_keys_read(config.webhook_key, &keys, e) ||
        privilege_folder(&who, config.socket, e)) {
        return -1;
    }
    if (log_open(config.log) || (who.drop && strcmp(config.log, "stderr") != 0 &&
                                    fchown(STDERR_FILENO, who.uid, who.gid))) {
        return error_set(e, "config", "log: %s: %s.", config.log, strerror(errno));
    }
    if (privilege_drop(&who, e) || storage_open(config.state, e) || loop_open(on_signal, 0, e) ||
        doorbell_open(config.socket, (unsigned)config.socket_mode, &bell, 0, e)) {
        return -1;
    }
    name_engine();
    const struct models models = { .manifests = manifests, .manifest_count = manifest_count };
    job_run_open(&config, &models, on_run_ended);
    pool_open(&(struct pool_params) { .workers = (int)config.workers,
        .card_reserve = config.card_reserve,
        .worker = { .manifests = manifests,
            .manifest_count = manifest_count,
            .model = config.warm,
            .budget = config.network_budget * 1000000,
            .device = config.device,
            .threads = threads(),
            .max_pixels = config.max_pixels,
            .memory_limit = config.worker_memory,
            .sandbox = (int)config.worker_sandbox },
        .ready = on_work });
    if (database_open(config.database, &events, 0, e)) {
        return -1;
    }
    explicit_bzero(config.database, strlen(config.database));
    child_forget(forget_secrets);
    secret_keys_names(&keys, names);
    database_webhook_keys(names, INT64_MAX, on_keys, 0);
    sweep_open(&config);
    dispatch_open(&(struct dispatch_params) { engine_id, config.lease, config.poll, stop_if_done });
    log_event(LOG_INFO, "ready", log_str("engine_id", engine_id), log_str("socket", config.socket),
        log_num("pid", getpid()), log_num("workers", config.workers), log_num("threads", threads()),
        log_num("manifests", manifest_count), log_str("device", config.device));
    return 0;
}

static void stop(void)
{
    doorbell_close();
    sweep_close();
    webhook_close();
    database_close();
    storage_close();
    loop_close();
    for (int i = 0; i < manifest_count; i++) {
        manifest_close((struct manifest *)manifests[i]);
    }
    log_event(LOG_INFO, "stopped", log_str("engine_id", engine_id));
    config_free(&config);
}

/* Prints the client's webhook secret, as the user that the engine runs as. */
static int show_secret(const char *client)
{
    struct privilege who;
    struct error e;
    char secret[SECRET_TEXT];
    if (privilege_find(config.user, config.group, &who, &e) ||
        secret_keys_read(config.webhook_key, &keys, &e) || privilege_drop(&who, &e) ||
        secret_ask(config.database, &keys, client, secret, &e)) {
        fprintf(stderr, "matted: %s\n", e.text);
        return EX_CONFIG;
    }
    puts(secret);
    return 0;
}

int main(int argc, char **argv)
{
    nn_start(argv); /* the workers' threads, which are forked from here, wait without spinning */
    const char *path = 0, *client = 0;
    int only_test = 0;
    struct error e;
    for (int option; (option = getopt(argc, argv, "c:ts:")) != -1;) {
        switch (option) {
        case 'c': path = optarg; break;
        case 't': only_test = 1; break;
        case 's': client = optarg; break;
        default: path = 0, optind = argc + 1;
        }
    }
    if (!path || optind != argc) {
        fprintf(stderr, "usage: matted -c FILE [-t | -s CLIENT]\n"
                        "  -t  check the file, say so, and exit\n"
                        "  -s  show the client's webhook secret, and exit\n");
        return EX_USAGE;
    }
    if (config_read(path, &config, &e)) {
        fprintf(stderr, "matted: %s\n", e.text);
        return EX_CONFIG;
    }
    if (only_test) {
        fprintf(stderr, "matted: %s is right.\n", path);
        config_free(&config);
        return 0;
    }
    if (client) {
        status = show_secret(client);
        config_free(&config);
        return status;
    }
    open_standard();
    if (start(&e)) {
        log_event(LOG_ERROR, "not_started", log_str("err", e.text));
        return EX_CONFIG;
    }
    loop_run();
    stop();
    return status;
}
