
/*
 * Statements on their way: a query is made by a request, waits in its lane,
 * goes to a connection in a batch, and ends with its result.
 */


#include "ngx_http_matte_pg.h"


#define NGX_HTTP_MATTE_COLUMNS                                                \
    "SELECT outcome, key_id, tenant_id, rate_per_min, burst, starts_per_min," \
    " starts_burst, scope, job_id, status, code, body, output_key,"           \
    " alpha_key, total FROM matte."


static void ngx_http_matte_query_timeout(ngx_event_t *ev);


ngx_http_matte_statement_t
    ngx_http_matte_statements[NGX_HTTP_MATTE_STATEMENTS] =
{
    { "api_get",
      NGX_HTTP_MATTE_COLUMNS "api_get($1, $2, $3)",
      NGX_HTTP_MATTE_READ, 0 },

    { "api_download",
      NGX_HTTP_MATTE_COLUMNS "api_download($1, $2)",
      NGX_HTTP_MATTE_READ, 0 },

    { "api_list",
      NGX_HTTP_MATTE_COLUMNS "api_list($1, $2, $3, $4, $5)",
      NGX_HTTP_MATTE_SLOW, 0 },

    { "api_create",
      NGX_HTTP_MATTE_COLUMNS "api_create($1, $2, $3, $4, $5, $6, $7, $8, $9,"
      " $10, $11, $12, $13, $14, $15)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_start",
      NGX_HTTP_MATTE_COLUMNS "api_start($1, $2, $3, $4, $5, $6, $7, $8, $9,"
      " $10, $11)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_cancel",
      NGX_HTTP_MATTE_COLUMNS "api_cancel($1, $2)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_delete",
      NGX_HTTP_MATTE_COLUMNS "api_delete($1, $2)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_answered",
      NGX_HTTP_MATTE_COLUMNS "api_answered($1, $2, $3)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_upload_begin",
      NGX_HTTP_MATTE_COLUMNS "api_upload_begin($1)",
      NGX_HTTP_MATTE_READ, 0 },

    { "api_upload",
      NGX_HTTP_MATTE_COLUMNS "api_upload($1, $2, $3, $4, $5)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_usage",
      NGX_HTTP_MATTE_COLUMNS "api_usage($1, $2, $3)",
      NGX_HTTP_MATTE_SLOW, 0 },

    { "api_events",
      NGX_HTTP_MATTE_COLUMNS "api_events($1, $2, $3)",
      NGX_HTTP_MATTE_SLOW, 0 },

    { "api_webhooks",
      NGX_HTTP_MATTE_COLUMNS "api_webhooks($1, $2, $3)",
      NGX_HTTP_MATTE_SLOW, 0 },

    { "api_redeliver",
      NGX_HTTP_MATTE_COLUMNS "api_redeliver($1, $2, $3)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_pricing",
      NGX_HTTP_MATTE_COLUMNS "api_pricing()",
      NGX_HTTP_MATTE_READ, 0 },

    { "api_keys",
      NGX_HTTP_MATTE_COLUMNS "api_keys($1, $2)",
      NGX_HTTP_MATTE_SLOW, 0 },

    { "api_key_create",
      NGX_HTTP_MATTE_COLUMNS "api_key_create($1, $2, $3, $4)",
      NGX_HTTP_MATTE_WRITE, 1 },

    { "api_key_enable",
      NGX_HTTP_MATTE_COLUMNS "api_key_enable($1, $2)",
      NGX_HTTP_MATTE_WRITE, 1 },

    /* again and again: the first time it listens, then it is a ping */

    { "keys_changed", "LISTEN matte_keys", NGX_HTTP_MATTE_LISTEN, 0 },

    { "ping", "SELECT 1", NGX_HTTP_MATTE_READ, 0 }
};


ngx_http_matte_query_t *
ngx_http_matte_query(ngx_http_matte_pg_t *pg,
    ngx_http_matte_statement_e statement)
{
    ngx_pool_t              *pool;
    ngx_http_matte_query_t  *q;

    pool = ngx_create_pool(1024, pg->log);
    if (pool == NULL) {
        return NULL;
    }

    q = ngx_pcalloc(pool, sizeof(ngx_http_matte_query_t));
    if (q == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    q->pool = pool;
    q->statement = &ngx_http_matte_statements[statement];
    q->lane = &pg->lanes[q->statement->lane];
    q->alone = 1;

    return q;
}


ngx_int_t
ngx_http_matte_query_args(ngx_http_matte_query_t *q, ngx_str_t *values,
    ngx_uint_t n, ngx_uint_t binary)
{
    u_char      *p;
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {
        p = NULL;

        if (values[i].data) {
            p = ngx_pnalloc(q->pool, values[i].len + 1);
            if (p == NULL) {
                return NGX_ERROR;
            }

            *ngx_cpymem(p, values[i].data, values[i].len) = '\0';
        }

        q->values[i] = (char *) p;
        q->lengths[i] = (int) values[i].len;
        q->formats[i] = (binary >> i) & 1;
    }

    q->nargs = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_query_order(ngx_http_matte_query_t *q, ngx_str_t *first,
    ngx_str_t *second)
{
    q->order.len = first->len + second->len;
    q->order.data = ngx_pnalloc(q->pool, q->order.len);
    if (q->order.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(q->order.data, "%V%V", first, second);

    q->alone = 0;

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_query_send(ngx_http_matte_query_t *q,
    ngx_http_matte_query_pt handler, void *data)
{
    ngx_http_matte_lane_t       *lane = q->lane;
    ngx_http_matte_main_conf_t  *mcf = lane->pg->mcf;

    if (lane->down || lane->npending >= mcf->queue) {
        ngx_http_matte_query_free(q);
        return NGX_BUSY;
    }

    q->handler = handler;
    q->data = data;

    /* not cancelable: holds a graceful shutdown until the answer is out */

    q->timer.handler = ngx_http_matte_query_timeout;
    q->timer.data = q;
    q->timer.log = lane->pg->log;
    ngx_add_timer(&q->timer, mcf->timeout);

    ngx_queue_insert_tail(&lane->pending, &q->queue);
    lane->npending++;
    ngx_post_event(&lane->flush, &ngx_posted_events);

    return NGX_OK;
}


/* what was sent cannot be taken back: its result frees it */

void
ngx_http_matte_query_abandon(ngx_http_matte_query_t *q)
{
    q->handler = NULL;
}


void
ngx_http_matte_query_free(ngx_http_matte_query_t *q)
{
    ngx_destroy_pool(q->pool);
}


void
ngx_http_matte_query_done(ngx_http_matte_query_t *q, PGresult *res)
{
    ngx_http_matte_query_pt  handler = q->handler;

    if (q->timer.timer_set) {
        ngx_del_timer(&q->timer);
    }

    q->handler = NULL;

    if (handler) {
        handler(q->data, res);
    }

    if (q->res) {
        PQclear(q->res);
    }

    ngx_destroy_pool(q->pool);
}


void
ngx_http_matte_query_again(ngx_http_matte_query_t *q)
{
    ngx_http_matte_lane_t  *lane = q->lane;

    if (q->res) {
        PQclear(q->res);
        q->res = NULL;
    }

    q->conn = NULL;
    q->failed = 0;
    q->last = 0;
    q->alone = 1;
    q->retried = 1;

    ngx_queue_insert_tail(&lane->pending, &q->queue);
    lane->npending++;
    ngx_post_event(&lane->flush, &ngx_posted_events);
}


static void
ngx_http_matte_query_timeout(ngx_event_t *ev)
{
    ngx_http_matte_query_t   *q = ev->data;
    ngx_http_matte_query_pt   handler = q->handler;

    if (q->conn == NULL) {
        ngx_queue_remove(&q->queue);
        q->lane->npending--;
        ngx_http_matte_query_done(q, NULL);
        return;
    }

    if (q->overdue) {
        ngx_log_error(NGX_LOG_ERR, ev->log, 0,
                      "postgres does not answer, reconnecting");
        ngx_http_matte_pg_close(q->conn);       /* frees q */
        return;
    }

    /*
     * in flight: the request is answered now, statement_timeout ends the
     * statement; a connection that stays silent once more is replaced
     */

    q->overdue = 1;
    ngx_add_timer(&q->timer, q->lane->pg->mcf->timeout);

    q->handler = NULL;

    if (handler) {
        handler(q->data, NULL);
    }
}


/* handlers can queue new work: the list they came from is not walked */

void
ngx_http_matte_pg_refuse(ngx_queue_t *queries)
{
    ngx_queue_t             *qu;
    ngx_http_matte_query_t  *q;

    while (!ngx_queue_empty(queries)) {
        qu = ngx_queue_head(queries);
        ngx_queue_remove(qu);

        q = ngx_queue_data(qu, ngx_http_matte_query_t, queue);
        q->conn = NULL;
        ngx_queue_init(&q->queue);

        ngx_http_matte_query_done(q, NULL);
    }
}


/* the ready connection with the least in flight */

static ngx_http_matte_pg_conn_t *
ngx_http_matte_pg_pick(ngx_http_matte_lane_t *lane)
{
    ngx_uint_t                 i;
    ngx_http_matte_pg_conn_t  *pc, *best;

    best = NULL;

    for (i = 0; i < lane->nconns; i++) {
        pc = &lane->conns[i];

        if (pc->ready && pc->nsent < lane->depth
            && (best == NULL || pc->nsent < best->nsent))
        {
            best = pc;
        }
    }

    return best;
}


static ngx_int_t
ngx_http_matte_query_cmp(const ngx_queue_t *one, const ngx_queue_t *two)
{
    ngx_http_matte_query_t  *a, *b;

    a = ngx_queue_data(one, ngx_http_matte_query_t, queue);
    b = ngx_queue_data(two, ngx_http_matte_query_t, queue);

    return ngx_memn2cmp(a->order.data, b->order.data, a->order.len,
                        b->order.len);
}


/*
 * Takes what shares the next Sync.  In one order everywhere, or the batches
 * of two workers could lock the same rows crosswise.
 */

static void
ngx_http_matte_pg_batch(ngx_http_matte_lane_t *lane, ngx_queue_t *batch)
{
    ngx_uint_t               n;
    ngx_queue_t             *qu, dropped;
    ngx_http_matte_query_t  *q;

    ngx_queue_init(&dropped);
    n = 0;

    while (n < lane->batch && !ngx_queue_empty(&lane->pending)) {
        qu = ngx_queue_head(&lane->pending);
        q = ngx_queue_data(qu, ngx_http_matte_query_t, queue);

        if (q->alone && n) {
            break;
        }

        ngx_queue_remove(qu);
        lane->npending--;

        if (q->handler == NULL && !q->statement->write) {
            ngx_queue_insert_tail(&dropped, qu);
            continue;
        }

        ngx_queue_insert_tail(batch, qu);
        n++;

        if (q->alone) {
            break;
        }
    }

    ngx_http_matte_pg_refuse(&dropped);

    if (n > 1) {
        ngx_queue_sort(batch, ngx_http_matte_query_cmp);
    }
}


static ngx_int_t
ngx_http_matte_pg_send(ngx_http_matte_pg_conn_t *pc, ngx_queue_t *batch)
{
    ngx_int_t                rc;
    ngx_queue_t             *qu;
    ngx_http_matte_query_t  *q;

    q = ngx_queue_data(ngx_queue_last(batch), ngx_http_matte_query_t, queue);
    q->last = 1;

    rc = NGX_OK;

    /* all are in flight even if one fails: closing sorts them out */

    while (!ngx_queue_empty(batch)) {
        qu = ngx_queue_head(batch);
        ngx_queue_remove(qu);
        ngx_queue_insert_tail(&pc->sent, qu);
        pc->nsent++;

        q = ngx_queue_data(qu, ngx_http_matte_query_t, queue);
        q->conn = pc;

        if (!PQsendQueryPrepared(pc->pg, q->statement->name, q->nargs,
                                 q->values, q->lengths, q->formats, 0))
        {
            rc = NGX_ERROR;
        }
    }

    /* this flushes too; libpq 17 has PQsendPipelineSync() */

    if (rc != NGX_OK || !PQpipelineSync(pc->pg)) {
        return NGX_ERROR;
    }

    return ngx_http_matte_pg_send_out(pc);
}


void
ngx_http_matte_pg_flush(ngx_event_t *ev)
{
    ngx_queue_t                batch;
    ngx_http_matte_lane_t     *lane = ev->data;
    ngx_http_matte_pg_conn_t  *pc;

    while (lane->npending) {

        pc = ngx_http_matte_pg_pick(lane);

        if (pc == NULL) {
            return;
        }

        ngx_queue_init(&batch);
        ngx_http_matte_pg_batch(lane, &batch);

        if (ngx_queue_empty(&batch)) {
            return;
        }

        if (ngx_http_matte_pg_send(pc, &batch) != NGX_OK) {
            ngx_http_matte_pg_fail(pc);
        }
    }
}
