/*
 * The clients' webhook secrets. The database holds an id for each; the secret is made of the id with a key that lies in a
 * file beside matted.conf, so that a copy of the database forges no webhook:
 *
 *     "whsec_" base64(HMAC-SHA256(key, id))        id as PostgreSQL writes a uuid
 *
 * The file holds a line of 64 hexadecimal digits. While the key is changed it holds two, the newest first, and an id stands
 * for two secrets, both of which sign.
 */
#ifndef MATTE_SECRET_H
#define MATTE_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

enum {
    SECRET_KEYS = 2,
    SECRET_KEY = 32,
    SECRET_TEXT = 6 + 44 + 1, /* bytes, with the NUL */
    SECRET_NAMES = 2 + SECRET_KEYS * (32 + 1),
};

struct secret_keys {
    const char *path;
    uint8_t key[SECRET_KEYS][SECRET_KEY];
    int count;
};

/* path must outlive the keys. -1 and *e, which names it: it cannot be read, others than its owner may read it, or it holds
 * something else. */
int secret_keys_read(const char *path, struct secret_keys *keys, struct error *e);

/* What the database knows the keys by, and nobody can make them of: "{HEX}" or "{HEX,HEX}", an array of texts. */
void secret_keys_names(const struct secret_keys *keys, char names[SECRET_NAMES]);

/* The database knows other keys: -1, and *e says so. */
int secret_keys_refused(const struct secret_keys *keys, struct error *e);

void secret_make(
    const uint8_t key[SECRET_KEY], const char *id, size_t id_bytes, char secret[SECRET_TEXT]);

/* The newest secret of a client. Connects to the database and waits: for a command, not for the engine. */
int secret_ask(const char *conninfo, const struct secret_keys *keys, const char *client,
    char secret[SECRET_TEXT], struct error *e);

#endif
