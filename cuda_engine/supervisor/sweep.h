/*
 * Retention: removes, every so often and in steps, what has had its time: files of deleted jobs, uploads, outputs and
 * rows by age; orphans, which are files that no row claims; and what dead processes have left in tmp/. Any number of
 * engines may do so at once.
 *
 * Whatever touches the file system is done by a child process, one at a time, which a round begins and ends with; a
 * disk that is slow holds up nothing but the round.
 */
#ifndef MATTE_SWEEP_H
#define MATTE_SWEEP_H

#include "config.h"

/* c must outlive it. The first round begins at once. */
void sweep_open(const struct config *c);

/* A round now, unless one is under way. */
void sweep_now(void);

/* No more rounds; one that is under way ends where it is. */
void sweep_close(void);

#endif
