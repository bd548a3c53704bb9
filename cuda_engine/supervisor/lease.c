#include "lease.h"

#include "../log.h"

static void lose(struct lease *l, const char *why)
{
    log_event(LOG_WARN, "lease_lost", log_str("job_id", l->claim->id),
        log_num("lease_no", l->claim->lease_no), log_str("err", why));
    lease_close(l);
    l->lost(l->data);
}

static void on_guard(void *data)
{
    lose(data, "The database did not answer in time.");
}

/* A tenth of the lease is left for stopping: 2 s of 20 s. */
static void renew(struct lease *l, int64_t sent)
{
    l->until = sent + l->ttl - l->ttl / 10;
    timer_set(&l->guard, l->until, on_guard, l);
}

static void on_beat(void *data, const struct database_answer *answer)
{
    struct lease *l = data;
    l->asked = 0;
    if (answer->outcome == DATABASE_NULL) {
        lose(l, "The database has given the job to another run.");
    } else if (answer->outcome == DATABASE_ROW) {
        renew(l, answer->sent);
        if (answer->text[0] == 't') {
            l->cancelled(l->data);
        }
    }
}

void lease_beat(struct lease *l)
{
    if (!l->asked) {
        l->asked = 1;
        database_heartbeat(l->claim, l->ttl, l->frames_done, l->until, on_beat, l);
    }
}

static void on_next(void *data)
{
    struct lease *l = data;
    timer_set(&l->next, loop_now() + l->beat, on_next, l);
    lease_beat(l);
}

void lease_open(struct lease *l, const struct claim *claim, int64_t sent, int64_t ttl, int64_t beat)
{
    l->claim = claim;
    l->ttl = ttl;
    l->beat = beat;
    l->asked = 0;
    l->frames_done = 0;
    renew(l, sent);
    timer_set(&l->next, loop_now() + beat, on_next, l);
}

void lease_finish(struct lease *l)
{
    timer_clear(&l->next);
    database_forget(l);
}

void lease_close(struct lease *l)
{
    lease_finish(l);
    timer_clear(&l->guard);
}
