
#ifndef _NGX_HTTP_MATTE_PG_H_INCLUDED_
#define _NGX_HTTP_MATTE_PG_H_INCLUDED_


#include "ngx_http_matte.h"


typedef struct ngx_http_matte_lane_s     ngx_http_matte_lane_t;
typedef struct ngx_http_matte_pg_conn_s  ngx_http_matte_pg_conn_t;


typedef struct {
    const char                  *name;
    const char                  *sql;
    ngx_uint_t                   lane;
    ngx_uint_t                   write;
} ngx_http_matte_statement_t;


struct ngx_http_matte_query_s {
    ngx_queue_t                  queue;
    ngx_pool_t                  *pool;       /* own: outlives the request */
    ngx_http_matte_statement_t  *statement;
    ngx_http_matte_lane_t       *lane;
    ngx_http_matte_pg_conn_t    *conn;       /* NULL while pending */
    ngx_str_t                    order;
    ngx_uint_t                   nargs;
    const char                  *values[NGX_HTTP_MATTE_MAX_ARGS];
    int                          lengths[NGX_HTTP_MATTE_MAX_ARGS];
    int                          formats[NGX_HTTP_MATTE_MAX_ARGS];
    PGresult                    *res;        /* held until the Sync */
    ngx_http_matte_query_pt      handler;    /* NULL: nobody waits */
    void                        *data;
    ngx_event_t                  timer;

    unsigned                     alone:1;
    unsigned                     retried:1;
    unsigned                     last:1;     /* followed by a Sync */
    unsigned                     failed:1;
    unsigned                     overdue:1;  /* answered, still in flight */
};


struct ngx_http_matte_pg_conn_s {
    ngx_http_matte_lane_t       *lane;
    PGconn                      *pg;
    ngx_connection_t            *c;
    ngx_queue_t                  sent;
    ngx_uint_t                   nsent;
    ngx_uint_t                   npreparing; /* answers, the Sync's included */
    ngx_event_t                  retry;
    ngx_msec_t                   backoff;

    unsigned                     ready:1;
    unsigned                     stale:1;    /* its plans are outdated */
};


struct ngx_http_matte_lane_s {
    ngx_http_matte_pg_t         *pg;
    ngx_queue_t                  pending;
    ngx_uint_t                   npending;
    ngx_event_t                  flush;
    ngx_uint_t                   id;
    ngx_uint_t                   depth;
    ngx_uint_t                   batch;
    ngx_uint_t                   nconns;
    ngx_http_matte_pg_conn_t    *conns;

    unsigned                     down:1;     /* the last connect failed */
    unsigned                     pinging:1;
};


struct ngx_http_matte_pg_s {
    ngx_http_matte_main_conf_t  *mcf;
    ngx_log_t                   *log;
    ngx_http_matte_lane_t        lanes[NGX_HTTP_MATTE_LANES];
    ngx_event_t                  ping;
    ngx_msec_t                   alive;      /* last answer, 0: none yet */

    unsigned                     closing:1;
};


extern ngx_http_matte_statement_t
    ngx_http_matte_statements[NGX_HTTP_MATTE_STATEMENTS];


/* statements and their lanes: ngx_http_matte_query.c */

void ngx_http_matte_query_done(ngx_http_matte_query_t *q, PGresult *res);

/* back to the queue, to be tried once more on its own */
void ngx_http_matte_query_again(ngx_http_matte_query_t *q);

/* all are done without a result; the list is empty afterwards */
void ngx_http_matte_pg_refuse(ngx_queue_t *queries);

/* a lane's posted event: from its queue to its connections */
void ngx_http_matte_pg_flush(ngx_event_t *ev);


/* connections: ngx_http_matte_pg.c */

ngx_int_t ngx_http_matte_pg_send_out(ngx_http_matte_pg_conn_t *pc);
void ngx_http_matte_pg_close(ngx_http_matte_pg_conn_t *pc);

/* the connection could not be made or was lost: closes and logs */
void ngx_http_matte_pg_fail(ngx_http_matte_pg_conn_t *pc);


#endif /* _NGX_HTTP_MATTE_PG_H_INCLUDED_ */
