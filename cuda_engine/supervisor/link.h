/*
 * Signed links to outputs, for webhooks. The rule is NGINX's, which also checks them: ../../ngx_module/README.md, Links.
 */
#ifndef MATTE_LINK_H
#define MATTE_LINK_H

#include <stddef.h>
#include <stdint.h>

enum { LINK_ID = 32, LINK_SECRET = 64, LINK_BYTES = 1536 };

struct link_key {
    char id[LINK_ID + 1];
    uint8_t secret[LINK_SECRET];
    int bytes; /* of the secret; 0: there is none */
};

/* "KID:HEX", as matte_link_secret takes it: letters and digits, 16 to 64 bytes. "" is no key. -1 where it is neither. */
int link_key_parse(const char *text, struct link_key *key);

/* 1: an http or https URL that needs no quoting in JSON and does not end with a slash. */
int link_base_is_valid(const char *base);

/* The URL of an output that is good until then (seconds since 1970). base is the servers' public URL, of at most 1024
 * bytes. */
void link_url(const struct link_key *key, const char *base, const char *output_key, int64_t until,
    char url[LINK_BYTES]);

#endif
