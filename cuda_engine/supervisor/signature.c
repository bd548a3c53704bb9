#include "signature.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

enum { KEY = 96 };

/* HMAC-SHA256 of prefix "." body */
static void sign(const void *key, size_t key_bytes, const char *prefix, const char *body,
    size_t body_bytes, uint8_t hash[DIGEST])
{
    size_t before = strlen(prefix) + 1;
    uint8_t *text = malloc(before + body_bytes);
    if (!text) {
        abort();
    }
    memcpy(text, prefix, before - 1);
    text[before - 1] = '.';
    memcpy(text + before, body, body_bytes);
    digest_hmac(key, key_bytes, text, before + body_bytes, hash);
    free(text);
}

void signature_documented(const void *key, size_t key_bytes, const char *timestamp,
    const char *body, size_t body_bytes, char out[SIGNATURE_DOCUMENTED])
{
    uint8_t hash[DIGEST];
    char hex[2 * DIGEST + 1];
    sign(key, key_bytes, timestamp, body, body_bytes, hash);
    digest_hex(hash, DIGEST, hex);
    snprintf(out, SIGNATURE_DOCUMENTED, "sha256=%s", hex);
}

/* The bytes of "whsec_<base64>"; how many, or -1. */
static int key_of(const char *secret, uint8_t key[KEY])
{
    static const char mark[] = "whsec_";
    const char *text = secret + sizeof mark - 1;
    if (strncmp(secret, mark, sizeof mark - 1) != 0) {
        return -1;
    }
    size_t length = strlen(text), padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') {
        padding++;
    }
    if (!length || length % 4 || length / 4 * 3 > KEY || strcspn(text, "=") != length - padding) {
        return -1;
    }
    int bytes = EVP_DecodeBlock(key, (const uint8_t *)text, (int)length); /* padding counts as 0 */
    return bytes < 0 ? -1 : bytes - (int)padding;
}

int signature_standard(const char *secret, const char *id, const char *timestamp, const char *body,
    size_t body_bytes, char out[SIGNATURE_STANDARD])
{
    uint8_t key[KEY], hash[DIGEST];
    char prefix[128];
    int bytes = key_of(secret, key);
    if (bytes < 0) {
        return -1;
    }
    snprintf(prefix, sizeof prefix, "%.80s.%.40s", id, timestamp);
    sign(key, (size_t)bytes, prefix, body, body_bytes, hash);
    explicit_bzero(key, sizeof key);
    char text[SIGNATURE_STANDARD];
    EVP_EncodeBlock((uint8_t *)text, hash, DIGEST);
    snprintf(out, SIGNATURE_STANDARD, "v1,%.44s", text);
    return 0;
}
