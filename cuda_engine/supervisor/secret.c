#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"

enum { DIGITS = 2 * SECRET_KEY, NAME = 16 };

/* ---- the keys ---- */

static int parse(char *text, struct secret_keys *keys)
{
    size_t bytes;
    for (char *rest, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(0, "\n", &rest)) {
        if (keys->count == SECRET_KEYS || strlen(line) != DIGITS ||
            !OPENSSL_hexstr2buf_ex(keys->key[keys->count++], SECRET_KEY, &bytes, line, 0)) {
            return -1;
        }
    }
    return keys->count ? 0 : -1;
}

/* By fd, so that what is judged is what is read. */
static int read_keys(int fd, struct secret_keys *keys, struct error *e)
{
    char text[SECRET_KEYS * (DIGITS + 1) + 2] =
        ""; /* a longer file is cut, and is too long still */
    struct stat st;
    if (fstat(fd, &st) || (S_ISREG(st.st_mode) && read(fd, text, sizeof text - 1) < 0)) {
        return error_set(e, "config", "webhook_key: %s: %s.", keys->path, strerror(errno));
    }
    int rc = 0;
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        rc = error_set(e, "config",
            "webhook_key: %s: others than its owner may use it (mode %04o); it must be 0600 or "
            "0400.",
            keys->path, st.st_mode & 07777);
    } else if (parse(text, keys)) {
        rc = error_set(e, "config",
            "webhook_key: %s: one line of %d hexadecimal digits is expected, or two while the key "
            "is changed.",
            keys->path, DIGITS);
    }
    explicit_bzero(text, sizeof text);
    return rc;
}

int secret_keys_read(const char *path, struct secret_keys *keys, struct error *e)
{
    *keys = (struct secret_keys) { .path = path };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* nor is a pipe waited for */
    if (fd < 0) {
        return error_set(e, "config", "webhook_key: %s: %s.", path, strerror(errno));
    }
    int rc = read_keys(fd, keys, e);
    close(fd);
    return rc;
}

void secret_keys_names(const struct secret_keys *keys, char names[SECRET_NAMES])
{
    uint8_t name[DIGEST];
    char *at = names;
    for (int i = 0; i < keys->count; i++) {
        digest_hmac(keys->key[i], SECRET_KEY, "name", 4, name); /* no id is as short */
        *at++ = i ? ',' : '{';
        digest_hex(name, NAME, at);
        at += 2 * NAME;
    }
    memcpy(at, "}", 2);
}

int secret_keys_refused(const struct secret_keys *keys, struct error *e)
{
    return error_set(e, "config",
        "webhook_key: %s: this is not the key that the other engines of this database make webhook "
        "secrets with.",
        keys->path);
}

/* ---- the secrets ---- */

void secret_make(
    const uint8_t key[SECRET_KEY], const char *id, size_t id_bytes, char secret[SECRET_TEXT])
{
    uint8_t bytes[DIGEST];
    digest_hmac(key, SECRET_KEY, id, id_bytes, bytes);
    snprintf(secret, SECRET_TEXT, "whsec_");
    EVP_EncodeBlock((uint8_t *)secret + 6, bytes, DIGEST);
    explicit_bzero(bytes, sizeof bytes);
}

static int fail(struct error *e, const char *text)
{
    return error_set(e, "database", "%.*s", (int)strcspn(text, "\n"), text);
}

int secret_ask(const char *conninfo, const struct secret_keys *keys, const char *client,
    char secret[SECRET_TEXT], struct error *e)
{
    static const char *const options[] = { "connect_timeout", "client_encoding",
        "fallback_application_name", "dbname", 0 };
    const char *const values[] = { "10", "UTF8", "matted -s", conninfo, 0 };
    char names[SECRET_NAMES];
    const char *const arguments[] = { names, client };
    secret_keys_names(keys, names);
    PGconn *c = PQconnectdbParams(options, values, 1);
    PGresult *r =
        PQexecParams(c, "SELECT CASE WHEN matte.webhook_keys($1) THEN matte.webhook_secret($2) END",
            2, 0, arguments, 0, 0, 0);
    int rc = 0;
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
        rc = fail(e, text ? text : PQerrorMessage(c));
    } else if (PQgetisnull(r, 0, 0)) {
        rc = secret_keys_refused(keys, e);
    } else {
        secret_make(keys->key[0], PQgetvalue(r, 0, 0), (size_t)PQgetlength(r, 0, 0), secret);
    }
    PQclear(r);
    PQfinish(c);
    return rc;
}
