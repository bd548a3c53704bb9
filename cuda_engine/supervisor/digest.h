/* HMAC-SHA256, and how such bytes are written. */
#ifndef MATTE_DIGEST_H
#define MATTE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST = 32 };

/* Ends the process where it fails: nothing is ever signed with what is none. */
void digest_hmac(
    const void *key, size_t key_bytes, const void *text, size_t bytes, uint8_t out[DIGEST]);

/* 2 * count small digits and a NUL. */
void digest_hex(const uint8_t *bytes, size_t count, char *out);

#endif
