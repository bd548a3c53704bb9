/*
 * Webhooks: takes from the database's outbox what is due, signs it, has it sent, and tells the database how that went.
 * Which delivery is due when, in which order and how often is the database's to say (../../sql/005_functions_engine.sql);
 * what is sent but not told by the time the lease of a delivery ends is sent again.
 *
 * Connections are in two lanes: one for endpoints that fail, a quarter, and one for all others, so that servers which
 * never answer cannot hold up those that do.
 */
#ifndef MATTE_WEBHOOK_H
#define MATTE_WEBHOOK_H

#include "config.h"
#include "secret.h"

/* Before this nothing is sent. c and k must outlive the webhooks; ended is called after each attempt. */
void webhook_open(const struct config *c, const struct secret_keys *k, void (*ended)(void));

/* Something may be due; without it the outbox is looked at as often as `poll` says. */
void webhook_now(void);

/* Nothing new is begun. */
void webhook_stop(void);

/* Attempts under way. */
int webhook_count(void);

/* Ends what is under way without a word to anybody; it is sent again. */
void webhook_close(void);

#endif
