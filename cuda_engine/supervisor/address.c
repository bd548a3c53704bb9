#include "address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct net {
    uint8_t address[16];
    int bits;
};

/* IANA's special-purpose registry, and Azure's metadata address, which is not in it */
static const struct net deny4[] = {
    { { 0 }, 8 },
    { { 10 }, 8 },
    { { 100, 64 }, 10 },
    { { 127 }, 8 },
    { { 169, 254 }, 16 },
    { { 172, 16 }, 12 },
    { { 192, 0, 0 }, 24 },
    { { 192, 0, 2 }, 24 },
    { { 192, 31, 196 }, 24 },
    { { 192, 52, 193 }, 24 },
    { { 192, 88, 99 }, 24 },
    { { 192, 168 }, 16 },
    { { 192, 175, 48 }, 24 },
    { { 198, 18 }, 15 },
    { { 198, 51, 100 }, 24 },
    { { 203, 0, 113 }, 24 },
    { { 224 }, 4 },
    { { 240 }, 4 },
    { { 168, 63, 129, 16 }, 32 },
};
static const struct net global6 = { { 0x20 }, 3 }; /* 2000::/3; the rest is denied */
static const struct net deny6[] = {
    { { 0x20, 0x01 }, 23 },                         /* 2001::/23, Teredo among it */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },             /* documentation */
    { { 0x20, 0x02 }, 16 },                         /* 6to4: an IPv4 address inside */
    { { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48 }, /* AS112 */
    { { 0x3f, 0xff }, 20 },                         /* documentation */
};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static int inside(const uint8_t *address, const uint8_t *net, int bits)
{
    int bytes = bits / 8, rest = bits % 8;
    if (memcmp(address, net, (size_t)bytes) != 0) {
        return 0;
    }
    return !rest || !((address[bytes] ^ net[bytes]) >> (8 - rest));
}

static int inside_any(const uint8_t *address, const struct net *nets, int count)
{
    for (int i = 0; i < count; i++) {
        if (inside(address, nets[i].address, nets[i].bits)) {
            return 1;
        }
    }
    return 0;
}

/* An IPv4 address written as IPv6 (::ffff:0:0/96) is the IPv4 address. */
static int unmap(int family, const uint8_t **address)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (family == AF_INET6 && !memcmp(*address, mapped, sizeof mapped)) {
        *address += sizeof mapped;
        return AF_INET;
    }
    return family;
}

int address_denied(int family, const void *address)
{
    const uint8_t *a = address;
    family = unmap(family, &a);
    if (family == AF_INET) {
        return inside_any(a, deny4, COUNT(deny4));
    }
    if (family != AF_INET6 || !inside(a, global6.address, global6.bits) ||
        inside_any(a, deny6, COUNT(deny6))) {
        return 1;
    }
    return !(a[8] & 0xfd) && !a[9] && a[10] == 0x5e && a[11] == 0xfe; /* ISATAP: IPv4 inside */
}

static const uint8_t *bytes_of(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET
               ? (const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr
               : (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
}

static int is_internet(const struct sockaddr *sa)
{
    return sa && (sa->sa_family == AF_INET || sa->sa_family == AF_INET6);
}

/* Where the list cannot be read, every address counts as our own. */
static int is_own(int family, const uint8_t *address)
{
    struct ifaddrs *list;
    int own = 0;
    if (getifaddrs(&list)) {
        return 1;
    }
    for (struct ifaddrs *i = list; i && !own; i = i->ifa_next) {
        if (is_internet(i->ifa_addr)) {
            const uint8_t *a = bytes_of(i->ifa_addr);
            int f = unmap(i->ifa_addr->sa_family, &a);
            own = f == family && !memcmp(a, address, f == AF_INET ? 4 : 16);
        }
    }
    freeifaddrs(list);
    return own;
}

int address_allowed(const struct address_policy *policy, const struct sockaddr *sa)
{
    if (!is_internet(sa)) {
        return 0;
    }
    const uint8_t *address = bytes_of(sa);
    int family = unmap(sa->sa_family, &address);
    uint16_t port = ntohs(sa->sa_family == AF_INET
                              ? ((const struct sockaddr_in *)(const void *)sa)->sin_port
                              : ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
    int usual_port = 0;

    for (int i = 0; i < policy->port_count; i++) {
        usual_port |= policy->ports[i] == port;
    }
    for (int i = 0; i < policy->allow_count; i++) {
        const struct address_rule *r = &policy->allow[i];
        if (r->family == family && inside(address, r->net, r->bits) &&
            (r->port ? r->port == port : usual_port)) {
            return 1;
        }
    }
    return usual_port && !address_denied(family, address) && !is_own(family, address);
}

/* A decimal of at most max, with nothing behind it; -1. */
static int number(const char *text, int max)
{
    char *end;
    if (*text < '0' || *text > '9') {
        return -1;
    }
    long value = strtol(text, &end, 10);
    return *end || value > max ? -1 : (int)value;
}

int address_rule_parse(const char *text, struct address_rule *rule)
{
    char copy[80], *host = copy, *port = 0, *bits;
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy) {
        return -1;
    }
    memset(rule, 0, sizeof *rule);
    char *close = strchr(copy, ']'), *colon = strchr(copy, ':');
    if (*copy == '[') { /* [v6], [v6]/bits, [v6]/bits:port, [v6]:port */
        if (!close) {
            return -1;
        }
        host = copy + 1;
        *close = 0;
        port = strchr(close + 1, ':');
        bits = close[1] == '/' ? close + 1 : 0;
        if (close[1] && !bits && port != close + 1) {
            return -1;
        }
    } else { /* v4 with a port, or v6 without one */
        if (colon && !strchr(colon + 1, ':')) {
            port = colon;
        }
        bits = strchr(copy, '/');
    }
    if (port) {
        *port++ = 0;
        int value = number(port, 65535);
        if (value < 1) {
            return -1;
        }
        rule->port = (uint16_t)value;
    }
    if (bits) {
        *bits++ = 0;
    }
    rule->family = strchr(host, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(rule->family, host, rule->net) != 1) {
        return -1;
    }
    rule->bits = rule->family == AF_INET ? 32 : 128;
    if (bits) {
        rule->bits = number(bits, rule->bits);
    }
    return rule->bits < 0 ? -1 : 0;
}
