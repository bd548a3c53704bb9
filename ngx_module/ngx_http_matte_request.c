
/*
 * What bodies say: each value is checked by itself, then against the others;
 * what is left is what the database stores.
 */


#include "ngx_http_matte_request.h"


typedef struct {
    ngx_uint_t                  type;        /* 0: nothing said */
    u_char                      rgb[3];
    ngx_str_t                   url;
} ngx_http_matte_background_t;


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


ngx_int_t
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


ngx_int_t
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


ngx_int_t
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

ngx_int_t
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


/* as far as it can be seen here: 2026-01-31T12:00:00Z, or with an offset */

ngx_int_t
ngx_http_matte_check_time(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    size_t      i;
    ngx_str_t  *time = &p->values[field].text;

    static u_char  form[] = "0000-00-00T00:00:00";

    if (time->len < sizeof(form)) {
        goto bad;
    }

    for (i = 0; i < sizeof(form) - 1; i++) {
        if (form[i] == '0' ? time->data[i] < '0' || time->data[i] > '9'
                           : time->data[i] != form[i])
        {
            goto bad;
        }
    }

    if (time->data[time->len - 1] == 'Z'
        || time->data[time->len - 6] == '+'
        || time->data[time->len - 6] == '-')
    {
        return NGX_OK;
    }

bad:

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must be a time as "
                                  "2026-01-31T12:00:00Z.",
                                  &ngx_http_matte_fields[field].name);
}


/*
 * That it is text; yajl has seen that it is UTF-8.  What its words mean only
 * the engine knows, which has the network.
 */

ngx_int_t
ngx_http_matte_check_prompt(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    u_char      ch, *s, *last;
    ngx_str_t  *text = &p->values[field].text;
    ngx_uint_t  words;

    words = 0;
    last = text->data + text->len;

    for (s = text->data; s < last; s++) {
        ch = *s;

        if ((ch < 0x20 && ch != '\t' && ch != '\n' && ch != '\r')
            || ch == 0x7f
            || (ch == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0))
        {
            return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                          field,
                                          "%V must have no control "
                                          "characters.",
                                          &ngx_http_matte_fields[field].name);
        }

        words |= ch >= 0x80 || (ch >= '0' && ch <= '9')
                 || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z');
    }

    if (text->len == 0 || words) {
        return NGX_OK;
    }

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must have words.",
                                  &ngx_http_matte_fields[field].name);
}


static ngx_int_t
ngx_http_matte_check_range(ngx_http_matte_parser_t *p, ngx_uint_t field)
{
    char                     range[64];
    ngx_http_matte_field_t  *f = &ngx_http_matte_fields[field];
    ngx_http_matte_value_t  *v = &p->values[field];

    if (v->type != NGX_HTTP_MATTE_NUMBER) {

        if (v->text.len >= f->min && (f->max == 0 || v->text.len <= f->max)) {
            return NGX_OK;
        }

        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                      "%V must be of %uz to %uz bytes.",
                                      &f->name, (size_t) f->min,
                                      (size_t) f->max);
    }

    if (v->list[0] >= f->min && v->list[0] <= f->max
        && (!(f->types & NGX_HTTP_MATTE_WHOLE)
            || v->list[0] == (double) (int64_t) v->list[0]))
    {
        return NGX_OK;
    }

    (void) snprintf(range, sizeof(range), "from %g to %g", f->min, f->max);

    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V must be a%s number %s.", &f->name,
                                  f->types & NGX_HTTP_MATTE_WHOLE ? " whole"
                                                                  : "",
                                  range);
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

            if ((f->required & p->on)
                && (f->parent == NGX_HTTP_MATTE_TOP
                    || p->values[f->parent].type))
            {
                return ngx_http_matte_problem(p,
                                              NGX_HTTP_MATTE_INVALID_REQUEST,
                                              i, "%V is required.", &f->name);
            }

            continue;
        }

        rc = ngx_http_matte_check_range(p, i);

        if (rc == NGX_OK && f->check) {
            rc = f->check(p, i);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_needs(ngx_http_matte_parser_t *p, ngx_uint_t field,
    ngx_uint_t with)
{
    return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST, field,
                                  "%V is required with %V %V.",
                                  &ngx_http_matte_fields[field].name,
                                  &ngx_http_matte_fields[with].name,
                                  &p->values[with].text);
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

        if (p->values[url].type == 0) {
            return ngx_http_matte_needs(p, url, type);
        }

        bg->url = p->values[url].text;
        return NGX_OK;

    case NGX_HTTP_MATTE_BG_COLOR:

        if (p->values[rgb].type == 0) {
            return ngx_http_matte_needs(p, rgb, type);
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

    if (flat.type
        && (flat.type != bg->type || ngx_memcmp(flat.rgb, bg->rgb, 3) != 0
            || ngx_memn2cmp(flat.url.data, bg->url.data, flat.url.len,
                            bg->url.len)
               != 0))
    {
        return ngx_http_matte_problem(p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                      NGX_HTTP_MATTE_BACKGROUND,
                                      "background and the bg_ fields "
                                      "contradict each other.");
    }

    return NGX_OK;
}


/* in as many digits as matter, however many were sent */

static void
ngx_http_matte_gen_double(yajl_gen g, double value)
{
    int   len;
    char  buf[32];

    len = snprintf(buf, sizeof(buf), "%.10g", value);

    yajl_gen_number(g, buf, len);
}


/* with its defaults: what they are later does not change this job */

static void
ngx_http_matte_gen_composition(ngx_http_matte_parser_t *p, yajl_gen g)
{
    ngx_http_matte_value_t  *v = p->values;

    yajl_gen_map_open(g);

    if (v[NGX_HTTP_MATTE_CANVAS].type) {
        ngx_http_matte_gen_literal(g, "canvas");
        yajl_gen_map_open(g);
        ngx_http_matte_gen_literal(g, "width");
        ngx_http_matte_gen_double(g, v[NGX_HTTP_MATTE_CANVAS_WIDTH].list[0]);
        ngx_http_matte_gen_literal(g, "height");
        ngx_http_matte_gen_double(g, v[NGX_HTTP_MATTE_CANVAS_HEIGHT].list[0]);
        yajl_gen_map_close(g);
    }

    ngx_http_matte_gen_literal(g, "foreground");
    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "anchor");

    if (v[NGX_HTTP_MATTE_ANCHOR].type) {
        ngx_http_matte_gen(g, &v[NGX_HTTP_MATTE_ANCHOR].text);

    } else {
        ngx_http_matte_gen_literal(g, "center");
    }

    ngx_http_matte_gen_literal(g, "scale");
    ngx_http_matte_gen_double(g, v[NGX_HTTP_MATTE_SCALE].type
                                 ? v[NGX_HTTP_MATTE_SCALE].list[0] : 1);
    ngx_http_matte_gen_literal(g, "offset");
    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "x");
    ngx_http_matte_gen_double(g, v[NGX_HTTP_MATTE_SHIFT_X].list[0]);
    ngx_http_matte_gen_literal(g, "y");
    ngx_http_matte_gen_double(g, v[NGX_HTTP_MATTE_SHIFT_Y].list[0]);
    yajl_gen_map_close(g);

    yajl_gen_map_close(g);
    yajl_gen_map_close(g);
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

        } else if (bg->type == NGX_HTTP_MATTE_BG_IMAGE) {
            ngx_http_matte_gen_literal(g, "image");
            ngx_http_matte_gen_literal(g, "image_url");
            ngx_http_matte_gen(g, &bg->url);

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

    if (p->values[NGX_HTTP_MATTE_COMPOSITION].type) {
        ngx_http_matte_gen_literal(g, "composition");
        ngx_http_matte_gen_composition(p, g);
    }

    v = &p->values[NGX_HTTP_MATTE_PREVIEW];

    if (v->type) {
        ngx_http_matte_gen_literal(g, "preview_duration");
        ngx_http_matte_gen_double(g, v->list[0]);
    }

    v = &p->values[NGX_HTTP_MATTE_ALPHA];

    if (v->type) {
        ngx_http_matte_gen_literal(g, "alpha");
        yajl_gen_bool(g, v->text.len != 0);
    }

    v = &p->values[NGX_HTTP_MATTE_PROMPT];

    if (v->text.len) {
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

    if (p.values[NGX_HTTP_MATTE_PROMPT].text.len && model->type
        && model->choice != NGX_HTTP_MATTE_PRO)
    {
        return ngx_http_matte_problem(&p, NGX_HTTP_MATTE_INVALID_REQUEST,
                                      NGX_HTTP_MATTE_PROMPT,
                                      "text_prompt needs the model pro.");
    }

    job->start = p.values[NGX_HTTP_MATTE_AUTO_START].type == 0
                 || p.values[NGX_HTTP_MATTE_AUTO_START].text.len;

    /* of a start only the database knows the whole */

    if (create && job->start && p.mcf->prompt
        && model->choice == NGX_HTTP_MATTE_PRO
        && p.values[NGX_HTTP_MATTE_PROMPT].text.len == 0)
    {
        return ngx_http_matte_problem(&p, NGX_HTTP_MATTE_COMBINATION,
                                      NGX_HTTP_MATTE_PROMPT,
                                      "The model pro needs a text_prompt "
                                      "here.");
    }

    job->video_url = p.values[NGX_HTTP_MATTE_VIDEO_URL].text;
    job->model = model->text;
    job->format = format->text;
    job->webhook_url = p.values[NGX_HTTP_MATTE_WEBHOOK_URL].text;
    job->metadata = p.values[NGX_HTTP_MATTE_METADATA].text;

    return ngx_http_matte_options(&p, &bg, &job->options);
}


ngx_int_t
ngx_http_matte_parse_access(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body, ngx_uint_t create)
{
    ngx_int_t                rc;
    ngx_http_matte_parser_t  p;

    ngx_memzero(&p, sizeof(ngx_http_matte_parser_t));

    p.r = r;
    p.ctx = ctx;
    p.mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);
    p.on = create ? NGX_HTTP_MATTE_ON_KEY : NGX_HTTP_MATTE_ON_ENABLE;

    rc = ngx_http_matte_parse(&p, body);

    if (rc == NGX_OK) {
        rc = ngx_http_matte_check(&p);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->access.client = p.values[NGX_HTTP_MATTE_CLIENT_ID].text;
    ctx->access.note = p.values[NGX_HTTP_MATTE_NOTE].text;
    ctx->access.scope = p.values[NGX_HTTP_MATTE_SCOPE].text;
    ctx->access.expires = p.values[NGX_HTTP_MATTE_EXPIRES].text;
    ctx->access.fingerprint = p.values[NGX_HTTP_MATTE_FINGERPRINT].text;

    return NGX_OK;
}
