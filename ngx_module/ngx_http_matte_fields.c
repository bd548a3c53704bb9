
/*
 * Bodies: the table says which fields there are, a streaming yajl parse
 * collects their values.  Unknown fields are ignored, a known one given twice
 * is refused.
 */


#include "ngx_http_matte_request.h"


#define NGX_HTTP_MATTE_DEPTH           32


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


static ngx_conf_bitmask_t  ngx_http_matte_anchors[] = {
    { ngx_string("top-left"), 0x001 },
    { ngx_string("top-center"), 0x002 },
    { ngx_string("top-right"), 0x004 },
    { ngx_string("center-left"), 0x008 },
    { ngx_string("center"), 0x010 },
    { ngx_string("center-right"), 0x020 },
    { ngx_string("bottom-left"), 0x040 },
    { ngx_string("bottom-center"), 0x080 },
    { ngx_string("bottom-right"), 0x100 },
    { ngx_null_string, 0 }
};


static ngx_conf_bitmask_t  ngx_http_matte_scopes[] = {
    { ngx_string("read"), 0x01 },
    { ngx_string("write"), 0x02 },
    { ngx_string("read write"), 0x04 },
    { ngx_null_string, 0 }
};


/*
 * Also the source of the schemas in conf/openapi.json: the script openapi
 * reads it, one field after the other, as it stands.
 */

ngx_http_matte_field_t  ngx_http_matte_fields[] = {

    { ngx_null_string, 0, NGX_HTTP_MATTE_OBJECT, 0, 0, 0, 0, NULL, NULL, 0 },

    { ngx_string("video_url"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_CREATE,
      NGX_HTTP_MATTE_ON_CREATE,
      1, 2048, ngx_http_matte_check_video_url, NULL, 0 },

    { ngx_string("model"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_choice, ngx_http_matte_models,
      offsetof(ngx_http_matte_main_conf_t, models) },

    { ngx_string("output_format"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_choice, ngx_http_matte_formats,
      offsetof(ngx_http_matte_main_conf_t, formats) },

    { ngx_string("bg_type"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_choice, ngx_http_matte_bg_types, 0 },

    { ngx_string("bg_color"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_COLOR, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_color, NULL, 0 },

    { ngx_string("bg_image_url"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      1, 2048, ngx_http_matte_check_url, NULL, 0 },

    { ngx_string("background"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("background.type"), NGX_HTTP_MATTE_BACKGROUND,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_choice, ngx_http_matte_background_types, 0 },

    { ngx_string("background.color"), NGX_HTTP_MATTE_BACKGROUND,
      NGX_HTTP_MATTE_STRING|NGX_HTTP_MATTE_COLOR, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_color, NULL, 0 },

    { ngx_string("background.image_url"), NGX_HTTP_MATTE_BACKGROUND,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      1, 2048, ngx_http_matte_check_url, NULL, 0 },

    { ngx_string("composition"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("composition.canvas"), NGX_HTTP_MATTE_COMPOSITION,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("composition.canvas.width"), NGX_HTTP_MATTE_CANVAS,
      NGX_HTTP_MATTE_NUMBER|NGX_HTTP_MATTE_WHOLE, NGX_HTTP_MATTE_ON_BOTH,
      NGX_HTTP_MATTE_ON_BOTH,
      16, 7680, NULL, NULL, 0 },

    { ngx_string("composition.canvas.height"), NGX_HTTP_MATTE_CANVAS,
      NGX_HTTP_MATTE_NUMBER|NGX_HTTP_MATTE_WHOLE, NGX_HTTP_MATTE_ON_BOTH,
      NGX_HTTP_MATTE_ON_BOTH,
      16, 7680, NULL, NULL, 0 },

    { ngx_string("composition.foreground"), NGX_HTTP_MATTE_COMPOSITION,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("composition.foreground.anchor"), NGX_HTTP_MATTE_FOREGROUND,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, ngx_http_matte_check_choice, ngx_http_matte_anchors, 0 },

    { ngx_string("composition.foreground.scale"), NGX_HTTP_MATTE_FOREGROUND,
      NGX_HTTP_MATTE_NUMBER, NGX_HTTP_MATTE_ON_BOTH, 0,
      0.001, 100, NULL, NULL, 0 },

    { ngx_string("composition.foreground.offset"), NGX_HTTP_MATTE_FOREGROUND,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("composition.foreground.offset.x"), NGX_HTTP_MATTE_SHIFT,
      NGX_HTTP_MATTE_NUMBER|NGX_HTTP_MATTE_WHOLE, NGX_HTTP_MATTE_ON_BOTH, 0,
      -15360, 15360, NULL, NULL, 0 },

    { ngx_string("composition.foreground.offset.y"), NGX_HTTP_MATTE_SHIFT,
      NGX_HTTP_MATTE_NUMBER|NGX_HTTP_MATTE_WHOLE, NGX_HTTP_MATTE_ON_BOTH, 0,
      -15360, 15360, NULL, NULL, 0 },

    { ngx_string("text_prompt"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 1000, ngx_http_matte_check_prompt, NULL, 0 },

    { ngx_string("webhook_url"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_BOTH, 0,
      1, 2048, ngx_http_matte_check_url, NULL, 0 },

    { ngx_string("auto_start"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_BOOL, NGX_HTTP_MATTE_ON_CREATE, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("preview_duration"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_NUMBER, NGX_HTTP_MATTE_ON_BOTH, 0,
      0.001, 86400, NULL, NULL, 0 },

    { ngx_string("alpha"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_BOOL, NGX_HTTP_MATTE_ON_BOTH, 0,
      0, 0, NULL, NULL, 0 },

    { ngx_string("metadata"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_OBJECT, NGX_HTTP_MATTE_ON_CREATE, 0,
      0, 4096, NULL, NULL, 0 },

    { ngx_string("client_id"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_KEY, NGX_HTTP_MATTE_ON_KEY,
      1, 200, NULL, NULL, 0 },

    { ngx_string("note"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_KEY, 0,
      0, 500, NULL, NULL, 0 },

    { ngx_string("scope"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_KEY, 0,
      0, 0, ngx_http_matte_check_choice, ngx_http_matte_scopes, 0 },

    { ngx_string("expires_at"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_KEY, 0,
      0, 40, ngx_http_matte_check_time, NULL, 0 },

    { ngx_string("key_fingerprint"), NGX_HTTP_MATTE_TOP,
      NGX_HTTP_MATTE_STRING, NGX_HTTP_MATTE_ON_ENABLE,
      NGX_HTTP_MATTE_ON_ENABLE,
      1, 100, NULL, NULL, 0 }
};


static ngx_conf_bitmask_t  ngx_http_matte_type_names[] = {
    { ngx_string("a string"), NGX_HTTP_MATTE_STRING },
    { ngx_string("a number"), NGX_HTTP_MATTE_NUMBER },
    { ngx_string("true or false"), NGX_HTTP_MATTE_BOOL },
    { ngx_string("an object"), NGX_HTTP_MATTE_OBJECT },
    { ngx_string("an array of three numbers"), NGX_HTTP_MATTE_COLOR },
    { ngx_null_string, 0 }
};


ngx_int_t
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


ngx_str_t *
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

    if (type == NGX_HTTP_MATTE_NUMBER) {
        v->list[0] = strtod((char *) v->text.data, NULL);
    }

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
        if (type != NGX_HTTP_MATTE_OBJECT) {
            return ngx_http_matte_bad_json(p,
                                           "The body must be a JSON object.");
        }

        return 1;
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

        if (p->seen & ((uint64_t) 1 << i)) {
            return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, i,
                                          "%V is given twice.", &f->name)
                   != NGX_ERROR;
        }

        p->seen |= (uint64_t) 1 << i;
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

        return p->values[list].nlist == 3
               || ngx_http_matte_wrong_type(p, list);
    }

    if (p->object) {
        v = &p->values[p->object];
        v->text.len = p->body + yajl_get_bytes_consumed(p->yajl)
                      - v->text.data;
        p->object = ngx_http_matte_fields[p->object].parent;
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


ngx_int_t
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
