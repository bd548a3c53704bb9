/*
 * The two signatures of a webhook, both HMAC-SHA256 over the raw bytes that are sent.
 *
 *   documented   key: the secret's text as it is shown, "whsec_..." and all    signed: TIMESTAMP "." BODY
 *                written: "sha256=" and lower-case hex
 *   standard     key: the bytes that follow "whsec_" in base64                 signed: ID "." TIMESTAMP "." BODY
 *                written: "v1," and base64 (Standard Webhooks 1.0, standardwebhooks.com)
 */
#ifndef MATTE_SIGNATURE_H
#define MATTE_SIGNATURE_H

#include <stddef.h>

enum {
    SIGNATURE_DOCUMENTED = 7 + 64 + 1,
    SIGNATURE_STANDARD = 3 + 44 + 1
}; /* bytes, with the NUL */

/* A key of any bytes. */
void signature_documented(const void *key, size_t key_bytes, const char *timestamp,
    const char *body, size_t body_bytes, char out[SIGNATURE_DOCUMENTED]);

/* -1: the secret is not "whsec_" and base64 of 1 to 96 bytes. */
int signature_standard(const char *secret, const char *id, const char *timestamp, const char *body,
    size_t body_bytes, char out[SIGNATURE_STANDARD]);

#endif
