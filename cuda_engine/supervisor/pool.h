/*
 * The workers: processes forked ahead, warm by the time a job comes, one job each. A place in the pool whose worker has
 * ended gets a new one; where they end before they are warm, after a growing pause. Each has one network planned, that of
 * the model which was asked for last when it was forked: a job of another model plans its own in its own time.
 *
 * Nothing that a worker says is believed: reports come only in the order of worker/job.h, with numbers in range and
 * strings of printable ASCII, or the worker is killed.
 */
#ifndef MATTE_POOL_H
#define MATTE_POOL_H

#include "../worker/job.h"
#include "../worker/worker.h"

struct worker;

struct pool_params {
    int workers;          /* jobs at a time; while they run, one worker more is kept warm */
    int64_t card_reserve; /* as in cards_open() */
    struct worker_params
        worker;                /* all but control and turn; what it points to must outlive the pool;
                                    model: until a job has come */
    void (*ready)(void *data); /* a worker is warm and free */
    void *data;
};

void pool_open(const struct pool_params *params);

/* Ends the free workers and makes no new ones. Those that are taken go on. */
void pool_stop(void);

int pool_free(void); /* workers that pool_take would give */

/* Who has taken a worker hears PROBED, PROGRESS, WARNING, DONE and FAILED, and, if it ends before DONE or FAILED, why. */
struct pool_user {
    void (*report)(void *data, const struct report *r);
    void (*ended)(void *data, const struct error *why);
};

/* A warm worker for one job, best one with the network of the API model called model; NULL where none is free. It stays
 * the pool's; give it back with pool_drop. */
struct worker *pool_take(const char *model, const struct pool_user *user, void *data);

/* Sends the job; its files stay the caller's. -1: the worker is gone, and `ended` follows. */
int pool_send_job(struct worker *w, const struct job *job, struct job_files files);
int pool_send_verdict(struct worker *w, int go);

/* Its user hears no more of it. A worker that has not finished is killed. */
void pool_drop(struct worker *w);

#endif
