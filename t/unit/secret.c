/* The file with the key to webhook secrets: what is taken, what is refused and how that is said; and what is made with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/secret.h"

#define FIRST  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECOND "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100"

static char path[] = "/tmp/secret.XXXXXX";
static struct secret_keys keys;
static struct error e;

static int read_text(const char *text, mode_t mode)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
    return secret_keys_read(path, &keys, &e);
}

static void taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int count;
    } files[] = { { FIRST "\n", 1 }, { FIRST, 1 }, { FIRST "\n" SECOND "\n", 2 },
        { FIRST "\n" SECOND, 2 } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_int_equal(read_text(files[i].text, i % 2 ? 0600 : 0400), 0);
        assert_int_equal(keys.count, files[i].count);
        assert_int_equal(keys.key[0][31], 31);
        assert_int_equal(keys.key[1][0], keys.count == 2 ? 0xff : 0);
        chmod(path, 0600);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        const char *why;
    } files[] = {
        { "", 0600, ": one line of 64 hexadecimal digits is expected, or two while" },
        { "\n\n", 0600, "64 hexadecimal digits" },
        { "00112233445566778899aabbccddeeff\n", 0600, "64 hexadecimal digits" },
        { FIRST "0\n", 0600, "64 hexadecimal digits" },
        { FIRST "00\n", 0600, "64 hexadecimal digits" },
        { FIRST "\n" SECOND "\n" FIRST "\n", 0600, "64 hexadecimal digits" },
        { FIRST "\n" SECOND "\nx", 0600, "64 hexadecimal digits" },
        { FIRST "\n0", 0600, "64 hexadecimal digits" },
        { "x00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 0600,
            "64 hexadecimal digits" },
        { FIRST "\n", 0640, ": others than its owner may use it (mode 0640); it must be 0600" },
        { FIRST "\n", 0604, "(mode 0604)" },
        { FIRST "\n", 0620, "(mode 0620)" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!read_text(files[i].text, files[i].mode)) {
            fail_msg("file %zu is taken", i);
        }
        assert_non_null(strstr(e.text, "webhook_key: /tmp/secret."));
        if (!strstr(e.text, files[i].why)) {
            fail_msg("file %zu: %s", i, e.text);
        }
        assert_null(strstr(e.text, "0001020304"));
    }
}

static void not_a_file(void **state)
{
    (void)state;
    assert_int_equal(secret_keys_read("/nowhere/webhook.key", &keys, &e), -1);
    assert_string_equal(e.text, "webhook_key: /nowhere/webhook.key: No such file or directory.");
    assert_int_equal(secret_keys_read("/", &keys, &e), -1);
    assert_int_equal(secret_keys_read("/dev/null", &keys, &e), -1);
}

/* As `openssl dgst -sha256 -mac HMAC -macopt hexkey:FIRST` says. */
static void made(void **state)
{
    (void)state;
    static const char id[] = "6ba7b810-9dad-11d1-80b4-00c04fd430c8 and more";
    char secret[SECRET_TEXT], names[SECRET_NAMES];
    assert_int_equal(read_text(FIRST "\n", 0600), 0);
    secret_make(keys.key[0], id, 36, secret);
    assert_string_equal(secret, "whsec_lh05uDnzLBOSUCYloWPEbyN1RYo+3Oo5A0uRQEH2aqk=");
    secret_keys_names(&keys, names);
    assert_string_equal(names, "{5cb83a91cf5f8ad4d6fc7ff41541c232}");
    assert_int_equal(read_text(SECOND "\n" FIRST "\n", 0600), 0);
    secret_keys_names(&keys, names);
    assert_int_equal(strlen(names), SECRET_NAMES - 1);
    assert_string_equal(names + 33, ",5cb83a91cf5f8ad4d6fc7ff41541c232}");
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
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),
        cmocka_unit_test(refused),
        cmocka_unit_test(not_a_file),
        cmocka_unit_test(made),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
