
#ifndef _NGX_HTTP_MATTE_H_INCLUDED_
#define _NGX_HTTP_MATTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <libpq-fe.h>
#include <yajl/yajl_gen.h>


#define NGX_HTTP_MATTE_HASH_LEN   32    /* SHA-256 */
#define NGX_HTTP_MATTE_UUID_LEN   36
#define NGX_HTTP_MATTE_MAX_ARGS   15
#define NGX_HTTP_MATTE_MAX_IDS    2     /* of a path */
#define NGX_HTTP_MATTE_MAX_BODY   65536


typedef struct ngx_http_matte_ctx_s       ngx_http_matte_ctx_t;
typedef struct ngx_http_matte_route_s     ngx_http_matte_route_t;
typedef struct ngx_http_matte_pg_s        ngx_http_matte_pg_t;
typedef struct ngx_http_matte_query_s     ngx_http_matte_query_t;
typedef struct ngx_http_matte_engine_s    ngx_http_matte_engine_t;
typedef struct ngx_http_matte_upload_s    ngx_http_matte_upload_t;


/* lanes of the pool: each has connections, a queue and rules of its own */

enum {
    NGX_HTTP_MATTE_READ = 0,
    NGX_HTTP_MATTE_WRITE,
    NGX_HTTP_MATTE_SLOW,
    NGX_HTTP_MATTE_LISTEN,                  /* of the first worker */
    NGX_HTTP_MATTE_LANES
};


/* arguments of the query string */

#define NGX_HTTP_MATTE_LIMIT        0x01
#define NGX_HTTP_MATTE_OFFSET       0x02
#define NGX_HTTP_MATTE_DAYS         0x04
#define NGX_HTTP_MATTE_STATUS       0x08


typedef enum {
    NGX_HTTP_MATTE_GET = 0,
    NGX_HTTP_MATTE_DOWNLOAD,
    NGX_HTTP_MATTE_LIST,
    NGX_HTTP_MATTE_CREATE,
    NGX_HTTP_MATTE_START,
    NGX_HTTP_MATTE_CANCEL,
    NGX_HTTP_MATTE_DELETE,
    NGX_HTTP_MATTE_ANSWERED,
    NGX_HTTP_MATTE_UPLOAD_BEGIN,
    NGX_HTTP_MATTE_UPLOAD,
    NGX_HTTP_MATTE_USAGE,
    NGX_HTTP_MATTE_EVENTS,
    NGX_HTTP_MATTE_WEBHOOKS,
    NGX_HTTP_MATTE_REDELIVER,
    NGX_HTTP_MATTE_PRICING,
    NGX_HTTP_MATTE_KEYS,
    NGX_HTTP_MATTE_KEY_CREATE,
    NGX_HTTP_MATTE_KEY_ENABLE,
    NGX_HTTP_MATTE_KEYS_CHANGED,
    NGX_HTTP_MATTE_PING,
    NGX_HTTP_MATTE_STATEMENTS
} ngx_http_matte_statement_e;


/* rows of the table of errors in ngx_http_matte_answer.c */

typedef enum {
    NGX_HTTP_MATTE_INVALID_REQUEST = 0,
    NGX_HTTP_MATTE_INVALID_JSON,
    NGX_HTTP_MATTE_MISSING_KEY,
    NGX_HTTP_MATTE_INVALID_KEY,
    NGX_HTTP_MATTE_FORBIDDEN,
    NGX_HTTP_MATTE_NOT_FOUND,
    NGX_HTTP_MATTE_METHOD,
    NGX_HTTP_MATTE_TIMEOUT,
    NGX_HTTP_MATTE_TOO_LARGE,
    NGX_HTTP_MATTE_MEDIA_TYPE,
    NGX_HTTP_MATTE_COMBINATION,
    NGX_HTTP_MATTE_RATE_LIMITED,
    NGX_HTTP_MATTE_INTERNAL,
    NGX_HTTP_MATTE_UNAVAILABLE,
    NGX_HTTP_MATTE_FILE_TYPE
} ngx_http_matte_error_e;


typedef struct {
    ngx_str_t                  id;
    u_char                    *secret;
    size_t                     len;
} ngx_http_matte_secret_t;


typedef struct {
    ngx_str_t                  conninfo;
    ngx_uint_t                 connections[NGX_HTTP_MATTE_LANES];
    ngx_uint_t                 depth;        /* in flight a connection */
    ngx_uint_t                 batch;        /* writes a Sync */
    ngx_uint_t                 queue;        /* waiting a lane */
    ngx_msec_t                 timeout;
    ngx_msec_t                 connect_timeout;

    ngx_shm_zone_t            *zone;
    ngx_msec_t                 key_ttl;
    ngx_msec_t                 negative_ttl;

    ngx_addr_t                *engine_addr;
    ngx_msec_t                 engine_wait;

    ngx_str_t                  state_path;
    ngx_array_t               *secrets;      /* the first one signs */
    time_t                     link_ttl;
    ngx_http_complex_value_t  *public_url;

    ngx_uint_t                 models;       /* what is offered here */
    ngx_uint_t                 formats;
    ngx_flag_t                 prompt;       /* pro needs a text_prompt */

    u_char                    *admin_token;  /* SHA-256, NULL: no routes */
    u_char                    *legacy_key;

    ngx_uint_t                 used;         /* by a location */

    ngx_http_matte_pg_t       *pg;           /* of this worker */
    ngx_http_matte_engine_t   *engine;
} ngx_http_matte_main_conf_t;


typedef struct {
    ngx_flag_t                 errors;       /* as JSON */
    ngx_flag_t                 api;
    ngx_flag_t                 files;

    ngx_flag_t                 upload;       /* and no other route */
    off_t                      upload_max_size;
    ngx_str_t                  upload_too_large;
    off_t                      min_free;
    ngx_thread_pool_t         *upload_threads;
} ngx_http_matte_loc_conf_t;


/* an API key as the zone and the database know it */

typedef struct {
    int64_t                    id;
    u_char                     tenant[NGX_HTTP_MATTE_UUID_LEN];
    uint32_t                   rate;         /* requests a minute */
    uint32_t                   burst;
    uint32_t                   starts;       /* of jobs, 0: not counted */
    uint32_t                   starts_burst;
    uint32_t                   scope;
} ngx_http_matte_key_t;


#define NGX_HTTP_MATTE_SCOPE_READ   0x01
#define NGX_HTTP_MATTE_SCOPE_WRITE  0x02


/* what a bucket of a key holds after this request was taken from it */

typedef struct {
    ngx_uint_t                 size;
    ngx_uint_t                 window;       /* seconds to fill it */
    ngx_uint_t                 remaining;
    ngx_msec_t                 reset;        /* until it is full again */
    ngx_msec_t                 wait;         /* over the limit: for how long */
} ngx_http_matte_bucket_t;


/* a request that waits for the engine's answer */

typedef void (*ngx_http_matte_ring_pt)(void *data, ngx_str_t *answer);

typedef struct {
    ngx_queue_t                queue;
    ngx_http_matte_engine_t   *engine;       /* NULL: not waiting */
    uint64_t                   number;
    ngx_msec_t                 deadline;
    ngx_http_matte_ring_pt     handler;
    void                      *data;
} ngx_http_matte_ring_t;


/* matte.answer: data is NULL where the column is */

typedef struct {
    ngx_str_t                  outcome;
    ngx_str_t                  key_id;
    ngx_str_t                  tenant;
    ngx_str_t                  rate;
    ngx_str_t                  burst;
    ngx_str_t                  starts;
    ngx_str_t                  starts_burst;
    ngx_str_t                  scope;
    ngx_str_t                  job;
    ngx_str_t                  status;
    ngx_str_t                  code;
    ngx_str_t                  body;
    ngx_str_t                  output_key;
    ngx_str_t                  alpha_key;
    ngx_str_t                  total;
} ngx_http_matte_row_t;


/* a create or start, checked and normalised */

typedef struct {
    ngx_str_t                  video_url;
    ngx_str_t                  model;
    ngx_str_t                  format;
    ngx_str_t                  webhook_url;
    ngx_str_t                  options;      /* JSON */
    ngx_str_t                  metadata;     /* JSON, the client's own text */
    ngx_uint_t                 start;
} ngx_http_matte_job_t;


/* a key to be made, disabled or enabled by the operator */

typedef struct {
    ngx_str_t                  client;
    ngx_str_t                  note;
    ngx_str_t                  scope;
    ngx_str_t                  expires;
    ngx_str_t                  fingerprint;
} ngx_http_matte_access_t;


typedef struct {
    ngx_uint_t                 code;         /* a row of the table */
    ngx_str_t                  message;      /* empty: the row's own */
    ngx_str_t                  field;
} ngx_http_matte_problem_t;


enum {
    NGX_HTTP_MATTE_H_REQUEST_ID = 0,
    NGX_HTTP_MATTE_H_POLICY,
    NGX_HTTP_MATTE_H_LIMIT,
    NGX_HTTP_MATTE_H_RETRY,
    NGX_HTTP_MATTE_H_ALLOW,
    NGX_HTTP_MATTE_H_CACHE,
    NGX_HTTP_MATTE_H_NOSNIFF,
    NGX_HTTP_MATTE_H_DISPOSITION,
    NGX_HTTP_MATTE_H_REPLAYED,
    NGX_HTTP_MATTE_H_LOCATION,
    NGX_HTTP_MATTE_HEADERS
};


struct ngx_http_matte_ctx_s {
    ngx_http_matte_route_t    *route;
    ngx_http_matte_query_t    *query;
    ngx_http_matte_ring_t      ring;
    ngx_http_matte_upload_t   *upload;

    u_char                     hash[NGX_HTTP_MATTE_HASH_LEN];
    ngx_http_matte_key_t       key;
    ngx_http_matte_bucket_t    bucket;
    ngx_http_matte_bucket_t    starts;

    ngx_http_matte_job_t       job;
    ngx_http_matte_access_t    access;
    ngx_http_matte_problem_t   problem;      /* held until the key is known */
    ngx_str_t                  idempotency_key;
    u_char                     digest[NGX_HTTP_MATTE_HASH_LEN];  /* body */
    ngx_str_t                  status;       /* that the answer tells */
    ngx_str_t                  delivery_id;
    ngx_uint_t                 limit, offset, days;
    ngx_str_t                  filter;       /* of a list: a status */

    ngx_msec_t                 sent;         /* to the database */
    time_t                     retry_after;
    ngx_str_t                  body;         /* in place of nginx's own page */
    ngx_str_t                  file;         /* name of a download */
    ngx_table_elt_t           *headers[NGX_HTTP_MATTE_HEADERS];

    ngx_http_event_handler_pt  read_body;    /* nginx's own */

    /* variables */
    ngx_str_t                  request_id;
    ngx_str_t                  traceparent;
    ngx_str_t                  job_id;
    ngx_str_t                  key_id;
    ngx_str_t                  error;
    ngx_str_t                  db_time;
    ngx_str_t                  dispatch;
    ngx_str_t                  key_cache;
    ngx_str_t                  ratelimit;

    unsigned                   has_key:1;    /* hash is set */
    unsigned                   known:1;      /* key is set */
    unsigned                   charged:1;    /* bucket is set */
    unsigned                   started:1;    /* starts is set */
    unsigned                   answered:1;   /* the body is ours */
    unsigned                   replayed:1;
};


struct ngx_http_matte_route_s {
    ngx_str_t                    name;
    ngx_str_t                    path;       /* "{...}": a segment, an id */
    ngx_uint_t                   methods;
    ngx_uint_t                   auth;
    ngx_uint_t                   arguments;  /* of the query */
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


/* the pool: ngx_http_matte_pg.c, its queue: ngx_http_matte_query.c */

/* res == NULL: no answer (timeout, connection lost, pool closed) */
typedef void (*ngx_http_matte_query_pt)(void *data, PGresult *res);

ngx_http_matte_pg_t *ngx_http_matte_pg_start(ngx_cycle_t *cycle,
    ngx_http_matte_main_conf_t *mcf);
void ngx_http_matte_pg_stop(ngx_http_matte_pg_t *pg);
ngx_uint_t ngx_http_matte_pg_alive(ngx_http_matte_pg_t *pg);

ngx_http_matte_query_t *ngx_http_matte_query(ngx_http_matte_pg_t *pg,
    ngx_http_matte_statement_e statement);

/*
 * The values are copied; data == NULL is SQL's NULL.  binary: a mask of those
 * that are bytea.
 */
ngx_int_t ngx_http_matte_query_args(ngx_http_matte_query_t *q,
    ngx_str_t *values, ngx_uint_t n, ngx_uint_t binary);

/* of one batch, statements go in this order; without one q goes alone */
ngx_int_t ngx_http_matte_query_order(ngx_http_matte_query_t *q,
    ngx_str_t *first, ngx_str_t *second);

/*
 * q is the pool's from here on; handler may be NULL.  NGX_BUSY: the queue is
 * full or the database away, q is gone and handler will not be called.
 */
ngx_int_t ngx_http_matte_query_send(ngx_http_matte_query_t *q,
    ngx_http_matte_query_pt handler, void *data);
void ngx_http_matte_query_abandon(ngx_http_matte_query_t *q);
void ngx_http_matte_query_free(ngx_http_matte_query_t *q);


/* API keys and their token buckets in shared memory: ngx_http_matte_keys.c */

ngx_shm_zone_t *ngx_http_matte_keys_zone(ngx_conf_t *cf, ngx_str_t *name,
    size_t size);

/* what was known before now is asked of the database; hash NULL: all of it */
void ngx_http_matte_keys_forget(ngx_shm_zone_t *zone, u_char *hash);

/*
 * NGX_OK: known and taken from the bucket; NGX_BUSY: over its limit;
 * NGX_ABORT: known to be wrong; NGX_DECLINED: ask the database (*charged: the
 * bucket of a key that has to be verified again was used already)
 */
ngx_int_t ngx_http_matte_keys_get(ngx_shm_zone_t *zone, u_char *hash,
    ngx_http_matte_key_t *key, ngx_http_matte_bucket_t *bucket,
    ngx_uint_t *charged);

/*
 * key == NULL: it is wrong; asked: when the database was; charge: NGX_BUSY if
 * the bucket is empty
 */
ngx_int_t ngx_http_matte_keys_put(ngx_shm_zone_t *zone, u_char *hash,
    ngx_http_matte_key_t *key, ngx_msec_t asked, ngx_msec_t ttl,
    ngx_http_matte_bucket_t *bucket, ngx_uint_t charge);

/* NGX_DECLINED: the key is not known or its starts are not counted */
ngx_int_t ngx_http_matte_keys_start(ngx_shm_zone_t *zone, u_char *hash,
    ngx_http_matte_bucket_t *bucket);


/* bodies: ngx_http_matte_request.c */

extern ngx_conf_bitmask_t  ngx_http_matte_models[];
extern ngx_conf_bitmask_t  ngx_http_matte_formats[];

/* NGX_DECLINED: ctx->problem says why */
ngx_int_t ngx_http_matte_parse_job(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body, ngx_uint_t create);
ngx_int_t ngx_http_matte_parse_access(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body, ngx_uint_t create);


/* answers, errors, health: ngx_http_matte_answer.c */

ngx_int_t ngx_http_matte_filter_init(ngx_conf_t *cf);

/* these send; the return value is for ngx_http_finalize_request() */
ngx_int_t ngx_http_matte_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body);
ngx_int_t ngx_http_matte_error(ngx_http_request_t *r, ngx_uint_t error);
ngx_int_t ngx_http_matte_answer_outcome(ngx_http_request_t *r,
    ngx_str_t *outcome);
ngx_int_t ngx_http_matte_answer_problem(ngx_http_request_t *r,
    ngx_http_matte_problem_t *problem);
ngx_int_t ngx_http_matte_answer_health(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);

/* the row's code (200) and body as they are */
ngx_int_t ngx_http_matte_answer_body(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);

#define ngx_http_matte_gen(g, s)                                             \
    (void) yajl_gen_string(g, (s)->data, (s)->len)

#define ngx_http_matte_gen_literal(g, s)                                     \
    (void) yajl_gen_string(g, (u_char *) (s), sizeof(s) - 1)

/* the text, copied into the pool; frees g, which may be NULL: NGX_ERROR */
ngx_int_t ngx_http_matte_gen_done(yajl_gen g, ngx_pool_t *pool,
    ngx_str_t *text);

void ngx_http_matte_row(PGresult *res, int i, ngx_http_matte_row_t *row);


/* the doorbell: ngx_http_matte_engine.c */

ngx_http_matte_engine_t *ngx_http_matte_engine_start(ngx_cycle_t *cycle,
    ngx_http_matte_main_conf_t *mcf);
void ngx_http_matte_engine_stop(ngx_http_matte_engine_t *e);
ngx_uint_t ngx_http_matte_engine_connected(ngx_http_matte_engine_t *e);

/*
 * ring lives until its handler was called (once; answer NULL: none in time)
 * or ngx_http_matte_engine_forget().  NGX_DECLINED: no engine hears it.
 */
ngx_int_t ngx_http_matte_engine_ring(ngx_http_matte_engine_t *e,
    ngx_http_matte_ring_t *ring, ngx_str_t *job);
void ngx_http_matte_engine_forget(ngx_http_matte_ring_t *ring);

/* nobody waits for what it says: its next heartbeat would tell it as well */
void ngx_http_matte_engine_cancel(ngx_http_matte_engine_t *e, ngx_str_t *job);


/* signed links: ngx_http_matte_files.c */

ngx_int_t ngx_http_matte_files_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_matte_link(ngx_http_request_t *r, ngx_str_t *key,
    ngx_str_t *url);
char *ngx_http_matte_link_secret(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* checks, arguments and answers of jobs: ngx_http_matte_job.c */

ngx_int_t ngx_http_matte_check_create(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
ngx_int_t ngx_http_matte_check_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
ngx_int_t ngx_http_matte_check_list(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
ngx_int_t ngx_http_matte_args_get(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_list(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_job(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_create(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_number(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_delivery(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_answer_create(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
ngx_int_t ngx_http_matte_answer_start(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
ngx_int_t ngx_http_matte_answer_cancel(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
ngx_int_t ngx_http_matte_answer_delete(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
ngx_int_t ngx_http_matte_answer_get(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
ngx_int_t ngx_http_matte_answer_list(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);
ngx_int_t ngx_http_matte_answer_download(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);

/* limit, offset and days of the query string, as far as the route has them */
ngx_int_t ngx_http_matte_check_arguments(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx);

/* the media type of a body; both: NGX_DECLINED and ctx->problem */
ngx_int_t ngx_http_matte_check_type(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx);
ngx_int_t ngx_http_matte_decline(ngx_http_matte_ctx_t *ctx, ngx_uint_t code,
    const char *field, const char *message);

/* the operator's routes: ngx_http_matte_admin.c */

ngx_int_t ngx_http_matte_check_key(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
ngx_int_t ngx_http_matte_check_fingerprint(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
ngx_int_t ngx_http_matte_args_keys(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_new_key(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_enable(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_args_disable(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_answer_config(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);

/* NGX_OK, or the row of the table of errors that refuses it */
ngx_int_t ngx_http_matte_admin(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx);

/* "sha256:HEX" or "file:PATH" of a secret, kept as its SHA-256 */
char *ngx_http_matte_set_digest(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* uploads: ngx_http_matte_upload.c */

ngx_int_t ngx_http_matte_check_upload(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_str_t *body);
ngx_int_t ngx_http_matte_args_upload(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, ngx_http_matte_query_t *q);
ngx_int_t ngx_http_matte_answer_upload(ngx_http_request_t *r,
    ngx_http_matte_ctx_t *ctx, PGresult *res);


/* the routes and the life of a request: ngx_http_matte_route.c */

ngx_int_t ngx_http_matte_handler(ngx_http_request_t *r);

/* NGX_DONE: the route's answer() comes; else for finalize_request() */
ngx_int_t ngx_http_matte_ask(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
    ngx_http_matte_statement_e statement,
    ngx_int_t (*args)(ngx_http_request_t *r, ngx_http_matte_ctx_t *ctx,
                      ngx_http_matte_query_t *q));

/* the end of a request that has waited */
void ngx_http_matte_finish(ngx_http_request_t *r, ngx_int_t rc);

/* survives internal redirects; made on first use, NULL: no memory */
ngx_http_matte_ctx_t *ngx_http_matte_get_ctx(ngx_http_request_t *r);

ngx_str_t *ngx_http_matte_header(ngx_http_request_t *r, ngx_str_t *name);
ngx_int_t ngx_http_matte_random_hex(u_char *p, size_t bytes);
ngx_int_t ngx_http_matte_random_uuid(u_char *p);
ngx_int_t ngx_http_matte_uuid(ngx_str_t *s);

/* a SHA-256 from its hexadecimal digits; NGX_ERROR: it is none */
ngx_int_t ngx_http_matte_unhex(u_char *hash, u_char *hex, size_t len);

/* the value of an Allow header for this path; empty: the path is unknown */
ngx_int_t ngx_http_matte_allow(ngx_http_request_t *r, ngx_str_t *value);


extern ngx_module_t  ngx_http_matte_module;


#endif /* _NGX_HTTP_MATTE_H_INCLUDED_ */
