
/*
 * The operator's routes: they are there if a token is configured, and take it
 * in place of a key.
 */


#include "ngx_http_matte.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>


#define NGX_HTTP_MATTE_TOKEN_MAX  4096


static ngx_int_t
ngx_http_matte_check_access(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body, ngx_uint_t create)
{
    if (body->len && ngx_http_matte_check_type(r, ctx) != NGX_OK) {
        return NGX_DECLINED;
    }

    return ngx_http_matte_parse_access(r, ctx, body, create);
}


ngx_int_t
ngx_http_matte_check_key(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    return ngx_http_matte_check_access(r, ctx, body, 1);
}


ngx_int_t
ngx_http_matte_check_fingerprint(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body)
{
    return ngx_http_matte_check_access(r, ctx, body, 0);
}


ngx_int_t
ngx_http_matte_args_keys(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    u_char     limit[NGX_INT_T_LEN], offset[NGX_INT_T_LEN];
    ngx_str_t  args[2];

    args[0].data = limit;
    args[0].len = ngx_sprintf(limit, "%ui", ctx->limit) - limit;
    args[1].data = offset;
    args[1].len = ngx_sprintf(offset, "%ui", ctx->offset) - offset;

    return ngx_http_matte_query_args(q, args, 2, 0);
}


ngx_int_t
ngx_http_matte_args_new_key(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[4];

    args[0] = ctx->access.client;
    args[1] = ctx->access.note;
    args[2] = ctx->access.scope;
    args[3] = ctx->access.expires;

    return ngx_http_matte_query_args(q, args, 4, 0);
}


ngx_int_t
ngx_http_matte_args_enable(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[2];

    args[0] = ctx->access.fingerprint;
    ngx_str_set(&args[1], "t");

    return ngx_http_matte_query_args(q, args, 2, 0);
}


ngx_int_t
ngx_http_matte_args_disable(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[2];

    args[0] = ctx->access.fingerprint;
    ngx_str_set(&args[1], "f");

    return ngx_http_matte_query_args(q, args, 2, 0);
}


static void
ngx_http_matte_gen_names(yajl_gen g, ngx_conf_bitmask_t *list, ngx_uint_t mask)
{
    yajl_gen_array_open(g);

    for ( /* void */ ; list->name.len; list++) {
        if (list->mask & mask) {
            ngx_http_matte_gen(g, &list->name);
        }
    }

    yajl_gen_array_close(g);
}


/* what clients meet here: no secret, no path */

ngx_int_t
ngx_http_matte_answer_config(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    yajl_gen                     g;
    ngx_str_t                    body;
    ngx_uint_t                   i;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    struct {
        ngx_str_t            name;
        ngx_conf_bitmask_t  *names;
        ngx_int_t            value;     /* of no names: a number */
    } items[] = {
        { ngx_string("matte_models"), ngx_http_matte_models, mcf->models },
        { ngx_string("matte_formats"), ngx_http_matte_formats, mcf->formats },
        { ngx_string("matte_require_prompt"), NULL, mcf->prompt },
        { ngx_string("matte_legacy_key"), NULL, mcf->legacy_key != NULL },
        { ngx_string("matte_link_ttl"), NULL, mcf->link_ttl },
        { ngx_string("matte_key_ttl"), NULL, mcf->key_ttl / 1000 },
        { ngx_string("matte_database_queue"), NULL, mcf->queue },
        { ngx_string("worker_processes"), NULL,
          ((ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                            ngx_core_module))
          ->worker_processes }
    };

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "items");
    yajl_gen_array_open(g);

    for (i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        yajl_gen_map_open(g);
        ngx_http_matte_gen_literal(g, "name");
        ngx_http_matte_gen(g, &items[i].name);
        ngx_http_matte_gen_literal(g, "value");

        if (items[i].names) {
            ngx_http_matte_gen_names(g, items[i].names, items[i].value);

        } else {
            yajl_gen_integer(g, items[i].value);
        }

        yajl_gen_map_close(g);
    }

    yajl_gen_array_close(g);
    yajl_gen_map_close(g);

    if (ngx_http_matte_gen_done(g, r->pool, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, NGX_HTTP_OK, &body);
}


ngx_int_t
ngx_http_matte_admin(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx)
{
    u_char                       hash[NGX_HTTP_MATTE_HASH_LEN];
    ngx_str_t                   *token, name = ngx_string("x-admin-token");
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    token = ngx_http_matte_header(r, &name);

    if (token == NULL || token->len == 0) {
        (void) ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_MISSING_KEY, "",
                                      "The header X-Admin-Token is required.");

        return NGX_HTTP_MATTE_MISSING_KEY;
    }

    /* digests: neither the token's length nor its start shows in the time */

    SHA256(token->data, token->len, hash);

    if (CRYPTO_memcmp(hash, mcf->admin_token, NGX_HTTP_MATTE_HASH_LEN) == 0) {
        return NGX_OK;
    }

    (void) ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_INVALID_KEY, "",
                                  "The admin token is not valid.");

    return NGX_HTTP_MATTE_INVALID_KEY;
}


static char *
ngx_http_matte_read_digest(ngx_conf_t *cf, ngx_str_t *path, u_char *hash)
{
    u_char     buf[NGX_HTTP_MATTE_TOKEN_MAX];
    ssize_t    n;
    ngx_fd_t   fd;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, buf, NGX_HTTP_MATTE_TOKEN_MAX);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    while (n > 0 && (buf[n - 1] == LF || buf[n - 1] == CR)) {
        n--;
    }

    if (n <= 0) {
        return "names a file without a secret";
    }

    SHA256(buf, n, hash);

    return NGX_CONF_OK;
}


char *
ngx_http_matte_set_digest(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char     **digest, *hash;
    ngx_str_t   *value, s;

    digest = (u_char **) ((u_char *) conf + cmd->offset);

    if (*digest) {
        return "is duplicate";
    }

    hash = ngx_palloc(cf->pool, NGX_HTTP_MATTE_HASH_LEN);
    if (hash == NULL) {
        return NGX_CONF_ERROR;
    }

    *digest = hash;

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "file:", 5) == 0) {
        s.data = value[1].data + 5;
        s.len = value[1].len - 5;

        return ngx_http_matte_read_digest(cf, &s, hash);
    }

    if (ngx_strncmp(value[1].data, "sha256:", 7) == 0
        && ngx_http_matte_unhex(hash, value[1].data + 7, value[1].len - 7)
           == NGX_OK)
    {
        return NGX_CONF_OK;
    }

    return "needs sha256: and 64 hexadecimal digits, or file:PATH";
}
