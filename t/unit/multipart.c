/* ngx_module/ngx_http_matte_multipart.h: what is content, wherever the input is cut; names; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../ngx_module/ngx_http_matte_multipart.c"

enum { ROOM = 1 << 16, RANDOM_BODIES = 1000 };

struct bytes {
    size_t length;
    char at[ROOM];
};

static void add(struct bytes *b, const void *data, size_t length)
{
    assert_true(b->length + length <= sizeof b->at);
    memcpy(b->at + b->length, data, length);
    b->length += length;
}

static void add_text(struct bytes *b, const char *text)
{
    add(b, text, strlen(text));
}

/* ---- parsing ---- */

static int begin(ngx_http_matte_multipart_t *mp, const char *type)
{
    return ngx_http_matte_multipart_init(mp, (const u_char *)type, strlen(type));
}

/* Feeds one piece, copied so that a byte too far is seen; collects the file. */
static ngx_http_matte_multipart_e feed(
    ngx_http_matte_multipart_t *mp, const char *piece, size_t length, struct bytes *file)
{
    u_char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, piece, length);
    const u_char *pos = copy;
    ngx_http_matte_multipart_e rc;
    while ((rc = ngx_http_matte_multipart_parse(mp, &pos, copy + length)) ==
           NGX_HTTP_MATTE_MULTIPART_DATA) {
        assert_true(mp->len > 0);
        add(file, mp->data, mp->len);
    }
    free(copy);
    return rc;
}

/* The whole body, cut at each of the sorted places. */
static ngx_http_matte_multipart_e parse(ngx_http_matte_multipart_t *mp, const struct bytes *body,
    const size_t *cuts, int count, struct bytes *file)
{
    size_t from = 0;
    ngx_http_matte_multipart_e rc = NGX_HTTP_MATTE_MULTIPART_AGAIN;
    file->length = 0;
    for (int i = 0; i <= count && rc == NGX_HTTP_MATTE_MULTIPART_AGAIN; i++) {
        size_t to = i < count ? cuts[i] : body->length;
        rc = feed(mp, body->at + from, to - from, file);
        from = to;
    }
    return rc;
}

static const char *refusal(const char *body_text)
{
    static ngx_http_matte_multipart_t mp;
    static struct bytes body, file;
    body.length = 0;
    add_text(&body, body_text);
    assert_int_equal(begin(&mp, "multipart/form-data; boundary=B"), 0);
    return parse(&mp, &body, 0, 0, &file) == NGX_HTTP_MATTE_MULTIPART_ERROR ? mp.error : 0;
}

/* ---- tests ---- */

static const char small[] = "a preamble\r\n--BOUND\r\n"
                            "Content-Disposition: form-data; name=\"note\"\r\n"
                            "\r\n"
                            "a\r\n--BOUN\r\nb"
                            "\r\n--BOUND \t\r\n"
                            "content-type: video/mp4\r\n"
                            "Content-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n"
                            "\r\n"
                            "x\r\n--BOUN\r\r\n--BOUNE\r\n-\r"
                            "\r\n--BOUND--\r\nan epilogue\r\n--BOUND\r\n";
static const char small_file[] = "x\r\n--BOUN\r\r\n--BOUNE\r\n-\r";

static void content_does_not_depend_on_where_the_input_is_cut(void **state)
{
    (void)state;
    static ngx_http_matte_multipart_t mp;
    static struct bytes body, file;
    size_t cuts[2];
    body.length = 0;
    add_text(&body, small);
    for (cuts[0] = 0; cuts[0] <= body.length; cuts[0]++) {
        for (cuts[1] = cuts[0]; cuts[1] <= body.length; cuts[1]++) {
            assert_int_equal(begin(&mp, "multipart/form-data; boundary=BOUND"), 0);
            assert_int_equal(parse(&mp, &body, cuts, 2, &file), NGX_HTTP_MATTE_MULTIPART_DONE);
            assert_int_equal(file.length, sizeof small_file - 1);
            assert_memory_equal(file.at, small_file, file.length);
            assert_int_equal(mp.files, 1);
            assert_int_equal(mp.filename_len, 5);
            assert_memory_equal(mp.filename, "a.mp4", 5);
        }
    }
}

static uint32_t seed = 1;

static uint32_t below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)n * (seed >> 8) >> 24);
}

static int by_value(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Content of what a delimiter is made of, but without one. */
static void add_content(struct bytes *b, const char *delimiter)
{
    static const char *const crumbs[] = { "\r", "\n", "\r\n", "\r\n-", "\r\n--", "--", "v", "\0" };
    const size_t from = b->length, length = strlen(delimiter), wanted = below(3000);
    while (b->length - from < wanted) {
        uint32_t which = below(12);
        if (which < 8)
            add(b, crumbs[which], which == 7 ? 1 : strlen(crumbs[which]));
        else
            add(b, delimiter, below((uint32_t)length));
    }
    for (char *p = b->at + from;
         (p = memmem(p, (size_t)(b->at + b->length - p), delimiter, length));)
        p[2] = 'v';
}

static void random_bodies(void **state)
{
    (void)state;
    static ngx_http_matte_multipart_t mp;
    static struct bytes body, file, want;
    for (int n = 0; n < RANDOM_BODIES; n++) {
        char boundary[71], delimiter[80], type[128];
        const uint32_t length = 1 + below(70);
        for (uint32_t i = 0; i < length; i++)
            boundary[i] = "-ab'()+_,./:=?"[below(14)];
        boundary[length] = 0;
        snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
        snprintf(type, sizeof type, "multipart/form-data; charset=x; boundary=\"%s\"", boundary);
        const uint32_t parts = 1 + below(4), which = below(parts + 1);
        body.length = want.length = 0;
        for (uint32_t i = 0; i < parts; i++) {
            add_text(&body, delimiter + (i ? 0 : 2));
            add_text(&body, "\r\nContent-Disposition: form-data; name=");
            add_text(&body, i == which ? "file\r\n\r\n" : "\"file2\"\r\n\r\n");
            const size_t from = body.length;
            add_content(&body, delimiter);
            add_text(&body, "v"); /* a CRLF at the end would be the delimiter's */
            if (i == which)
                add(&want, body.at + from, body.length - from);
        }
        add_text(&body, delimiter);
        add_text(&body, "--");
        size_t cuts[64];
        const int count = (int)below(64);
        for (int i = 0; i < count; i++)
            cuts[i] = below((uint32_t)body.length + 1);
        qsort(cuts, (size_t)count, sizeof *cuts, by_value);
        assert_int_equal(begin(&mp, type), 0);
        assert_int_equal(parse(&mp, &body, cuts, count, &file), NGX_HTTP_MATTE_MULTIPART_DONE);
        assert_int_equal(mp.files, which < parts);
        assert_int_equal(file.length, want.length);
        assert_memory_equal(file.at, want.at, want.length);
    }
}

/* Damaged bodies end in an answer, whatever it is, and touch nothing else (run it under AddressSanitizer). */
static void damaged_bodies(void **state)
{
    (void)state;
    static ngx_http_matte_multipart_t mp;
    static struct bytes body, file;
    for (int n = 0; n < 20000; n++) {
        size_t cut;
        body.length = 0;
        add_text(&body, small);
        for (uint32_t i = below(8); i > 0; i--)
            body.at[below((uint32_t)body.length)] = "\r\n-;=\"\\' \0%\xff"[below(12)];
        cut = below((uint32_t)body.length);
        assert_int_equal(begin(&mp, "multipart/form-data; boundary=BOUND"), 0);
        parse(&mp, &body, &cut, 1, &file);
        assert_in_range(mp.filename_len, 0, NGX_HTTP_MATTE_FILENAME_MAX);
    }
}

static void boundaries(void **state)
{
    (void)state;
    static ngx_http_matte_multipart_t mp;
    static const struct {
        const char *type;
        int rc;
        const char *boundary;
    } cases[] = {
        { "", -1, 0 },
        { "application/json", -1, 0 },
        { "multipart/form-data2; boundary=x", -1, 0 },
        { "multipart/mixed; boundary=x", -1, 0 },
        { "multipart/form-data", 1, 0 },
        { "multipart/form-data; boundary", 1, 0 },
        { "multipart/form-data; boundary=", 1, 0 },
        { "multipart/form-data; boundary=\"\"", 1, 0 },
        { "multipart/form-data; boundary=\"x", 1, 0 },
        { "multipart/form-data; boundary=\"x \"", 1, 0 },
        { "multipart/form-data; boundary=x\x01", 1, 0 },
        { "multipart/form-data; boundary=x y", 1, 0 },
        { "multipart/form-data; x; boundary=y", 1, 0 },
        { "multipart/form-data; boundary=x", 0, "x" },
        { "Multipart/Form-Data;Boundary=xY", 0, "xY" },
        { "multipart/form-data; charset=\"a;b\"; boundary=\"a b\"; c=d", 0, "a b" },
        { "multipart/form-data; boundary=\"a\\\"b\"", 0, "a\"b" },
        { "multipart/form-data; boundary="
          "1234567890123456789012345678901234567890123456789012345678901234567890",
            0, "1234567890123456789012345678901234567890123456789012345678901234567890" },
        { "multipart/form-data; boundary="
          "12345678901234567890123456789012345678901234567890123456789012345678901",
            1, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("# %s\n", cases[i].type);
        assert_int_equal(begin(&mp, cases[i].type), cases[i].rc);
        if (!cases[i].rc) {
            assert_int_equal(mp.delimiter_len, 4 + strlen(cases[i].boundary));
            assert_memory_equal(mp.delimiter + 4, cases[i].boundary, mp.delimiter_len - 4);
        }
    }
}

static void filenames(void **state)
{
    (void)state;
    static ngx_http_matte_multipart_t mp;
    static struct bytes body, file;
    static char of_300[320], of_255[256];
    static const char *cases[][2] = {
        { "", "video" },
        { "; filename=\"\"", "video" },
        { "; filename=\"..\"", "video" },
        { "; filename=\"/etc/\"", "video" },
        { "; filename=a.mp4", "a.mp4" },
        { "; filename=\"a b;c=d.mp4\"", "a b;c=d.mp4" },
        { ";filename=\"a\\\"b\\\\c.mp4\"", "c.mp4" },
        { "; filename=\"a\\\"b.mp4\"", "a\"b.mp4" },
        { "; filename=\"C:\\temp\\new.mp4\"", "new.mp4" },
        { "; filename=\"../../a.mp4\"", "a.mp4" },
        { "; filename=\"a\tb\x1b\x7f.mp4\"", "a_b__.mp4" },
        { "; filename=\"gr\xc3\xb6\xc3\x9f"
          "e.mp4\"",
            "gr\xc3\xb6\xc3\x9f"
            "e.mp4" },
        { "; filename=\"\xf6\xc3(\xe0\x80\xaf\xed\xa0\x80\xf4\x90\x80\x80\xc2\x85.mp4\"",
            "__(___________.mp4" },
        { "; filename*=UTF-8''gr%C3%B6%c3%9fe.mp4", "gr\xc3\xb6\xc3\x9f"
                                                    "e.mp4" },
        { "; filename=\"a.mp4\"; filename*=utf-8'de'%e2%82%ac.mp4", "\xe2\x82\xac.mp4" },
        { "; filename*=iso-8859-1''gr%f6%dfe.mp4; filename=\"a.mp4\"", "gr\xc3\xb6\xc3\x9f"
                                                                       "e.mp4" },
        { "; filename=\"a.mp4\"; filename*=koi8-r''%c1.mp4", "a.mp4" },
        { "; filename=\"a.mp4\"; filename*=UTF-8''%4.mp4", "a.mp4" },
        { "; filename=\"a.mp4\"; filename*=UTF-8''%c", "a.mp4" },
        { "; filename=\"a.mp4\"; filename*=UTF-8''\xc1", "a.mp4" },
        { "; filename=\"a.mp4\"; filename*=UTF-8", "a.mp4" },
        { "; filename*=UTF-8''..%2F..%5Ca%00b.mp4", "a_b.mp4" },
        { of_300, of_255 },
    };
    strcpy(of_300, "; filename=\"");
    memset(of_300 + strlen(of_300), 'x', 254); /* and a character that would not fit */
    strcat(of_300, "\xe2\x82\xac.mp4\"");
    memset(of_255, 'x', 254);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        body.length = 0;
        add_text(&body, "--B\r\nContent-Disposition: form-data; name=\"file\"");
        add_text(&body, cases[i][0]);
        add_text(&body, "\r\n\r\nx\r\n--B--");
        assert_int_equal(begin(&mp, "multipart/form-data; boundary=B"), 0);
        assert_int_equal(parse(&mp, &body, 0, 0, &file), NGX_HTTP_MATTE_MULTIPART_DONE);
        print_message("# %.*s\n", (int)mp.filename_len, (char *)mp.filename);
        assert_int_equal(mp.filename_len, strlen(cases[i][1]));
        assert_memory_equal(mp.filename, cases[i][1], mp.filename_len);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *error;
    } cases[] = {
        { "--B\r\n\r\nx\r\n--B--", 0 },
        { "x\r\ny\r\n--B\r\n\r\n\r\n--B--\r\n--B\r\nz", 0 },
        { "--BX\r\n\r\n", "A boundary in the body is not followed by a line break." },
        { "--B\r\r\n", "A part of the body has a malformed header." },
        { "--B-x", "The last boundary of the body is malformed." },
        { "--B\r\nno colon\r\n\r\n", "A part of the body has a malformed header." },
        { "--B\r\n: x\r\n\r\n", "A part of the body has a malformed header." },
        { "--B\r\na: b\n\r\n", "A part of the body has a malformed header." },
        { "--B\r\na: b\rc\r\n", "A part of the body has a malformed header." },
        { "--B\r\nContent-Disposition: attachment; name=\"file\"\r\n\r\n",
            "A part of the body is not form-data." },
        { "--B\r\nContent-Disposition: form-data; name=\"file\r\n\r\n",
            "A Content-Disposition in the body is malformed." },
        { "--B\r\nContent-Disposition: form-data; name\r\n\r\n",
            "A Content-Disposition in the body is malformed." },
        { "--B\r\nContent-Disposition: form-data; name=\"file\" x\r\n\r\n",
            "A Content-Disposition in the body is malformed." },
        { "--B\r\nContent-Disposition: form-data; name=file\r\n\r\nx\r\n"
          "--B\r\nContent-Disposition: form-data; name=file\r\n\r\nx\r\n--B--",
            "The body has more than one part named file." },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *error = refusal(cases[i].body);
        print_message("# %s\n", error ? error : "accepted");
        if (cases[i].error) {
            assert_non_null(error);
            assert_string_equal(error, cases[i].error);
        } else {
            assert_null(error);
        }
    }
    static char line[4096];
    strcpy(line, "--B\r\nX: ");
    memset(line + strlen(line), 'x', NGX_HTTP_MATTE_PART_LINE_MAX - 3);
    strcat(line, "\r\n\r\n\r\n--B--");
    assert_null(refusal(line));
    memmove(line + 9, line + 8, strlen(line + 8) + 1);
    assert_string_equal(refusal(line), "A part of the body has a header that is too long.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_does_not_depend_on_where_the_input_is_cut),
        cmocka_unit_test(random_bodies),
        cmocka_unit_test(damaged_bodies),
        cmocka_unit_test(boundaries),
        cmocka_unit_test(filenames),
        cmocka_unit_test(what_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
