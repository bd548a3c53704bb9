/*
 * matted.conf: `key = value` lines, # comments. Every key is one row of one table, which parses, checks and documents
 * it; conf/matted.conf is tested against that table.
 */
#ifndef MATTE_CONFIG_H
#define MATTE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "address.h"
#include "link.h"

/* Texts are never NULL. Times are milliseconds. */
struct config {
    char *database, *state, *socket, *models, *model_files;
    char *engine_id; /* "": host name and pid */
    char *device, *user, *group, *log;
    char *warm; /* the model of the first workers */
    int64_t socket_mode, workers, threads;
    int64_t lease, heartbeat, poll, drain;
    int64_t fetch_max_bytes, image_max_bytes, fetch_timeout, fetch_connect_timeout;
    int64_t max_pixels, max_seconds, job_timeout, job_timeout_factor;
    int64_t worker_memory, worker_sandbox, card_reserve;
    int64_t calm, clean, edges, colors, guide;
    int64_t network_budget; /* megapixels */
    int64_t webm_alpha_lossless;
    int64_t sweep, keep_uploads, keep_outputs, keep_jobs, keep_records, keep_orphans;
    int64_t webhook_connections, webhook_timeout, link_ttl;
    char *public_url, *webhook_key;
    struct link_key link_secret;
    struct address_policy egress;
};

enum config_kind {
    CONFIG_TEXT,
    CONFIG_CHOICE,
    CONFIG_SWITCH,   /* on, off */
    CONFIG_NUMBER,   /* decimal */
    CONFIG_MODE,     /* octal */
    CONFIG_DURATION, /* ms, s, m, h */
    CONFIG_BYTES,    /* none, k, m, g */
    CONFIG_PIXELS,   /* WIDTHxHEIGHT, stored as the product */
    CONFIG_RULES,    /* address_rule_parse, separated by blanks */
    CONFIG_PORTS,    /* separated by blanks */
    CONFIG_LINK,     /* link_key_parse; its value is never said */
};

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset;        /* into struct config */
    const char *fallback; /* as it would be written; NULL: the key must be there */
    int64_t min, max;     /* of numbers, in the stored unit */
    const char *choices;  /* of CONFIG_CHOICE, separated by | */
};

extern const struct config_key config_keys[];
extern const int config_key_count;

/* Fills *c. *e names the file, the line, the key and the limit. Free with config_free in any case. */
int config_read(const char *path, struct config *c, struct error *e);
void config_free(struct config *c);

#endif
