
/*
 * The body of a create or start.  One table says which fields there are; a
 * streaming yajl parse collects their values, then each is checked by itself
 * and at last against the others.  Unknown fields are ignored, a known one
 * given twice is refused.
 */


#include "ngx_http_matte.h"
#include <yajl/yajl_parse.h>


#define NGX_HTTP_MATTE_DEPTH           32
#define NGX_HTTP_MATTE_PREVIEW_MIN     0.001
#define NGX_HTTP_MATTE_PREVIEW_MAX     86400

#define NGX_HTTP_MATTE_STRING          0x01
#define NGX_HTTP_MATTE_NUMBER          0x02
#define NGX_HTTP_MATTE_BOOL            0x04
#define NGX_HTTP_MATTE_OBJECT          0x08
#define NGX_HTTP_MATTE_COLOR           0x10  /* three numbers */
#define NGX_HTTP_MATTE_NULL            0x20

#define NGX_HTTP_MATTE_ON_CREATE       0x01
#define NGX_HTTP_MATTE_ON_START        0x02
#define NGX_HTTP_MATTE_ON_BOTH         0x03

#define NGX_HTTP_MATTE_PRO             0x04
#define NGX_HTTP_MATTE_MP4             0x04

#define NGX_HTTP_MATTE_BG_TRANSPARENT  0x01
#define NGX_HTTP_MATTE_BG_GREEN        0x02
#define NGX_HTTP_MATTE_BG_WHITE        0x04
#define NGX_HTTP_MATTE_BG_BLACK        0x08
#define NGX_HTTP_MATTE_BG_BLUE         0x10
#define NGX_HTTP_MATTE_BG_COLOR        0x20  /* the one that is given */
#define NGX_HTTP_MATTE_BG_IMAGE        0x40


typedef enum {
    NGX_HTTP_MATTE_TOP = 0,                  /* the body itself */
    NGX_HTTP_MATTE_VIDEO_URL,
    NGX_HTTP_MATTE_MODEL,
    NGX_HTTP_MATTE_FORMAT,
    NGX_HTTP_MATTE_BG_TYPE,
    NGX_HTTP_MATTE_BG_RGB,
    NGX_HTTP_MATTE_BG_URL,
    NGX_HTTP_MATTE_BACKGROUND,
    NGX_HTTP_MATTE_BACKGROUND_TYPE,
    NGX_HTTP_MATTE_BACKGROUND_RGB,
    NGX_HTTP_MATTE_BACKGROUND_URL,
    NGX_HTTP_MATTE_COMPOSITION,
    NGX_HTTP_MATTE_PROMPT,
    NGX_HTTP_MATTE_WEBHOOK_URL,
    NGX_HTTP_MATTE_AUTO_START,
    NGX_HTTP_MATTE_PREVIEW,
    NGX_HTTP_MATTE_METADATA,
    NGX_HTTP_MATTE_FIELDS
} ngx_http_matte_field_e;


typedef struct {
    ngx_uint_t                  type;        /* 0: not given */
    ngx_str_t                   text;        /* of an object: as sent */
    double                      list[3];
    ngx_uint_t                  nlist;
    ngx_uint_t                  choice;      /* mask */
    u_char                      rgb[3];
} ngx_http_matte_value_t;


typedef struct {
    ngx_http_request_t         *r;
    ngx_http_matte_ctx_t       *ctx;
    ngx_http_matte_main_conf_t *mcf;
    yajl_handle                 yajl;
    u_char                     *body;
    ngx_uint_t                  on;          /* create or start */
    ngx_uint_t                  depth;
    ngx_uint_t                  skip;        /* depth of what is ignored */
    ngx_uint_t                  object;      /* the field that we are inside */
    ngx_uint_t                  list;
    ngx_uint_t                  field;       /* whose value comes, 0: none */
    uint32_t                    seen;
    ngx_http_matte_value_t      values[NGX_HTTP_MATTE_FIELDS];
} ngx_http_matte_parser_t;


typedef ngx_int_t (*ngx_http_matte_check_pt)(ngx_http_matte_parser_t *p,
    ngx_uint_t field);


typedef struct {
    ngx_str_t                   name;        /* "parent.key" */
    ngx_uint_t                  parent;
    ngx_uint_t                  types;
    ngx_uint_t                  on;
    size_t                      max;         /* bytes, 0: no limit */
    ngx_http_matte_check_pt     check;
    ngx_conf_bitmask_t         *choices;
    size_t                      offered;     /* offset of a mask, 0: all are */
} ngx_http_matte_field_t;


typedef struct {
    ngx_uint_t                  type;        /* 0: nothing said */
    u_char                      rgb[3];
} ngx_http_matte_background_t;


static ngx_int_t ngx_http_matte_check_url(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
static ngx_int_t ngx_http_matte_check_video_url(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
static ngx_int_t ngx_http_matte_check_choice(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
static ngx_int_t ngx_http_matte_check_color(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
static ngx_int_t ngx_http_matte_check_preview(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
static ngx_int_t ngx_http_matte_check_not_offered(ngx_http_matte_parser_t *p,
    ngx_uint_t field);


/* clang-format off */

ngx_conf_bitmask_t  ngx_http_matte_models[] = {
    { ngx_string("original"), 0x01 },
    { ngx_string("light"), 0x02 },
    { ngx_string("pro"), NGX_HTTP_MATTE_PRO },
    { ngx_string("human"), 0x08 },
    { ngx_null_string, 0 }
};


ngx_conf_bitmask_t  ngx_http_matte_formats[] = {
    { ngx_string("webm"), 0x01 },
    { ngx_string("mov"), 0x02 },
    { ngx_string("mp4"), NGX_HTTP_MATTE_MP4 },
    { ngx_string("gif"), 0x08 },
    { ngx_string("webp"), 0x10 },
    { ngx_string("png_sequence"), 0x20 },
    { ngx_null_string, 0 }
};


static ngx_conf_bitmask_t  ngx_http_matte_bg_types[] = {
    { ngx_string("transparent"), NGX_HTTP_MATTE_BG_TRANSPARENT },
    { ngx_string("green"), NGX_HTTP_MATTE_BG_GREEN },
    { ngx_string("white"), NGX_HTTP_MATTE_BG_WHITE },
    { ngx_string("black"), NGX_HTTP_MATTE_BG_BLACK },
    { ngx_string("blue"), NGX_HTTP_MATTE_BG_BLUE },
    { ngx_string("custom"), NGX_HTTP_MATTE_BG_COLOR },
    { ngx_string("color"), NGX_HTTP_MATTE_BG_COLOR },
    { ngx_string("image"), NGX_HTTP_MATTE_BG_IMAGE },
    { ngx_null_string, 0 }
};


static ngx_conf_bitmask_t  ngx_http_matte_background_types[] = {
    { ngx_string("transparent"), NGX_HTTP_MATTE_BG_TRANSPARENT },
    { ngx_string("color"), NGX_HTTP_MATTE_BG_COLOR },
    { ngx_string("image"), NGX_HTTP_MATTE_BG_IMAGE },
    { ngx_null_string, 0 }
};


static struct {
    ngx_uint_t  type;
    u_char      rgb[3];
} ngx_http_matte_named_colors[] = {
    { NGX_HTTP_MATTE_BG_GREEN, { 0, 255, 0 } },
    { NGX_HTTP_MATTE_BG_WHITE, { 255, 255, 255 } },
    { NGX_HTTP_MATTE_BG_BLACK, { 0, 0, 0 } },
    { NGX_HTTP_MATTE_BG_BLUE, { 0, 0, 255 } },
    { 0, { 0, 0, 0 } }
};


/* in the order of ngx_http_matte_field_e */

static ngx_http_matte_field_t  ngx_http_matte_fields[] = {

    { ngx_null_string, 0, NGX_HTTP_MATTE_OBJECT, 0, 0, NULL, NULL, 0 },

    { ngx_string("video_url"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_CREATE, 2048,
      ngx_http_matte_check_video_url, NULL, 0 },

    { ngx_string("model"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_choice, ngx_http_matte_models,
      offsetof(ngx_http_matte_main_conf_t, models) },

    { ngx_string("output_format"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_choice, ngx_http_matte_formats,
      offsetof(ngx_http_matte_main_conf_t, formats) },

    { ngx_string("bg_type"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_choice, ngx_http_matte_bg_types, 0 },

    { ngx_string("bg_color"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_COLOR, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_color, NULL, 0 },

    { ngx_string("bg_image_url"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 2048,
      ngx_http_matte_check_url, NULL, 0 },

    { ngx_string("background"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      NULL, NULL, 0 },

    { ngx_string("background.type"), NGX_HTTP_MATTE_BACKGROUND,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_choice, ngx_http_matte_background_types, 0 },

    { ngx_string("background.color"), NGX_HTTP_MATTE_BACKGROUND,
      NGX_HTTP_MATTE_STRING|NGX_HTTP_MATTE_COLOR, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_color, NULL, 0 },

    { ngx_string("background.image_url"), NGX_HTTP_MATTE_BACKGROUND,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 2048,
      ngx_http_matte_check_url, NULL, 0 },

    { ngx_string("composition"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_not_offered, NULL, 0 },

    { ngx_string("text_prompt"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 1000,
      NULL, NULL, 0 },

    { ngx_string("webhook_url"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 2048,
      ngx_http_matte_check_url, NULL, 0 },

    { ngx_string("auto_start"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_BOOL, NGX_HTTP_MATTE_ON_CREATE, 0,
      NULL, NULL, 0 },

    { ngx_string("preview_duration"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_NUMBER, NGX_HTTP_MATTE_ON_BOTH, 0,
      ngx_http_matte_check_preview, NULL, 0 },

    { ngx_string("metadata"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_CREATE, 4096,
      NULL, NULL, 0 }
};


static ngx_conf_bitmask_t  ngx_http_matte_type_names[] = {
    { ngx_string("a string"), NGX_HTTP_MATTE_STRING },
    { ngx_string("a number"), NGX_HTTP_MATTE_NUMBER },
    { ngx_string("true or false"), NGX_HTTP_MATTE_BOOL },
    { ngx_string("an object"), NGX_HTTP_MATTE_OBJECT },
    { ngx_string("an array of three numbers"), NGX_HTTP_MATTE_COLOR },
    { ngx_null_string, 0 }
};

/* clang-format on */


/* the first problem counts; NGX_DECLINED so that `return` reads well */

static ngx_int_t
ngx_http_matte_problem(ngx_http_matte_parser_t *p, ngx_uint_t code,
    ngx_uint_t field, const char *fmt, ...)
{
    va_list                    args;
    u_char                    *last;
    ngx_http_matte_problem_t  *problem = &p->ctx->problem;

    if (problem->message.len) {
        return NGX_DECLINED;
    }

    problem->code = code;
    problem->field = ngx_http_matte_fields[field].name;

    problem->message.data = ngx_pnalloc(p->r->pool, NGX_MAX_ERROR_STR);
    if (problem->message.data == NULL) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(problem->message.data,
                         problem->message.data + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    problem->message.len = last - problem->message.data;

    return NGX_DECLINED;
}


/* "original, light or pro": the names of the mask's bits */

static ngx_str_t *
ngx_http_matte_names(ngx_http_matte_parser_t *p, ngx_conf_bitmask_t *list,
    ngx_uint_t mask)
{
    u_char      *last;
    size_t       len;
    ngx_str_t   *s;
    ngx_uint_t   i, left;

    len = 0;
    left = 0;

    for (i = 0; list[i].name.len; i++) {
        if (list[i].mask & mask) {
            len += list[i].name.len + sizeof(" or ") - 1;
            left++;
        }
    }

    s = ngx_palloc(p->r->pool, sizeof(ngx_str_t) + len);
    if (s == NULL) {
        return NULL;
    }

    s->data = (u_char *) &s[1];
    last = s->data;

    for (i = 0; left; i++) {
        if (list[i].mask & mask) {
            left--;
            last = ngx_sprintf(last, "%V%s", &list[i].name,
                               left > 1 ? ", " : left ? " or " : "");
        }
    }

    s->len = last - s->data;

    return s;
}


/* the callbacks return 0 to end the parse, 1 to go on */

static int
ngx_http_matte_wrong_type(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    ngx_str_t               *names;
    ngx_http_matte_field_t  *f = &ngx_http_matte_fields[field];

    names = ngx_http_matte_names(p, ngx_http_matte_type_names, f->types);
    if (names == NULL) {
        return 0;
    }

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must be %V.", &f->name, names)
           != NGX_ERROR;
}


static int
ngx_http_matte_bad_json(ngx_http_matte_parser_t *p, const char *message)
{
    p->ctx->problem.message.len = 0;    /* this one goes before all others */

    (void) ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_JSON,
                                  NGX_HTTP_MATTE_TOP, message);
    return 0;
}


/* U+0000: PostgreSQL's text and jsonb have no room for it */

static int
ngx_http_matte_check_nul(ngx_http_matte_parser_t *p, const u_char *s,
    size_t len)
{
    if (len == 0 || memchr(s, '\0', len) == NULL) {
        return 1;
    }

    return ngx_http_matte_bad_json(p, "The body has the character U+0000.");
}


static int
ngx_http_matte_scalar(ngx_http_matte_parser_t *p, ngx_uint_t type,
    const u_char *s, size_t len)
{
    ngx_uint_t               field;
    ngx_http_matte_value_t  *v;

    if (p->depth == 0) {
        return ngx_http_matte_bad_json(p, "The body must be a JSON object.");
    }

    if (p->skip) {
        return 1;
    }

    if (p->list) {
        v = &p->values[p->list];

        if (type != NGX_HTTP_MATTE_NUMBER || v->nlist == 3) {
            return ngx_http_matte_wrong_type(p, p->list);
        }

        v->list[v->nlist++] = strtod((char *) s, NULL);

        return 1;
    }

    field = p->field;
    p->field = 0;

    if (field == 0 || type == NGX_HTTP_MATTE_NULL) {
        return 1;
    }

    if (!(ngx_http_matte_fields[field].types & type)) {
        return ngx_http_matte_wrong_type(p, field);
    }

    v = &p->values[field];
    v->type = type;
    v->text.len = len;
    v->text.data = ngx_pnalloc(p->r->pool, len + 1);
    if (v->text.data == NULL) {
        return 0;
    }

    *ngx_cpymem(v->text.data, s, len) = '\0';

    return 1;
}


static int
ngx_http_matte_on_null(void *ctx)
{
    return ngx_http_matte_scalar(ctx, NGX_HTTP_MATTE_NULL, NULL, 0);
}


static int
ngx_http_matte_on_bool(void *ctx, int value)
{
    return ngx_http_matte_scalar(ctx, NGX_HTTP_MATTE_BOOL,
                                 (u_char *) (value ? "1" : ""), value ? 1 : 0);
}


static int
ngx_http_matte_on_number(void *ctx, const char *s, size_t len)
{
    return ngx_http_matte_scalar(ctx, NGX_HTTP_MATTE_NUMBER, (u_char *) s,
                                 len);
}


static int
ngx_http_matte_on_string(void *ctx, const u_char *s, size_t len)
{
    return ngx_http_matte_check_nul(ctx, s, len)
           && ngx_http_matte_scalar(ctx, NGX_HTTP_MATTE_STRING, s, len);
}


static int
ngx_http_matte_on_start(ngx_http_matte_parser_t *p, ngx_uint_t type)
{
    ngx_uint_t               field;
    ngx_http_matte_value_t  *v;

    if (++p->depth > NGX_HTTP_MATTE_DEPTH) {
        return ngx_http_matte_bad_json(p, "The body is nested too deep.");
    }

    if (p->depth == 1) {
        return type == NGX_HTTP_MATTE_OBJECT
               || ngx_http_matte_bad_json(p, "The body must be a JSON object.");
    }

    if (p->skip) {
        return 1;
    }

    field = p->list ? p->list : p->field;
    p->field = 0;

    if (field == 0) {
        p->skip = p->depth;
        return 1;
    }

    if (p->list || !(ngx_http_matte_fields[field].types & type)) {
        p->skip = p->depth;
        return ngx_http_matte_wrong_type(p, field);
    }

    v = &p->values[field];
    v->type = type;

    if (type == NGX_HTTP_MATTE_COLOR) {
        p->list = field;
        return 1;
    }

    p->object = field;
    v->text.data = p->body + yajl_get_bytes_consumed(p->yajl) - 1;

    return 1;
}


static int
ngx_http_matte_on_map(void *ctx)
{
    return ngx_http_matte_on_start(ctx, NGX_HTTP_MATTE_OBJECT);
}


static int
ngx_http_matte_on_array(void *ctx)
{
    return ngx_http_matte_on_start(ctx, NGX_HTTP_MATTE_COLOR);
}


static int
ngx_http_matte_on_key(void *ctx, const u_char *s, size_t len)
{
    ngx_http_matte_parser_t *p = ctx;

    size_t                   prefix;
    ngx_uint_t               i;
    ngx_http_matte_field_t  *f;

    if (!ngx_http_matte_check_nul(p, s, len)) {
        return 0;
    }

    p->field = 0;

    if (p->skip) {
        return 1;
    }

    prefix = p->object ? ngx_http_matte_fields[p->object].name.len + 1 : 0;

    for (i = 1; i < NGX_HTTP_MATTE_FIELDS; i++) {
        f = &ngx_http_matte_fields[i];

        if (f->parent != p->object || !(f->on & p->on)
            || f->name.len - prefix != len
            || ngx_memcmp(f->name.data + prefix, s, len) != 0)
        {
            continue;
        }

        if (p->seen & (1 << i)) {
            return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, i,
                                          "%V is given twice.", &f->name)
                   != NGX_ERROR;
        }

        p->seen |= 1 << i;
        p->field = i;
        break;
    }

    return 1;
}


static int
ngx_http_matte_on_end(void *ctx)
{
    ngx_http_matte_parser_t  *p = ctx;

    ngx_uint_t               list;
    ngx_http_matte_value_t  *v;

    p->depth--;

    if (p->skip) {

        if (p->depth < p->skip) {
            p->skip = 0;
        }

        return 1;
    }

    if (p->list) {
        list = p->list;
        p->list = 0;

        return p->values[list].nlist == 3 || ngx_http_matte_wrong_type(p, list);
    }

    if (p->object) {
        v = &p->values[p->object];
        v->text.len = p->body + yajl_get_bytes_consumed(p->yajl)
                      - v->text.data;
        p->object = 0;
    }

    return 1;
}


static yajl_callbacks  ngx_http_matte_callbacks = {
    ngx_http_matte_on_null,
    ngx_http_matte_on_bool,
    NULL,
    NULL,
    ngx_http_matte_on_number,
    ngx_http_matte_on_string,
    ngx_http_matte_on_map,
    ngx_http_matte_on_key,
    ngx_http_matte_on_end,
    ngx_http_matte_on_array,
    ngx_http_matte_on_end
};


static ngx_int_t
ngx_http_matte_parse(ngx_http_matte_parser_t *p, ngx_str_t *body)
{
    size_t       at;
    yajl_status  status;

    /* the whole body at once: offsets in it are those of yajl */

    p->body = body->data;
    p->yajl = yajl_alloc(&ngx_http_matte_callbacks, NULL, p);
    if (p->yajl == NULL) {
        return NGX_ERROR;
    }

    status = yajl_parse(p->yajl, body->data, body->len);
    at = yajl_get_bytes_consumed(p->yajl);

    if (status == yajl_status_ok) {
        status = yajl_complete_parse(p->yajl);
    }

    yajl_free(p->yajl);

    switch (status) {

    case yajl_status_ok:
        break;

    case yajl_status_client_canceled:
        return p->ctx->problem.message.len ? NGX_DECLINED : NGX_ERROR;

    default:
        p->ctx->problem.message.len = 0;
        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_JSON,
                                      NGX_HTTP_MATTE_TOP,
                                      "The body is not valid JSON: "
                                      "see byte %uz.", at);
    }

    return p->ctx->problem.message.len ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_matte_check_url(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    u_char     *s, *last;
    ngx_str_t  *url = &p->values[field].text;

    s = url->data;
    last = s + url->len;

    if (ngx_strncasecmp(s, (u_char *) "http://", 7) == 0) {
        s += 7;

    } else if (ngx_strncasecmp(s, (u_char *) "https://", 8) == 0) {
        s += 8;

    } else {
        goto bad;
    }

    if (s == last || *s == '/' || *s == '?' || *s == '#') {
        goto bad;
    }

    while (s < last) {
        if (*s <= 0x20 || *s == 0x7f) {
            goto bad;
        }

        s++;
    }

    return NGX_OK;

bad:

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must be an http:// or https:// URL.",
                                  &ngx_http_matte_fields[field].name);
}


static ngx_int_t
ngx_http_matte_check_video_url(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    ngx_str_t   id;
    ngx_str_t  *url = &p->values[field].text;

    if (ngx_strncmp(url->data, "upload://", 9) != 0) {
        return ngx_http_matte_check_url(p, field);
    }

    id.data = url->data + 9;
    id.len = url->len - 9;

    if (ngx_http_matte_uuid(&id) == NGX_OK) {
        return NGX_OK;
    }

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "upload:// must be followed by the id of an "
                                  "upload.");
}


static ngx_int_t
ngx_http_matte_check_choice(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    ngx_str_t               *names;
    ngx_uint_t               offered;
    ngx_conf_bitmask_t      *choice;
    ngx_http_matte_field_t  *f = &ngx_http_matte_fields[field];
    ngx_http_matte_value_t  *v = &p->values[field];

    for (choice = f->choices; choice->name.len; choice++) {

        if (choice->name.len == v->text.len
            && ngx_memcmp(choice->name.data, v->text.data, v->text.len) == 0)
        {
            break;
        }
    }

    if (choice->name.len == 0) {
        names = ngx_http_matte_names(p, f->choices, (ngx_uint_t) -1);
        if (names == NULL) {
            return NGX_ERROR;
        }

        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                      "%V must be %V.", &f->name, names);
    }

    v->choice = choice->mask;

    if (f->offered) {
        offered = *(ngx_uint_t *) ((u_char *) p->mcf + f->offered);

        if (!(offered & v->choice)) {
            names = ngx_http_matte_names(p, f->choices, offered);
            if (names == NULL) {
                return NGX_ERROR;
            }

            return ngx_http_matte_problem(p, NGX_HTTP_MATTE_COMBINATION, field,
                                          "%V %V is not offered here: "
                                          "choose %V.",
                                          &f->name, &v->text, names);
        }
    }

    return NGX_OK;
}


/* all in 0..1: a part of full; else 0..255; a fraction beside such is mixed */

static ngx_int_t
ngx_http_matte_check_color(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    double                   scale;
    ngx_int_t                n;
    ngx_uint_t               i, fraction;
    ngx_http_matte_value_t  *v = &p->values[field];

    if (v->type == NGX_HTTP_MATTE_STRING) {

        if (v->text.len != 7 || v->text.data[0] != '#') {
            goto bad_text;
        }

        for (i = 0; i < 3; i++) {
            n = ngx_hextoi(v->text.data + 1 + 2 * i, 2);

            if (n == NGX_ERROR) {
                goto bad_text;
            }

            v->rgb[i] = (u_char) n;
        }

        return NGX_OK;
    }

    scale = 255;
    fraction = 0;

    for (i = 0; i < 3; i++) {

        if (!(v->list[i] >= 0 && v->list[i] <= 255)) {
            goto bad_list;
        }

        if (v->list[i] > 1) {
            scale = 1;

        } else if (v->list[i] > 0 && v->list[i] < 1) {
            fraction = 1;
        }
    }

    if (scale == 1 && fraction) {
        goto bad_list;
    }

    for (i = 0; i < 3; i++) {
        v->rgb[i] = (u_char) (v->list[i] * scale + 0.5);
    }

    return NGX_OK;

bad_list:

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must be three numbers, all from 0 to 1 "
                                  "or all from 0 to 255.",
                                  &ngx_http_matte_fields[field].name);

bad_text:

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must be of the form #rrggbb.",
                                  &ngx_http_matte_fields[field].name);
}


static ngx_int_t
ngx_http_matte_check_preview(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    double  seconds;

    seconds = strtod((char *) p->values[field].text.data, NULL);

    if (seconds >= NGX_HTTP_MATTE_PREVIEW_MIN
        && seconds <= NGX_HTTP_MATTE_PREVIEW_MAX)
    {
        return NGX_OK;
    }

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "preview_duration must be from %.3f to %ui "
                                  "seconds.", NGX_HTTP_MATTE_PREVIEW_MIN,
                                  (ngx_uint_t) NGX_HTTP_MATTE_PREVIEW_MAX);
}


static ngx_int_t
ngx_http_matte_check_not_offered(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_COMBINATION, field,
                                  "%V is not offered here.",
                                  &ngx_http_matte_fields[field].name);
}


static ngx_int_t
ngx_http_matte_check(ngx_http_matte_parser_t *p)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_http_matte_field_t  *f;
    ngx_http_matte_value_t  *v;

    for (i = 1; i < NGX_HTTP_MATTE_FIELDS; i++) {
        f = &ngx_http_matte_fields[i];
        v = &p->values[i];

        if (v->type == 0) {
            continue;
        }

        if (f->max && v->text.len > f->max) {
            return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, i,
                                          "%V must not be longer than %uz "
                                          "bytes.", &f->name, f->max);
        }

        if (f->check) {
            rc = f->check(p, i);

            if (rc != NGX_OK) {
                return rc;
            }
        }
    }

    return NGX_OK;
}


/*
 * The two ways to say a background have the same shape: a type, a colour and
 * an image.  A colour or an image alone says its type; one that the type has
 * no use for is ignored, as clients send it along.
 */

static ngx_int_t
ngx_http_matte_resolve_background(ngx_http_matte_parser_t *p, ngx_uint_t type,
    ngx_uint_t rgb, ngx_uint_t url, ngx_http_matte_background_t *bg)
{
    ngx_uint_t  i;

    bg->type = p->values[type].choice;

    if (bg->type == 0) {
        bg->type = p->values[rgb].type ? NGX_HTTP_MATTE_BG_COLOR
                   : p->values[url].type ? NGX_HTTP_MATTE_BG_IMAGE
                   : 0;
    }

    switch (bg->type) {

    case 0:
    case NGX_HTTP_MATTE_BG_TRANSPARENT:
        return NGX_OK;

    case NGX_HTTP_MATTE_BG_IMAGE:
        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_COMBINATION,
                                      p->values[type].type ? type : url,
                                      "An image as background is not offered "
                                      "here.");

    case NGX_HTTP_MATTE_BG_COLOR:

        if (p->values[rgb].type == 0) {
            return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                          rgb, "%V is required with %V %V.",
                                          &ngx_http_matte_fields[rgb].name,
                                          &ngx_http_matte_fields[type].name,
                                          &p->values[type].text);
        }

        ngx_memcpy(bg->rgb, p->values[rgb].rgb, 3);
        return NGX_OK;
    }

    for (i = 0; ngx_http_matte_named_colors[i].type != bg->type; i++) {
        /* void */
    }

    ngx_memcpy(bg->rgb, ngx_http_matte_named_colors[i].rgb, 3);
    bg->type = NGX_HTTP_MATTE_BG_COLOR;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_background(ngx_http_matte_parser_t *p,
    ngx_http_matte_background_t *bg)
{
    ngx_int_t                    rc;
    ngx_http_matte_background_t  flat;

    ngx_memzero(&flat, sizeof(ngx_http_matte_background_t));
    ngx_memzero(bg, sizeof(ngx_http_matte_background_t));

    rc = ngx_http_matte_resolve_background(p, NGX_HTTP_MATTE_BG_TYPE,
                                           NGX_HTTP_MATTE_BG_RGB,
                                           NGX_HTTP_MATTE_BG_URL, &flat);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_matte_resolve_background(p, NGX_HTTP_MATTE_BACKGROUND_TYPE,
                                           NGX_HTTP_MATTE_BACKGROUND_RGB,
                                           NGX_HTTP_MATTE_BACKGROUND_URL, bg);
    if (rc != NGX_OK) {
        return rc;
    }

    if (p->values[NGX_HTTP_MATTE_BACKGROUND].type && bg->type == 0) {
        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                      NGX_HTTP_MATTE_BACKGROUND_TYPE,
                                      "background.type is required.");
    }

    if (bg->type == 0) {
        *bg = flat;
        return NGX_OK;
    }

    if (flat.type && ngx_memcmp(&flat, bg, sizeof(flat)) != 0) {
        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                      NGX_HTTP_MATTE_BACKGROUND,
                                      "background and the bg_ fields "
                                      "contradict each other.");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_options(ngx_http_matte_parser_t *p,
    ngx_http_matte_background_t *bg, ngx_str_t *options)
{
    yajl_gen                 g;
    ngx_uint_t               i;
    ngx_http_matte_value_t  *v;

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_ERROR;
    }

    yajl_gen_map_open(g);

    if (bg->type) {
        ngx_http_matte_gen_literal(g, "background");
        yajl_gen_map_open(g);
        ngx_http_matte_gen_literal(g, "type");

        if (bg->type == NGX_HTTP_MATTE_BG_TRANSPARENT) {
            ngx_http_matte_gen_literal(g, "transparent");

        } else {
            ngx_http_matte_gen_literal(g, "color");
            ngx_http_matte_gen_literal(g, "color");
            yajl_gen_array_open(g);

            for (i = 0; i < 3; i++) {
                yajl_gen_integer(g, bg->rgb[i]);
            }

            yajl_gen_array_close(g);
        }

        yajl_gen_map_close(g);
    }

    v = &p->values[NGX_HTTP_MATTE_PREVIEW];

    if (v->type) {
        ngx_http_matte_gen_literal(g, "preview_duration");
        yajl_gen_number(g, (char *) v->text.data, v->text.len);
    }

    v = &p->values[NGX_HTTP_MATTE_PROMPT];

    if (v->type) {
        ngx_http_matte_gen_literal(g, "text_prompt");
        ngx_http_matte_gen(g, &v->text);
    }

    yajl_gen_map_close(g);

    return ngx_http_matte_gen_done(g, p->r->pool, options);
}


ngx_int_t
ngx_http_matte_parse_job(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body, ngx_uint_t create)
{
    ngx_int_t                     rc;
    ngx_http_matte_job_t         *job = &ctx->job;
    ngx_http_matte_value_t       *model, *format;
    ngx_http_matte_parser_t       p;
    ngx_http_matte_background_t   bg;

    ngx_memzero(&p, sizeof(ngx_http_matte_parser_t));

    p.r = r;
    p.ctx = ctx;
    p.mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);
    p.on = create ? NGX_HTTP_MATTE_ON_CREATE : NGX_HTTP_MATTE_ON_START;

    /* to start a job as it was made an empty body will do */

    if (create || body->len) {
        rc = ngx_http_matte_parse(&p, body);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    model = &p.values[NGX_HTTP_MATTE_MODEL];
    format = &p.values[NGX_HTTP_MATTE_FORMAT];

    if (create) {

        if (p.values[NGX_HTTP_MATTE_VIDEO_URL].type == 0) {
            return ngx_http_matte_problem(&p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                          NGX_HTTP_MATTE_VIDEO_URL,
                                          "video_url is required.");
        }

        if (model->type == 0) {
            model->type = NGX_HTTP_MATTE_STRING;
            ngx_str_set(&model->text, "original");
        }

        if (format->type == 0) {
            format->type = NGX_HTTP_MATTE_STRING;
            ngx_str_set(&format->text, "webm");
        }
    }

    rc = ngx_http_matte_check(&p);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_matte_background(&p, &bg);

    if (rc != NGX_OK) {
        return rc;
    }

    if (create && bg.type == 0) {
        bg.type = NGX_HTTP_MATTE_BG_TRANSPARENT;
    }

    if (format->choice == NGX_HTTP_MATTE_MP4
        && bg.type == NGX_HTTP_MATTE_BG_TRANSPARENT)
    {
        return ngx_http_matte_problem(&p, NGX_HTTP_MATTE_COMBINATION,
                                      NGX_HTTP_MATTE_FORMAT,
                                      "mp4 has no transparency: choose a "
                                      "background colour or another format.");
    }

    if (p.values[NGX_HTTP_MATTE_PROMPT].type && model->type
        && model->choice != NGX_HTTP_MATTE_PRO)
    {
        return ngx_http_matte_problem(&p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                      NGX_HTTP_MATTE_PROMPT,
                                      "text_prompt needs the model pro.");
    }

    job->video_url = p.values[NGX_HTTP_MATTE_VIDEO_URL].text;
    job->model = model->text;
    job->format = format->text;
    job->webhook_url = p.values[NGX_HTTP_MATTE_WEBHOOK_URL].text;
    job->metadata = p.values[NGX_HTTP_MATTE_METADATA].text;

    job->start = p.values[NGX_HTTP_MATTE_AUTO_START].type == 0
                 || p.values[NGX_HTTP_MATTE_AUTO_START].text.len;

    return ngx_http_matte_options(&p, &bg, &job->options);
}
