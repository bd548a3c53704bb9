
/*
 * Directives, variables, and what a worker starts and stops.
 */


#include "ngx_http_matte.h"


typedef struct {
    ngx_str_t                    name;
    ngx_uint_t                   offset;
    ngx_uint_t                   max;
} ngx_http_matte_number_t;


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
static char *ngx_http_matte_check_conninfo(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_matte_check_time(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_matte_check_size(ngx_conf_t *cf, void *post,
    void *data);
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


static struct {
    ngx_str_t                   name;
    ngx_http_get_variable_pt    handler;
    uintptr_t                   data;
} ngx_http_matte_variables[] = {
    { ngx_string("matte_route"), ngx_http_matte_route_variable, 0 },
    { ngx_string("matte_traceparent"), ngx_http_matte_variable,
      offsetof(ngx_http_matte_ctx_t, traceparent) },
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
    { ngx_string("depth="),
      offsetof(ngx_http_matte_main_conf_t, depth), 1024 },
    { ngx_string("batch="),
      offsetof(ngx_http_matte_main_conf_t, batch), 256 },
    { ngx_null_string, 0, 0 }
};


static ngx_conf_post_t  ngx_http_matte_conninfo_post = {
    ngx_http_matte_check_conninfo
};


static ngx_conf_post_t  ngx_http_matte_time_post = {
    ngx_http_matte_check_time
};


static ngx_conf_post_t  ngx_http_matte_size_post = {
    ngx_http_matte_check_size
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
      &ngx_http_matte_conninfo_post },

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
      &ngx_http_matte_time_post },

    { ngx_string("matte_database_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, connect_timeout),
      &ngx_http_matte_time_post },

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

    { ngx_string("matte_require_prompt"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, prompt),
      NULL },

    { ngx_string("matte_admin_token"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_matte_set_digest,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, admin_token),
      NULL },

    { ngx_string("matte_legacy_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_matte_set_digest,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_matte_main_conf_t, legacy_key),
      NULL },

    { ngx_string("matte_errors"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_matte_loc_conf_t, errors),
      NULL },

    { ngx_string("matte_upload"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_matte_loc_conf_t, upload),
      NULL },

    { ngx_string("matte_upload_max_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_matte_loc_conf_t, upload_max_size),
      &ngx_http_matte_size_post },

    { ngx_string("matte_min_free"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_matte_loc_conf_t, min_free),
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
    mcf->prompt = NGX_CONF_UNSET;

    return mcf;
}


static char *
ngx_http_matte_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_matte_main_conf_t  *mcf = conf;

    ngx_str_t                          name, url;
    ngx_uint_t                         i;
    ngx_http_compile_complex_value_t   ccv;

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
    ngx_conf_init_value(mcf->prompt, 0);

    if (mcf->public_url == NULL) {

        mcf->public_url = ngx_palloc(cf->pool,
                                     sizeof(ngx_http_complex_value_t));
        if (mcf->public_url == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_str_set(&url, "$scheme://$http_host");

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &url;
        ccv.complex_value = mcf->public_url;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

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
    lcf->upload = NGX_CONF_UNSET;
    lcf->upload_max_size = NGX_CONF_UNSET;
    lcf->min_free = NGX_CONF_UNSET;

    return lcf;
}


static char *
ngx_http_matte_merge_upload(ngx_conf_t *cf, ngx_http_matte_loc_conf_t *conf,
    ngx_http_core_loc_conf_t *clcf)
{
    u_char  *p;

    if (clcf->client_max_body_size) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"matte_upload\" in location \"%V\" needs "
                      "\"client_max_body_size 0\": "
                      "\"matte_upload_max_size\" is the limit",
                      &clcf->name);
        return NGX_CONF_ERROR;
    }

    conf->upload_threads = ngx_thread_pool_add(cf, NULL);

    p = ngx_pnalloc(cf->pool, sizeof("The file may have at most  bytes.")
                              + NGX_OFF_T_LEN);

    if (conf->upload_threads == NULL || p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->upload_too_large.data = p;
    conf->upload_too_large.len = ngx_sprintf(p,
                                             "The file may have at most %O "
                                             "bytes.", conf->upload_max_size)
                                 - p;

    return NGX_CONF_OK;
}


static char *
ngx_http_matte_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_matte_loc_conf_t *prev = parent;
    ngx_http_matte_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_value(conf->errors, prev->errors, 0);
    ngx_conf_merge_value(conf->upload, prev->upload, 0);
    ngx_conf_merge_off_value(conf->upload_max_size, prev->upload_max_size,
                             500 * 1024 * 1024);
    ngx_conf_merge_off_value(conf->min_free, prev->min_free,
                             1024 * 1024 * 1024);

    if (conf->api || conf->files) {
        conf->errors = 1;
    }

    if (!conf->api) {
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->upload) {
        return ngx_http_matte_merge_upload(cf, conf, clcf);
    }

    /* a body is parsed in memory, in one piece */

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


static char *
ngx_http_matte_check_conninfo(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t  *value = data;

    char              *error;
    PQconninfoOption  *options;

    options = PQconninfoParse((char *) value->data, &error);

    if (options) {
        PQconninfoFree(options);
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s",
                       error ? error : "no memory");
    PQfreemem(error);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_matte_check_time(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *value = data;

    return *value ? NGX_CONF_OK : "must not be 0";
}


static char *
ngx_http_matte_check_size(ngx_conf_t *cf, void *post, void *data)
{
    off_t  *value = data;

    return *value > 0 ? NGX_CONF_OK : "must not be 0";
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
