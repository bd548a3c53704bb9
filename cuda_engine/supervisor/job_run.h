/*
 * One run of one job, from its claim to its end: fetch, probe, hold, work, store, complete. Every failure ends in one
 * function, which tells the database why; a lost lease ends in another, which tells it nothing.
 */
#ifndef MATTE_JOB_RUN_H
#define MATTE_JOB_RUN_H

#include "config.h"
#include "../worker/models.h"
#include "database.h"

/* c and what models has must outlive every run; ended is called when one has ended, whichever way. */
void job_run_open(const struct config *c, const struct models *models, void (*ended)(void));

/* Starts the run of a claimed job, which was asked for at sent; gives the job back where no worker is free any more. */
void job_run_start(const struct claim *claim, int64_t sent);

/* Looks now, and not at the next heartbeat, whether somebody wants the job cancelled, if it runs here. */
void job_run_look(const char *id);

/* 1 while the job runs here. */
int job_run_has(const char *id);

int job_run_count(void);

/* Gives every job back to the queue whose end has not begun. */
void job_run_release_all(void);

#endif
