
/*
 * The multipart parser: a boundary may be cut by the end of the input at any
 * of its bytes.  Of a delimiter only the first byte is a CR, so that when a
 * beginning turns out to be none, what was held back is content as a whole,
 * and a copy of it is the delimiter itself.
 */


#include "ngx_http_matte_multipart.h"
#include <string.h>
#include <strings.h>


typedef struct {
    const u_char  *name;
    size_t         name_len;
    const u_char  *value;        /* with its quotes */
    size_t         value_len;
} ngx_http_matte_param_t;


enum {
    sw_preamble = 0,
    sw_content,
    sw_delimiter,                /* was met */
    sw_hyphen,
    sw_padding,
    sw_padding_lf,
    sw_line,
    sw_line_lf,
    sw_done
};


static ngx_http_matte_multipart_e
ngx_http_matte_multipart_fail(ngx_http_matte_multipart_t *mp,
    const char *error)
{
    mp->error = error;
    return NGX_HTTP_MATTE_MULTIPART_ERROR;
}


static int
ngx_http_matte_is_token(u_char c)
{
    return c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}


static int
ngx_http_matte_is(const u_char *s, size_t len, const char *word)
{
    return len == strlen(word)
           && strncasecmp((const char *) s, word, len) == 0;
}


/* the next ";name=value" at *pos: 1; 0: there is none; -1: it is malformed */

static int
ngx_http_matte_param(const u_char **pos, const u_char *last,
    ngx_http_matte_param_t *param)
{
    const u_char  *p = *pos;

    while (p < last && (*p == ' ' || *p == '\t' || *p == ';')) {
        p++;
    }

    if (p == last) {
        return 0;
    }

    param->name = p;

    while (p < last && ngx_http_matte_is_token(*p)) {
        p++;
    }

    param->name_len = p - param->name;

    if (param->name_len == 0 || p == last || *p++ != '=') {
        return -1;
    }

    param->value = p;

    if (p < last && *p == '"') {

        for (p++; p < last && *p != '"'; p++) {
            if (*p == '\\' && last - p > 1 && (p[1] == '"' || p[1] == '\\')) {
                p++;
            }
        }

        if (p == last) {
            return -1;
        }

        p++;

    } else {
        while (p < last && *p != ';' && *p != ' ' && *p != '\t') {
            p++;
        }
    }

    param->value_len = p - param->value;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    *pos = p;

    return p == last || *p == ';' ? 1 : -1;
}


/*
 * Without its quotes.  Of the pairs that begin with a backslash only these
 * two: whoever sends a path means the backslash itself.
 */

static size_t
ngx_http_matte_unquote(const ngx_http_matte_param_t *param, u_char *to)
{
    u_char        *start = to;
    const u_char  *p, *last;

    p = param->value;
    last = p + param->value_len;

    if (p == last || *p != '"') {
        memcpy(to, p, param->value_len);
        return param->value_len;
    }

    for (p++, last--; p < last; p++) {
        if (*p == '\\' && last - p > 1 && (p[1] == '"' || p[1] == '\\')) {
            p++;
        }

        *to++ = *p;
    }

    return to - start;
}


int
ngx_http_matte_multipart_init(ngx_http_matte_multipart_t *mp,
    const u_char *type, size_t len)
{
    int                     rc;
    size_t                  i, n;
    u_char                  boundary[NGX_HTTP_MATTE_BOUNDARY_MAX + 2];
    const u_char           *p, *last;
    ngx_http_matte_param_t  param;

    p = type;
    last = type + len;

    while (p < last && *p != ';' && *p != ' ' && *p != '\t') {
        p++;
    }

    if (!ngx_http_matte_is(type, p - type, "multipart/form-data")) {
        return -1;
    }

    do {
        rc = ngx_http_matte_param(&p, last, &param);

        if (rc != 1) {
            return 1;
        }

    } while (!ngx_http_matte_is(param.name, param.name_len, "boundary"));

    if (param.value_len > sizeof(boundary)) {
        return 1;
    }

    n = ngx_http_matte_unquote(&param, boundary);

    if (n == 0 || n > NGX_HTTP_MATTE_BOUNDARY_MAX || boundary[n - 1] == ' ') {
        return 1;
    }

    for (i = 0; i < n; i++) {
        if (boundary[i] < 0x20 || boundary[i] > 0x7e) {
            return 1;
        }
    }

    memset(mp, 0, sizeof(ngx_http_matte_multipart_t));

    memcpy(mp->delimiter, "\r\n--", 4);
    memcpy(mp->delimiter + 4, boundary, n);

    mp->delimiter_len = 4 + n;
    mp->matched = 2;                    /* a body begins without the CRLF */

    return 0;
}


/* the bytes of one UTF-8 character at p; 0: it is not one */

static size_t
ngx_http_matte_utf8(const u_char *p, const u_char *last)
{
    size_t    i, n;
    unsigned  code, min;

    if (*p < 0x80) {
        return 1;
    }

    if (*p >= 0xc2 && *p < 0xe0) {
        n = 2;
        code = *p & 0x1f;
        min = 0x80;

    } else if (*p >= 0xe0 && *p < 0xf0) {
        n = 3;
        code = *p & 0x0f;
        min = 0x800;

    } else if (*p >= 0xf0 && *p < 0xf5) {
        n = 4;
        code = *p & 0x07;
        min = 0x10000;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        code = (code << 6) | (p[i] & 0x3f);
    }

    if (code < min || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return 0;
    }

    return n;
}


/* a name for people: no folders, nothing that a terminal would obey */

static void
ngx_http_matte_set_filename(ngx_http_matte_multipart_t *mp, const u_char *name,
    size_t len)
{
    size_t         n;
    u_char        *to;
    const u_char  *p, *last;

    last = name + len;

    for (p = name; p < last; p++) {
        if (*p == '/' || *p == '\\') {
            name = p + 1;
        }
    }

    to = mp->filename;

    for (p = name; p < last; p += n) {

        n = ngx_http_matte_utf8(p, last);

        if (to + (n ? n : 1) > mp->filename + NGX_HTTP_MATTE_FILENAME_MAX) {
            break;
        }

        if (n == 0 || *p < 0x20 || *p == 0x7f
            || (*p == 0xc2 && p[1] < 0xa0))
        {
            *to++ = '_';
            n = n ? n : 1;
            continue;
        }

        memcpy(to, p, n);
        to += n;
    }

    mp->filename_len = to - mp->filename;

    if (mp->filename_len == 0
        || (mp->filename_len <= 2 && memcmp(mp->filename, "..",
                                            mp->filename_len) == 0))
    {
        memcpy(mp->filename, "video", 5);
        mp->filename_len = 5;
    }
}


static int
ngx_http_matte_hex(u_char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


/* RFC 5987: charset'language'%-encoded; 0: not one that is known */

static size_t
ngx_http_matte_extended(const ngx_http_matte_param_t *param, u_char *to)
{
    int            high, low, latin1;
    u_char         c, *start = to;
    const u_char  *p, *last, *charset;

    charset = param->value;
    last = charset + param->value_len;

    p = memchr(charset, '\'', last - charset);
    if (p == NULL) {
        return 0;
    }

    latin1 = ngx_http_matte_is(charset, p - charset, "iso-8859-1");

    if (!latin1 && !ngx_http_matte_is(charset, p - charset, "utf-8")) {
        return 0;
    }

    p++;
    p = memchr(p, '\'', last - p);
    if (p == NULL) {
        return 0;
    }

    for (p++; p < last; p++) {
        c = *p;

        if (c > 0x7e) {
            return 0;
        }

        if (c == '%') {

            if (last - p < 3) {
                return 0;
            }

            high = ngx_http_matte_hex(p[1]);
            low = ngx_http_matte_hex(p[2]);

            if (high < 0 || low < 0) {
                return 0;
            }

            c = (u_char) (high << 4 | low);
            p += 2;
        }

        if (latin1 && c > 0x7f) {
            *to++ = (u_char) (0xc0 | c >> 6);
            c = 0x80 | (c & 0x3f);
        }

        *to++ = c;
    }

    return to - start;
}


static ngx_http_matte_multipart_e
ngx_http_matte_multipart_disposition(ngx_http_matte_multipart_t *mp,
    const u_char *p, const u_char *last)
{
    int                     rc, plain;
    size_t                  n;
    u_char                  name[NGX_HTTP_MATTE_PART_LINE_MAX];
    const u_char           *type;
    ngx_http_matte_param_t  param, filename, extended;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    type = p;

    while (p < last && ngx_http_matte_is_token(*p)) {
        p++;
    }

    if (!ngx_http_matte_is(type, p - type, "form-data")) {
        return ngx_http_matte_multipart_fail(mp, "A part of the body is not "
                                             "form-data.");
    }

    plain = 0;
    memset(&filename, 0, sizeof(filename));
    memset(&extended, 0, sizeof(extended));

    for ( ;; ) {
        rc = ngx_http_matte_param(&p, last, &param);

        if (rc == 0) {
            break;
        }

        if (rc == -1) {
            return ngx_http_matte_multipart_fail(mp, "A Content-Disposition "
                                                 "in the body is malformed.");
        }

        if (ngx_http_matte_is(param.name, param.name_len, "name")) {
            n = ngx_http_matte_unquote(&param, name);
            mp->file = (n == 4 && memcmp(name, "file", 4) == 0);

        } else if (ngx_http_matte_is(param.name, param.name_len, "filename")) {
            filename = param;
            plain = 1;

        } else if (ngx_http_matte_is(param.name, param.name_len, "filename*"))
        {
            extended = param;
        }
    }

    if (!mp->file) {
        return NGX_HTTP_MATTE_MULTIPART_AGAIN;
    }

    n = extended.value_len ? ngx_http_matte_extended(&extended, name) : 0;

    if (n == 0 && plain) {
        n = ngx_http_matte_unquote(&filename, name);
    }

    ngx_http_matte_set_filename(mp, name, n);

    return NGX_HTTP_MATTE_MULTIPART_AGAIN;
}


/* a line of a part's header; of all headers one matters */

static ngx_http_matte_multipart_e
ngx_http_matte_multipart_header(ngx_http_matte_multipart_t *mp)
{
    const u_char  *p, *last;

    last = mp->line + mp->line_len;

    p = memchr(mp->line, ':', mp->line_len);

    if (p == NULL || p == mp->line) {
        return ngx_http_matte_multipart_fail(mp, "A part of the body has a "
                                             "malformed header.");
    }

    if (!ngx_http_matte_is(mp->line, p - mp->line, "content-disposition")) {
        return NGX_HTTP_MATTE_MULTIPART_AGAIN;
    }

    return ngx_http_matte_multipart_disposition(mp, p + 1, last);
}


/* the empty line after a part's header */

static ngx_http_matte_multipart_e
ngx_http_matte_multipart_begin(ngx_http_matte_multipart_t *mp)
{
    if (mp->file && ++mp->files > 1) {
        return ngx_http_matte_multipart_fail(mp, "The body has more than one "
                                             "part named file.");
    }

    mp->state = sw_content;
    mp->matched = 0;

    return NGX_HTTP_MATTE_MULTIPART_AGAIN;
}


/* what lies before the next delimiter: of the file _DATA, else nothing */

static ngx_http_matte_multipart_e
ngx_http_matte_multipart_content(ngx_http_matte_multipart_t *mp,
    const u_char **pos, const u_char *last)
{
    size_t         n;
    const u_char  *p, *start;

    start = *pos;
    p = start;

    /* the rest of a delimiter that the last input has begun */

    if (mp->matched) {

        while (p < last && mp->matched < mp->delimiter_len
               && *p == mp->delimiter[mp->matched])
        {
            p++;
            mp->matched++;
        }

        *pos = p;

        if (mp->matched == mp->delimiter_len) {
            mp->state = sw_delimiter;
            return NGX_HTTP_MATTE_MULTIPART_AGAIN;
        }

        if (p == last) {
            return NGX_HTTP_MATTE_MULTIPART_AGAIN;
        }

        mp->data = mp->delimiter;
        mp->len = mp->matched;
        mp->matched = 0;

        return NGX_HTTP_MATTE_MULTIPART_DATA;
    }

    for ( ;; ) {
        p = memchr(p, '\r', last - p);

        if (p == NULL) {
            p = last;
            *pos = last;
            break;
        }

        n = last - p;

        if (n > mp->delimiter_len) {
            n = mp->delimiter_len;
        }

        if (memcmp(p, mp->delimiter, n) == 0) {
            *pos = p + n;

            if (n == mp->delimiter_len) {
                mp->state = sw_delimiter;

            } else {
                mp->matched = n;
            }

            break;
        }

        p++;
    }

    mp->data = start;
    mp->len = p - start;

    return NGX_HTTP_MATTE_MULTIPART_DATA;
}


ngx_http_matte_multipart_e
ngx_http_matte_multipart_parse(ngx_http_matte_multipart_t *mp,
    const u_char **pos, const u_char *last)
{
    u_char                      c;
    ngx_http_matte_multipart_e  rc;

    while (*pos < last) {

        if (mp->state == sw_preamble || mp->state == sw_content) {

            rc = ngx_http_matte_multipart_content(mp, pos, last);

            if (rc == NGX_HTTP_MATTE_MULTIPART_DATA && mp->len
                && mp->state != sw_preamble && mp->file)
            {
                return rc;
            }

            continue;
        }

        if (mp->state == sw_done) {
            *pos = last;
            return NGX_HTTP_MATTE_MULTIPART_DONE;
        }

        c = *(*pos)++;

        switch (mp->state) {

        case sw_delimiter:
            mp->file = 0;
            mp->line_len = 0;

            if (c == '-') {
                mp->state = sw_hyphen;
                break;
            }

            mp->state = sw_padding;

            /* fall through */

        case sw_padding:
            if (c == '\r') {
                mp->state = sw_padding_lf;
                break;
            }

            if (c == ' ' || c == '\t') {
                break;
            }

            return ngx_http_matte_multipart_fail(mp, "A boundary in the body "
                                                 "is not followed by a line "
                                                 "break.");

        case sw_hyphen:
            if (c != '-') {
                return ngx_http_matte_multipart_fail(mp, "The last boundary "
                                                     "of the body is "
                                                     "malformed.");
            }

            mp->state = sw_done;
            return NGX_HTTP_MATTE_MULTIPART_DONE;

        case sw_padding_lf:
        case sw_line_lf:
            if (c != '\n') {
                return ngx_http_matte_multipart_fail(mp, "A part of the body "
                                                     "has a malformed "
                                                     "header.");
            }

            if (mp->state == sw_padding_lf) {
                mp->state = sw_line;
                break;
            }

            mp->state = sw_line;
            rc = mp->line_len ? ngx_http_matte_multipart_header(mp)
                              : ngx_http_matte_multipart_begin(mp);
            mp->line_len = 0;

            if (rc == NGX_HTTP_MATTE_MULTIPART_ERROR) {
                return rc;
            }

            break;

        case sw_line:
            if (c == '\r') {
                mp->state = sw_line_lf;
                break;
            }

            if (c == '\n' || c == '\0') {
                return ngx_http_matte_multipart_fail(mp, "A part of the body "
                                                     "has a malformed "
                                                     "header.");
            }

            if (mp->line_len == NGX_HTTP_MATTE_PART_LINE_MAX) {
                return ngx_http_matte_multipart_fail(mp, "A part of the body "
                                                     "has a header that is "
                                                     "too long.");
            }

            mp->line[mp->line_len++] = c;
            break;
        }
    }

    return NGX_HTTP_MATTE_MULTIPART_AGAIN;
}
