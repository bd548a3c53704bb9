#include "database.h"

#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../log.h"
#include "digest.h"
#include "loop.h"

enum {
    CALL_MS = 6000, /* an answer later than this will not come; the database's own limit is 5 s */
    CONNECT_MS = 5000, /* for a connection to stand */
    BACKOFF_MIN = 100,
    BACKOFF_MAX = 5000,
    AGAIN_MS = 200, /* before a call that met a passing error is repeated */
    VALUES = 12,
};

/* One row a call: name, SQL and the types of its arguments. Columns come in the order of struct claim for CLAIM,
 * of webhooks_of for WEBHOOK_CLAIM. */
enum statement {
    CLAIM,
    REAP,
    HEARTBEAT,
    HOLD,
    COMPLETE,
    FAIL,
    RELEASE,
    SWEEP_DUE,
    SWEEP_DONE,
    SWEEP_JOBS,
    SWEEP_ROWS,
    SWEEP_UNCLAIMED,
    WEBHOOK_KEYS,
    WEBHOOK_CLAIM,
    WEBHOOK_DONE
};
static const struct {
    const char *name, *types, *sql;
    int values;
} statements[] = {
    [CLAIM] = { "claim", "text, interval",
        "SELECT id, tenant_id, request_id, lease_no, attempt, max_attempts, model, output_format, "
        "video_url,"
        " input_path, background, preview_ms, max_ms, image_url, canvas_width, canvas_height, "
        "anchor,"
        " scale, offset_x, offset_y, trace_id, text_prompt, alpha FROM matte.job_claim($1, $2)",
        2 },
    [REAP] = { "reap", "int", "SELECT matte.job_reap($1)", 1 },
    [HEARTBEAT] = { "heartbeat", "uuid, bigint, interval, int",
        "SELECT matte.job_heartbeat($1, $2, $3, $4)", 4 },
    [HOLD] = { "hold", "uuid, bigint, bigint, int", "SELECT matte.job_hold($1, $2, $3, $4)", 4 },
    [COMPLETE] = { "complete",
        "uuid, bigint, bigint, text, bigint, bytea, int, int, int, jsonb, bigint, bytea",
        "SELECT matte.job_complete($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", 12 },
    [FAIL] = { "fail", "uuid, bigint, text, text, boolean",
        "SELECT matte.job_fail($1, $2, $3, $4, $5)", 5 },
    [RELEASE] = { "release", "uuid, bigint", "SELECT matte.job_release($1, $2)", 2 },
    [SWEEP_DUE] = { "sweep_due", "interval, interval, int", "SELECT matte.sweep_due($1, $2, $3)",
        3 },
    [SWEEP_DONE] = { "sweep_done", "text", "SELECT matte.sweep_done($1)", 1 },
    [SWEEP_JOBS] = { "sweep_jobs", "interval, int", "SELECT matte.sweep_jobs($1, $2)", 2 },
    [SWEEP_ROWS] = { "sweep_rows", "interval, int", "SELECT matte.sweep_rows($1, $2)", 2 },
    [SWEEP_UNCLAIMED] = { "sweep_unclaimed", "text", "SELECT matte.sweep_unclaimed($1)", 1 },
    [WEBHOOK_KEYS] = { "webhook_keys", "text[]", "SELECT matte.webhook_keys($1)", 1 },
    [WEBHOOK_CLAIM] = { "webhook_claim", "boolean, int, interval",
        "SELECT id, attempt, job_id, event, url, at, data, output_key, secrets, request_id, "
        "traceparent, alpha_key"
        " FROM matte.webhook_claim($1, $2, $3)",
        3 },
    [WEBHOOK_DONE] = { "webhook_done", "uuid, int, int, text, int, int",
        "SELECT matte.webhook_done($1, $2, $3, $4, $5, $6)", 6 },
};
enum { STATEMENTS = sizeof statements / sizeof *statements };

struct call {
    struct call *next;
    enum statement statement;
    char *values[VALUES]; /* owned */
    int64_t until;        /* 0: not repeated */
    int64_t sent;
    int in_flight;
    database_done *done; /* NULL: nobody wants the answer */
    void *data;
};

static struct {
    char *conninfo; /* owned: it may hold a password */
    struct database_events events;
    void *data;
    PGconn *connection;
    enum { AWAY, CONNECTING, PREPARING, READY } state;
    struct watch watch;
    struct timer
        deadline; /* of the connection attempt or of the call in flight; of the next attempt while AWAY */
    struct timer again; /* the first call waits for a passing error to pass */
    int backoff;
    char said[256];   /* the last connection error logged: each is said once */
    PGresult *result; /* of the answer that is arriving */
    struct call *first, **last;
} db;

static void advance(void);
static void lose(const char *why);

/* ---- calls ---- */

static void call_free(struct call *c)
{
    for (int i = 0; i < VALUES; i++) {
        free(c->values[i]);
    }
    free(c);
}

/* Takes the first call off the list and answers it. */
static void answer_first(struct database_answer answer)
{
    struct call *c = db.first;
    db.first = c->next;
    if (!db.first) {
        db.last = &db.first;
    }
    answer.sent = c->sent;
    if (c->done) {
        c->done(c->data, &answer);
    }
    call_free(c);
}

static int is_repeated(const struct call *c)
{
    return c->until > loop_now();
}

static struct call *call_make(enum statement s, int64_t until, database_done *done, void *data)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c) {
        abort(); /* a few hundred bytes: the process is lost, and every lease is safe with the database */
    }
    c->statement = s;
    c->until = until;
    c->done = done;
    c->data = data;
    return c;
}

static void value_text(struct call *c, int i, const char *text)
{
    c->values[i] = strdup(text);
    if (!c->values[i]) {
        abort();
    }
}

static void value_number(struct call *c, int i, int64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)n);
    value_text(c, i, text);
}

static void value_int(struct call *c, int i, int64_t n)
{
    value_number(c, i, n > INT_MAX ? INT_MAX : n);
}

static void value_ms(struct call *c, int i, int64_t ms)
{
    char text[32];
    snprintf(text, sizeof text, "%lld ms", (long long)ms);
    value_text(c, i, text);
}

static struct call *call_of_job(
    enum statement s, const struct claim *claim, int64_t until, database_done *done, void *data)
{
    struct call *c = call_make(s, until, done, data);
    value_text(c, 0, claim->id);
    value_number(c, 1, claim->lease_no);
    return c;
}

static void submit(struct call *c)
{
    *db.last = c;
    db.last = &c->next;
    advance();
}

void database_claim(const char *engine_id, int64_t ttl, database_done *done, void *data)
{
    struct call *c = call_make(CLAIM, 0, done, data);
    value_text(c, 0, engine_id);
    value_ms(c, 1, ttl);
    submit(c);
}

void database_reap(int max, database_done *done, void *data)
{
    struct call *c = call_make(REAP, 0, done, data);
    value_number(c, 0, max);
    submit(c);
}

void database_heartbeat(const struct claim *claim, int64_t ttl, int64_t frames_done, int64_t until,
    database_done *done, void *data)
{
    struct call *c = call_of_job(HEARTBEAT, claim, until, done, data);
    value_ms(c, 2, ttl);
    value_int(c, 3, frames_done);
    submit(c);
}

void database_hold(const struct claim *claim, int64_t output_ms, int64_t frames, int64_t until,
    database_done *done, void *data)
{
    struct call *c = call_of_job(HOLD, claim, until, done, data);
    value_number(c, 2, output_ms);
    value_int(c, 3, frames);
    submit(c);
}

static void value_sha256(struct call *c, int i, const uint8_t sha256[32])
{
    char hex[2 + 2 * 32 + 1] = "\\x";
    digest_hex(sha256, 32, hex + 2);
    value_text(c, i, hex);
}

void database_complete(const struct claim *claim, const char *output_key,
    const struct report *result, const char *warnings, int64_t until, database_done *done,
    void *data)
{
    struct call *c = call_of_job(COMPLETE, claim, until, done, data);
    value_number(c, 2, result->duration_ms);
    value_text(c, 3, output_key);
    value_number(c, 4, result->bytes);
    value_sha256(c, 5, result->sha256);
    value_int(c, 6, result->width);
    value_int(c, 7, result->height);
    value_int(c, 8, result->frames_done);
    value_text(c, 9, warnings);
    if (claim->alpha) {
        value_number(c, 10, result->alpha_bytes);
        value_sha256(c, 11, result->alpha_sha256);
    }
    submit(c);
}

void database_fail(const struct claim *claim, const struct error *why, int64_t until,
    database_done *done, void *data)
{
    struct call *c = call_of_job(FAIL, claim, until, done, data);
    value_text(c, 2, why->code);
    value_text(c, 3, why->text);
    value_text(c, 4, why->retry ? "t" : "f");
    submit(c);
}

void database_release(const struct claim *claim, int64_t until, database_done *done, void *data)
{
    submit(call_of_job(RELEASE, claim, until, done, data));
}

void database_sweep_due(
    int64_t keep_uploads, int64_t keep_outputs, int max, database_done *done, void *data)
{
    struct call *c = call_make(SWEEP_DUE, 0, done, data);
    value_ms(c, 0, keep_uploads);
    value_ms(c, 1, keep_outputs);
    value_number(c, 2, max);
    submit(c);
}

void database_sweep_done(const char *paths, database_done *done, void *data)
{
    struct call *c = call_make(SWEEP_DONE, 0, done, data);
    value_text(c, 0, paths);
    submit(c);
}

void database_sweep_jobs(int64_t keep, int max, database_done *done, void *data)
{
    struct call *c = call_make(SWEEP_JOBS, 0, done, data);
    value_ms(c, 0, keep);
    value_number(c, 1, max);
    submit(c);
}

void database_sweep_rows(int64_t keep, int max, database_done *done, void *data)
{
    struct call *c = call_make(SWEEP_ROWS, 0, done, data);
    value_ms(c, 0, keep);
    value_number(c, 1, max);
    submit(c);
}

void database_sweep_unclaimed(const char *paths, database_done *done, void *data)
{
    struct call *c = call_make(SWEEP_UNCLAIMED, 0, done, data);
    value_text(c, 0, paths);
    submit(c);
}

void database_webhook_keys(const char *names, int64_t until, database_done *done, void *data)
{
    struct call *c = call_make(WEBHOOK_KEYS, until, done, data);
    value_text(c, 0, names);
    submit(c);
}

void database_webhook_claim(int failing, int max, int64_t lease, database_done *done, void *data)
{
    struct call *c = call_make(WEBHOOK_CLAIM, 0, done, data);
    value_text(c, 0, failing ? "t" : "f");
    value_number(c, 1, max);
    value_ms(c, 2, lease);
    submit(c);
}

void database_webhook_done(
    const struct webhook_outcome *o, int64_t until, database_done *done, void *data)
{
    struct call *c = call_make(WEBHOOK_DONE, until, done, data);
    value_text(c, 0, o->id);
    value_number(c, 1, o->attempt);
    if (o->status) {
        value_number(c, 2, o->status);
    }
    if (o->error) {
        value_text(c, 3, o->error);
    }
    value_int(c, 4, o->ms);
    value_number(c, 5, o->retry_after);
    submit(c);
}

void database_forget(const void *data)
{
    for (struct call *c = db.first; c; c = c->next) {
        if (c->data == data) {
            c->done = 0;
        }
    }
}

int database_is_connected(void)
{
    return db.state == READY;
}

/* ---- answers ---- */

static int copy(char *to, size_t size, const PGresult *r, int column)
{
    return (size_t)snprintf(to, size, "%s", PQgetvalue(r, 0, column)) < size ? 0 : -1;
}

static int64_t integer(const PGresult *r, int column)
{
    return strtoll(PQgetvalue(r, 0, column), 0, 10);
}

/* An image's URL, or 'transparent' or '#rrggbb'. */
static int read_background(struct claim *c, const char *image_url, const char *text)
{
    unsigned r, g, b;
    int length = 0;
    if (*image_url) {
        c->background = BACKGROUND_IMAGE;
        return 0;
    }
    if (!strcmp(text, "transparent")) {
        c->background = BACKGROUND_TRANSPARENT;
        return 0;
    }
    if (sscanf(text, "#%2x%2x%2x%n", &r, &g, &b, &length) != 3 || length != 7 || text[7]) {
        return -1;
    }
    c->background = BACKGROUND_COLOR;
    c->color[0] = (uint8_t)r, c->color[1] = (uint8_t)g, c->color[2] = (uint8_t)b;
    return 0;
}

static int read_composition(struct composition *c, const PGresult *r)
{
    int anchor = anchor_of(PQgetvalue(r, 0, 16));
    *c = (struct composition) {
        .canvas_width = (int)integer(r, 14),
        .canvas_height = (int)integer(r, 15),
        .anchor = (enum anchor)anchor,
        .scale = strtod(PQgetvalue(r, 0, 17), 0),
        .offset_x = strtod(PQgetvalue(r, 0, 18), 0),
        .offset_y = strtod(PQgetvalue(r, 0, 19), 0),
    };
    return anchor < 0 ? -1 : 0;
}

static int is_uuid(const char *s)
{
    return strlen(s) == 36 && strspn(s, "0123456789abcdef-") == 36;
}

static int read_claim(struct claim *c, const PGresult *r)
{
    memset(c, 0, sizeof *c);
    c->lease_no = integer(r, 3);
    c->attempt = (int)integer(r, 4);
    c->max_attempts = (int)integer(r, 5);
    c->preview_ms = integer(r, 11);
    c->max_ms = integer(r, 12);
    c->alpha = *PQgetvalue(r, 0, 22) == 't';
    copy(c->text_prompt, sizeof c->text_prompt, r, 21);
    return PQnfields(r) != 23 || copy(c->id, sizeof c->id, r, 0) ||
                   copy(c->tenant_id, sizeof c->tenant_id, r, 1) ||
                   copy(c->request_id, sizeof c->request_id, r, 2) ||
                   copy(c->model, sizeof c->model, r, 6) ||
                   copy(c->format, sizeof c->format, r, 7) ||
                   copy(c->video_url, sizeof c->video_url, r, 8) ||
                   copy(c->input_path, sizeof c->input_path, r, 9) ||
                   copy(c->trace_id, sizeof c->trace_id, r, 20) ||
                   copy(c->image_url, sizeof c->image_url, r, 13) ||
                   read_background(c, c->image_url, PQgetvalue(r, 0, 10)) ||
                   read_composition(&c->composition, r) || !is_uuid(c->id) || !is_uuid(c->tenant_id)
               ? -1
               : 0;
}

/* Answers a claim of webhooks. */
static void answer_webhooks(const PGresult *r)
{
    int rows = PQntuples(r);
    struct webhook_due *list = calloc((size_t)rows, sizeof *list);
    if (!list) {
        abort();
    }
    for (int i = 0; i < rows; i++) {
        list[i] = (struct webhook_due) { .id = PQgetvalue(r, i, 0),
            .attempt = (int)strtol(PQgetvalue(r, i, 1), 0, 10),
            .job_id = PQgetvalue(r, i, 2),
            .event = PQgetvalue(r, i, 3),
            .url = PQgetvalue(r, i, 4),
            .at = PQgetvalue(r, i, 5),
            .data = PQgetvalue(r, i, 6),
            .output_key = PQgetvalue(r, i, 7),
            .secrets = PQgetvalue(r, i, 8),
            .request_id = PQgetvalue(r, i, 9),
            .traceparent = PQgetvalue(r, i, 10),
            .alpha_key = PQgetvalue(r, i, 11) };
    }
    answer_first((struct database_answer) {
        .outcome = DATABASE_ROW, .webhooks = list, .webhook_count = rows });
    free(list);
}

/* Errors that say nothing about the call itself: connection, resources, rollback, lock, intervention. */
static int is_passing(const char *sqlstate)
{
    static const char *const classes[] = { "08", "40", "53", "55", "57" };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (!strncmp(sqlstate, classes[i], 2)) {
            return 1;
        }
    }
    return 0;
}

static void on_again(void *data)
{
    (void)data;
    advance();
}

static void refused(const PGresult *r)
{
    struct call *c = db.first;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    log_event(LOG_ERROR, "database_error", log_str("call", statements[c->statement].name),
        log_str("sqlstate", state), log_str("err", text ? text : PQresultErrorMessage(r)));
    if (state && is_passing(state) && is_repeated(c)) {
        c->in_flight = 0;
        timer_set(&db.again, loop_now() + AGAIN_MS, on_again, 0);
        return;
    }
    answer_first((struct database_answer) { .outcome = DATABASE_REFUSED });
}

static void answered(PGresult *r)
{
    struct call *c = db.first;
    struct claim claim;
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        refused(r);
    } else if (!PQntuples(r) || PQgetisnull(r, 0, 0)) {
        answer_first((struct database_answer) { .outcome = DATABASE_NULL });
    } else if (c->statement == WEBHOOK_CLAIM) {
        answer_webhooks(r);
    } else if (c->statement != CLAIM) {
        answer_first(
            (struct database_answer) { .outcome = DATABASE_ROW, .text = PQgetvalue(r, 0, 0) });
    } else if (!read_claim(&claim, r)) {
        answer_first((struct database_answer) {
            .outcome = DATABASE_ROW, .text = claim.id, .claim = &claim });
    } else {
        log_event(LOG_ERROR, "claim_unreadable", log_str("job_id", PQgetvalue(r, 0, 0)));
        answer_first((struct database_answer) { .outcome = DATABASE_REFUSED });
    }
}

/* ---- the connection ---- */

static void on_ready(void *data, uint32_t events);

static void on_deadline(void *data)
{
    (void)data;
    lose(db.state == READY ? "A call was not answered in time." : "It does not answer.");
}

/* Sends what libpq has not sent yet and waits for what is needed next. */
static void flush(void)
{
    int left = PQflush(db.connection);
    if (left < 0) {
        lose(PQerrorMessage(db.connection));
        return;
    }
    watch_set(&db.watch, PQsocket(db.connection), EPOLLIN | (left ? EPOLLOUT : 0), on_ready, 0);
}

/* Sends the first call if it can be. */
static void advance(void)
{
    struct call *c = db.first;
    while (c && !c->in_flight && c->until && !is_repeated(c)) { /* too late to be sent (again) */
        answer_first((struct database_answer) { .outcome = DATABASE_UNKNOWN });
        c = db.first;
    }
    if (db.state != READY || !c || c->in_flight || db.again.link) {
        return;
    }
    c->in_flight = 1;
    c->sent = loop_now();
    if (!PQsendQueryPrepared(db.connection, statements[c->statement].name,
            statements[c->statement].values, (const char *const *)c->values, 0, 0, 0)) {
        lose(PQerrorMessage(db.connection));
        return;
    }
    timer_set(&db.deadline, c->sent + CALL_MS, on_deadline, 0);
    flush();
}

/* Prepares every statement and listens, in one round trip and one transaction. */
static int prepare(void)
{
    char sql[4096];
    size_t at = 0;
    for (int i = 0; i < STATEMENTS; i++) {
        at += (size_t)snprintf(sql + at, sizeof sql - at, "PREPARE %s(%s) AS %s;",
            statements[i].name, statements[i].types, statements[i].sql);
    }
    snprintf(sql + at, sizeof sql - at, "LISTEN matte_jobs");
    db.state = PREPARING;
    return PQsetnonblocking(db.connection, 1) || !PQsendQuery(db.connection, sql) ? -1 : 0;
}

static void on_prepared(void)
{
    db.state = READY;
    db.backoff = BACKOFF_MIN;
    db.said[0] = 0;
    timer_clear(&db.deadline);
    log_event(LOG_INFO, "database_connected");
    db.events.connected(db.data);
    advance();
}

/* An answer is due: libpq has nothing to say to who has asked nothing. */
static int is_waiting(void)
{
    return db.state == PREPARING || (db.first && db.first->in_flight);
}

/* An answer has ended; *r is its last result and may be NULL. */
static void on_result(PGresult *r)
{
    if (PQstatus(db.connection) == CONNECTION_BAD ||
        (db.state == PREPARING && PQresultStatus(r) != PGRES_COMMAND_OK)) {
        lose(PQresultErrorMessage(r));
    } else if (db.state == PREPARING) {
        on_prepared();
    } else if (db.first && db.first->in_flight) {
        timer_clear(&db.deadline);
        answered(r);
    }
    PQclear(r);
}

/* Takes what has arrived, without waiting for the rest. */
static void consume(void)
{
    if (!PQconsumeInput(db.connection)) {
        lose(PQerrorMessage(db.connection));
        return;
    }
    int notified = 0;
    for (PGnotify *n; (n = PQnotifies(db.connection)); PQfreemem(n)) {
        notified = 1;
    }
    while (db.state != AWAY && is_waiting() && !PQisBusy(db.connection)) {
        PGresult *next = PQgetResult(db.connection);
        PGresult *ended = next ? 0 : db.result;
        if (next && (!db.result || PQresultStatus(db.result) != PGRES_FATAL_ERROR)) {
            PQclear(db.result);
            db.result = next;
        } else if (next) {
            PQclear(next); /* of the results to one query the first error counts */
        } else {
            db.result = 0;
            on_result(ended);
        }
    }
    if (notified && db.state == READY) {
        db.events.notified(db.data);
    }
}

static void on_ready(void *data, uint32_t events)
{
    (void)data;
    if (db.state == CONNECTING) {
        watch_clear(&db.watch); /* libpq may close this socket and take another */
        PostgresPollingStatusType status = PQconnectPoll(db.connection);
        if (status == PGRES_POLLING_FAILED || (status == PGRES_POLLING_OK && prepare())) {
            lose(PQerrorMessage(db.connection));
        } else if (status == PGRES_POLLING_OK) {
            flush();
        } else {
            watch_set(&db.watch, PQsocket(db.connection),
                status == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT, on_ready, 0);
        }
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        consume();
    }
    if (db.state != AWAY) {
        flush();
        advance();
    }
}

static void quiet(void *data, const char *message)
{
    (void)data, (void)message;
}

static void connect_now(void *data)
{
    (void)data;
    static const char *const names[] = { "keepalives_idle", "keepalives_interval",
        "keepalives_count", "fallback_application_name", "client_encoding", "dbname", 0 };
    const char *const values[] = { "10", "5", "3", "matted", "UTF8", db.conninfo, 0 };
    db.connection =
        PQconnectStartParams(names, values, 1); /* what conninfo says comes last and wins */
    db.state = CONNECTING;
    if (!db.connection || PQstatus(db.connection) == CONNECTION_BAD) {
        lose(db.connection ? PQerrorMessage(db.connection) : "Out of memory.");
        return;
    }
    PQsetNoticeProcessor(db.connection, quiet, 0);
    timer_set(&db.deadline, loop_now() + CONNECT_MS, on_deadline, 0);
    watch_set(&db.watch, PQsocket(db.connection), EPOLLOUT, on_ready, 0);
}

/* Gives the connection up and plans the next one. Calls that were sent are repeated or answered as unknown; those that
 * never were wait on. */
static void lose(const char *reason)
{
    char why[sizeof db.said];
    snprintf(why, sizeof why, "%.*s", (int)strcspn(reason, "\n"), reason);
    if (strcmp(why, db.said) != 0) {
        log_event(LOG_ERROR, "database_lost", log_str("err", why));
        memcpy(db.said, why, sizeof why);
    }
    watch_clear(&db.watch);
    timer_clear(&db.again);
    PQclear(db.result);
    db.result = 0;
    PQfinish(db.connection);
    db.connection = 0;
    db.state = AWAY;
    db.backoff = db.backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : db.backoff * 2;
    timer_set(&db.deadline, loop_now() + db.backoff, connect_now, 0);
    if (db.first && db.first->in_flight) {
        db.first->in_flight = 0;
        if (!is_repeated(db.first)) {
            answer_first((struct database_answer) { .outcome = DATABASE_UNKNOWN });
        }
    }
}

int database_open(
    const char *conninfo, const struct database_events *events, void *data, struct error *e)
{
    char *text = 0;
    PQconninfoOption *options = PQconninfoParse(conninfo, &text);
    if (!options) {
        error_set(e, "config", "database: %.*s.", (int)strcspn(text, "\n"), text);
        PQfreemem(text);
        return -1;
    }
    PQconninfoFree(options);
    db.conninfo = strdup(conninfo);
    if (!db.conninfo) {
        return error_set(e, "database", "Out of memory.");
    }
    db.events = *events;
    db.data = data;
    db.last = &db.first;
    db.backoff = BACKOFF_MIN;
    connect_now(0);
    return 0;
}

void database_abandon(void)
{
    close(PQsocket(db.connection)); /* or PQfinish would say goodbye in the parent's name */
    mallopt(M_PERTURB, 1); /* what it frees is overwritten: passwords, and rows that were read */
    PQfinish(db.connection);
    mallopt(M_PERTURB, 0);
    db.connection = 0;
    explicit_bzero(db.conninfo, strlen(db.conninfo));
}

void database_close(void)
{
    watch_clear(&db.watch);
    timer_clear(&db.deadline);
    timer_clear(&db.again);
    PQclear(db.result);
    PQfinish(db.connection);
    db.connection = 0;
    db.result = 0;
    db.state = AWAY;
    while (db.first) {
        struct call *c = db.first;
        db.first = c->next;
        call_free(c);
    }
    free(db.conninfo);
    db.conninfo = 0;
}
