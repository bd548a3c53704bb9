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
    char id[37], tenant_id[37], request_id[129];
    int64_t lease_no;
    int attempt, max_attempts;
    char model[16], format[16];
    char video_url[2049];
    char input_path[128]; /* of upload://; else "" */
    enum job_background background;
    uint8_t color[3];
    char image_url[2049]; /* of BACKGROUND_IMAGE */
    struct composition composition;
    int64_t preview_ms, max_ms;
};

struct database_answer {
    enum database_outcome outcome;
    const char *text;          /* of DATABASE_ROW: the first column */
    const struct claim *claim; /* of DATABASE_ROW of database_claim */
    int64_t sent;              /* loop_now() when the call was last sent; 0: it never was */
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

#endif
