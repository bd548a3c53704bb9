/* matted.conf: every key, its limits, what is refused and how it is said; and conf/matted.conf beside the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/config.h"

#define SECRET "000102030405060708090a0b0c0d0e0f"

static const char needed[] = "database = dbname=x\nstate = /s\nmodels = /m\nmodel_files = /f\n";
static char path[] = "/tmp/matte-config-XXXXXX";
static struct config c;
static struct error e;

/* Reads what is needed and then text. */
static int read_text(const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "%s%s", needed, text);
    fclose(out);
    config_free(&c);
    memset(&e, 0, sizeof e);
    return config_read(path, &c, &e);
}

static void assert_refused(const char *line, const char *said)
{
    if (!read_text(line)) {
        fail_msg("`%s` is taken", line);
    }
    if (!strstr(e.text, said)) {
        fail_msg("`%s`: \"%s\" does not say \"%s\"", line, e.text, said);
    }
    assert_string_equal(e.code, "config");
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), 0);
    assert_string_equal(c.database, "dbname=x");
    assert_string_equal(c.socket, "/run/matte/matted.sock");
    assert_int_equal(c.socket_mode, 0660);
    assert_int_equal(c.workers, 1);
    assert_int_equal(c.lease, 20000);
    assert_int_equal(c.heartbeat, 5000);
    assert_int_equal(c.poll, 1000);
    assert_int_equal(c.fetch_max_bytes, INT64_C(2) << 30);
    assert_int_equal(c.fetch_timeout, 1800000);
    assert_int_equal(c.max_pixels, 4096 * 2304);
    assert_int_equal(c.worker_memory, INT64_C(4) << 30);
    assert_int_equal(c.worker_sandbox, 1);
    assert_int_equal(c.egress.port_count, 2);
    assert_int_equal(c.egress.ports[1], 443);
    assert_int_equal(c.egress.allow_count, 0);
}

static void values(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("  # a comment\n\n\tworkers=3 # more\nlease = 2s\nheartbeat = 500ms\n"
                  "egress_allow = 127.0.0.1/32:8080 [fd00::]/8\negress_ports = 8000\n"
                  "fetch_max_bytes = 10m\nsocket_mode = 600\nengine_id = a#b\n"
                  "worker_sandbox = off\nmax_pixels = 10x20\ndevice = cuda:12\n"
                  "link_secret = k1:" SECRET "\npublic_url = https://video.example.com"),
        0);
    assert_string_equal(c.link_secret.id, "k1");
    assert_int_equal(c.link_secret.bytes, 16);
    assert_int_equal(c.link_secret.secret[15], 15);
    assert_int_equal(c.workers, 3);
    assert_int_equal(c.lease, 2000);
    assert_int_equal(c.heartbeat, 500);
    assert_int_equal(c.egress.allow_count, 2);
    assert_int_equal(c.egress.allow[0].port, 8080);
    assert_int_equal(c.egress.port_count, 1);
    assert_int_equal(c.fetch_max_bytes, 10 << 20);
    assert_int_equal(c.socket_mode, 0600);
    assert_string_equal(c.engine_id, "a#b");
    assert_int_equal(c.worker_sandbox, 0);
    assert_int_equal(c.max_pixels, 200);
    assert_string_equal(c.device, "cuda:12");
}

static void refusals(void **state)
{
    (void)state;
    assert_refused("colour = blue", ":5: there is no key `colour`.");
    assert_refused("\nworkers", ":6: `key = value` is expected, not `workers`.");
    assert_refused("link_secret k1:" SECRET, "is expected, not `link_secret...`.");
    assert_refused("workers = 1\nworkers = 2", ":6: workers is given twice.");
    assert_refused("workers = many", ":5: workers = many: a whole number is expected.");
    assert_refused("workers = 1x", "a whole number is expected.");
    assert_refused("workers = -1", "a whole number is expected.");
    assert_refused("workers =", "a whole number is expected.");
    assert_refused("device = gpu", "device = gpu: one of auto|cpu|cuda|cuda:N is expected.");
    assert_refused("device = au", "one of auto|cpu|cuda|cuda:N is expected.");
    assert_refused("device = cuda:", "one of auto|cpu|cuda|cuda:N is expected.");
    assert_refused("device = cpu:0", "one of auto|cpu|cuda|cuda:N is expected.");
    assert_refused("device = cuda:1x", "one of auto|cpu|cuda|cuda:N is expected.");
    assert_refused("device = cuda:1234", "one of auto|cpu|cuda|cuda:N is expected.");
    assert_refused("lease = 20", "a time with a unit (ms, s, m or h) is expected.");
    assert_refused("fetch_max_bytes = 2t", "a number of bytes (units: k, m, g) is expected.");
    assert_refused("max_pixels = 1920", "WIDTHxHEIGHT is expected.");
    assert_refused("max_pixels = 0x5", "WIDTHxHEIGHT is expected.");
    assert_refused("socket_mode = 0689", "an octal mode of three digits is expected.");
    assert_refused("worker_sandbox = yes", "on or off is expected.");
    assert_refused("egress_allow = 10.0.0.0/40", "a list of NETWORK/BITS");
    assert_refused("egress_ports = 80 0", "a list of port numbers is expected.");
    assert_refused(
        "egress_ports = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "a list of port numbers");
    assert_refused("fetch_max_bytes = 99999999999999999999g", "a number of bytes");
    assert_refused("link_secret = k1:5a5a", "link_secret: KID:HEX is expected");
    assert_null(strstr(e.text, "5a5a"));
    assert_refused("link_secret = k-1:" SECRET "\npublic_url = http://a", "KID:HEX is expected");
    assert_refused("link_secret = k1:" SECRET "0x\npublic_url = http://a", "KID:HEX is expected");
    assert_refused("link_secret = k1:" SECRET, "link_secret and public_url go together.");
    assert_refused("public_url = http://a.b", "link_secret and public_url go together.");
    assert_refused("public_url = http://a.b/", "without a slash at its end is expected.");
    assert_refused("public_url = ftp://a.b", "an http or https URL");
    assert_refused("heartbeat = 6s", "heartbeat must be at most a quarter of lease.");
    assert_refused("keep_uploads = 2h\nkeep_jobs = 7199s", "keep_jobs must be at least as long");
    assert_refused("keep_outputs = 2161h", "keep_jobs must be at least as long");
    assert_true(!strncmp(e.text, path, strlen(path)));
}

static void missing_keys(void **state)
{
    (void)state;
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs("database = x\nmodels = /m\nmodel_files = /f\n", out);
    fclose(out);
    config_free(&c);
    assert_int_equal(config_read(path, &c, &e), -1);
    assert_non_null(strstr(e.text, ": the key state is missing."));
    config_free(&c);
    assert_int_equal(config_read("/nowhere/matted.conf", &c, &e), -1);
    assert_string_equal(e.text, "/nowhere/matted.conf: No such file or directory.");
    assert_refused("state =", ":5: state is given twice.");
}

/* What a key at its upper limit needs beside it. */
static const struct {
    const char *name, *with;
} companions[] = {
    { "heartbeat", "\nlease = 3600s" },
    { "keep_uploads", "\nkeep_jobs = 87600h" },
    { "keep_outputs", "\nkeep_jobs = 87600h" },
};

static const char *companion(const char *name)
{
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++) {
        if (!strcmp(companions[i].name, name)) {
            return companions[i].with;
        }
    }
    return "";
}

/* Each numeric key takes its limits and nothing beyond them. */
static void limits(void **state)
{
    (void)state;
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *k = &config_keys[i];
        const char *unit = k->kind == CONFIG_DURATION ? "ms" : "";
        char line[128];
        if (k->kind != CONFIG_NUMBER && k->kind != CONFIG_DURATION && k->kind != CONFIG_BYTES) {
            continue;
        }
        snprintf(line, sizeof line, "%s = %lld%s", k->name, (long long)k->max + 1, unit);
        assert_refused(line, "are allowed.");
        if (k->min > 0) {
            snprintf(line, sizeof line, "%s = %lld%s", k->name, (long long)k->min - 1, unit);
            assert_refused(line, "are allowed.");
        }
        snprintf(line, sizeof line, "%s = %lld%s%s", k->name, (long long)k->max, unit,
            companion(k->name));
        if (read_text(line)) {
            fail_msg("%s", e.text);
        }
    }
}

/* conf/matted.conf has each key of the table once, with its default, and no other. */
static void documented(void **state)
{
    (void)state;
    const char *file =
        access("conf/matted.conf", R_OK) ? "../conf/matted.conf" : "conf/matted.conf";
    FILE *in = fopen(file, "r");
    char line[1024], name[64];
    int *seen = calloc((size_t)config_key_count, sizeof *seen), lines = 0;
    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
        char *equals = strstr(line, " =");
        const char *start = line + (*line == '#');
        if (!equals || !(*start >= 'a' && *start <= 'z')) {
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)(equals - start), start);
        char *value = equals + 2 + (equals[2] == ' ');
        value[strcspn(value, "\n")] = 0;
        lines++;
        for (int i = 0; i < config_key_count; i++) {
            const struct config_key *k = &config_keys[i];
            if (!strcmp(k->name, name)) {
                seen[i]++;
                assert_int_equal(*line == '#', k->fallback != NULL);
                if (k->fallback) {
                    assert_string_equal(value, k->fallback);
                }
            }
        }
    }
    fclose(in);
    for (int i = 0; i < config_key_count; i++) {
        if (seen[i] != 1) {
            fail_msg("%s is in %s %d times", config_keys[i].name, file, seen[i]);
        }
    }
    assert_int_equal(lines, config_key_count);
    free(seen);
    config_free(&c);
    assert_int_equal(config_read(file, &c, &e), 0);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    config_free(&c);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(refusals),
        cmocka_unit_test(missing_keys),
        cmocka_unit_test(limits),
        cmocka_unit_test(documented),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
