
/*
 * The jobs API: directives, variables, the table of routes and the life of a
 * request.  A request finds its route, its key and the key's limits; its
 * statement goes to the pool; the row that comes back is answered.
 */


#include "ngx_http_matte.h"
#include <openssl/rand.h>
#include <openssl/sha.h>


#define NGX_HTTP_MATTE_KEY_MAX      128
#define NGX_HTTP_MATTE_ID_MAX       128
#define NGX_HTTP_MATTE_IDEM_MAX     255
#define NGX_HTTP_MATTE_OFFSET_MAX   1000000

#define NGX_HTTP_MATTE_AUTH_NONE    0
#define NGX_HTTP_MATTE_AUTH_SENT    1       /* a key, if there is one */
#define NGX_HTTP_MATTE_AUTH_KEY     2

/* a job that nobody has: a malformed id is looked up like any other */
#define NGX_HTTP_MATTE_NIL          "00000000-0000-0000-0000-000000000000"


struct ngx_http_matte_route_s {
    ngx_str_t                    name;
    ngx_str_t                    path;       /* "{id}": a job */
    ngx_uint_t                   methods;
    ngx_uint_t                   auth;
    ngx_http_matte_statement_e   statement;  /* _STATEMENTS: none */

    /* NGX_DECLINED: ctx->problem says why */
    ngx_int_t                  (*check)(ngx_http_request_t *r,
                                        ngx_http_matte_ctx_t *ctx,
                                        ngx_str_t *body);
    ngx_int_t                  (*args)(ngx_http_request_t *r,
                                       ngx_http_matte_ctx_t *ctx,
                                       ngx_http_matte_query_t *q);
    ngx_int_t                  (*answer)(ngx_http_request_t *r,
                                         ngx_http_matte_ctx_t *ctx,
                                         PGresult *res);
};


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   offset;
    ngx_uint_t                   max;
} ngx_http_matte_number_t;


static ngx_int_t ngx_http_matte_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_matte_authenticate(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_uint_t required);
static void ngx_http_matte_read_body(ngx_http_request_t *r);
static void ngx_http_matte_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_matte_run(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
static void ngx_http_matte_done(void *data, PGresult *res);
static void ngx_http_matte_finish(ngx_http_request_t *r, ngx_int_t rc);
static void ngx_http_matte_cleanup(void *data);

static ngx_int_t ngx_http_matte_check_create(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
static ngx_int_t ngx_http_matte_check_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
static ngx_int_t ngx_http_matte_check_list(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
static ngx_int_t ngx_http_matte_args_get(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
static ngx_int_t ngx_http_matte_args_list(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
static ngx_int_t ngx_http_matte_args_download(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
static ngx_int_t ngx_http_matte_args_create(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
static ngx_int_t ngx_http_matte_args_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
static ngx_int_t ngx_http_matte_answer_create(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
static ngx_int_t ngx_http_matte_answer_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);

static ngx_int_t ngx_http_matte_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_matte_route_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_matte_add_variables(ngx_conf_t *cf);

static void *ngx_http_matte_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_matte_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_matte_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_matte_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_matte_numbers(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_matte_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_matte_key_ttl(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_matte_engine(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_matte_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_matte_files(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_matte_init_process(ngx_cycle_t *cycle);
static void ngx_http_matte_exit_process(ngx_cycle_t *cycle);


/* clang-format off */

static ngx_http_matte_route_t  ngx_http_matte_routes[] = {

    { ngx_string("create_job"), ngx_string("/v1/jobs"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY, NGX_HTTP_MATTE_CREATE,
      ngx_http_matte_check_create, ngx_http_matte_args_create,
      ngx_http_matte_answer_create },

    { ngx_string("list_jobs"), ngx_string("/v1/jobs"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY, NGX_HTTP_MATTE_LIST,
      ngx_http_matte_check_list, ngx_http_matte_args_list,
      ngx_http_matte_answer_list },

    { ngx_string("get_job"), ngx_string("/v1/jobs/{id}"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_KEY, NGX_HTTP_MATTE_GET,
      NULL, ngx_http_matte_args_get,
      ngx_http_matte_answer_get },

    { ngx_string("start_job"), ngx_string("/v1/jobs/{id}/start"),
      NGX_HTTP_POST, NGX_HTTP_MATTE_AUTH_KEY, NGX_HTTP_MATTE_START,
      ngx_http_matte_check_start, ngx_http_matte_args_start,
      ngx_http_matte_answer_start },

    { ngx_string("download"), ngx_string("/api/download/{id}"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_SENT,
      NGX_HTTP_MATTE_DOWNLOAD,
      NULL, ngx_http_matte_args_download,
      ngx_http_matte_answer_download },

    { ngx_string("health"), ngx_string("/health"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, NGX_HTTP_MATTE_AUTH_NONE,
      NGX_HTTP_MATTE_STATEMENTS,
      NULL, NULL,
      ngx_http_matte_answer_health },

    { ngx_null_string, ngx_null_string, 0, 0, NGX_HTTP_MATTE_STATEMENTS,
      NULL, NULL, NULL }
};


static ngx_conf_bitmask_t  ngx_http_matte_methods[] = {
    { ngx_string("GET"), NGX_HTTP_GET },
    { ngx_string("HEAD"), NGX_HTTP_HEAD },
    { ngx_string("POST"), NGX_HTTP_POST },
    { ngx_null_string, 0 }
};


static ngx_str_t  ngx_http_matte_statuses[] = {
    ngx_string("created"),
    ngx_string("pending"),
    ngx_string("processing"),
    ngx_string("completed"),
    ngx_string("failed"),
    ngx_string("cancelled"),
    ngx_null_string
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


static struct {
    ngx_str_t                   name;
    ngx_http_get_variable_pt    handler;
    uintptr_t                   data;
} ngx_http_matte_variables[] = {
    { ngx_string("matte_route"), ngx_http_matte_route_variable, 0 },
    { ngx_string("matte_request_id"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, request_id) },
    { ngx_string("matte_job_id"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, job_id) },
    { ngx_string("matte_key_id"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, key_id) },
    { ngx_string("matte_error"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, error) },
    { ngx_string("matte_db_time"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, db_time) },
    { ngx_string("matte_dispatch"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, dispatch) },
    { ngx_string("matte_key_cache"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, key_cache) },
    { ngx_string("matte_ratelimit"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, ratelimit) },
    { ngx_null_string, NULL, 0 }
};


static ngx_http_matte_number_t  ngx_http_matte_connections[] = {
    { ngx_string("read="),
      offsetof(ngx_http_matte_main_conf_t, connections[NGX_HTTP_MATTE_READ]),
      64 },
    { ngx_string("write="),
      offsetof(ngx_http_matte_main_conf_t, connections[NGX_HTTP_MATTE_WRITE]),
      64 },
    { ngx_string("slow="),
      offsetof(ngx_http_matte_main_conf_t, connections[NGX_HTTP_MATTE_SLOW]),
      64 },
    { ngx_null_string, 0, 0 }
};


static ngx_http_matte_number_t  ngx_http_matte_pipeline[] = {
    { ngx_string("depth="), offsetof(ngx_http_matte_main_conf_t, depth), 1024 },
    { ngx_string("batch="), offsetof(ngx_http_matte_main_conf_t, batch), 256 },
    { ngx_null_string, 0, 0 }
};


static ngx_conf_num_bounds_t  ngx_http_matte_queue_bounds = {
    ngx_conf_check_num_bounds, 1, 65536
};


static ngx_command_t  ngx_http_matte_commands[] = {

    { ngx_string("matte_database"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, conninfo),
      NULL },

    { ngx_string("matte_database_connections"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_matte_numbers,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      ngx_http_matte_connections },

    { ngx_string("matte_database_pipeline"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_matte_numbers,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      ngx_http_matte_pipeline },

    { ngx_string("matte_database_queue"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, queue),
      &ngx_http_matte_queue_bounds },

    { ngx_string("matte_database_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, timeout),
      NULL },

    { ngx_string("matte_database_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, connect_timeout),
      NULL },

    { ngx_string("matte_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_matte_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("matte_key_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_matte_key_ttl,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("matte_engine"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_matte_engine,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("matte_engine_wait"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, engine_wait),
      NULL },

    { ngx_string("matte_state_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, state_path),
      NULL },

    { ngx_string("matte_link_secret"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_matte_link_secret,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("matte_link_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, link_ttl),
      NULL },

    { ngx_string("matte_public_url"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, public_url),
      NULL },

    { ngx_string("matte_models"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, models),
      ngx_http_matte_models },

    { ngx_string("matte_formats"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, formats),
      ngx_http_matte_formats },

    { ngx_string("matte_errors"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_matte_loc_conf_t, errors),
      NULL },

    { ngx_string("matte_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_matte_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("matte_files"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_matte_files,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};

/* clang-format on */


static ngx_http_module_t  ngx_http_matte_module_ctx = {
    ngx_http_matte_add_variables,          /* preconfiguration */
    ngx_http_matte_filter_init,            /* postconfiguration */

    ngx_http_matte_create_main_conf,       /* create main configuration */
    ngx_http_matte_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_matte_create_loc_conf,        /* create location configuration */
    ngx_http_matte_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_matte_module = {
    NGX_MODULE_V1,
    &ngx_http_matte_module_ctx,            /* module context */
    ngx_http_matte_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_matte_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_matte_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* the whole path, with one segment as the id */

static ngx_uint_t
ngx_http_matte_match(ngx_str_t *uri, ngx_str_t *path, ngx_str_t *id)
{
    u_char  *p, *u, *plast, *ulast;

    p = path->data;
    plast = p + path->len;
    u = uri->data;
    ulast = u + uri->len;

    ngx_str_null(id);

    while (p < plast) {

        if (*p == '{') {
            p += sizeof("{id}") - 1;
            id->data = u;

            while (u < ulast && *u != '/') {
                u++;
            }

            id->len = u - id->data;

            if (id->len == 0) {
                return 0;
            }

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
    ngx_str_t                   id;
    ngx_uint_t                  i, methods;
    ngx_conf_bitmask_t         *m;
    ngx_http_matte_route_t     *route;
    ngx_http_matte_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_matte_module);

    methods = lcf->files ? NGX_HTTP_GET|NGX_HTTP_HEAD : 0;

    for (route = ngx_http_matte_routes; lcf->api && route->methods; route++) {
        if (ngx_http_matte_match(&r->uri, &route->path, &id)) {
            methods |= route->methods;
        }
    }

    if (methods == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST"));
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


static ngx_int_t
ngx_http_matte_refuse(ngx_http_request_t *r, ngx_uint_t error)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_matte_error(r, error);
}


static ngx_int_t
ngx_http_matte_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_str_t                id, none = ngx_null_string;
    ngx_uint_t               found;
    ngx_http_matte_ctx_t    *ctx;
    ngx_http_matte_route_t  *route;

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    found = 0;

    for (route = ngx_http_matte_routes; route->methods; route++) {

        if (!ngx_http_matte_match(&r->uri, &route->path, &id)) {
            continue;
        }

        if (route->methods & r->method) {
            break;
        }

        found = 1;
    }

    if (route->methods == 0) {
        return ngx_http_matte_refuse(r, found ? NGX_HTTP_MATTE_METHOD
                                              : NGX_HTTP_MATTE_NOT_FOUND);
    }

    ctx->route = route;

    if (ngx_http_matte_uuid(&id) == NGX_OK) {
        ctx->job_id.len = id.len;
        ctx->job_id.data = ngx_pnalloc(r->pool, id.len);
        if (ctx->job_id.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_strlow(ctx->job_id.data, id.data, id.len);
    }

    if (route->auth != NGX_HTTP_MATTE_AUTH_NONE) {

        rc = ngx_http_matte_authenticate(r, ctx, route->auth
                                                 == NGX_HTTP_MATTE_AUTH_KEY);
        if (rc != NGX_OK) {
            return ngx_http_matte_refuse(r, rc);
        }
    }

    if (r->method == NGX_HTTP_POST) {

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

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_matte_run(r, ctx, &none);

    if (rc == NGX_DONE) {
        r->main->count++;
    }

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
ngx_http_matte_authenticate(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_uint_t required)
{
    ngx_int_t                    rc;
    ngx_str_t                   *key, name = ngx_string("x-api-key");
    ngx_uint_t                   charged;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    key = ngx_http_matte_header(r, &name);

    if (key == NULL || key->len == 0) {
        return required ? NGX_HTTP_MATTE_MISSING_KEY : NGX_OK;
    }

    if (key->len > NGX_HTTP_MATTE_KEY_MAX) {
        return NGX_HTTP_MATTE_INVALID_KEY;
    }

    SHA256(key->data, key->len, ctx->hash);
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

        return NGX_OK;

    case NGX_BUSY:
        ngx_str_set(&ctx->key_cache, "hit");
        ngx_str_set(&ctx->ratelimit, "limited");
        ctx->retry_after = (ctx->bucket.wait + 999) / 1000;

        return NGX_HTTP_MATTE_RATE_LIMITED;

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
        p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
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
    ngx_int_t                    rc;
    ngx_http_cleanup_t          *cln;
    ngx_http_matte_route_t      *route;
    ngx_http_matte_query_t      *q;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);
    route = ctx->route;

    if (route->statement == NGX_HTTP_MATTE_STATEMENTS) {
        return route->answer(r, ctx, NULL);
    }

    rc = route->check ? route->check(r, ctx, body) : NGX_OK;

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED && (ctx->known || !ctx->has_key)) {
        return ngx_http_matte_answer_problem(r, &ctx->problem);
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_matte_cleanup;
    cln->data = ctx;

    /* who sends nonsense under a wrong key is told about the key */

    q = ngx_http_matte_query(mcf->pg, rc == NGX_OK ? route->statement
                                                   : NGX_HTTP_MATTE_GET);
    if (q == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if ((rc == NGX_OK ? route->args(r, ctx, q)
                      : ngx_http_matte_args_get(r, ctx, q))
        != NGX_OK)
    {
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


static void
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
    ngx_memcpy(ctx->key.tenant, row->tenant.data, NGX_HTTP_MATTE_UUID_LEN);

    if (ngx_http_matte_set_key_id(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_matte_keys_put(mcf->zone, ctx->hash, &ctx->key, mcf->key_ttl,
                                 &ctx->bucket, !ctx->charged);

    ctx->charged = 1;
    ngx_str_set(&ctx->ratelimit, "ok");

    /* what was written is written */

    if (rc == NGX_BUSY && r->method != NGX_HTTP_POST) {
        ngx_str_set(&ctx->ratelimit, "limited");
        ctx->retry_after = (ctx->bucket.wait + 999) / 1000;
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
        if (state && ngx_strncmp(state, ngx_http_matte_states[i].state, 2) == 0)
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

        (void) ngx_http_matte_keys_put(mcf->zone, ctx->hash, NULL,
                                       mcf->negative_ttl, NULL, 0);

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

    if (ngx_strcmp(row.outcome.data, "ok") == 0
        || ngx_strcmp(row.outcome.data, "replay") == 0)
    {
        return ctx->route->answer(r, ctx, res);
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


static ngx_int_t
ngx_http_matte_decline(ngx_http_matte_ctx_t *ctx, ngx_uint_t code,
    const char *field, const char *message)
{
    ctx->problem.code = code;
    ctx->problem.field.data = (u_char *) field;
    ctx->problem.field.len = ngx_strlen(field);
    ctx->problem.message.data = (u_char *) message;
    ctx->problem.message.len = ngx_strlen(message);

    return NGX_DECLINED;
}


/* "application/json", with any suffix and parameters, or nothing at all */

static ngx_int_t
ngx_http_matte_check_type(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    size_t      len;
    ngx_str_t  *type;

    if (r->headers_in.content_type == NULL) {
        return NGX_OK;
    }

    type = &r->headers_in.content_type->value;

    for (len = 0; len < type->len; len++) {
        if (type->data[len] == ';' || type->data[len] == ' ') {
            break;
        }
    }

    if ((len == sizeof("application/json") - 1
         && ngx_strncasecmp(type->data, (u_char *) "application/json", len)
            == 0)
        || (len > sizeof("+json") - 1
            && ngx_strncasecmp(type->data + len - 5, (u_char *) "+json", 5)
               == 0))
    {
        return NGX_OK;
    }

    return ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_MEDIA_TYPE, "",
                                  "The body must be application/json.");
}


/*
 * Bare or in quotes; printable ASCII, as the draft has it: anything else
 * would fail in SQL
 */

static ngx_int_t
ngx_http_matte_check_idempotency(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body)
{
    size_t      i;
    ngx_str_t  *value, key, name = ngx_string("idempotency-key");

    value = ngx_http_matte_header(r, &name);

    if (value == NULL) {
        return NGX_OK;
    }

    key = *value;

    if (key.len >= 2 && key.data[0] == '"' && key.data[key.len - 1] == '"') {
        key.data++;
        key.len -= 2;
    }

    if (key.len == 0 || key.len > NGX_HTTP_MATTE_IDEM_MAX) {
        goto bad;
    }

    for (i = 0; i < key.len; i++) {
        if (key.data[i] < 0x20 || key.data[i] > 0x7e) {
            goto bad;
        }
    }

    ctx->idempotency_key = key;

    SHA256(body->data, body->len, ctx->digest);

    return NGX_OK;

bad:

    return ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_INVALID_REQUEST,
                                  "Idempotency-Key",
                                  "Idempotency-Key must be 1 to 255 printable "
                                  "ASCII characters.");
}


static ngx_int_t
ngx_http_matte_check_post(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body, ngx_uint_t create)
{
    if ((body->len && ngx_http_matte_check_type(r, ctx) != NGX_OK)
        || ngx_http_matte_check_idempotency(r, ctx, body) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_http_matte_parse_job(r, ctx, body, create);
}


static ngx_int_t
ngx_http_matte_check_create(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    return ngx_http_matte_check_post(r, ctx, body, 1);
}


static ngx_int_t
ngx_http_matte_check_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    return ngx_http_matte_check_post(r, ctx, body, 0);
}


static ngx_int_t
ngx_http_matte_check_list(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    ngx_int_t   n;
    ngx_str_t   value;
    ngx_uint_t  i;

    ctx->limit = 20;

    if (ngx_http_arg(r, (u_char *) "limit", 5, &value) == NGX_OK) {
        n = ngx_atoi(value.data, value.len);

        if (n < 1 || n > 100) {
            return ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_INVALID_REQUEST,
                                          "limit",
                                          "limit must be from 1 to 100.");
        }

        ctx->limit = n;
    }

    if (ngx_http_arg(r, (u_char *) "offset", 6, &value) == NGX_OK) {
        n = ngx_atoi(value.data, value.len);

        if (n < 0 || n > NGX_HTTP_MATTE_OFFSET_MAX) {
            return ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_INVALID_REQUEST,
                                          "offset",
                                          "offset must be from 0 to 1000000.");
        }

        ctx->offset = n;
    }

    if (ngx_http_arg(r, (u_char *) "status", 6, &value) != NGX_OK) {
        return NGX_OK;
    }

    for (i = 0; ngx_http_matte_statuses[i].len; i++) {

        if (ngx_http_matte_statuses[i].len == value.len
            && ngx_memcmp(ngx_http_matte_statuses[i].data, value.data,
                          value.len)
               == 0)
        {
            ctx->filter = value;
            return NGX_OK;
        }
    }

    return ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_INVALID_REQUEST,
                                  "status",
                                  "status must be created, pending, "
                                  "processing, completed, failed or "
                                  "cancelled.");
}


/* the key's hash and, where the zone knows it, its tenant */

static void
ngx_http_matte_args_key(ngx_http_matte_ctx_t *ctx, ngx_str_t *key,
    ngx_str_t *tenant)
{
    ngx_str_null(key);

    if (ctx->has_key) {
        key->data = ctx->hash;
        key->len = NGX_HTTP_MATTE_HASH_LEN;
    }

    if (tenant) {
        ngx_str_null(tenant);

        if (ctx->known) {
            tenant->data = ctx->key.tenant;
            tenant->len = NGX_HTTP_MATTE_UUID_LEN;
        }
    }
}


static void
ngx_http_matte_args_job(ngx_http_matte_ctx_t *ctx, ngx_str_t *job)
{
    *job = ctx->job_id;

    if (job->len == 0) {
        ngx_str_set(job, NGX_HTTP_MATTE_NIL);
    }
}


static ngx_int_t
ngx_http_matte_args_get(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[3];

    ngx_http_matte_args_key(ctx, &args[0], &args[1]);
    ngx_http_matte_args_job(ctx, &args[2]);

    return ngx_http_matte_query_args(q, args, 3, 0x1);
}


static ngx_int_t
ngx_http_matte_args_download(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[2];

    ngx_http_matte_args_key(ctx, &args[0], NULL);
    ngx_http_matte_args_job(ctx, &args[1]);

    return ngx_http_matte_query_args(q, args, 2, 0x1);
}


static ngx_int_t
ngx_http_matte_args_list(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    u_char     limit[NGX_INT_T_LEN], offset[NGX_INT_T_LEN];
    ngx_str_t  args[5];

    ngx_http_matte_args_key(ctx, &args[0], &args[1]);

    args[2].data = limit;
    args[2].len = ngx_sprintf(limit, "%ui", ctx->limit) - limit;
    args[3].data = offset;
    args[3].len = ngx_sprintf(offset, "%ui", ctx->offset) - offset;
    args[4] = ctx->filter;

    return ngx_http_matte_query_args(q, args, 5, 0x1);
}


/* the beginning of both writes, and the place of q in a batch */

static ngx_int_t
ngx_http_matte_args_write(ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q,
    ngx_str_t *args)
{
    ngx_str_t  tenant;

    ngx_http_matte_args_key(ctx, &args[0], &tenant);

    args[1] = ctx->idempotency_key;
    ngx_str_null(&args[2]);

    if (ctx->idempotency_key.len) {
        args[2].data = ctx->digest;
        args[2].len = NGX_HTTP_MATTE_HASH_LEN;
    }

    return tenant.len ? ngx_http_matte_query_order(q, &tenant,
                                                   &ctx->idempotency_key)
                      : NGX_OK;
}


static ngx_int_t
ngx_http_matte_args_create(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    u_char     *p, hex[32];
    ngx_str_t   args[14], id;

    p = ngx_pnalloc(r->pool, NGX_HTTP_MATTE_UUID_LEN);

    if (p == NULL || ngx_http_matte_random_hex(hex, 16) != NGX_OK) {
        return NGX_ERROR;
    }

    hex[12] = '4';                      /* a UUID of version 4 */
    hex[16] = "89ab"[hex[16] & 3];

    id.data = p;
    id.len = ngx_sprintf(p, "%*s-%*s-%*s-%*s-%*s", (size_t) 8, hex,
                         (size_t) 4, hex + 8, (size_t) 4, hex + 12,
                         (size_t) 4, hex + 16, (size_t) 12, hex + 20)
             - p;

    if (ctx->job.start) {
        ngx_str_set(&ctx->status, "pending");

    } else {
        ngx_str_set(&ctx->status, "created");
    }

    args[3] = id;
    args[4] = ctx->job.model;
    args[5] = ctx->job.format;
    args[6] = ctx->job.video_url;
    args[7] = ctx->job.webhook_url;
    args[8] = ctx->job.options;
    args[9] = ctx->job.metadata;
    ngx_str_set(&args[10], "f");
    args[11] = ctx->request_id;
    ngx_str_set(&args[12], "201");

    if (ctx->job.start) {
        ngx_str_set(&args[10], "t");
    }

    if (ngx_http_matte_render_status(r, &id, &ctx->status, &args[13]) != NGX_OK
        || ngx_http_matte_args_write(ctx, q, args) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_matte_query_args(q, args, 14, 0x5);
}


static ngx_int_t
ngx_http_matte_args_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[10];

    ngx_str_set(&ctx->status, "pending");

    ngx_http_matte_args_job(ctx, &args[3]);
    args[4] = ctx->job.model;
    args[5] = ctx->job.format;
    args[6] = ctx->job.webhook_url;
    args[7] = ctx->job.options;
    ngx_str_set(&args[8], "200");

    if (ngx_http_matte_render_status(r, &args[3], &ctx->status, &args[9])
        != NGX_OK
        || ngx_http_matte_args_write(ctx, q, args) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_matte_query_args(q, args, 10, 0x5);
}


/* tells the state; what was stored for a replay must tell the same */

static ngx_int_t
ngx_http_matte_answer_status(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *status)
{
    ngx_str_t                    args[3];
    ngx_http_matte_query_t      *q;
    ngx_http_matte_main_conf_t  *mcf;

    if (ngx_http_matte_render_status(r, &ctx->job_id, status, &args[2])
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->idempotency_key.len
        && (status->len != ctx->status.len
            || ngx_memcmp(status->data, ctx->status.data, status->len) != 0))
    {
        mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

        q = ngx_http_matte_query(mcf->pg, NGX_HTTP_MATTE_ANSWERED);
        if (q == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_http_matte_args_key(ctx, &args[0], NULL);
        args[1] = ctx->idempotency_key;

        if (ngx_http_matte_query_args(q, args, 3, 0x1) != NGX_OK) {
            ngx_http_matte_query_free(q);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        /* a full queue: the replay will tell the older state */

        (void) ngx_http_matte_query_send(q, NULL, NULL);
    }

    return ngx_http_matte_send(r, ctx->route->statement
                                  == NGX_HTTP_MATTE_CREATE
                                  ? NGX_HTTP_CREATED : NGX_HTTP_OK, &args[2]);
}


static void
ngx_http_matte_rung(void *data, ngx_str_t *answer)
{
    ngx_http_request_t *r = data;

    ngx_str_t              processing = ngx_string("processing");
    ngx_uint_t             taken;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);

    taken = answer && answer->len == processing.len
            && ngx_memcmp(answer->data, processing.data, answer->len) == 0;

    if (taken) {
        ngx_str_set(&ctx->dispatch, "processing");

    } else if (answer) {
        ngx_str_set(&ctx->dispatch, "pending");

    } else {
        ngx_str_set(&ctx->dispatch, "late");
    }

    ngx_http_matte_finish(r, ngx_http_matte_answer_status(r, ctx, taken
                                                 ? &processing : &ctx->status));
}


/* after the commit, so that the engine finds what it is told of */

static ngx_int_t
ngx_http_matte_dispatch(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    ctx->ring.handler = ngx_http_matte_rung;
    ctx->ring.data = r;

    if (mcf->engine
        && ngx_http_matte_engine_ring(mcf->engine, &ctx->ring, &ctx->job_id)
           == NGX_OK)
    {
        return NGX_DONE;
    }

    ngx_str_set(&ctx->dispatch, "down");

    return ngx_http_matte_answer_status(r, ctx, &ctx->status);
}


static ngx_int_t
ngx_http_matte_answer_replay(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_row_t *row)
{
    ngx_int_t  code;
    ngx_str_t  body;

    code = ngx_atoi(row->code.data, row->code.len);

    body.len = row->body.len;
    body.data = ngx_pstrdup(r->pool, &row->body);

    if (code == NGX_ERROR || body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->replayed = 1;

    return ngx_http_matte_send(r, code, &body);
}


static ngx_int_t
ngx_http_matte_answer_create(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    if (ngx_strcmp(row.outcome.data, "replay") == 0) {
        return ngx_http_matte_answer_replay(r, ctx, &row);
    }

    ctx->job_id.len = row.job.len;
    ctx->job_id.data = ngx_pstrdup(r->pool, &row.job);
    if (ctx->job_id.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ctx->job.start ? ngx_http_matte_dispatch(r, ctx)
                          : ngx_http_matte_answer_status(r, ctx, &ctx->status);
}


static ngx_int_t
ngx_http_matte_answer_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    if (ngx_strcmp(row.outcome.data, "replay") == 0) {
        return ngx_http_matte_answer_replay(r, ctx, &row);
    }

    /* total: it was started before, with the same settings */

    return row.total.data ? ngx_http_matte_answer_status(r, ctx, &row.status)
                          : ngx_http_matte_dispatch(r, ctx);
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


static ngx_int_t
ngx_http_matte_set_variable(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = value->len;
    v->data = value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_matte_set_variable(v, (ngx_str_t *) ((u_char *) ctx
                                                         + data));
}


static ngx_int_t
ngx_http_matte_route_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              none = ngx_null_string;
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_matte_set_variable(v, ctx->route ? &ctx->route->name
                                                     : &none);
}


static ngx_int_t
ngx_http_matte_add_variables(ngx_conf_t *cf)
{
    ngx_uint_t            i;
    ngx_http_variable_t  *v;

    for (i = 0; ngx_http_matte_variables[i].name.len; i++) {

        v = ngx_http_add_variable(cf, &ngx_http_matte_variables[i].name,
                                  NGX_HTTP_VAR_NOCACHEABLE);
        if (v == NULL) {
            return NGX_ERROR;
        }

        v->get_handler = ngx_http_matte_variables[i].handler;
        v->data = ngx_http_matte_variables[i].data;
    }

    return NGX_OK;
}


static void *
ngx_http_matte_create_main_conf(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_matte_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    for (i = 0; i < NGX_HTTP_MATTE_LANES; i++) {
        mcf->connections[i] = NGX_CONF_UNSET_UINT;
    }

    mcf->depth = NGX_CONF_UNSET_UINT;
    mcf->batch = NGX_CONF_UNSET_UINT;
    mcf->queue = NGX_CONF_UNSET_UINT;
    mcf->timeout = NGX_CONF_UNSET_MSEC;
    mcf->connect_timeout = NGX_CONF_UNSET_MSEC;
    mcf->key_ttl = NGX_CONF_UNSET_MSEC;
    mcf->negative_ttl = NGX_CONF_UNSET_MSEC;
    mcf->engine_wait = NGX_CONF_UNSET_MSEC;
    mcf->link_ttl = NGX_CONF_UNSET;

    return mcf;
}


static char *
ngx_http_matte_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_matte_main_conf_t  *mcf = conf;

    ngx_str_t   name;
    ngx_uint_t  i;

    struct {
        ngx_uint_t   given;
        const char  *directive;
    } required[] = {
        { mcf->conninfo.len, "matte_database" },
        { mcf->state_path.len, "matte_state_path" },
        { mcf->secrets != NULL, "matte_link_secret" }
    };

    if (!mcf->used) {
        return NGX_CONF_OK;
    }

    for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {

        if (!required[i].given) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%s\" is required with \"matte_api\" and "
                          "\"matte_files\"", required[i].directive);
            return NGX_CONF_ERROR;
        }
    }

    for (i = 0; i < NGX_HTTP_MATTE_LANES; i++) {
        ngx_conf_init_uint_value(mcf->connections[i], 1);
    }

    ngx_conf_init_uint_value(mcf->depth, 64);
    ngx_conf_init_uint_value(mcf->batch, 32);
    ngx_conf_init_uint_value(mcf->queue, 1024);
    ngx_conf_init_msec_value(mcf->timeout, 5000);
    ngx_conf_init_msec_value(mcf->connect_timeout, 2000);
    ngx_conf_init_msec_value(mcf->key_ttl, 30000);
    ngx_conf_init_msec_value(mcf->negative_ttl, 2000);
    ngx_conf_init_msec_value(mcf->engine_wait, 50);
    ngx_conf_init_value(mcf->link_ttl, 900);

    if (mcf->models == 0) {
        mcf->models = ngx_http_matte_models[0].mask;
    }

    if (mcf->formats == 0) {
        mcf->formats = ngx_http_matte_formats[0].mask;
    }

    if (mcf->zone == NULL) {
        ngx_str_set(&name, "matte");

        mcf->zone = ngx_http_matte_keys_zone(cf, &name, 1024 * 1024);
        if (mcf->zone == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_matte_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_matte_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_matte_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->errors = NGX_CONF_UNSET;

    return lcf;
}


static char *
ngx_http_matte_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_matte_loc_conf_t *prev = parent;
    ngx_http_matte_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_value(conf->errors, prev->errors, 0);

    if (conf->api || conf->files) {
        conf->errors = 1;
    }

    if (!conf->api) {
        return NGX_CONF_OK;
    }

    /* a body is parsed in memory, in one piece */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->client_max_body_size == 0
        || clcf->client_max_body_size > NGX_HTTP_MATTE_MAX_BODY
        || clcf->client_body_buffer_size < (size_t) clcf->client_max_body_size)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"matte_api\" in location \"%V\" needs "
                      "\"client_max_body_size\" of at most 64k and "
                      "\"client_body_buffer_size\" not below it",
                      &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* "name=number" of a table of names */

static char *
ngx_http_matte_numbers(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char                   *field;
    ngx_int_t                 n;
    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_http_matte_number_t  *number;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (number = cmd->post; number->name.len; number++) {
            if (ngx_strncmp(value[i].data, number->name.data, number->name.len)
                == 0)
            {
                break;
            }
        }

        n = ngx_atoi(value[i].data + number->name.len,
                     value[i].len - number->name.len);

        if (number->name.len == 0 || n < 1 || n > (ngx_int_t) number->max) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        field = (u_char *) conf + number->offset;
        *(ngx_uint_t *) field = n;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_matte_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_matte_main_conf_t  *mcf = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, s;

    if (mcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    p = ngx_strlchr(name.data, name.data + name.len, ':');

    if (p == NULL || p == name.data) {
        return "needs NAME:SIZE";
    }

    s.data = p + 1;
    s.len = name.data + name.len - s.data;
    name.len = p - name.data;

    size = ngx_parse_size(&s);

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        return "needs a size of at least 8 pages";
    }

    mcf->zone = ngx_http_matte_keys_zone(cf, &name, size);

    return mcf->zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_matte_key_ttl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_matte_main_conf_t  *mcf = conf;

    ngx_str_t   *value, s;
    ngx_msec_t   negative;

    if (mcf->key_ttl != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    mcf->key_ttl = ngx_parse_time(&value[1], 0);

    if (mcf->key_ttl == (ngx_msec_t) NGX_ERROR) {
        return "needs a time";
    }

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[2].data, "negative=", 9) != 0) {
        return "takes a time and negative=TIME";
    }

    s.data = value[2].data + 9;
    s.len = value[2].len - 9;

    negative = ngx_parse_time(&s, 0);

    if (negative == (ngx_msec_t) NGX_ERROR) {
        return "needs a time after negative=";
    }

    mcf->negative_ttl = negative;

    return NGX_CONF_OK;
}


static char *
ngx_http_matte_engine(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_matte_main_conf_t  *mcf = conf;

    ngx_url_t   u;
    ngx_str_t  *value;

    if (mcf->engine_addr) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.no_resolve = 1;

    if (ngx_strncasecmp(u.url.data, (u_char *) "unix:", 5) != 0
        || ngx_parse_url(cf->pool, &u) != NGX_OK)
    {
        return "needs unix:PATH";
    }

    mcf->engine_addr = &u.addrs[0];

    return NGX_CONF_OK;
}


static char *
ngx_http_matte_set_handler(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_matte_main_conf_t  *mcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "meets another handler in this location";
    }

    clcf->handler = handler;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_matte_module);
    mcf->used = 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_matte_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_matte_loc_conf_t  *lcf = conf;

    lcf->api = 1;

    return ngx_http_matte_set_handler(cf, ngx_http_matte_handler);
}


static char *
ngx_http_matte_files(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_matte_loc_conf_t  *lcf = conf;

    lcf->files = 1;

    return ngx_http_matte_set_handler(cf, ngx_http_matte_files_handler);
}


static ngx_int_t
ngx_http_matte_init_process(ngx_cycle_t *cycle)
{
    ngx_http_matte_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_matte_module);

    if (mcf == NULL || !mcf->used) {
        return NGX_OK;
    }

    mcf->pg = ngx_http_matte_pg_start(cycle, mcf);
    if (mcf->pg == NULL) {
        return NGX_ERROR;
    }

    if (mcf->engine_addr) {
        mcf->engine = ngx_http_matte_engine_start(cycle, mcf);
        if (mcf->engine == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_matte_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_matte_module);

    if (mcf == NULL || mcf->pg == NULL) {
        return;
    }

    ngx_http_matte_pg_stop(mcf->pg);

    if (mcf->engine) {
        ngx_http_matte_engine_stop(mcf->engine);
    }
}
