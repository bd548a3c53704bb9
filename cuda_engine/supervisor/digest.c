#include "digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

void digest_hmac(
    const void *key, size_t key_bytes, const void *text, size_t bytes, uint8_t out[DIGEST])
{
    if (!HMAC(EVP_sha256(), key, (int)key_bytes, text, bytes, out, 0)) {
        abort();
    }
}

void digest_hex(const uint8_t *bytes, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}
