/*
 * The engine's calls of the database, one function each, over one connection that is never waited for: a call returns
 * at once and its answer comes through the loop. Calls are answered in order. A lost connection is made again with
 * back-off for as long as matted runs.
 *
 * Every answer has one of four outcomes:
 *   DATABASE_ROW      the function returned a value
 *   DATABASE_NULL     it returned NULL or no row: the lease is lost, or nothing is there to claim
 *   DATABASE_REFUSED  the database answered with an error, which has been logged
 *   DATABASE_UNKNOWN  no answer: whether the call took effect is not known
 *
 * Calls with an `until` are repeated after a lost connection, a missed deadline or a passing error (a deadlock, a
 * server that is shutting down) until loop_now() reaches it; they are fenced by the lease, so twice does no harm, but
 * the answer to a repeated call that had already taken effect is DATABASE_NULL.
 */
#ifndef MATTE_DATABASE_H
#define MATTE_DATABASE_H

#include <stdint.h>

#include "../error.h"
#include "../worker/job.h"

enum database_outcome { DATABASE_ROW, DATABASE_NULL, DATABASE_REFUSED, DATABASE_UNKNOWN };

/* A row of matte.claim, checked: every text fits and ids are UUIDs. */
struct claim {
    char id[37], tenant_id[37], request_id[129], trace_id[33];
    int64_t lease_no;
    int attempt, max_attempts;
    char model[16], format[16];
    char video_url[2049];
    char input_path[128]; /* of upload://; else "" */
    enum job_background background;
    uint8_t color[3];
    char image_url[2049]; /* of BACKGROUND_IMAGE */
    struct composition composition;
    int alpha; /* 1: the alpha is wanted in a file of its own */
    int64_t preview_ms, max_ms;
    char text_prompt[PROMPT_BYTES +
                     2]; /* one that is too long is cut, and is too long still; none: "" */
};

/* A row of matte.webhook. The texts live as long as the answer; what is NULL is "". */
struct webhook_due {
    const char *id, *job_id, *event, *url;
    const char *at;         /* of the event, ISO 8601 */
    const char *data;       /* the job then, a JSON object */
    const char *output_key; /* of a completed job whose output is still there */
    const char *alpha_key;  /* the same, of its alpha */
    const char *secrets;    /* their ids (secret.h), the newest first, separated by blanks */
    const char *request_id, *traceparent;
    int attempt;
};

/* How an attempt of a delivery ended. */
struct webhook_outcome {
    const char *id;
    int attempt;
    int status;        /* of HTTP; 0: no answer */
    const char *error; /* NULL: there was an answer */
    int64_t ms;
    int retry_after; /* s */
};

struct database_answer {
    enum database_outcome outcome;
    const char *text;                   /* of DATABASE_ROW: the first column */
    const struct claim *claim;          /* of DATABASE_ROW of database_claim */
    const struct webhook_due *webhooks; /* of DATABASE_ROW of database_webhook_claim */
    int webhook_count;
    int64_t sent; /* loop_now() when the call was last sent; 0: it never was */
};

typedef void database_done(void *data, const struct database_answer *answer);

/* What happens without having been asked for. */
struct database_events {
    void (*connected)(void *data); /* again after each loss */
    void (*notified)(void *data);  /* a job has become pending somewhere */
};

/* conninfo is libpq's. A host that is a name is resolved by libpq, which waits for its resolver. */
int database_open(
    const char *conninfo, const struct database_events *events, void *data, struct error *e);
void database_close(void);

/* In a forked child, which must not find a password in its memory: forgets the connection without a word to the
 * server. */
void database_abandon(void);

int database_is_connected(void);

/* No call made with data is answered any more; those that were not sent yet still are. */
void database_forget(const void *data);

void database_claim(const char *engine_id, int64_t ttl, database_done *done, void *data);
void database_reap(int max, database_done *done, void *data);
void database_heartbeat(const struct claim *c, int64_t ttl, int64_t frames_done, int64_t until,
    database_done *done, void *data);
void database_hold(const struct claim *c, int64_t output_ms, int64_t frames, int64_t until,
    database_done *done, void *data);
void database_complete(const struct claim *c, const char *output_key, const struct report *result,
    const char *warnings, int64_t until, database_done *done, void *data);
void database_fail(
    const struct claim *c, const struct error *why, int64_t until, database_done *done, void *data);
void database_release(const struct claim *c, int64_t until, database_done *done, void *data);

/* Retention. Lists of paths are one a line, relative to the state folder. */

/* Gives what is older to be removed, max of a kind. DATABASE_ROW: the paths that are due, at most max. */
void database_sweep_due(
    int64_t keep_uploads, int64_t keep_outputs, int max, database_done *done, void *data);

/* These are gone. */
void database_sweep_done(const char *paths, database_done *done, void *data);

/* Removes what the database still knows of jobs that have been over for longer, max of them. DATABASE_ROW: how many. */
void database_sweep_jobs(int64_t keep, int max, database_done *done, void *data);

/* Removes other rows that are older, max of a kind. DATABASE_ROW: how many of the kind that had the most. */
void database_sweep_rows(int64_t keep, int max, database_done *done, void *data);

/* DATABASE_ROW: those of the paths that no row claims. */
void database_sweep_unclaimed(const char *paths, database_done *done, void *data);

/* names: as secret_keys_names makes them. DATABASE_ROW: "t", and the database knows them from now; "f": it knows others. */
void database_webhook_keys(const char *names, int64_t until, database_done *done, void *data);

/* Up to max deliveries that are due, to endpoints that fail or to those that do not. */
void database_webhook_claim(int failing, int max, int64_t lease, database_done *done, void *data);

/* DATABASE_ROW: the delivery's state now; DATABASE_NULL: another has claimed it since. */
void database_webhook_done(
    const struct webhook_outcome *o, int64_t until, database_done *done, void *data);

#endif
