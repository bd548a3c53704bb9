#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/signature.h"

/* The examples of the Standard Webhooks specification and of Svix, from whom it comes. */
static void standard(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *id, *timestamp, *body, *signature;
    } examples[] = {
        { "whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", "1731705121",
            "{\"event_type\":\"ping\",\"data\":{\"success\":true}}",
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=" },
        { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
            "{\"test\": 2432232314}", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" },
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char out[SIGNATURE_STANDARD];
        assert_int_equal(
            signature_standard(examples[i].secret, examples[i].id, examples[i].timestamp,
                examples[i].body, strlen(examples[i].body), out),
            0);
        assert_string_equal(out, examples[i].signature);
    }
}

static void standard_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "whsec_", "whsec_plJ3nmyCDGBKInavdOK15js",
        "whsec_plJ3nmyCDGBKInavdOK15js*", "plJ3nmyCDGBKInavdOK15jsl", "whsec_====",
        "whsec_"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char out[SIGNATURE_STANDARD];
        if (!signature_standard(bad[i], "id", "1", "", 0, out)) {
            fail_msg("`%s` is taken", bad[i]);
        }
    }
}

/* RFC 7515, A.1: an HMAC-SHA256 of two texts with a dot between, which is what the documented scheme signs. */
static void documented(void **state)
{
    (void)state;
    static const uint8_t key[] = { 3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166,
        143, 90, 179, 40, 230, 240, 84, 201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90,
        146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8,
        192, 205, 154, 245, 103, 208, 128, 163 };
    static const char payload[] = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                                  "cGxlLmNvbS9pc19yb290Ijp0cnVl"
                                  "fQ";
    char out[SIGNATURE_DOCUMENTED];
    signature_documented(
        key, sizeof key, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", payload, strlen(payload), out);
    assert_string_equal(
        out, "sha256=7418dfb49799e0254ffa607dd8adbbba16d4254d69d6bff05b58055853848d79");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard),
        cmocka_unit_test(standard_refuses),
        cmocka_unit_test(documented),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, 0, 0);
}
