
/*
 * Signed links to outputs: made when a job is read, checked without the
 * database, served by nginx's own static files through an internal redirect.
 */


#include "ngx_http_matte.h"
#include <openssl/crypto.h>
#include <openssl/hmac.h>


#define NGX_HTTP_MATTE_FILES       "/files/"
#define NGX_HTTP_MATTE_INTERNAL_URI  "/_matte/"
#define NGX_HTTP_MATTE_SECRET_MIN  16
#define NGX_HTTP_MATTE_EXT_MAX     16
#define NGX_HTTP_MATTE_SIG_LEN     64


/* HMAC-SHA256 of "GET\n" path "\n" exp, in hex */

static ngx_int_t
ngx_http_matte_sign(ngx_http_request_t *r, ngx_http_matte_secret_t *secret,
    ngx_str_t *path, ngx_str_t *exp, u_char *sig)
{
    u_char   *p, *last, hash[EVP_MAX_MD_SIZE];
    unsigned  len;

    p = ngx_pnalloc(r->pool, sizeof("GET\n\n") + path->len + exp->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(p, "GET\n%V\n%V", path, exp);

    if (HMAC(EVP_sha256(), secret->secret, secret->len, p, last - p, hash,
             &len)
        == NULL)
    {
        return NGX_ERROR;
    }

    ngx_hex_dump(sig, hash, NGX_HTTP_MATTE_SIG_LEN / 2);

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_link(ngx_http_request_t *r, ngx_str_t *key, ngx_str_t *url)
{
    u_char                       sig[NGX_HTTP_MATTE_SIG_LEN];
    u_char                       time[NGX_TIME_T_LEN];
    ngx_str_t                    base, path, exp;
    ngx_http_matte_secret_t     *secret;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    if (ngx_http_complex_value(r, mcf->public_url, &base) != NGX_OK) {
        return NGX_ERROR;
    }

    path.data = ngx_pnalloc(r->pool, sizeof(NGX_HTTP_MATTE_FILES)
                                     + key->len);
    if (path.data == NULL) {
        return NGX_ERROR;
    }

    path.len = ngx_sprintf(path.data, NGX_HTTP_MATTE_FILES "%V", key)
               - path.data;

    exp.data = time;
    exp.len = ngx_sprintf(time, "%T", ngx_time() + mcf->link_ttl) - time;

    secret = mcf->secrets->elts;

    if (ngx_http_matte_sign(r, secret, &path, &exp, sig) != NGX_OK) {
        return NGX_ERROR;
    }

    url->data = ngx_pnalloc(r->pool, base.len + path.len + exp.len
                                     + secret->id.len + NGX_HTTP_MATTE_SIG_LEN
                                     + sizeof("?exp=&kid=&sig="));
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    url->len = ngx_sprintf(url->data, "%V%V?exp=%V&kid=%V&sig=%*s", &base,
                           &path, &exp, &secret->id,
                           (size_t) NGX_HTTP_MATTE_SIG_LEN, sig)
               - url->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_verify(ngx_http_request_t *r)
{
    u_char                       expected[NGX_HTTP_MATTE_SIG_LEN];
    time_t                       until;
    ngx_str_t                    exp, kid, sig;
    ngx_uint_t                   i;
    ngx_http_matte_secret_t     *secret;
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    if (ngx_http_arg(r, (u_char *) "exp", 3, &exp) != NGX_OK
        || ngx_http_arg(r, (u_char *) "kid", 3, &kid) != NGX_OK
        || ngx_http_arg(r, (u_char *) "sig", 3, &sig) != NGX_OK
        || sig.len != NGX_HTTP_MATTE_SIG_LEN)
    {
        return NGX_DECLINED;
    }

    until = ngx_atotm(exp.data, exp.len);

    if (until == (time_t) NGX_ERROR || until < ngx_time()) {
        return NGX_DECLINED;
    }

    secret = mcf->secrets->elts;

    for (i = 0; i < mcf->secrets->nelts; i++) {

        if (secret[i].id.len != kid.len
            || ngx_memcmp(secret[i].id.data, kid.data, kid.len) != 0)
        {
            continue;
        }

        if (ngx_http_matte_sign(r, &secret[i], &r->uri, &exp, expected)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return CRYPTO_memcmp(expected, sig.data, NGX_HTTP_MATTE_SIG_LEN) == 0
               ? NGX_OK : NGX_DECLINED;
    }

    return NGX_DECLINED;
}


/*
 * <tenant>/<job>/<attempt>.<ext>, where ext may have parts, and the name that
 * a download gets
 */

static ngx_int_t
ngx_http_matte_output_key(ngx_http_request_t *r, ngx_str_t *key,
    ngx_str_t *name)
{
    u_char     *p, *last, *dot;
    ngx_str_t   tenant, job;

    if (key->len < 2 * (NGX_HTTP_MATTE_UUID_LEN + 1)) {
        return NGX_DECLINED;
    }

    tenant.data = key->data;
    tenant.len = NGX_HTTP_MATTE_UUID_LEN;
    job.data = key->data + NGX_HTTP_MATTE_UUID_LEN + 1;
    job.len = NGX_HTTP_MATTE_UUID_LEN;

    p = job.data + NGX_HTTP_MATTE_UUID_LEN;
    last = key->data + key->len;

    if (ngx_http_matte_uuid(&tenant) != NGX_OK || job.data[-1] != '/'
        || ngx_http_matte_uuid(&job) != NGX_OK || *p++ != '/')
    {
        return NGX_DECLINED;
    }

    dot = p;

    while (dot < last && *dot >= '0' && *dot <= '9') {
        dot++;
    }

    if (dot == p || dot == last || *dot != '.'
        || last - dot < 2 || last - dot > NGX_HTTP_MATTE_EXT_MAX + 1)
    {
        return NGX_DECLINED;
    }

    for (p = dot + 1; p < last; p++) {

        if (*p == '.' && p[-1] != '.' && p + 1 != last) {
            continue;
        }

        if ((*p < 'a' || *p > 'z') && (*p < '0' || *p > '9')) {
            return NGX_DECLINED;
        }
    }

    name->len = job.len + (last - dot);
    name->data = ngx_pnalloc(r->pool, name->len);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(name->data, job.data, job.len), dot, last - dot);

    return NGX_OK;
}


/* a link that is wrong, one that has expired and no file: all are 404 */

ngx_int_t
ngx_http_matte_files_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_str_t              key, name, uri;
    ngx_http_matte_ctx_t  *ctx;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_matte_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->uri.len < sizeof(NGX_HTTP_MATTE_FILES)
        || ngx_strncmp(r->uri.data, NGX_HTTP_MATTE_FILES,
                       sizeof(NGX_HTTP_MATTE_FILES) - 1) != 0)
    {
        return NGX_HTTP_NOT_FOUND;
    }

    key.data = r->uri.data + sizeof(NGX_HTTP_MATTE_FILES) - 1;
    key.len = r->uri.len - (sizeof(NGX_HTTP_MATTE_FILES) - 1);

    rc = ngx_http_matte_output_key(r, &key, &name);

    if (rc == NGX_OK) {
        rc = ngx_http_matte_verify(r);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_HTTP_NOT_FOUND
                                  : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->file = name;
    ctx->job_id.data = name.data;
    ctx->job_id.len = NGX_HTTP_MATTE_UUID_LEN;

    uri.data = ngx_pnalloc(r->pool, sizeof(NGX_HTTP_MATTE_INTERNAL_URI)
                                    + key.len);
    if (uri.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    uri.len = ngx_sprintf(uri.data, NGX_HTTP_MATTE_INTERNAL_URI "%V", &key)
              - uri.data;

    (void) ngx_http_internal_redirect(r, &uri, NULL);

    return NGX_DONE;
}


char *
ngx_http_matte_link_secret(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_matte_main_conf_t  *mcf = conf;

    u_char                   *p, *hex;
    size_t                    i, len;
    ngx_int_t                 n;
    ngx_str_t                *value;
    ngx_http_matte_secret_t  *secret;

    if (mcf->secrets == NULL) {
        mcf->secrets = ngx_array_create(cf->pool, 2,
                                        sizeof(ngx_http_matte_secret_t));
        if (mcf->secrets == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    p = ngx_strlchr(value[1].data, value[1].data + value[1].len, ':');

    if (p == NULL || p == value[1].data) {
        return "needs KID:HEX";
    }

    for (hex = value[1].data; hex < p; hex++) {
        if (!((*hex >= '0' && *hex <= '9') || (*hex >= 'a' && *hex <= 'z')
              || (*hex >= 'A' && *hex <= 'Z')))
        {
            return "needs a KID of letters and digits";
        }
    }

    hex = p + 1;
    len = value[1].data + value[1].len - hex;

    if (len % 2 || len / 2 < NGX_HTTP_MATTE_SECRET_MIN) {
        return "needs a secret of at least 32 hexadecimal digits";
    }

    secret = ngx_array_push(mcf->secrets);
    if (secret == NULL) {
        return NGX_CONF_ERROR;
    }

    secret->id.data = value[1].data;
    secret->id.len = p - value[1].data;
    secret->len = len / 2;
    secret->secret = ngx_pnalloc(cf->pool, secret->len);
    if (secret->secret == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < secret->len; i++) {
        n = ngx_hextoi(hex + 2 * i, 2);

        if (n == NGX_ERROR) {
            return "needs a secret of hexadecimal digits";
        }

        secret->secret[i] = (u_char) n;
    }

    return NGX_CONF_OK;
}
