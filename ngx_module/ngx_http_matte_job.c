
/*
 * What is particular to each route of a job: the checks of its request, the
 * arguments of its statement, its answer.
 */


#include "ngx_http_matte.h"
#include <openssl/sha.h>


#define NGX_HTTP_MATTE_IDEM_MAX     255

/* a job that nobody has: a malformed id is looked up like any other */
#define NGX_HTTP_MATTE_NIL          "00000000-0000-0000-0000-000000000000"


typedef struct {
    ngx_str_t   name;
    ngx_uint_t  mask;
    ngx_int_t   min;
    ngx_int_t   max;
    ngx_uint_t  value;                  /* of one that is not given */
    size_t      offset;                 /* in the context */
} ngx_http_matte_argument_t;


static ngx_http_matte_argument_t  ngx_http_matte_arguments[] = {
    { ngx_string("limit"), NGX_HTTP_MATTE_LIMIT, 1, 100, 20,
      offsetof(ngx_http_matte_ctx_t, limit) },
    { ngx_string("offset"), NGX_HTTP_MATTE_OFFSET, 0, 1000000, 0,
      offsetof(ngx_http_matte_ctx_t, offset) },
    { ngx_string("days"), NGX_HTTP_MATTE_DAYS, 1, 90, 7,
      offsetof(ngx_http_matte_ctx_t, days) },
    { ngx_null_string, 0, 0, 0, 0, 0 }
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


static struct {
    ngx_str_t  status;
    ngx_str_t  message;
} ngx_http_matte_messages[] = {
    { ngx_string("created"), ngx_string("The job is made: start it.") },
    { ngx_string("pending"), ngx_string("The job waits for a worker.") },
    { ngx_string("processing"), ngx_string("A worker has the job.") },
    { ngx_string("completed"), ngx_string("The job is completed.") },
    { ngx_string("failed"), ngx_string("The job has failed.") },
    { ngx_string("cancelled"), ngx_string("The job was cancelled.") },
    { ngx_null_string, ngx_null_string }
};


ngx_int_t
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

ngx_int_t
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


ngx_int_t
ngx_http_matte_check_create(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    return ngx_http_matte_check_post(r, ctx, body, 1);
}


ngx_int_t
ngx_http_matte_check_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    return ngx_http_matte_check_post(r, ctx, body, 0);
}


ngx_int_t
ngx_http_matte_check_arguments(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx)
{
    u_char                     *message, *field;
    ngx_int_t                   n;
    ngx_str_t                   value;
    ngx_http_matte_argument_t  *a;

    for (a = ngx_http_matte_arguments; a->mask; a++) {

        if (!(ctx->route->arguments & a->mask)) {
            continue;
        }

        field = (u_char *) ctx + a->offset;
        *(ngx_uint_t *) field = a->value;

        if (ngx_http_arg(r, a->name.data, a->name.len, &value) != NGX_OK) {
            continue;
        }

        n = ngx_atoi(value.data, value.len);

        if (n >= a->min && n <= a->max) {
            *(ngx_uint_t *) field = n;
            continue;
        }

        message = ngx_pnalloc(r->pool, sizeof(" must be from  to .")
                                       + a->name.len + 2 * NGX_INT_T_LEN);
        if (message == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(message, "%V must be from %i to %i.%Z", &a->name, a->min,
                    a->max);

        return ngx_http_matte_decline(ctx, NGX_HTTP_MATTE_INVALID_REQUEST,
                                      (char *) a->name.data, (char *) message);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_check_list(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    ngx_str_t   value;
    ngx_uint_t  i;

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


static ngx_str_t *
ngx_http_matte_message(ngx_str_t *status)
{
    ngx_uint_t  i;

    for (i = 0; ngx_http_matte_messages[i].status.len; i++) {

        if (ngx_http_matte_messages[i].status.len == status->len
            && ngx_memcmp(ngx_http_matte_messages[i].status.data,
                          status->data, status->len) == 0)
        {
            break;
        }
    }

    return &ngx_http_matte_messages[i].message;
}


static ngx_int_t
ngx_http_matte_render_status(ngx_http_request_t *r, ngx_str_t *id,
    ngx_str_t *status, ngx_str_t *message, ngx_str_t *body)
{
    yajl_gen  g;

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_ERROR;
    }

    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "success");
    yajl_gen_bool(g, 1);
    ngx_http_matte_gen_literal(g, "id");
    ngx_http_matte_gen(g, id);
    ngx_http_matte_gen_literal(g, "job_id");
    ngx_http_matte_gen(g, id);
    ngx_http_matte_gen_literal(g, "status");
    ngx_http_matte_gen(g, status);
    ngx_http_matte_gen_literal(g, "message");
    ngx_http_matte_gen(g, message);
    yajl_gen_map_close(g);

    return ngx_http_matte_gen_done(g, r->pool, body);
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
ngx_http_matte_args_id(ngx_str_t *id, ngx_str_t *arg)
{
    *arg = *id;

    if (arg->len == 0) {
        ngx_str_set(arg, NGX_HTTP_MATTE_NIL);
    }
}


ngx_int_t
ngx_http_matte_args_get(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[3];

    ngx_http_matte_args_key(ctx, &args[0], &args[1]);
    ngx_http_matte_args_id(&ctx->job_id, &args[2]);

    return ngx_http_matte_query_args(q, args, 3, 0x1);
}


/* the key, not the tenant: what is written is judged by the database */

ngx_int_t
ngx_http_matte_args_job(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[2];

    ngx_http_matte_args_key(ctx, &args[0], NULL);
    ngx_http_matte_args_id(&ctx->job_id, &args[1]);

    return ngx_http_matte_query_args(q, args, 2, 0x1);
}


ngx_int_t
ngx_http_matte_args_delivery(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[3];

    ngx_http_matte_args_key(ctx, &args[0], NULL);
    ngx_http_matte_args_id(&ctx->job_id, &args[1]);
    ngx_http_matte_args_id(&ctx->delivery_id, &args[2]);

    return ngx_http_matte_query_args(q, args, 3, 0x1);
}


/* days or limit, whichever the route has */

ngx_int_t
ngx_http_matte_args_number(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    u_char     number[NGX_INT_T_LEN];
    ngx_str_t  args[3];

    ngx_http_matte_args_key(ctx, &args[0], &args[1]);

    args[2].data = number;
    args[2].len = ngx_sprintf(number, "%ui",
                              ctx->route->arguments & NGX_HTTP_MATTE_DAYS
                              ? ctx->days : ctx->limit)
                  - number;

    return ngx_http_matte_query_args(q, args, 3, 0x1);
}


ngx_int_t
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


ngx_int_t
ngx_http_matte_args_create(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[15], id;

    id.len = NGX_HTTP_MATTE_UUID_LEN;
    id.data = ngx_pnalloc(r->pool, id.len);

    if (id.data == NULL || ngx_http_matte_random_uuid(id.data) != NGX_OK) {
        return NGX_ERROR;
    }

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

    args[14] = ctx->traceparent;

    if (ctx->job.start) {
        ngx_str_set(&args[10], "t");
    }

    if (ngx_http_matte_render_status(r, &id, &ctx->status,
                                     ngx_http_matte_message(&ctx->status),
                                     &args[13])
        != NGX_OK
        || ngx_http_matte_args_write(ctx, q, args) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_matte_query_args(q, args, 15, 0x5);
}


ngx_int_t
ngx_http_matte_args_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t                    args[11];
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    ngx_str_set(&ctx->status, "pending");

    ngx_http_matte_args_id(&ctx->job_id, &args[3]);
    args[4] = ctx->job.model;
    args[5] = ctx->job.format;
    args[6] = ctx->job.webhook_url;
    args[7] = ctx->job.options;
    ngx_str_set(&args[8], "200");
    ngx_str_set(&args[10], "f");

    if (mcf->prompt) {
        ngx_str_set(&args[10], "t");
    }

    if (ngx_http_matte_render_status(r, &args[3], &ctx->status,
                                     ngx_http_matte_message(&ctx->status),
                                     &args[9])
        != NGX_OK
        || ngx_http_matte_args_write(ctx, q, args) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_matte_query_args(q, args, 11, 0x5);
}


/* tells the state; what was stored for a replay must tell the same */

static ngx_int_t
ngx_http_matte_answer_status(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *status)
{
    ngx_str_t                    args[3];
    ngx_http_matte_query_t      *q;
    ngx_http_matte_main_conf_t  *mcf;

    if (ngx_http_matte_render_status(r, &ctx->job_id, status,
                                     ngx_http_matte_message(status), &args[2])
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

    ngx_int_t              rc;
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

    rc = ngx_http_matte_answer_status(r, ctx, taken ? &processing
                                                    : &ctx->status);

    ngx_http_matte_finish(r, rc);
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


ngx_int_t
ngx_http_matte_answer_create(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    ctx->job_id.len = row.job.len;
    ctx->job_id.data = ngx_pstrdup(r->pool, &row.job);
    if (ctx->job_id.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ctx->job.start ? ngx_http_matte_dispatch(r, ctx)
                          : ngx_http_matte_answer_status(r, ctx, &ctx->status);
}


ngx_int_t
ngx_http_matte_answer_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    /* total: it was started before, with the same settings */

    return row.total.data ? ngx_http_matte_answer_status(r, ctx, &row.status)
                          : ngx_http_matte_dispatch(r, ctx);
}


/* "<name>":"<signed link>", or null where there is no key */

static ngx_int_t
ngx_http_matte_gen_link(ngx_http_request_t *r, yajl_gen g, const char *name,
    ngx_str_t *key)
{
    ngx_str_t  url;

    yajl_gen_string(g, (u_char *) name, ngx_strlen(name));

    if (key->data == NULL) {
        yajl_gen_null(g);
        return NGX_OK;
    }

    if (ngx_http_matte_link(r, key, &url) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_matte_gen(g, &url);

    return NGX_OK;
}


/* job_json() with the signed links as its first members */

static ngx_int_t
ngx_http_matte_render_job(ngx_http_request_t *r, ngx_http_matte_row_t *row,
    ngx_str_t *text)
{
    u_char     *p;
    yajl_gen    g;
    ngx_str_t   links;

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_ERROR;
    }

    yajl_gen_map_open(g);

    if (ngx_http_matte_gen_link(r, g, "output_url", &row->output_key) != NGX_OK
        || ngx_http_matte_gen_link(r, g, "alpha_url", &row->alpha_key)
           != NGX_OK)
    {
        yajl_gen_free(g);
        return NGX_ERROR;
    }

    yajl_gen_map_close(g);

    if (ngx_http_matte_gen_done(g, r->pool, &links) != NGX_OK) {
        return NGX_ERROR;
    }

    text->len = links.len + row->body.len - 1;
    text->data = ngx_pnalloc(r->pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    /* two objects become one */

    p = ngx_cpymem(text->data, links.data, links.len);
    p[-1] = ',';
    ngx_memcpy(p, row->body.data + 1, row->body.len - 1);

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_answer_get(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_str_t             body;
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    if (ngx_http_matte_render_job(r, &row, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, NGX_HTTP_OK, &body);
}


/* a running job ends when its engine learns of the wish */

static void
ngx_http_matte_tell(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_row_t *row)
{
    ngx_http_matte_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);

    if (mcf->engine && ngx_strcmp(row->status.data, "processing") == 0) {
        ngx_http_matte_engine_cancel(mcf->engine, &ctx->job_id);
    }
}


ngx_int_t
ngx_http_matte_answer_cancel(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);
    ngx_http_matte_tell(r, ctx, &row);

    return ngx_http_matte_answer_get(r, ctx, res);
}


ngx_int_t
ngx_http_matte_answer_delete(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    ngx_str_t             body, message = ngx_string("The job is deleted.");
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);
    ngx_http_matte_tell(r, ctx, &row);

    if (ngx_http_matte_render_status(r, &ctx->job_id, &row.status, &message,
                                     &body)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, NGX_HTTP_OK, &body);
}


ngx_int_t
ngx_http_matte_answer_list(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    int                    i;
    yajl_gen               g;
    ngx_str_t              text;
    ngx_int_t              total;
    ngx_uint_t             count;
    ngx_http_matte_row_t   row;

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_matte_row(res, 0, &row);

    count = 0;
    total = row.total.data ? ngx_atoi(row.total.data, row.total.len) : 0;

    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "items");
    yajl_gen_array_open(g);

    for (i = 0; i < PQntuples(res); i++) {
        ngx_http_matte_row(res, i, &row);

        if (row.body.data == NULL) {
            break;                      /* of an empty list */
        }

        if (ngx_http_matte_render_job(r, &row, &text) != NGX_OK) {
            yajl_gen_free(g);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        yajl_gen_number(g, (char *) text.data, text.len);   /* is JSON */
        count++;
    }

    yajl_gen_array_close(g);

    ngx_http_matte_gen_literal(g, "total");
    yajl_gen_integer(g, total);
    ngx_http_matte_gen_literal(g, "limit");
    yajl_gen_integer(g, ctx->limit);
    ngx_http_matte_gen_literal(g, "offset");
    yajl_gen_integer(g, ctx->offset);
    ngx_http_matte_gen_literal(g, "has_more");
    yajl_gen_bool(g, (ngx_int_t) (ctx->offset + count) < total);
    yajl_gen_map_close(g);

    if (ngx_http_matte_gen_done(g, r->pool, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, NGX_HTTP_OK, &text);
}


ngx_int_t
ngx_http_matte_answer_download(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res)
{
    yajl_gen              g;
    ngx_str_t             url, body;
    ngx_http_matte_row_t  row;

    ngx_http_matte_row(res, 0, &row);

    if (ngx_http_matte_link(r, &row.output_key, &url) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "success");
    yajl_gen_bool(g, 1);
    ngx_http_matte_gen_literal(g, "download_url");
    ngx_http_matte_gen(g, &url);
    ngx_http_matte_gen_literal(g, "output_format");
    ngx_http_matte_gen(g, &row.body);
    yajl_gen_map_close(g);

    if (ngx_http_matte_gen_done(g, r->pool, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_matte_send(r, NGX_HTTP_OK, &body);
}
