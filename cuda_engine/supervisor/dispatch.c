#include "dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "database.h"
#include "job_run.h"
#include "loop.h"
#include "pool.h"
#include "sweep.h"

enum {
    RINGS = 256,
    REAP_A_TIME = 100,
    EMPTY_AGAIN =
        5, /* claims after an empty one: another engine may have held the client's row for a moment */
};

static struct {
    struct dispatch_params params;
    struct timer poll, reap, again;
    struct doorbell_ring rings[RINGS]; /* not answered yet */
    int ring_count;
    int claiming, reaping, stopped;
    int wanted;     /* something called for a claim after the present one was sent */
    int empty_left; /* claims to make although the last one was empty */
} dispatch;

static void answer_rings(const char *job, const char *word)
{
    int left = 0;
    for (int i = 0; i < dispatch.ring_count; i++) {
        if (!job || !strcmp(dispatch.rings[i].job, job)) {
            doorbell_answer(&dispatch.rings[i], word);
        } else {
            dispatch.rings[left++] = dispatch.rings[i];
        }
    }
    dispatch.ring_count = left;
}

static int can_claim(void)
{
    return !dispatch.stopped && pool_free() > 0 && database_is_connected();
}

static void on_claim(void *data, const struct database_answer *answer);

static void claim(void)
{
    dispatch.claiming = 1;
    dispatch.wanted = 0;
    database_claim(dispatch.params.engine_id, dispatch.params.lease, on_claim, &dispatch);
}

static void on_again(void *data)
{
    (void)data;
    if (dispatch.claiming) {
        return;
    }
    if (can_claim()) {
        claim();
    } else {
        answer_rings(0, "pending");
    }
}

static void on_claim(void *data, const struct database_answer *answer)
{
    (void)data;
    int found = answer->outcome == DATABASE_ROW;
    dispatch.claiming = 0;
    if (found) {
        answer_rings(answer->claim->id, "processing");
        job_run_start(answer->claim, answer->sent);
    }
    if (can_claim() && (found || dispatch.wanted)) {
        claim();
    } else if (can_claim() && answer->outcome == DATABASE_NULL && dispatch.empty_left > 0) {
        dispatch.empty_left--;
        timer_set(&dispatch.again, loop_now() + 5 + random() % 16, on_again, 0);
    } else {
        answer_rings(0, "pending");
    }
    if (dispatch.stopped) {
        dispatch.params.stopped();
    }
}

int dispatch_is_claiming(void)
{
    return dispatch.claiming;
}

void dispatch_now(void)
{
    dispatch.wanted = 1;
    dispatch.empty_left = EMPTY_AGAIN;
    if (!dispatch.claiming && can_claim()) {
        claim();
    }
}

void dispatch_ring(const struct doorbell_ring *ring)
{
    if (job_run_has(ring->job)) { /* the notification was faster */
        doorbell_answer(ring, "processing");
        return;
    }
    if (!can_claim() || dispatch.ring_count == RINGS) {
        doorbell_answer(ring, "pending");
        return;
    }
    dispatch.rings[dispatch.ring_count++] = *ring;
    dispatch_now();
}

static void on_poll(void *data)
{
    (void)data;
    timer_set(&dispatch.poll, loop_now() + dispatch.params.poll, on_poll, 0);
    if (!dispatch.claiming && can_claim()) {
        claim();
    }
}

static void on_reaped(void *data, const struct database_answer *answer)
{
    (void)data;
    dispatch.reaping = 0;
    if (answer->outcome == DATABASE_ROW && strcmp(answer->text, "0") != 0) {
        log_event(LOG_WARN, "leases_expired", log_str("count", answer->text));
        sweep_now(); /* for the files of the attempts that ended so */
        dispatch_now();
    }
}

static void on_reap(void *data)
{
    (void)data;
    timer_set(&dispatch.reap, loop_now() + dispatch.params.lease / 3, on_reap, 0);
    if (!dispatch.reaping && database_is_connected()) {
        dispatch.reaping = 1;
        database_reap(REAP_A_TIME, on_reaped, &dispatch.reaping);
    }
}

void dispatch_open(const struct dispatch_params *params)
{
    dispatch.params = *params;
    srandom((unsigned)loop_now());
    on_poll(0);
    on_reap(0);
}

void dispatch_stop(void)
{
    dispatch.stopped = 1;
    timer_clear(&dispatch.poll);
    timer_clear(&dispatch.again);
    answer_rings(0, "pending");
}
