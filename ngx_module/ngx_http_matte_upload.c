
/*
 * POST /v1/uploads: a multipart body goes to a file as it arrives.
 *
 * The key is checked before the body is asked for.  Whatever may wait for the
 * disk, and what would take long (the search for the boundary, the hash), is
 * done by tasks of the thread pool, one at a time; meanwhile the worker goes
 * on to read into what is left of the body's buffer, and no further.
 *
 * The file lies in tmp/, locked, until it is whole and on the disk; matted
 * removes from there what nobody has locked.  An upload that the client has
 * not been told of is removed, from wherever it is.
 */


#include "ngx_http_matte.h"
#include "ngx_http_matte_multipart.h"
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/statvfs.h>


#if !(NGX_THREADS)
#error uploads need an nginx --with-threads
#endif


/* of the body, beside the file */
#define NGX_HTTP_MATTE_ENVELOPE_MAX  65536

/* what tells the containers apart, if a file has that much */
#define NGX_HTTP_MATTE_HEAD_MAX      409


typedef struct {
    size_t                       offset;
    ngx_str_t                    bytes;
} ngx_http_matte_mark_t;


struct ngx_http_matte_upload_s {
    ngx_pool_t                  *pool;       /* own: outlives the request */
    ngx_http_request_t          *request;
    ngx_http_matte_loc_conf_t   *lcf;
    ngx_thread_task_t           *task;
    void                       (*next)(ngx_http_request_t *r,
                                       ngx_http_matte_upload_t *u);

    ngx_http_matte_multipart_t   multipart;
    ngx_chain_t                 *out;        /* input of the task */
    off_t                        received;   /* of the body */
    off_t                        declared;   /* of the body, 0: unknown */
    off_t                        max;        /* of the file */
    ngx_uint_t                   done;       /* the last boundary was met */

    u_char                       head[NGX_HTTP_MATTE_HEAD_MAX];
    size_t                       head_len;
    off_t                        size;       /* of the file so far */
    EVP_MD_CTX                  *sha256;
    u_char                       digest[NGX_HTTP_MATTE_HASH_LEN];

    u_char                       id[NGX_HTTP_MATTE_UUID_LEN];
    char                        *state;
    char                        *uploads;
    char                        *folder;     /* of the client */
    char                        *path;       /* where the file is */
    char                        *tmp;
    char                        *stored;
    ngx_fd_t                     fd;

    ngx_uint_t                   status;     /* of nginx: the body failed */
    ngx_http_matte_problem_t     problem;
    ngx_err_t                    err;
    const char                  *failed;     /* what err is about */

    unsigned                     busy:1;     /* a task runs */
    unsigned                     refused:1;  /* problem is set */
    unsigned                     kept:1;     /* the client was told */
    unsigned                     gone:1;     /* the request is */
};


static ngx_int_t ngx_http_matte_upload_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
static ngx_int_t ngx_http_matte_upload_names(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_upload_t *u);
static void ngx_http_matte_upload_read_body(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u);
static void ngx_http_matte_upload_body_handler(ngx_http_request_t *r);
static void ngx_http_matte_upload_read(ngx_http_request_t *r);
static void ngx_http_matte_upload_written(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u);
static void ngx_http_matte_upload_process(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u);
static void ngx_http_matte_upload_stored(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u);
static void ngx_http_matte_upload_fail(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u);
static ngx_int_t ngx_http_matte_upload_post(ngx_http_matte_upload_t *u,
    void (*handler)(void *data, ngx_log_t *log),
    void (*next)(ngx_http_request_t *r, ngx_http_matte_upload_t *u));
static void ngx_http_matte_upload_event(ngx_event_t *ev);
static void ngx_http_matte_upload_cleanup(void *data);
static void ngx_http_matte_upload_discard(ngx_http_matte_upload_t *u);

static void ngx_http_matte_upload_open_thread(void *data, ngx_log_t *log);
static void ngx_http_matte_upload_write_thread(void *data, ngx_log_t *log);
static void ngx_http_matte_upload_store_thread(void *data, ngx_log_t *log);
static void ngx_http_matte_upload_discard_thread(void *data, ngx_log_t *log);


/* the containers of cuda_engine/media/allowed.h: all marks of one row */

static ngx_http_matte_mark_t  ngx_http_matte_containers[][3] = {
    { { 4, ngx_string("ftyp") }, { 0, ngx_null_string } },
    { { 4, ngx_string("moov") }, { 0, ngx_null_string } },
    { { 4, ngx_string("mdat") }, { 0, ngx_null_string } },
    { { 4, ngx_string("free") }, { 0, ngx_null_string } },
    { { 4, ngx_string("skip") }, { 0, ngx_null_string } },
    { { 4, ngx_string("wide") }, { 0, ngx_null_string } },
    { { 0, ngx_string("\x1a\x45\xdf\xa3") }, { 0, ngx_null_string } },
    { { 0, ngx_string("RIFF") }, { 8, ngx_string("AVI ") } },
    { { 0, ngx_string("GIF87a") }, { 0, ngx_null_string } },
    { { 0, ngx_string("GIF89a") }, { 0, ngx_null_string } },
    { { 0, ngx_string("FLV\x01") }, { 0, ngx_null_string } },
    { { 0, ngx_string("OggS") }, { 0, ngx_null_string } },
    { { 0, ngx_string("\x30\x26\xb2\x75\x8e\x66\xcf\x11") },
      { 0, ngx_null_string } },
    { { 0, ngx_string("\0\0\1\xba") }, { 0, ngx_null_string } },
    { { 0, ngx_string("G") }, { 188, ngx_string("G") },
      { 376, ngx_string("G") } },
    { { 4, ngx_string("G") }, { 196, ngx_string("G") },
      { 388, ngx_string("G") } },
    { { 0, ngx_string("G") }, { 204, ngx_string("G") },
      { 408, ngx_string("G") } }
};


static void
ngx_http_matte_upload_refuse(ngx_http_matte_upload_t *u, ngx_uint_t code,
    const char *field, const char *message)
{
    u->refused = 1;
    u->problem.code = code;
    u->problem.field.data = (u_char *) field;
    u->problem.field.len = ngx_strlen(field);
    u->problem.message.data = (u_char *) message;
    u->problem.message.len = ngx_strlen(message);
}


static void
ngx_http_matte_upload_refuse_size(ngx_http_matte_upload_t *u)
{
    if (u->max == u->lcf->upload_max_size) {
        u->refused = 1;
        u->problem.code = NGX_HTTP_MATTE_TOO_LARGE;
        u->problem.message = u->lcf->upload_too_large;
        ngx_str_set(&u->problem.field, "file");
        return;
    }

    ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_TOO_LARGE, "file",
                                 "The file and the client's other uploads are "
                                 "more than may be kept here.");
}


static void
ngx_http_matte_upload_free(void *data)
{
    EVP_MD_CTX_free(data);
}


/* the request's own header is judged here, its body as it arrives */

ngx_int_t
ngx_http_matte_check_upload(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_str_t *body)
{
    int                       rc;
    ngx_str_t                *type, none = ngx_null_string;
    ngx_pool_t               *pool;
    ngx_pool_cleanup_t       *cln;
    ngx_http_cleanup_t       *hcln;
    ngx_http_matte_upload_t  *u;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    u = ngx_pcalloc(pool, sizeof(ngx_http_matte_upload_t));
    if (u == NULL) {
        goto failed;
    }

    u->pool = pool;
    u->request = r;
    u->fd = NGX_INVALID_FILE;
    u->lcf = ngx_http_get_module_loc_conf(r, ngx_http_matte_module);
    u->max = u->lcf->upload_max_size;
    u->task = ngx_thread_task_alloc(pool, 0);
    u->sha256 = EVP_MD_CTX_new();

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        EVP_MD_CTX_free(u->sha256);
        goto failed;
    }

    cln->handler = ngx_http_matte_upload_free;
    cln->data = u->sha256;

    if (u->task == NULL || u->sha256 == NULL
        || EVP_DigestInit_ex(u->sha256, EVP_sha256(), NULL) != 1)
    {
        goto failed;
    }

    u->task->ctx = u;
    u->task->event.data = u;

    hcln = ngx_http_cleanup_add(r, 0);
    if (hcln == NULL) {
        goto failed;
    }

    hcln->handler = ngx_http_matte_upload_cleanup;
    hcln->data = u;
    ctx->upload = u;

    type = r->headers_in.content_type ? &r->headers_in.content_type->value
                                      : &none;

    rc = ngx_http_matte_multipart_init(&u->multipart, type->data, type->len);

    if (rc == -1) {
        ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_MEDIA_TYPE, "",
                                     "The body must be multipart/form-data.");

    } else if (rc == 1) {
        ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_INVALID_REQUEST,
                                     "Content-Type",
                                     "Content-Type must have a boundary of 1 "
                                     "to 70 printable characters.");
    }

    if (r->headers_in.content_length_n > 0) {
        u->declared = r->headers_in.content_length_n;

        if (u->declared > u->max + NGX_HTTP_MATTE_ENVELOPE_MAX) {
            ngx_http_matte_upload_refuse_size(u);
        }
    }

    if (u->refused) {
        ctx->problem = u->problem;
        return NGX_DECLINED;
    }

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_matte_args_upload(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    ngx_str_t  args[1];

    args[0].data = ctx->hash;
    args[0].len = NGX_HTTP_MATTE_HASH_LEN;

    return ngx_http_matte_query_args(q, args, 1, 0x1);
}


static ngx_int_t
ngx_http_matte_args_stored(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_query_t *q)
{
    u_char                    size[NGX_OFF_T_LEN];
    ngx_str_t                 args[5];
    ngx_http_matte_upload_t  *u = ctx->upload;

    args[0].data = ctx->hash;
    args[0].len = NGX_HTTP_MATTE_HASH_LEN;
    args[1].data = u->id;
    args[1].len = NGX_HTTP_MATTE_UUID_LEN;
    args[2].data = u->multipart.filename;
    args[2].len = u->multipart.filename_len;
    args[3].data = size;
    args[3].len = ngx_sprintf(size, "%O", u->size) - size;
    args[4].data = u->digest;
    args[4].len = NGX_HTTP_MATTE_HASH_LEN;

    return ngx_http_matte_query_args(q, args, 5, 0x11);
}


/* of both statements: the first says whose it is, the second that it is */

ngx_int_t
ngx_http_matte_answer_upload(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    u_char                    url[sizeof("upload://")
                                  + NGX_HTTP_MATTE_UUID_LEN];
    yajl_gen                  g;
    ngx_str_t                 body, id, text;
    ngx_http_matte_upload_t  *u = ctx->upload;

    if (u->task->handler == NULL) {
        return ngx_http_matte_upload_start(r, ctx, res);
    }

    id.data = u->id;
    id.len = NGX_HTTP_MATTE_UUID_LEN;
    text.data = url;
    text.len = ngx_sprintf(url, "upload://%V", &id) - url;

    g = yajl_gen_alloc(NULL);
    if (g == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    yajl_gen_map_open(g);
    ngx_http_matte_gen_literal(g, "success");
    yajl_gen_bool(g, 1);
    ngx_http_matte_gen_literal(g, "video_id");
    ngx_http_matte_gen(g, &id);
    ngx_http_matte_gen_literal(g, "video_url");
    ngx_http_matte_gen(g, &text);
    ngx_http_matte_gen_literal(g, "filename");
    (void) yajl_gen_string(g, u->multipart.filename,
                           u->multipart.filename_len);
    ngx_http_matte_gen_literal(g, "size");
    yajl_gen_integer(g, u->size);
    yajl_gen_map_close(g);

    if (ngx_http_matte_gen_done(g, r->pool, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    u->kept = 1;

    return ngx_http_matte_send(r, NGX_HTTP_CREATED, &body);
}


static ngx_int_t
ngx_http_matte_upload_start(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    PGresult *res)
{
    off_t                     room;
    ngx_http_matte_row_t      row;
    ngx_http_matte_upload_t  *u = ctx->upload;

    ngx_http_matte_row(res, 0, &row);

    /* total: what this client may still keep here */

    room = row.total.data ? ngx_atoof(row.total.data, row.total.len) : 0;
    u->max = ngx_min(u->max, ngx_max(room, 0));

    if (u->declared > u->max + NGX_HTTP_MATTE_ENVELOPE_MAX || u->max == 0) {
        ngx_http_matte_upload_refuse_size(u);
        return ngx_http_matte_answer_problem(r, &u->problem);
    }

    if (ngx_http_matte_upload_names(r, ctx, u) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_matte_upload_post(u, ngx_http_matte_upload_open_thread,
                                   ngx_http_matte_upload_read_body)
        != NGX_OK)
    {
        return ngx_http_matte_error(r, NGX_HTTP_MATTE_UNAVAILABLE);
    }

    r->read_event_handler = ngx_http_block_reading;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_matte_upload_names(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_upload_t *u)
{
    ngx_str_t                    *state, id, tenant;
    ngx_uint_t                    i;
    ngx_http_matte_main_conf_t   *mcf;

    struct {
        char                    **name;
        const char               *fmt;
        ngx_str_t                *one;
        ngx_str_t                *two;
    } names[] = {
        { &u->state, "%V%Z", NULL, NULL },
        { &u->uploads, "%V/uploads%Z", NULL, NULL },
        { &u->tmp, "%V/tmp/%V.upload%Z", &id, NULL },
        { &u->folder, "%V/uploads/%V%Z", &tenant, NULL },
        { &u->stored, "%V/uploads/%V/%V%Z", &tenant, &id }
    };

    mcf = ngx_http_get_module_main_conf(r, ngx_http_matte_module);
    state = &mcf->state_path;

    if (ngx_http_matte_random_uuid(u->id) != NGX_OK) {
        return NGX_ERROR;
    }

    id.data = u->id;
    id.len = NGX_HTTP_MATTE_UUID_LEN;
    tenant.data = ctx->key.tenant;
    tenant.len = NGX_HTTP_MATTE_UUID_LEN;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        *names[i].name = ngx_pnalloc(u->pool, state->len
                                              + sizeof("/uploads//.upload")
                                              + 2 * NGX_HTTP_MATTE_UUID_LEN);
        if (*names[i].name == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf((u_char *) *names[i].name, names[i].fmt, state,
                    names[i].one, names[i].two);
    }

    u->path = u->tmp;

    return NGX_OK;
}


/* the file is open: only now is the body asked for */

static void
ngx_http_matte_upload_read_body(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u)
{
    ngx_int_t  rc;

    if (u->refused) {
        ngx_http_matte_upload_fail(r, u);
        return;
    }

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_matte_upload_body_handler);

    /* it took a reference of its own */

    ngx_http_finalize_request(r, rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc
                                                                 : NGX_DONE);
}


static void
ngx_http_matte_upload_body_handler(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_matte_upload_read;

    ngx_http_matte_upload_read(r);
}


static void
ngx_http_matte_upload_read(ngx_http_request_t *r)
{
    ngx_http_matte_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);

    ngx_http_matte_upload_process(r, ctx->upload);
}


static void
ngx_http_matte_upload_written(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u)
{
    ngx_chain_t  *cl;

    /* nginx may have the buffers back */

    while (u->out) {
        cl = u->out;
        u->out = cl->next;
        cl->buf->pos = cl->buf->last;
        ngx_free_chain(r->pool, cl);
    }

    ngx_http_matte_upload_process(r, u);
}


/* all that has arrived is written at once, while more is read behind it */

static void
ngx_http_matte_upload_process(ngx_http_request_t *r,
    ngx_http_matte_upload_t *u)
{
    ngx_int_t  rc;

    for ( ;; ) {

        if (r->reading_body && u->status == 0) {
            rc = ngx_http_read_unbuffered_request_body(r);

            if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
                u->status = rc;
            }
        }

        if (u->busy) {
            return;
        }

        if (u->status || u->refused) {
            ngx_http_matte_upload_fail(r, u);
            return;
        }

        u->out = r->request_body->bufs;
        r->request_body->bufs = NULL;

        if (u->out == NULL && r->reading_body) {
            return;
        }

        if (u->out) {
            rc = ngx_http_matte_upload_post(u,
                                            ngx_http_matte_upload_write_thread,
                                            ngx_http_matte_upload_written);
        } else {
            r->read_event_handler = ngx_http_block_reading;

            rc = ngx_http_matte_upload_post(u,
                                            ngx_http_matte_upload_store_thread,
                                            ngx_http_matte_upload_stored);
        }

        if (rc != NGX_OK) {
            u->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }
    }
}


static void
ngx_http_matte_upload_stored(ngx_http_request_t *r, ngx_http_matte_upload_t *u)
{
    ngx_int_t              rc;
    ngx_http_matte_ctx_t  *ctx;

    if (u->refused) {
        ngx_http_matte_upload_fail(r, u);
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_matte_module);

    rc = ngx_http_matte_ask(r, ctx, NGX_HTTP_MATTE_UPLOAD,
                            ngx_http_matte_args_stored);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


static void
ngx_http_matte_upload_fail(ngx_http_request_t *r, ngx_http_matte_upload_t *u)
{
    ngx_int_t          rc;
    ngx_connection_t  *c = r->connection;

    if (u->err) {
        ngx_log_error(NGX_LOG_ERR, c->log, u->err, "%s \"%s\" failed",
                      u->failed, u->path);
    }

    if (r->reading_body) {
        r->keepalive = 0;               /* the rest of it is not wanted */
    }

    if (u->refused) {
        rc = ngx_http_matte_answer_problem(r, &u->problem);

    } else if (u->status == NGX_HTTP_REQUEST_TIME_OUT) {

        /* nginx closes a connection without a word when a body is late */

        c->timedout = 0;
        c->read->timedout = 0;
        rc = ngx_http_matte_error(r, NGX_HTTP_MATTE_TIMEOUT);

    } else {
        rc = u->status;
    }

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_finalize_request(r, rc);
}


/* NGX_OK: next is called, unless the request has ended by then */

static ngx_int_t
ngx_http_matte_upload_post(ngx_http_matte_upload_t *u,
    void (*handler)(void *data, ngx_log_t *log),
    void (*next)(ngx_http_request_t *r, ngx_http_matte_upload_t *u))
{
    u->next = next;
    u->task->handler = handler;
    u->task->event.handler = ngx_http_matte_upload_event;

    if (ngx_thread_task_post(u->lcf->upload_threads, u->task) != NGX_OK) {
        return NGX_ERROR;
    }

    u->busy = 1;
    u->request->main->blocked++;

    return NGX_OK;
}


static void
ngx_http_matte_upload_event(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_request_t       *r;
    ngx_http_matte_upload_t  *u = ev->data;

    r = u->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    u->busy = 0;
    r->main->blocked--;

    if (u->gone) {
        ngx_http_matte_upload_discard(u);
        ngx_http_finalize_request(r, NGX_ERROR);

    } else {
        u->next(r, u);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_matte_upload_cleanup(void *data)
{
    ngx_http_matte_upload_t *u = data;

    u->gone = 1;

    if (!u->busy) {
        ngx_http_matte_upload_discard(u);
    }
}


static void
ngx_http_matte_upload_discarded(ngx_event_t *ev)
{
    ngx_http_matte_upload_t *u = ev->data;

    ngx_destroy_pool(u->pool);
}


/* to remove a large file takes its time, and so may the last close */

static void
ngx_http_matte_upload_discard(ngx_http_matte_upload_t *u)
{
    if (u->fd == NGX_INVALID_FILE) {
        ngx_destroy_pool(u->pool);
        return;
    }

    u->task->handler = ngx_http_matte_upload_discard_thread;
    u->task->event.handler = ngx_http_matte_upload_discarded;

    if (ngx_thread_task_post(u->lcf->upload_threads, u->task) != NGX_OK) {
        ngx_http_matte_upload_discard_thread(u, u->pool->log);
        ngx_destroy_pool(u->pool);
    }
}


/*
 * What follows runs in a thread: nothing of the request, of its connection or
 * of a pool may be touched but what the task was given.
 */

static void
ngx_http_matte_upload_failed(ngx_http_matte_upload_t *u, const char *what)
{
    u->err = ngx_errno;
    u->failed = what;

    ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_UNAVAILABLE, "",
                                 "The file cannot be stored now: try again "
                                 "later.");
}


/* size more bytes may be written */

static ngx_int_t
ngx_http_matte_upload_reserve(ngx_http_matte_upload_t *u, off_t size)
{
    off_t           bytes;
    struct statvfs  fs;

    if (statvfs(u->state, &fs) == -1) {
        ngx_http_matte_upload_failed(u, "statvfs() of the state folder for");
        return NGX_ERROR;
    }

    bytes = (off_t) fs.f_bavail * fs.f_frsize;

    if (bytes - size < u->lcf->min_free) {
        ngx_set_errno(NGX_ENOSPC);
        ngx_http_matte_upload_failed(u, "space above matte_min_free for");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_matte_upload_open_thread(void *data, ngx_log_t *log)
{
    struct stat               st;
    ngx_http_matte_upload_t  *u = data;

    if (ngx_http_matte_upload_reserve(u, u->declared) != NGX_OK) {
        return;
    }

    u->fd = open(u->tmp, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0640);

    if (u->fd == NGX_INVALID_FILE) {
        ngx_http_matte_upload_failed(u, "open()");
        return;
    }

    /* matted may have found it before it was locked */

    if (flock(u->fd, LOCK_EX|LOCK_NB) == -1 || fstat(u->fd, &st) == -1) {
        ngx_http_matte_upload_failed(u, "flock()");

    } else if (st.st_nlink == 0) {
        ngx_set_errno(NGX_ENOENT);
        ngx_http_matte_upload_failed(u, "open()");
    }
}


static ngx_int_t
ngx_http_matte_upload_sniff(ngx_http_matte_upload_t *u)
{
    ngx_uint_t              i, n;
    ngx_http_matte_mark_t  *mark;

    for (i = 0; i < sizeof(ngx_http_matte_containers)
                    / sizeof(ngx_http_matte_containers[0]); i++)
    {
        for (n = 0; n < 3; n++) {
            mark = &ngx_http_matte_containers[i][n];

            if (mark->offset + mark->bytes.len > u->head_len
                || ngx_memcmp(u->head + mark->offset, mark->bytes.data,
                              mark->bytes.len) != 0)
            {
                break;
            }
        }

        if (n == 3) {
            return NGX_OK;
        }
    }

    ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_FILE_TYPE, "file",
                                 "The file is not a video of a known kind: "
                                 "MP4, MOV, WebM, MKV, AVI, MPEG, Ogg, GIF, "
                                 "FLV or ASF.");
    return NGX_ERROR;
}


/* a piece of the file */

static ngx_int_t
ngx_http_matte_upload_append(ngx_http_matte_upload_t *u, const u_char *p,
    size_t len)
{
    size_t   n;
    ssize_t  written;

    if ((off_t) len > u->max - u->size) {
        ngx_http_matte_upload_refuse_size(u);
        return NGX_ERROR;
    }

    u->size += len;

    if (u->head_len < NGX_HTTP_MATTE_HEAD_MAX) {
        n = ngx_min(len, NGX_HTTP_MATTE_HEAD_MAX - u->head_len);
        ngx_memcpy(u->head + u->head_len, p, n);
        u->head_len += n;

        if (u->head_len == NGX_HTTP_MATTE_HEAD_MAX
            && ngx_http_matte_upload_sniff(u) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    (void) EVP_DigestUpdate(u->sha256, p, len);

    while (len) {
        written = write(u->fd, p, len);

        if (written == -1) {

            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            ngx_http_matte_upload_failed(u, "write()");
            return NGX_ERROR;
        }

        p += written;
        len -= written;
    }

    return NGX_OK;
}


static void
ngx_http_matte_upload_write_thread(void *data, ngx_log_t *log)
{
    off_t                        size;
    const u_char                *p;
    ngx_chain_t                 *cl;
    ngx_http_matte_upload_t     *u = data;
    ngx_http_matte_multipart_e   rc;

    size = 0;

    for (cl = u->out; cl; cl = cl->next) {
        size += cl->buf->last - cl->buf->pos;
    }

    u->received += size;

    if (ngx_http_matte_upload_reserve(u, size) != NGX_OK) {
        return;
    }

    for (cl = u->out; cl && !u->done; cl = cl->next) {

        p = cl->buf->pos;

        do {
            rc = ngx_http_matte_multipart_parse(&u->multipart, &p,
                                                cl->buf->last);

            if (rc == NGX_HTTP_MATTE_MULTIPART_DATA
                && ngx_http_matte_upload_append(u, u->multipart.data,
                                                u->multipart.len)
                   != NGX_OK)
            {
                return;
            }

        } while (rc == NGX_HTTP_MATTE_MULTIPART_DATA);

        if (rc == NGX_HTTP_MATTE_MULTIPART_ERROR) {
            ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_INVALID_REQUEST, "",
                                         u->multipart.error);
            return;
        }

        u->done = (rc == NGX_HTTP_MATTE_MULTIPART_DONE);
    }

    if (u->received - u->size > NGX_HTTP_MATTE_ENVELOPE_MAX) {
        ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_TOO_LARGE, "",
                                     "Beside its part named file the body may "
                                     "have at most 65536 bytes.");
    }
}


static ngx_int_t
ngx_http_matte_upload_sync(ngx_http_matte_upload_t *u, const char *folder)
{
    int        rc;
    ngx_fd_t   fd;

    fd = open(folder, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        ngx_http_matte_upload_failed(u, "open() of the folder for");
        return NGX_ERROR;
    }

    rc = fsync(fd);

    if (rc == -1) {
        ngx_http_matte_upload_failed(u, "fsync() of the folder for");
    }

    (void) ngx_close_file(fd);

    return rc == -1 ? NGX_ERROR : NGX_OK;
}


/* on the disk first, in its place then */

static void
ngx_http_matte_upload_store_thread(void *data, ngx_log_t *log)
{
    ngx_http_matte_upload_t *u = data;

    if (!u->done) {
        ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_INVALID_REQUEST, "",
                                     "The body ends before its last "
                                     "boundary.");
        return;
    }

    if (u->multipart.files == 0) {
        ngx_http_matte_upload_refuse(u, NGX_HTTP_MATTE_INVALID_REQUEST, "file",
                                     "The body must have a part named file.");
        return;
    }

    if (u->head_len < NGX_HTTP_MATTE_HEAD_MAX
        && ngx_http_matte_upload_sniff(u) != NGX_OK)
    {
        return;
    }

    (void) EVP_DigestFinal_ex(u->sha256, u->digest, NULL);

    if (fsync(u->fd) == -1) {
        ngx_http_matte_upload_failed(u, "fsync()");
        return;
    }

    /* matted, of the same group, removes files from there */

    if (mkdir(u->folder, 0770) == 0) {

        if (chmod(u->folder, 02770) == -1) {
            ngx_http_matte_upload_failed(u, "chmod() of the folder for");
            return;
        }

        if (ngx_http_matte_upload_sync(u, u->uploads) != NGX_OK) {
            return;
        }

    } else if (ngx_errno != NGX_EEXIST) {
        ngx_http_matte_upload_failed(u, "mkdir() of the folder for");
        return;
    }

    if (rename(u->tmp, u->stored) == -1) {
        ngx_http_matte_upload_failed(u, "rename()");
        return;
    }

    u->path = u->stored;

    (void) ngx_http_matte_upload_sync(u, u->folder);
}


static void
ngx_http_matte_upload_discard_thread(void *data, ngx_log_t *log)
{
    ngx_http_matte_upload_t *u = data;

    if (!u->kept && unlink(u->path) == -1 && ngx_errno != NGX_ENOENT) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno, "unlink() \"%s\" failed",
                      u->path);
    }

    (void) ngx_close_file(u->fd);
}
