
/*
 * Answers and errors.  A header filter puts the headers of every answer in
 * one place, and a body filter replaces nginx's own error pages.
 */


#include "ngx_http_matte.h"


typedef struct {
    ngx_uint_t                   status;
    ngx_str_t                    title;      /* the reason phrase */
    ngx_str_t                    code;
    ngx_str_t                    message;    /* unless the caller knows more */
} ngx_http_matte_error_t;


typedef struct {
    ngx_str_t                    name;
    ngx_int_t                  (*value)(ngx_http_request_t *r,
                                        ngx_http_matte_ctx_t *ctx,
                                        ngx_str_t *value);
} ngx_http_matte_header_t;


static ngx_int_t ngx_http_matte_request_id(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_policy(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_limit(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_retry_after(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_allowed(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_cache_control(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_nosniff(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_disposition(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_replayed(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_matte_location(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *value);


/*
 * First the rows of ngx_http_matte_error_e in its order, then outcomes of
 * SQL functions and nginx's own.  The first row of a status is nginx's.
 */

static ngx_http_matte_error_t  ngx_http_matte_errors[] = {

    { 400, ngx_string("Bad Request"),
      ngx_string("invalid_request"),
      ngx_string("The request is not valid HTTP.") },

    { 400, ngx_string("Bad Request"),
      ngx_string("invalid_json"),
      ngx_string("The body is not valid JSON.") },

    { 401, ngx_string("Unauthorized"),
      ngx_string("missing_api_key"),
      ngx_string("The header X-Api-Key is required.") },

    { 401, ngx_string("Unauthorized"),
      ngx_string("invalid_api_key"),
      ngx_string("The API key is not valid.") },

    { 403, ngx_string("Forbidden"),
      ngx_string("forbidden"),
      ngx_string("Neither the server nor the key's scope allows this.") },

    { 404, ngx_string("Not Found"),
      ngx_string("not_found"),
      ngx_string("There is no such thing here.") },

    { 405, ngx_string("Method Not Allowed"),
      ngx_string("method_not_allowed"),
      ngx_string("This path has no such method.") },

    { 408, ngx_string("Request Timeout"),
      ngx_string("timeout"),
      ngx_string("The body did not arrive in time.") },

    { 413, ngx_string("Content Too Large"),
      ngx_string("too_large"),
      ngx_string("The body is too large.") },

    { 415, ngx_string("Unsupported Media Type"),
      ngx_string("unsupported_media_type"),
      ngx_string("The body must be application/json.") },

    { 422, ngx_string("Unprocessable Content"),
      ngx_string("unsupported_combination"),
      ngx_string("These settings do not go together.") },

    { 429, ngx_string("Too Many Requests"),
      ngx_string("rate_limited"),
      ngx_string("Too many requests: try again later.") },

    { 500, ngx_string("Internal Server Error"),
      ngx_string("internal_error"),
      ngx_string("The server failed: the log has this request_id.") },

    { 503, ngx_string("Service Unavailable"),
      ngx_string("unavailable"),
      ngx_string("The service is not available now: try again later.") },

    { 400, ngx_string("Bad Request"),
      ngx_string("file_type"),
      ngx_string("The file is not a video of a known kind.") },

    { 400, ngx_string("Bad Request"),
      ngx_string("job_not_completed"),
      ngx_string("The job has no output yet.") },

    { 402, ngx_string("Payment Required"),
      ngx_string("insufficient_credits"),
      ngx_string("The account has no credits left.") },

    { 409, ngx_string("Conflict"),
      ngx_string("job_already_started"),
      ngx_string("The job was started with other settings.") },

    { 409, ngx_string("Conflict"),
      ngx_string("idempotency_in_progress"),
      ngx_string("The first request with this Idempotency-Key still runs.") },

    { 412, ngx_string("Precondition Failed"),
      ngx_string("invalid_request"),
      ngx_string("The file is another one than the condition names.") },

    { 414, ngx_string("URI Too Long"),
      ngx_string("too_large"),
      ngx_string("The request line is too long.") },

    { 416, ngx_string("Range Not Satisfiable"),
      ngx_string("invalid_request"),
      ngx_string("The file has no such range.") },

    { 422, ngx_string("Unprocessable Content"),
      ngx_string("idempotency_mismatch"),
      ngx_string("This Idempotency-Key was used with another request.") },

    { 502, ngx_string("Bad Gateway"),
      ngx_string("unavailable"),
      ngx_string("The service is not available now: try again later.") },

    { 504, ngx_string("Gateway Timeout"),
      ngx_string("timeout"),
      ngx_string("The service did not answer in time.") },

    { 0, ngx_null_string, ngx_null_string, ngx_null_string }
};


/* in the order of NGX_HTTP_MATTE_H_* */

static ngx_http_matte_header_t  ngx_http_matte_headers[] = {
    { ngx_string("X-Request-Id"), ngx_http_matte_request_id },
    { ngx_string("RateLimit-Policy"), ngx_http_matte_policy },
    { ngx_string("RateLimit"), ngx_http_matte_limit },
    { ngx_string("Retry-After"), ngx_http_matte_retry_after },
    { ngx_string("Allow"), ngx_http_matte_allowed },
    { ngx_string("Cache-Control"), ngx_http_matte_cache_control },
    { ngx_string("X-Content-Type-Options"), ngx_http_matte_nosniff },
    { ngx_string("Content-Disposition"), ngx_http_matte_disposition },
    { ngx_string("Idempotency-Replayed"), ngx_http_matte_replayed },
    { ngx_string("Location"), ngx_http_matte_location }
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_matte_gen_done(yajl_gen g, ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_int_t             rc;
    const unsigned char  *data;

    rc = NGX_ERROR;

    if (yajl_gen_get_buf(g, &data, &text->len) == yajl_gen_status_ok) {
        text->data = ngx_pnalloc(pool, text->len);

        if (text->data) {
            ngx_memcpy(text->data, data, text->len);
            rc = NGX_OK;
        }
    }

    yajl_gen_free(g);

    return rc;
}


/* {"success":false,"error":{...}}, with the members of RFC 9457 if asked */

static ngx_int_t
ngx_http_matte_render_error(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_error_t *e, ngx_str_t *message, ngx_str_t *field,
    ngx_str_t *body)
{
    yajl_gen    g;
    ngx_str_t  *accept, name = ngx_string("accept");

    ctx->error = e->code;

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_ERROR;
    }

    if (message->len == 0) {
        message = &e->message;
    }

    ngx_str_set(&r->headers_out.content_type, "application/json");

    yajl_gen_map_open(g);

    accept = ngx_http_matte_header(r, &name);

    if (accept
        && ngx_strlcasestrn(accept->data, accept->data + accept->len,
                            (u_char *) "application/problem+json",
                            sizeof("application/problem+json") - 2))
    {
        ngx_str_set(&r->headers_out.content_type, "application/problem+json");

        ngx_http_matte_gen_literal(g, "type");
        ngx_http_matte_gen_literal(g, "about:blank");
        ngx_http_matte_gen_literal(g, "title");
        ngx_http_matte_gen(g, &e->title);
        ngx_http_matte_gen_literal(g, "status");
        yajl_gen_integer(g, e->status);
        ngx_http_matte_gen_literal(g, "detail");
        ngx_http_matte_gen(g, message);
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_matte_gen_literal(g, "success");
    yajl_gen_bool(g, 0);
    ngx_http_matte_gen_literal(g, "error");
    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "code");
    ngx_http_matte_gen(g, &e->code);
    ngx_http_matte_gen_literal(g, "message");
    ngx_http_matte_gen(g, message);
    ngx_http_matte_gen_literal(g, "request_id");
    ngx_http_matte_gen(g, &ctx->request_id);

    if (field->len) {
        ngx_http_matte_gen_literal(g, "field");
        ngx_http_matte_gen(g, field);
    }

    yajl_gen_map_close(g);
    yajl_gen_map_close(g);

    return ngx_http_matte_gen_done(g, r->pool, body);
}


static ngx_int_t
ngx_http_matte_send_body(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    ctx->answered = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_matte_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *body)
{
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    return ngx_http_matte_send_body(r, ctx, status, body);
}


static ngx_int_t
ngx_http_matte_send_error(ngx_http_request_t *r, ngx_http_matte_error_t *e,
    ngx_str_t *message, ngx_str_t *field)
{
    u_char                *p;
    ngx_int_t              rc;
    ngx_str_t              body;
    ngx_http_matte_ctx_t  *ctx;

    /* a body that was not read yet is not asked for */

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_matte_render_error(r, ctx, e, message, field, &body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx has no reason phrase for 422 */

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN + 1 + e->title.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.status_line.data = p;
    r->headers_out.status_line.len = ngx_sprintf(p, "%ui %V", e->status,
                                                 &e->title) - p;

    return ngx_http_matte_send_body(r, ctx, e->status, &body);
}


ngx_int_t
ngx_http_matte_error(ngx_http_request_t *r, ngx_uint_t error)
{
    ngx_str_t  none = ngx_null_string;

    return ngx_http_matte_send_error(r, &ngx_http_matte_errors[error], &none,
                                     &none);
}


ngx_int_t
ngx_http_matte_answer_problem(ngx_http_request_t *r,
    ngx_http_matte_problem_t *problem)
{
    return ngx_http_matte_send_error(r, &ngx_http_matte_errors[problem->code],
                                     &problem->message, &problem->field);
}


/* what a SQL function refused */

ngx_int_t
ngx_http_matte_answer_outcome(ngx_http_request_t *r, ngx_str_t *outcome)
{
    ngx_str_t                none = ngx_null_string;
    ngx_http_matte_error_t  *e;

    for (e = ngx_http_matte_errors; e->status; e++) {

        if (e->code.len == outcome->len
            && ngx_memcmp(e->code.data, outcome->data, outcome->len) == 0)
        {
            return ngx_http_matte_send_error(r, e, &none, &none);
        }
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "unexpected outcome \"%V\"", outcome);

    return ngx_http_matte_error(r, NGX_HTTP_MATTE_INTERNAL);
}


void
ngx_http_matte_row(PGresult *res, int i, ngx_http_matte_row_t *row)
{
    int         n;
    ngx_str_t  *s;

    s = (ngx_str_t *) row;

    for (n = 0; n < (int) (sizeof(*row) / sizeof(ngx_str_t)); n++, s++) {
        s->len = PQgetlength(res, i, n);
        s->data = PQgetisnull(res, i, n) ? NULL
                                         : (u_char *) PQgetvalue(res, i, n);
    }
}


ngx_int_t
ngx_http_matte_answer_body(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_int_t             code;
    ngx_str_t             body;
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    code = row.code.data ? ngx_atoi(row.code.data, row.code.len)
                         : NGX_HTTP_OK;

    body.len = row.body.len;
    body.data = ngx_pstrdup(r->pool, &row.body);

    if (code == NGX_ERROR || body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, code, &body);
}


/* asks nobody: what this worker knows of its connections is at most 2 s old */

ngx_int_t
ngx_http_matte_answer_health(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    yajl_gen                     g;
    ngx_str_t                    body;
    ngx_uint_t                   i, healthy;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    struct {
        ngx_str_t   name;
        ngx_uint_t  ok;
    } checks[] = {
        { ngx_string("api"), 1 },
        { ngx_string("database"), ngx_http_matte_pg_alive(mcf->pg) },
        { ngx_string("engine"), mcf->engine
                      && ngx_http_matte_engine_connected(mcf->engine) },
        { ngx_string("storage"),
          access((char *) mcf->state_path.data, R_OK|X_OK) == 0 }
    };

    healthy = 1;

    for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        healthy &= checks[i].ok;
    }

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "status");

    if (healthy) {
        ngx_http_matte_gen_literal(g, "healthy");

    } else {
        ngx_http_matte_gen_literal(g, "degraded");
    }

    ngx_http_matte_gen_literal(g, "checks");
    yajl_gen_map_open(g);

    for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        ngx_http_matte_gen(g, &checks[i].name);

        if (checks[i].ok) {
            ngx_http_matte_gen_literal(g, "ok");

        } else {
            ngx_http_matte_gen_literal(g, "down");
        }
    }

    yajl_gen_map_close(g);
    yajl_gen_map_close(g);

    if (ngx_http_matte_gen_done(g, r->pool, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, NGX_HTTP_OK, &body);
}


static ngx_int_t
ngx_http_matte_request_id(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    *value = ctx->request_id;
    return NGX_OK;
}


/* a full bucket is a quota, the time to fill it again is the window */

static ngx_int_t
ngx_http_matte_policy(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    u_char  *p;

    if (!ctx->charged) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("\"key\";q=;w=, \"starts\";q=;w=")
                             + 4 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;
    p = ngx_sprintf(p, "\"key\";q=%ui;w=%ui", ctx->bucket.size,
                    ctx->bucket.window);

    if (ctx->started) {
        p = ngx_sprintf(p, ", \"starts\";q=%ui;w=%ui", ctx->starts.size,
                        ctx->starts.window);
    }

    value->len = p - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_limit(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    u_char  *p;

    if (!ctx->charged) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("\"key\";r=;t=, \"starts\";r=;t=")
                             + 4 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;
    p = ngx_sprintf(p, "\"key\";r=%ui;t=%M", ctx->bucket.remaining,
                    (ctx->bucket.reset + 999) / 1000);

    if (ctx->started) {
        p = ngx_sprintf(p, ", \"starts\";r=%ui;t=%M", ctx->starts.remaining,
                        (ctx->starts.reset + 999) / 1000);
    }

    value->len = p - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_retry_after(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    if (r->headers_out.status != NGX_HTTP_TOO_MANY_REQUESTS
        && r->headers_out.status != NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "%T", ngx_max(ctx->retry_after, 1))
                 - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_allowed(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    if (r->headers_out.status != NGX_HTTP_NOT_ALLOWED) {
        return NGX_OK;
    }

    return ngx_http_matte_allow(r, value);
}


static ngx_int_t
ngx_http_matte_cache_control(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    if (ctx->answered || r->headers_out.status >= NGX_HTTP_BAD_REQUEST) {
        ngx_str_set(value, "no-store");

    } else if (ctx->file.len) {
        ngx_str_set(value, "private");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_nosniff(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    ngx_str_set(value, "nosniff");
    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_disposition(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    if (ctx->file.len == 0 || r->headers_out.status >= NGX_HTTP_BAD_REQUEST) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, sizeof("attachment; filename=\"\"")
                                       + ctx->file.len);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "attachment; filename=\"%V\"",
                             &ctx->file)
                 - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_replayed(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    if (ctx->replayed) {
        ngx_str_set(value, "true");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_location(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *value)
{
    if (r->headers_out.status != NGX_HTTP_CREATED || ctx->job_id.len == 0) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, sizeof("/v1/jobs/") + ctx->job_id.len);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "/v1/jobs/%V", &ctx->job_id)
                 - value->data;

    return NGX_OK;
}


/* of one request this can run twice: a range that cannot be is known late */

static ngx_int_t
ngx_http_matte_set_headers(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    ngx_str_t         value;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    if (r->filter_finalize) {           /* nginx has dropped all headers */
        ngx_memzero(ctx->headers, sizeof(ctx->headers));
    }

    for (i = 0; i < NGX_HTTP_MATTE_HEADERS; i++) {

        ngx_str_null(&value);

        if (ngx_http_matte_headers[i].value(r, ctx, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        h = ctx->headers[i];

        if (h == NULL) {

            if (value.len == 0) {
                continue;
            }

            h = ngx_list_push(&r->headers_out.headers);
            if (h == NULL) {
                return NGX_ERROR;
            }

            h->key = ngx_http_matte_headers[i].name;
            ctx->headers[i] = h;
        }

        h->hash = value.len ? 1 : 0;
        h->value = value;
    }

    return NGX_OK;
}


static ngx_http_matte_error_t *
ngx_http_matte_error_of_status(ngx_uint_t status)
{
    ngx_http_matte_error_t  *e;

    for (e = ngx_http_matte_errors; e->status; e++) {
        if (e->status == status) {
            return e;
        }
    }

    return &ngx_http_matte_errors[status < 500 ? NGX_HTTP_MATTE_INVALID_REQUEST
                                               : NGX_HTTP_MATTE_INTERNAL];
}


static ngx_int_t
ngx_http_matte_header_filter(ngx_http_request_t *r)
{
    ngx_str_t                   none = ngx_null_string;
    ngx_http_matte_ctx_t       *ctx;
    ngx_http_matte_error_t     *e;
    ngx_http_matte_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_matte_module);

    if (!lcf->errors || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (r->headers_out.status >= NGX_HTTP_BAD_REQUEST && !ctx->answered) {

        e = ngx_http_matte_error_of_status(r->headers_out.status);

        if (ngx_http_matte_render_error(r, ctx, e, &none, &none, &ctx->body)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_http_clear_content_length(r);
        ngx_http_clear_accept_ranges(r);
        ngx_http_clear_last_modified(r);
        ngx_http_clear_etag(r);

        r->headers_out.content_length_n = ctx->body.len;
    }

    if (ngx_http_matte_set_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_matte_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t             *b;
    ngx_uint_t             last;
    ngx_chain_t           *cl, out;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);

    if (in == NULL || ctx == NULL || ctx->body.len == 0) {
        return ngx_http_next_body_filter(r, in);
    }

    last = 0;

    for (cl = in; cl; cl = cl->next) {
        last |= cl->buf->last_buf;
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (!last) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->body.data;
    b->last = ctx->body.data + ctx->body.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    ngx_str_null(&ctx->body);

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


ngx_int_t
ngx_http_matte_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_matte_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_matte_body_filter;

    return NGX_OK;
}
