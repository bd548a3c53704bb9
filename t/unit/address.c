/* The address policy: every special range and its neighbours, rules, ports and this machine's own addresses. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/address.h"

static const char *const denied[] = { "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1",
    "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.31.196.1",
    "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "100::1", "100:0:0:1::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "fe80::5efe:7f00:1",
    "2606:4700::5efe:a9fe:a9fe", "2606:4700::200:5efe:a9fe:a9fe", "2620:4f:8000::1" };

/* the neighbours of the ranges, and real hosts */
static const char *const public[] = { "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0",
    "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
    "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255",
    "203.0.114.0", "223.255.255.255", "168.63.129.15", "2001:200::1", "2001:4860:4860::8888",
    "2606:4700:4700::1111", "2a00:1450::1", "2003::1", "::ffff:8.8.8.8" };

#define COUNT(array) (sizeof(array) / sizeof *(array))

union any {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static union any address(const char *text, uint16_t port)
{
    union any a = { 0 };
    if (strchr(text, ':')) {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
        assert_int_equal(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
    } else {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
        assert_int_equal(inet_pton(AF_INET, text, &a.v4.sin_addr), 1);
    }
    return a;
}

static int is_denied(const char *text)
{
    union any a = address(text, 80);
    return address_denied(a.sa.sa_family,
        a.sa.sa_family == AF_INET ? (void *)&a.v4.sin_addr : (void *)&a.v6.sin6_addr);
}

static struct address_policy policy(const char *rule)
{
    struct address_policy p = { .ports = { 80, 443 }, .port_count = 2 };
    if (rule) {
        assert_int_equal(address_rule_parse(rule, &p.allow[p.allow_count++]), 0);
    }
    return p;
}

static int is_allowed(const char *rule, const char *text, uint16_t port)
{
    struct address_policy p = policy(rule);
    union any a = address(text, port);
    return address_allowed(&p, &a.sa);
}

static void special_addresses_are_denied(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(denied); i++) {
        if (!is_denied(denied[i])) {
            fail_msg("%s is let through", denied[i]);
        }
        assert_false(is_allowed(0, denied[i], 80));
    }
    assert_true(address_denied(AF_UNIX, "0123456789abcdef"));
}

static void public_addresses_are_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(public); i++) {
        if (is_denied(public[i])) {
            fail_msg("%s is denied", public[i]);
        }
        assert_true(is_allowed(0, public[i], 443));
    }
}

static void only_the_usual_ports(void **state)
{
    (void)state;
    assert_true(is_allowed(0, "1.1.1.1", 80));
    assert_false(is_allowed(0, "1.1.1.1", 22));
    assert_false(is_allowed(0, "1.1.1.1", 8080));
    assert_false(is_allowed(0, "2606:4700:4700::1111", 5432));
}

static void rules_add_networks(void **state)
{
    (void)state;
    assert_true(is_allowed("10.1.0.0/16", "10.1.2.3", 80));
    assert_false(is_allowed("10.1.0.0/16", "10.2.2.3", 80));
    assert_false(is_allowed("10.1.0.0/16", "10.1.2.3", 8080));
    assert_true(is_allowed("10.1.0.0/16:8080", "10.1.2.3", 8080));
    assert_false(is_allowed("10.1.0.0/16:8080", "10.1.2.3", 80));
    assert_true(is_allowed("10.128.0.0/9", "10.200.0.1", 80));
    assert_false(is_allowed("10.128.0.0/9", "10.127.0.1", 80));
    assert_true(is_allowed("127.0.0.1", "127.0.0.1", 80));
    assert_true(is_allowed("127.0.0.1", "::ffff:127.0.0.1", 80));
    assert_false(is_allowed("127.0.0.1", "127.0.0.2", 80));
    assert_true(is_allowed("[fd00::]/8:9000", "fd12::1", 9000));
    assert_false(is_allowed("[fd00::]/8:9000", "fe00::1", 9000));
    assert_true(is_allowed("fd00::1/128", "fd00::1", 443));
    assert_true(is_allowed("0.0.0.0/0", "192.168.1.1", 80));
}

static void rules_are_parsed_exactly(void **state)
{
    static const char *const bad[] = { "", "10", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1",
        "10.0.0.0/", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8x",
        "10.0.0.0/8:80x", "example.com", "example.com:80", "[fd00::]/129", "[fd00::", "[fd00::]x",
        "fd00::/8/8", "::g", "[10.0.0.1]:80x", "010.0.0.1", "10.0.0.1:+80" };
    struct address_rule r;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (!address_rule_parse(bad[i], &r)) {
            fail_msg("`%s` is taken for a rule", bad[i]);
        }
    }
    assert_int_equal(address_rule_parse("[fd00::1]:443", &r), 0);
    assert_int_equal(r.family, AF_INET6);
    assert_int_equal(r.bits, 128);
    assert_int_equal(r.port, 443);
}

static void own_addresses_are_denied(void **state)
{
    struct ifaddrs *list;
    struct address_policy p = policy(0);
    int seen = 0;
    (void)state;
    assert_int_equal(getifaddrs(&list), 0);
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (i->ifa_addr &&
            (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6)) {
            union any a = { 0 };
            memcpy(&a, i->ifa_addr, i->ifa_addr->sa_family == AF_INET ? sizeof a.v4 : sizeof a.v6);
            a.v4.sin_port = htons(80); /* at the same place in both */
            assert_false(address_allowed(&p, &a.sa));
            seen++;
        }
    }
    freeifaddrs(list);
    assert_true(seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_addresses_are_denied),
        cmocka_unit_test(public_addresses_are_not),
        cmocka_unit_test(only_the_usual_ports),
        cmocka_unit_test(rules_add_networks),
        cmocka_unit_test(rules_are_parsed_exactly),
        cmocka_unit_test(own_addresses_are_denied),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, 0, 0);
}
