#include "link.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

enum { SECRET_MIN = 16 };

int link_key_parse(const char *text, struct link_key *key)
{
    const char *colon = strchr(text, ':');
    memset(key, 0, sizeof *key);
    if (!*text) {
        return 0;
    }
    size_t id = colon ? (size_t)(colon - text) : 0;
    size_t digits = colon ? strlen(colon + 1) : 0;
    if (!id || id > LINK_ID || digits % 2 || digits / 2 < SECRET_MIN || digits / 2 > LINK_SECRET) {
        return -1;
    }
    for (size_t i = 0; i < id; i++) {
        if (!isalnum((unsigned char)text[i])) {
            return -1;
        }
        key->id[i] = text[i];
    }
    for (size_t i = 0; i < digits / 2; i++) {
        const char pair[] = { colon[1 + 2 * i], colon[2 + 2 * i], 0 };
        if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1])) {
            return -1;
        }
        key->secret[i] = (uint8_t)strtoul(pair, 0, 16);
    }
    key->bytes = (int)(digits / 2);
    return 0;
}

int link_base_is_valid(const char *base)
{
    size_t length = strlen(base);
    for (const char *c = base; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\') {
            return 0;
        }
    }
    return length > sizeof "https://" && base[length - 1] != '/' &&
           (!strncmp(base, "http://", 7) || !strncmp(base, "https://", 8));
}

void link_url(const struct link_key *key, const char *base, const char *output_key, int64_t until,
    char url[LINK_BYTES])
{
    char text[LINK_BYTES], hex[2 * DIGEST + 1];
    uint8_t hash[DIGEST];
    int bytes = snprintf(text, sizeof text, "GET\n/files/%s\n%lld", output_key, (long long)until);
    digest_hmac(key->secret, (size_t)key->bytes, text, (size_t)bytes, hash);
    digest_hex(hash, DIGEST, hex);
    snprintf(url, LINK_BYTES, "%s/files/%s?exp=%lld&kid=%s&sig=%s", base, output_key,
        (long long)until, key->id, hex);
}
