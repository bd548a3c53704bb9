
/*
 * The table of routes and the life of a request: it finds its route, its key
 * and the key's limits; its statement goes to the pool; the row that comes
 * back is answered.
 */


#include "ngx_http_matte.h"
#include <openssl/rand.h>
#include <openssl/sha.h>


#define NGX_HTTP_MATTE_KEY_MAX      128
#define NGX_HTTP_MATTE_ID_MAX       128

#define NGX_HTTP_MATTE_AUTH_NONE    0
#define NGX_HTTP_MATTE_AUTH_SENT    1       /* a key, if there is one */
#define NGX_HTTP_MATTE_AUTH_KEY     2
#define NGX_HTTP_MATTE_AUTH_LEGACY  3       /* the one of the directive */
#define NGX_HTTP_MATTE_AUTH_ADMIN   4


static ngx_int_t ngx_http_matte_authenticate(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx);
static void ngx_http_matte_read_body(ngx_http_request_t *r);
static void ngx_http_matte_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_matte_run(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
static void ngx_http_matte_done(void *data, PGresult *res);
static void ngx_http_matte_cleanup(void *data);


static ngx_http_matte_route_t  ngx_http_matte_routes[] = {

    { ngx_string("create_job"),
      ngx_string("/v1/jobs"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_CREATE,
      ngx_http_matte_check_create, ngx_http_matte_args_create,
      ngx_http_matte_answer_create },

    { ngx_string("list_jobs"),
      ngx_string("/v1/jobs"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY,
      NGX_HTTP_MATTE_LIMIT|NGX_HTTP_MATTE_OFFSET
      |NGX_HTTP_MATTE_STATUS,
      NGX_HTTP_MATTE_LIST,
      ngx_http_matte_check_list, ngx_http_matte_args_list,
      ngx_http_matte_answer_list },

    { ngx_string("get_job"),
      ngx_string("/v1/jobs/{id}"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_GET,
      NULL, ngx_http_matte_args_get,
      ngx_http_matte_answer_get },

    { ngx_string("delete_job"),
      ngx_string("/v1/jobs/{id}"),
      NGX_HTTP_DELETE, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_DELETE,
      NULL, ngx_http_matte_args_job,
      ngx_http_matte_answer_delete },

    { ngx_string("start_job"),
      ngx_string("/v1/jobs/{id}/start"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_START,
      ngx_http_matte_check_start, ngx_http_matte_args_start,
      ngx_http_matte_answer_start },

    { ngx_string("cancel_job"),
      ngx_string("/v1/jobs/{id}/cancel"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_CANCEL,
      NULL, ngx_http_matte_args_job,
      ngx_http_matte_answer_cancel },

    { ngx_string("list_webhooks"),
      ngx_string("/v1/jobs/{id}/webhooks"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_WEBHOOKS,
      NULL, ngx_http_matte_args_get,
      ngx_http_matte_answer_body },

    { ngx_string("redeliver"),
      ngx_string("/v1/jobs/{id}/webhooks/{delivery_id}/redeliver"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_REDELIVER,
      NULL, ngx_http_matte_args_delivery,
      ngx_http_matte_answer_body },

    { ngx_string("usage_summary"),
      ngx_string("/v1/usage/summary"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY,
      NGX_HTTP_MATTE_DAYS,
      NGX_HTTP_MATTE_USAGE,
      NULL, ngx_http_matte_args_number,
      ngx_http_matte_answer_body },

    { ngx_string("usage_events"),
      ngx_string("/v1/usage/events"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY,
      NGX_HTTP_MATTE_LIMIT,
      NGX_HTTP_MATTE_EVENTS,
      NULL, ngx_http_matte_args_number,
      ngx_http_matte_answer_body },

    { ngx_string("download"),
      ngx_string("/api/download/{id}"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_SENT,
      0,
      NGX_HTTP_MATTE_DOWNLOAD,
      NULL, ngx_http_matte_args_job,
      ngx_http_matte_answer_download },

    { ngx_string("upload"),
      ngx_string("/v1/uploads"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY,
      0,
      NGX_HTTP_MATTE_UPLOAD_BEGIN,
      ngx_http_matte_check_upload, ngx_http_matte_args_upload,
      ngx_http_matte_answer_upload },

    { ngx_string("legacy_upload"),
      ngx_string("/api/upload"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_LEGACY,
      0,
      NGX_HTTP_MATTE_UPLOAD_BEGIN,
      ngx_http_matte_check_upload, ngx_http_matte_args_upload,
      ngx_http_matte_answer_upload },

    { ngx_string("process"),
      ngx_string("/api/process"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_LEGACY,
      0,
      NGX_HTTP_MATTE_CREATE,
      ngx_http_matte_check_create, ngx_http_matte_args_create,
      ngx_http_matte_answer_create },

    { ngx_string("pricing"),
      ngx_string("/api/pricing"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_NONE,
      0,
      NGX_HTTP_MATTE_PRICING,
      NULL, NULL,
      ngx_http_matte_answer_body },

    { ngx_string("health"),
      ngx_string("/health"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_NONE,
      0,
      NGX_HTTP_MATTE_STATEMENTS,
      NULL, NULL,
      ngx_http_matte_answer_health },

    { ngx_string("admin_config"),
      ngx_string("/v1/admin/config"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_ADMIN,
      0,
      NGX_HTTP_MATTE_STATEMENTS,
      NULL, NULL,
      ngx_http_matte_answer_config },

    { ngx_string("list_keys"),
      ngx_string("/v1/admin/keys"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_ADMIN,
      NGX_HTTP_MATTE_LIMIT|NGX_HTTP_MATTE_OFFSET,
      NGX_HTTP_MATTE_KEYS,
      NULL, ngx_http_matte_args_keys,
      ngx_http_matte_answer_body },

    { ngx_string("create_key"),
      ngx_string("/v1/admin/keys"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_ADMIN,
      0,
      NGX_HTTP_MATTE_KEY_CREATE,
      ngx_http_matte_check_key, ngx_http_matte_args_new_key,
      ngx_http_matte_answer_body },

    { ngx_string("disable_key"),
      ngx_string("/v1/admin/keys/disable"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_ADMIN,
      0,
      NGX_HTTP_MATTE_KEY_ENABLE,
      ngx_http_matte_check_fingerprint, ngx_http_matte_args_disable,
      ngx_http_matte_answer_body },

    { ngx_string("enable_key"),
      ngx_string("/v1/admin/keys/enable"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_ADMIN,
      0,
      NGX_HTTP_MATTE_KEY_ENABLE,
      ngx_http_matte_check_fingerprint, ngx_http_matte_args_enable,
      ngx_http_matte_answer_body },

    { ngx_null_string, ngx_null_string, 0, 0, 0, NGX_HTTP_MATTE_STATEMENTS,
      NULL, NULL, NULL }
};


static ngx_conf_bitmask_t  ngx_http_matte_methods[] = {
    { ngx_string("GET"), NGX_HTTP_GET },
    { ngx_string("HEAD"), NGX_HTTP_HEAD },
    { ngx_string("POST"), NGX_HTTP_POST },
    { ngx_string("DELETE"), NGX_HTTP_DELETE },
    { ngx_null_string, 0 }
};


/* SQLSTATE classes whose errors have an answer of their own; else 500 */

static struct {
    char                   state[6];
    ngx_http_matte_error_e error;
} ngx_http_matte_states[] = {
    { "22", NGX_HTTP_MATTE_INVALID_REQUEST },   /* data exception */
    { "40", NGX_HTTP_MATTE_UNAVAILABLE },       /* rolled back, deadlock */
    { "53", NGX_HTTP_MATTE_UNAVAILABLE },       /* insufficient resources */
    { "55", NGX_HTTP_MATTE_UNAVAILABLE },       /* lock_timeout */
    { "57", NGX_HTTP_MATTE_UNAVAILABLE },       /* statement_timeout, end */
    { "", NGX_HTTP_MATTE_INTERNAL }
};


/* a location takes uploads, or everything else */

#define ngx_http_matte_is_upload(route)                                       \
    ((route)->statement == NGX_HTTP_MATTE_UPLOAD_BEGIN)


/* of a route that is there at all: the whole path, with segments as ids */

static ngx_uint_t
ngx_http_matte_match(ngx_http_request_t *r, ngx_http_matte_route_t *route,
    ngx_str_t *ids)
{
    u_char                      *p, *u, *plast, *ulast;
    ngx_http_matte_loc_conf_t   *lcf;
    ngx_http_matte_main_conf_t  *mcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_matte_module);
    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    if (ngx_http_matte_is_upload(route) != lcf->upload
        || (route->auth == NGX_HTTP_MATTE_AUTH_ADMIN
            && mcf->admin_token == NULL)
        || (route->auth == NGX_HTTP_MATTE_AUTH_LEGACY
            && mcf->legacy_key == NULL))
    {
        return 0;
    }

    p = route->path.data;
    plast = p + route->path.len;
    u = r->uri.data;
    ulast = u + r->uri.len;

    while (p < plast) {

        if (*p == '{') {
            p = ngx_strlchr(p, plast, '}') + 1;
            ids->data = u;

            while (u < ulast && *u != '/') {
                u++;
            }

            ids->len = u - ids->data;

            if (ids->len == 0) {
                return 0;
            }

            ids++;
            continue;
        }

        if (u == ulast || *u++ != *p++) {
            return 0;
        }
    }

    return u == ulast;
}


ngx_int_t
ngx_http_matte_allow(ngx_http_request_t *r, ngx_str_t *value)
{
    u_char                     *p;
    ngx_str_t                   ids[NGX_HTTP_MATTE_MAX_IDS];
    ngx_uint_t                  i, methods;
    ngx_conf_bitmask_t         *m;
    ngx_http_matte_route_t     *route;
    ngx_http_matte_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_matte_module);

    methods = 0;

    for (route = ngx_http_matte_routes; !lcf->files && route->methods; route++)
    {
        if (ngx_http_matte_match(r, route, ids)) {
            methods |= route->methods;
        }
    }

    if (methods == 0) {
        methods = NGX_HTTP_GET|NGX_HTTP_HEAD;           /* a file's */
    }

    p = ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST, DELETE"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;

    for (i = 0; ngx_http_matte_methods[i].mask; i++) {
        m = &ngx_http_matte_methods[i];

        if (methods & m->mask) {
            p = ngx_sprintf(p, "%s%V", p == value->data ? "" : ", ", &m->name);
        }
    }

    value->len = p - value->data;

    return NGX_OK;
}


/* NULL if it is none: no job has that one */

static ngx_int_t
ngx_http_matte_set_id(ngx_http_request_t *r, ngx_str_t *segment, ngx_str_t *id)
{
    if (ngx_http_matte_uuid(segment) != NGX_OK) {
        return NGX_OK;
    }

    id->len = segment->len;
    id->data = ngx_pnalloc(r->pool, id->len);
    if (id->data == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(id->data, segment->data, segment->len);

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_str_t                   ids[NGX_HTTP_MATTE_MAX_IDS];
    ngx_str_t                   none = ngx_null_string;
    ngx_uint_t                  found;
    ngx_http_matte_ctx_t       *ctx;
    ngx_http_matte_route_t     *route;
    ngx_http_matte_loc_conf_t  *lcf;

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_matte_module);

    found = 0;
    ngx_memzero(ids, sizeof(ids));

    for (route = ngx_http_matte_routes; route->methods; route++) {

        if (!ngx_http_matte_match(r, route, ids)) {
            continue;
        }

        if (route->methods & r->method) {
            break;
        }

        found = 1;
    }

    if (route->methods == 0) {
        return ngx_http_matte_error(r, found ? NGX_HTTP_MATTE_METHOD
                                             : NGX_HTTP_MATTE_NOT_FOUND);
    }

    ctx->route = route;

    if (ngx_http_matte_set_id(r, &ids[0], &ctx->job_id) != NGX_OK
        || ngx_http_matte_set_id(r, &ids[1], &ctx->delivery_id) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (route->auth) {

    case NGX_HTTP_MATTE_AUTH_NONE:
        rc = NGX_OK;
        break;

    case NGX_HTTP_MATTE_AUTH_ADMIN:
        rc = ngx_http_matte_admin(r, ctx);
        break;

    default:
        rc = ngx_http_matte_authenticate(r, ctx);
    }

    if (rc != NGX_OK) {
        return ctx->problem.message.len
               ? ngx_http_matte_answer_problem(r, &ctx->problem)
               : ngx_http_matte_error(r, rc);
    }

    if (r->method == NGX_HTTP_POST && !lcf->upload) {

        rc = ngx_http_read_client_request_body(r, ngx_http_matte_body_handler);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return rc;
        }

        if (rc == NGX_AGAIN) {
            ctx->read_body = r->read_event_handler;
            r->read_event_handler = ngx_http_matte_read_body;
        }

        return NGX_DONE;
    }

    if (!lcf->upload) {
        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_matte_run(r, ctx, &none);

    if (rc == NGX_DONE) {
        r->main->count++;
    }

    return rc;
}


static ngx_uint_t
ngx_http_matte_scope(ngx_http_request_t *r)
{
    return r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)
           ? NGX_HTTP_MATTE_SCOPE_READ : NGX_HTTP_MATTE_SCOPE_WRITE;
}


static ngx_int_t
ngx_http_matte_limited(ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_bucket_t *bucket)
{
    ngx_str_set(&ctx->ratelimit, "limited");
    ctx->retry_after = (bucket->wait + 999) / 1000;

    return NGX_HTTP_MATTE_RATE_LIMITED;
}


/* a start is counted once it is known to be one */

static ngx_int_t
ngx_http_matte_count_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_matte_main_conf_t  *mcf;

    if (ctx->route->statement != NGX_HTTP_MATTE_START
        && !(ctx->route->statement == NGX_HTTP_MATTE_CREATE && ctx->job.start))
    {
        return NGX_DECLINED;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    rc = ngx_http_matte_keys_start(mcf->zone, ctx->hash, &ctx->starts);

    ctx->started = (rc != NGX_DECLINED);

    return rc;
}


static ngx_int_t
ngx_http_matte_set_key_id(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    ctx->known = 1;

    ctx->key_id.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (ctx->key_id.data == NULL) {
        return NGX_ERROR;
    }

    ctx->key_id.len = ngx_sprintf(ctx->key_id.data, "%L", ctx->key.id)
                      - ctx->key_id.data;

    return NGX_OK;
}


/* NGX_OK, or a row of the table of errors: none of those that come is 0 */

static ngx_int_t
ngx_http_matte_authenticate(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_str_t                   *key, name = ngx_string("x-api-key");
    ngx_uint_t                   charged;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    key = ngx_http_matte_header(r, &name);

    if (key && key->len) {

        if (key->len > NGX_HTTP_MATTE_KEY_MAX) {
            return NGX_HTTP_MATTE_INVALID_KEY;
        }

        SHA256(key->data, key->len, ctx->hash);

    } else if (ctx->route->auth == NGX_HTTP_MATTE_AUTH_LEGACY) {
        ngx_memcpy(ctx->hash, mcf->legacy_key, NGX_HTTP_MATTE_HASH_LEN);

    } else {
        return ctx->route->auth == NGX_HTTP_MATTE_AUTH_SENT
               ? NGX_OK : NGX_HTTP_MATTE_MISSING_KEY;
    }

    ctx->has_key = 1;

    rc = ngx_http_matte_keys_get(mcf->zone, ctx->hash, &ctx->key, &ctx->bucket,
                                 &charged);

    ctx->charged = charged;

    switch (rc) {

    case NGX_OK:
        ngx_str_set(&ctx->key_cache, "hit");
        ngx_str_set(&ctx->ratelimit, "ok");

        if (ngx_http_matte_set_key_id(r, ctx) != NGX_OK) {
            return NGX_HTTP_MATTE_INTERNAL;
        }

        return ctx->key.scope & ngx_http_matte_scope(r)
               ? NGX_OK : NGX_HTTP_MATTE_FORBIDDEN;

    case NGX_BUSY:
        ngx_str_set(&ctx->key_cache, "hit");

        return ngx_http_matte_limited(ctx, &ctx->bucket);

    case NGX_ABORT:
        ngx_str_set(&ctx->key_cache, "negative");

        return NGX_HTTP_MATTE_INVALID_KEY;

    default:                            /* NGX_DECLINED */
        ngx_str_set(&ctx->key_cache, "miss");

        return NGX_OK;
    }
}


/* nginx closes the connection without a word when a body is late */

static void
ngx_http_matte_read_body(ngx_http_request_t *r)
{
    ngx_event_t           *rev;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);
    rev = r->connection->read;

    if (rev->timedout) {
        rev->timedout = 0;
        r->keepalive = 0;
        ngx_http_finalize_request(r, ngx_http_matte_error(r,
                                                     NGX_HTTP_MATTE_TIMEOUT));
        return;
    }

    ctx->read_body(r);
}


/* the body in one piece */

static ngx_int_t
ngx_http_matte_body(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char       *p;
    ngx_chain_t  *cl, *in;

    ngx_str_null(body);

    in = r->request_body ? r->request_body->bufs : NULL;

    if (in == NULL) {
        return NGX_OK;
    }

    for (cl = in; cl; cl = cl->next) {

        if (cl->buf->in_file) {         /* chunks beyond the buffer */
            return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        }

        body->len += cl->buf->last - cl->buf->pos;
    }

    if (in->next == NULL) {
        body->data = in->buf->pos;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, body->len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body->data = p;

    for (cl = in; cl; cl = cl->next) {
        if (cl->buf->last > cl->buf->pos) {
            p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
        }
    }

    return NGX_OK;
}


static void
ngx_http_matte_body_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_str_t              body;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);

    rc = ngx_http_matte_body(r, &body);

    if (rc == NGX_OK) {
        rc = ngx_http_matte_run(r, ctx, &body);
    }

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


/* NGX_DONE: ngx_http_matte_done() goes on; else for finalize_request() */

static ngx_int_t
ngx_http_matte_run(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    ngx_int_t                rc;
    ngx_http_cleanup_t      *cln;
    ngx_http_matte_route_t  *route;

    route = ctx->route;

    if (route->statement == NGX_HTTP_MATTE_STATEMENTS) {
        return route->answer(r, ctx, NULL);
    }

    rc = ngx_http_matte_check_arguments(r, ctx);

    if (rc == NGX_OK && route->check) {
        rc = route->check(r, ctx, body);
    }

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED && (ctx->known || !ctx->has_key)) {
        return ngx_http_matte_answer_problem(r, &ctx->problem);
    }

    if (rc == NGX_OK && ctx->known
        && ngx_http_matte_count_start(r, ctx) == NGX_BUSY)
    {
        return ngx_http_matte_error(r, ngx_http_matte_limited(ctx,
                                                              &ctx->starts));
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_matte_cleanup;
    cln->data = ctx;

    if (rc == NGX_OK) {
        return ngx_http_matte_ask(r, ctx, route->statement, route->args);
    }

    /* who sends nonsense under a wrong key is told about the key */

    return ngx_http_matte_ask(r, ctx, NGX_HTTP_MATTE_GET,
                              ngx_http_matte_args_get);
}


ngx_int_t
ngx_http_matte_ask(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_statement_e statement,
    ngx_int_t (*args)(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q))
{
    ngx_http_matte_query_t      *q;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    q = ngx_http_matte_query(mcf->pg, statement);
    if (q == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (args && args(r, ctx, q) != NGX_OK) {
        ngx_http_matte_query_free(q);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->sent = ngx_current_msec;

    if (ngx_http_matte_query_send(q, ngx_http_matte_done, r) != NGX_OK) {
        return ngx_http_matte_error(r, NGX_HTTP_MATTE_UNAVAILABLE);
    }

    ctx->query = q;
    r->read_event_handler = ngx_http_test_reading;

    return NGX_DONE;
}


static void
ngx_http_matte_cleanup(void *data)
{
    ngx_http_matte_ctx_t  *ctx = data;

    if (ctx->query) {
        ngx_http_matte_query_abandon(ctx->query);
        ctx->query = NULL;
    }

    ngx_http_matte_engine_forget(&ctx->ring);
}


void
ngx_http_matte_finish(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t  *c = r->connection;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* the row of a key that the statement has verified */

static ngx_int_t
ngx_http_matte_learn(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_row_t *row)
{
    ngx_int_t                    rc;
    ngx_http_matte_main_conf_t  *mcf;

    if (row->key_id.data == NULL || row->tenant.len != NGX_HTTP_MATTE_UUID_LEN
        || ctx->known)
    {
        return NGX_OK;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    ctx->key.id = ngx_atoof(row->key_id.data, row->key_id.len);
    ctx->key.rate = ngx_atoi(row->rate.data, row->rate.len);
    ctx->key.burst = ngx_atoi(row->burst.data, row->burst.len);
    ctx->key.starts = row->starts.data ? ngx_atoi(row->starts.data,
                                                  row->starts.len)
                                       : 0;
    ctx->key.starts_burst = ngx_atoi(row->starts_burst.data,
                                     row->starts_burst.len);
    ctx->key.scope =
        (ngx_strstr(row->scope.data, "read") ? NGX_HTTP_MATTE_SCOPE_READ : 0)
        | (ngx_strstr(row->scope.data, "write") ? NGX_HTTP_MATTE_SCOPE_WRITE
                                                : 0);
    ngx_memcpy(ctx->key.tenant, row->tenant.data, NGX_HTTP_MATTE_UUID_LEN);

    if (ngx_http_matte_set_key_id(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_matte_keys_put(mcf->zone, ctx->hash, &ctx->key, ctx->sent,
                                 mcf->key_ttl, &ctx->bucket, !ctx->charged);

    ctx->charged = 1;
    ngx_str_set(&ctx->ratelimit, "ok");

    /* what was written is written, but it counts */

    (void) ngx_http_matte_count_start(r, ctx);

    if (rc == NGX_BUSY
        && ngx_http_matte_scope(r) == NGX_HTTP_MATTE_SCOPE_READ)
    {
        (void) ngx_http_matte_limited(ctx, &ctx->bucket);
        return NGX_BUSY;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_answer_failed(ngx_http_request_t *r, PGresult *res)
{
    char                      *state;
    ngx_str_t                  line;
    ngx_uint_t                 i;
    ngx_http_matte_problem_t   problem;

    if (res == NULL) {
        return ngx_http_matte_error(r, NGX_HTTP_MATTE_UNAVAILABLE);
    }

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    for (i = 0; ngx_http_matte_states[i].state[0]; i++) {
        if (state
            && ngx_strncmp(state, ngx_http_matte_states[i].state, 2) == 0)
        {
            break;
        }
    }

    line.data = (u_char *) PQresultErrorMessage(res);
    line.len = strcspn((char *) line.data, "\n");

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "postgres: %V", &line);

    if (ngx_http_matte_states[i].error != NGX_HTTP_MATTE_INVALID_REQUEST) {
        return ngx_http_matte_error(r, ngx_http_matte_states[i].error);
    }

    ngx_memzero(&problem, sizeof(ngx_http_matte_problem_t));

    problem.code = NGX_HTTP_MATTE_INVALID_REQUEST;
    ngx_str_set(&problem.message, "The request has a value that cannot be "
                                  "stored.");

    return ngx_http_matte_answer_problem(r, &problem);
}


static ngx_int_t
ngx_http_matte_answer(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_int_t                    rc;
    ngx_http_matte_row_t         row;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    if (res == NULL || PQresultStatus(res) != PGRES_TUPLES_OK
        || PQntuples(res) == 0)
    {
        return ngx_http_matte_answer_failed(r, res);
    }

    ngx_http_matte_row(res, 0, &row);

    if (ngx_strcmp(row.outcome.data, "invalid_api_key") == 0) {
        ctx->charged = 0;

        (void) ngx_http_matte_keys_put(mcf->zone, ctx->hash, NULL, ctx->sent,
                                       mcf->negative_ttl, &ctx->bucket, 0);

        return ngx_http_matte_error(r, NGX_HTTP_MATTE_INVALID_KEY);
    }

    rc = ngx_http_matte_learn(r, ctx, &row);

    if (rc == NGX_BUSY) {
        return ngx_http_matte_error(r, NGX_HTTP_MATTE_RATE_LIMITED);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->problem.message.len) {
        return ngx_http_matte_answer_problem(r, &ctx->problem);
    }

    if (ngx_strcmp(row.outcome.data, "ok") == 0) {
        return ctx->route->answer(r, ctx, res);
    }

    if (ngx_strcmp(row.outcome.data, "replay") == 0) {
        ctx->replayed = 1;
        return ngx_http_matte_answer_body(r, ctx, res);
    }

    if (row.total.data) {               /* of rate_limited: for how long */
        ctx->retry_after = ngx_atotm(row.total.data, row.total.len);
    }

    return ngx_http_matte_answer_outcome(r, &row.outcome);
}


static void
ngx_http_matte_done(void *data, PGresult *res)
{
    ngx_http_request_t *r = data;

    ngx_int_t              rc;
    ngx_msec_t             ms;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);
    ctx->query = NULL;

    ms = ngx_current_msec - ctx->sent;

    ctx->db_time.data = ngx_pnalloc(r->pool, NGX_INT64_LEN + 4);

    if (ctx->db_time.data) {
        ctx->db_time.len = ngx_sprintf(ctx->db_time.data, "%M.%03M",
                                       ms / 1000, ms % 1000)
                           - ctx->db_time.data;
    }

    rc = ngx_http_matte_answer(r, ctx, res);

    if (rc != NGX_DONE) {
        ngx_http_matte_finish(r, rc);
    }
}


/* W3C Trace Context: one that is not valid is as good as none */

static void
ngx_http_matte_set_traceparent(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx)
{
    u_char      c;
    ngx_str_t  *value, name = ngx_string("traceparent");
    ngx_uint_t  i, digit;

    static u_char  form[] =
        "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    static u_char  none[] = "0000000000000000000000000000000000";

    value = ngx_http_matte_header(r, &name);

    if (value == NULL || value->len != sizeof(form) - 1) {
        return;
    }

    for (i = 0; i < value->len; i++) {
        c = value->data[i];
        digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

        if (form[i] == 'x' ? !digit : c != form[i]) {
            return;
        }
    }

    if (ngx_memcmp(value->data + 3, none, 32) != 0
        && ngx_memcmp(value->data + 36, none, 16) != 0)
    {
        ctx->traceparent = *value;
    }
}


static void
ngx_http_matte_ctx_cleanup(void *data)
{
    /* a marker only */
}


ngx_http_matte_ctx_t *
ngx_http_matte_get_ctx(ngx_http_request_t *r)
{
    u_char                *p;
    ngx_str_t             *id, name = ngx_string("x-request-id");
    ngx_uint_t             i;
    ngx_pool_cleanup_t    *cln;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);

    if (ctx) {
        return ctx;
    }

    /* an internal redirect has zeroed it */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_matte_ctx_cleanup) {
            ctx = cln->data;
            goto done;
        }
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_matte_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_matte_ctx_cleanup;
    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_matte_ctx_t));

    ngx_str_set(&ctx->ratelimit, "unknown");

    ngx_http_matte_set_traceparent(r, ctx);

    id = ngx_http_matte_header(r, &name);

    if (id && id->len && id->len <= NGX_HTTP_MATTE_ID_MAX) {

        for (i = 0; i < id->len; i++) {
            p = &id->data[i];

            if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
                  || (*p >= '0' && *p <= '9')
                  || *p == '.' || *p == '_' || *p == '-'))
            {
                break;
            }
        }

        if (i == id->len) {
            ctx->request_id = *id;
            goto done;
        }
    }

    ctx->request_id.len = 32;
    ctx->request_id.data = ngx_pnalloc(r->pool, 32);

    if (ctx->request_id.data == NULL
        || ngx_http_matte_random_hex(ctx->request_id.data, 16) != NGX_OK)
    {
        ngx_memzero(&ctx->request_id, sizeof(ngx_str_t));
    }

done:

    ngx_http_set_ctx(r, ctx, ngx_http_matte_module);

    return ctx;
}


ngx_str_t *
ngx_http_matte_header(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {

            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == name->len
            && ngx_memcmp(h[i].lowcase_key, name->data, name->len) == 0)
        {
            return &h[i].value;
        }
    }
}


ngx_int_t
ngx_http_matte_random_hex(u_char *p, size_t bytes)
{
    u_char  buf[32];

    if (RAND_bytes(buf, bytes) != 1) {
        return NGX_ERROR;
    }

    ngx_hex_dump(p, buf, bytes);

    return NGX_OK;
}


/* of version 4 */

ngx_int_t
ngx_http_matte_random_uuid(u_char *p)
{
    u_char  hex[32];

    if (ngx_http_matte_random_hex(hex, 16) != NGX_OK) {
        return NGX_ERROR;
    }

    hex[12] = '4';
    hex[16] = "89ab"[hex[16] & 3];

    ngx_sprintf(p, "%*s-%*s-%*s-%*s-%*s", (size_t) 8, hex,
                (size_t) 4, hex + 8, (size_t) 4, hex + 12,
                (size_t) 4, hex + 16, (size_t) 12, hex + 20);

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_uuid(ngx_str_t *s)
{
    u_char      c;
    ngx_uint_t  i;

    if (s->len != NGX_HTTP_MATTE_UUID_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_HTTP_MATTE_UUID_LEN; i++) {
        c = ngx_tolower(s->data[i]);

        if (i == 8 || i == 13 || i == 18 || i == 23) {

            if (c != '-') {
                return NGX_DECLINED;
            }

            continue;
        }

        if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_unhex(u_char *hash, u_char *hex, size_t len)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    if (len != 2 * NGX_HTTP_MATTE_HASH_LEN) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_MATTE_HASH_LEN; i++) {
        n = ngx_hextoi(hex + 2 * i, 2);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        hash[i] = (u_char) n;
    }

    return NGX_OK;
}
