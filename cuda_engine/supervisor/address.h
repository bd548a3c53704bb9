/*
 * Which addresses matted may connect to for a client. Addresses are judged, never names, at connect time: a name may
 * answer differently twice. Allowed are global unicast addresses that are not this machine's own, on the ports of the
 * policy, and what the operator's rules add.
 */
#ifndef MATTE_ADDRESS_H
#define MATTE_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

/* A network with, if port is not 0, one port of it. */
struct address_rule {
    int family; /* AF_INET, AF_INET6 */
    uint8_t net[16];
    int bits;
    uint16_t port;
};

enum { ADDRESS_RULES = 32, ADDRESS_PORTS = 16 };

struct address_policy {
    struct address_rule allow[ADDRESS_RULES];
    int allow_count;
    uint16_t ports[ADDRESS_PORTS];
    int port_count;
};

/* "10.1.0.0/16", "10.1.2.3:8080", "[fd00::]/8", "[fd00::1]/128:443", "fd00::/8". -1 where text is none of these. */
int address_rule_parse(const char *text, struct address_rule *rule);

/* 1: no client may reach this address (network byte order, 4 or 16 bytes), whatever the port. */
int address_denied(int family, const void *address);

/* 1: the policy lets a client's request go to sa. Asks the kernel for the machine's own addresses each time. */
int address_allowed(const struct address_policy *policy, const struct sockaddr *sa);

#endif
