#include "webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "database.h"
#include "link.h"
#include "loop.h"
#include "sender.h"
#include "signature.h"

enum {
    LEASE = 4, /* times the timeout: a minute */
    FAILING_SHARE = 4,
    SIGNATURES = 2 * SECRET_KEYS, /* by the client's newest secret and the one before it */
};

enum lane_name { STEADY, FAILING, LANES };

struct lane {
    int room;   /* attempts that may begin */
    int asked;  /* a claim is under way */
    int wanted; /* something called for a claim after it was sent */
};

/* One attempt. */
struct attempt {
    uint64_t number; /* the sender's name for it */
    struct lane *lane;
    char id[37], job[37], event[32], request[129], trace[33];
    int n;
    int64_t until; /* loop_now() at which the lease ends */
    struct sender_result result;
    struct attempt *next, **link;
};

static const struct config *config;
static const struct secret_keys *keys;
static void (*attempt_ended)(void);
static struct lane lanes[LANES];
static struct attempt *attempts;
static int attempt_count, stopped;
static uint64_t last_number;
static struct timer poll;

/* ---- the end of an attempt ---- */

static void forget(struct attempt *a)
{
    database_forget(a);
    *a->link = a->next;
    if (a->next) {
        a->next->link = a->link;
    }
    a->lane->room++;
    attempt_count--;
    free(a);
}

static void on_told(void *data, const struct database_answer *answer)
{
    struct attempt *a = data;
    const char *state = answer->outcome == DATABASE_ROW ? answer->text : "unknown";
    log_event(!strcmp(state, "sent") ? LOG_INFO : LOG_WARN, "webhook", log_str("state", state),
        log_str("webhook", a->event), log_str("delivery_id", a->id), log_str("job_id", a->job),
        log_str("request_id", a->request), log_str("trace_id", a->trace), log_num("attempt", a->n),
        log_num("status", a->result.status), log_num("ms", a->result.ms),
        log_str("err", a->result.error.text));
    forget(a);
    webhook_now();
    attempt_ended();
}

static void tell(struct attempt *a)
{
    const struct sender_result *r = &a->result;
    database_webhook_done(&(struct webhook_outcome) { a->id, a->n, r->status,
                              r->status ? 0 : r->error.text, r->ms, r->retry_after },
        a->until, on_told, a);
}

static void on_sent(void *data, const struct sender_result *result)
{
    (void)data;
    for (struct attempt *a = attempts; a; a = a->next) {
        if (a->number == result->id) {
            a->result = *result;
            tell(a);
            return;
        }
    }
}

/* ---- its beginning ---- */

/* A link that is good from now, as JSON; no key: null. */
static void link_json(const char *key, char text[LINK_BYTES + 2])
{
    char url[LINK_BYTES];
    if (!*key || !config->link_secret.bytes) {
        memcpy(text, "null", sizeof "null");
        return;
    }
    link_url(&config->link_secret, config->public_url, key, time(0) + config->link_ttl / 1000, url);
    snprintf(text, LINK_BYTES + 2, "\"%s\"", url);
}

/* The body: the job as it was, with links. */
static char *render(const struct webhook_due *w)
{
    char output[LINK_BYTES + 2], alpha[LINK_BYTES + 2], *body;
    int length = (int)strlen(w->data); /* a JSON object */
    link_json(w->output_key, output);
    link_json(w->alpha_key, alpha);
    if (asprintf(&body,
            "{\"event\":\"%s\",\"type\":\"%s\",\"timestamp\":\"%s\","
            "\"data\":%.*s,\"output_url\":%s,\"alpha_url\":%s}}",
            w->event, w->event, w->at, length - 1, w->data, output, alpha) < 0) {
        abort();
    }
    return body;
}

/* Signs by each secret: of each id, the newest first, one for each key. *newest is the first's, by the documented scheme. */
static int sign(const struct webhook_due *w, const char *body, const char *iso,
    const char *unix_time, char newest[SIGNATURE_DOCUMENTED], char *standard, size_t size)
{
    char secret[SECRET_TEXT];
    size_t bytes = strlen(body), used = 0, length;
    int rc = -1;
    for (const char *id = w->secrets; *id; id += length, id += strspn(id, " ")) {
        length = strcspn(id, " ");
        for (int i = 0; i < keys->count; i++) {
            if (size - used < SIGNATURE_STANDARD + 1) {
                return -1;
            }
            secret_make(keys->key[i], id, length, secret);
            if (!used) {
                signature_documented(secret, sizeof secret - 1, iso, body, bytes, newest);
            } else {
                standard[used++] = ' ';
            }
            rc = signature_standard(secret, w->id, unix_time, body, bytes, standard + used);
            explicit_bzero(secret, sizeof secret);
            used += SIGNATURE_STANDARD - 1;
        }
    }
    return rc;
}

/* The headers, a line each; NULL where the client has no secret. */
static char *head(const struct webhook_due *w, const char *body)
{
    char iso[32], unix_time[24], newest[SIGNATURE_DOCUMENTED],
        standard[SIGNATURES * SIGNATURE_STANDARD];
    char *text;
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t at = strftime(iso, sizeof iso, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(iso + at, sizeof iso - at, ".%03ldZ", now.tv_nsec / 1000000);
    snprintf(unix_time, sizeof unix_time, "%lld", (long long)now.tv_sec);
    if (sign(w, body, iso, unix_time, newest, standard, sizeof standard)) {
        return 0;
    }
    if (asprintf(&text,
            "Content-Type: application/json\n"
            "X-Webhook-Event: %s\nX-Webhook-Delivery-Id: %s\nX-Webhook-Timestamp: %s\n"
            "X-Webhook-Signature: %s\n"
            "webhook-id: %s\nwebhook-timestamp: %s\nwebhook-signature: %s\n"
            "%s%s%s%s%s%s",
            w->event, w->id, iso, newest, w->id, unix_time, standard,
            *w->request_id ? "X-Request-Id: " : "", w->request_id, *w->request_id ? "\n" : "",
            *w->traceparent ? "traceparent: " : "", w->traceparent,
            *w->traceparent ? "\n" : "") < 0) {
        abort();
    }
    return text;
}

static void begin(struct lane *lane, const struct webhook_due *w, int64_t until)
{
    struct attempt *a = calloc(1, sizeof *a);
    if (!a) {
        abort();
    }
    *a =
        (struct attempt) { .number = ++last_number, .lane = lane, .n = w->attempt, .until = until };
    snprintf(a->id, sizeof a->id, "%s", w->id);
    snprintf(a->job, sizeof a->job, "%s", w->job_id);
    snprintf(a->event, sizeof a->event, "%s", w->event);
    snprintf(a->request, sizeof a->request, "%s", w->request_id);
    if (*w->traceparent) {
        snprintf(a->trace, sizeof a->trace, "%s", w->traceparent + strlen("00-"));
    }
    a->next = attempts;
    a->link = &attempts;
    if (a->next) {
        a->next->link = &a->next;
    }
    attempts = a;
    attempt_count++;
    lane->room--;

    struct error *e = &a->result.error;
    char *body = render(w), *headers = head(w, body);
    int rc = headers ? sender_post(a->number, w->url, headers, body, strlen(body), e)
                     : error_set(e, "no_secret", "The client has no secret to sign with.");
    free(headers);
    free(body);
    if (rc) {
        tell(a);
    }
}

static void claim(struct lane *lane);

static void on_claim(void *data, const struct database_answer *answer)
{
    struct lane *lane = data;
    lane->asked = 0;
    for (int i = 0; i < answer->webhook_count; i++) {
        begin(lane, &answer->webhooks[i], answer->sent + LEASE * config->webhook_timeout);
    }
    if (lane->wanted) {
        claim(lane);
    }
}

static void claim(struct lane *lane)
{
    lane->wanted = lane->asked;
    if (!lane->asked && lane->room > 0 && !stopped && database_is_connected()) {
        lane->asked = 1;
        database_webhook_claim(
            lane == &lanes[FAILING], lane->room, LEASE * config->webhook_timeout, on_claim, lane);
    }
}

void webhook_now(void)
{
    for (int i = 0; i < LANES; i++) {
        claim(&lanes[i]);
    }
}

static void on_poll(void *data)
{
    (void)data;
    timer_set(&poll, loop_now() + config->poll, on_poll, 0);
    webhook_now();
}

void webhook_open(const struct config *c, const struct secret_keys *k, void (*ended)(void))
{
    config = c;
    keys = k;
    attempt_ended = ended;
    lanes[FAILING].room = (int)c->webhook_connections / FAILING_SHARE;
    lanes[STEADY].room = (int)c->webhook_connections - lanes[FAILING].room;
    sender_open(
        &(struct sender_params) { &c->egress, c->webhook_timeout, (int)c->webhook_connections },
        on_sent, 0);
    on_poll(0);
}

void webhook_stop(void)
{
    stopped = 1;
    timer_clear(&poll);
}

int webhook_count(void)
{
    return attempt_count;
}

void webhook_close(void)
{
    webhook_stop();
    sender_close();
    while (attempts) {
        forget(attempts);
    }
}
