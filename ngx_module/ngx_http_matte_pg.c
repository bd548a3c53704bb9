
/*
 * A worker's connections to PostgreSQL, in libpq's pipeline mode.
 *
 * Requests queue statements; once per turn of the event loop a posted event
 * moves them to connections.  A Sync ends a transaction, so a result is handed
 * to the request only after the PGRES_PIPELINE_SYNC that follows it.
 */


#include "ngx_http_matte_pg.h"


#define NGX_HTTP_MATTE_BACKOFF       50
#define NGX_HTTP_MATTE_BACKOFF_MAX   5000
#define NGX_HTTP_MATTE_PING_TIME     1000


static ngx_int_t ngx_http_matte_pg_connect(ngx_http_matte_pg_conn_t *pc);
static void ngx_http_matte_pg_handler(ngx_event_t *ev);
static void ngx_http_matte_pg_retry(ngx_event_t *ev);
static void ngx_http_matte_pg_ping(ngx_event_t *ev);
static ngx_int_t ngx_http_matte_pg_read(ngx_http_matte_pg_conn_t *pc);


ngx_http_matte_pg_t *
ngx_http_matte_pg_start(ngx_cycle_t *cycle, ngx_http_matte_main_conf_t *mcf)
{
    ngx_uint_t                 i, n;
    ngx_http_matte_pg_t       *pg;
    ngx_http_matte_lane_t     *lane;
    ngx_http_matte_pg_conn_t  *pc;

    pg = ngx_pcalloc(cycle->pool, sizeof(ngx_http_matte_pg_t));
    if (pg == NULL) {
        return NULL;
    }

    pg->mcf = mcf;
    pg->log = cycle->log;

    for (i = 0; i < NGX_HTTP_MATTE_LANES; i++) {
        lane = &pg->lanes[i];

        lane->pg = pg;
        lane->id = i;
        ngx_queue_init(&lane->pending);
        lane->flush.handler = ngx_http_matte_pg_flush;
        lane->flush.data = lane;
        lane->flush.log = cycle->log;

        /* group commit: what comes during a batch makes up the next one */

        lane->depth = (i == NGX_HTTP_MATTE_WRITE) ? 1 : mcf->depth;
        lane->batch = (i == NGX_HTTP_MATTE_WRITE) ? mcf->batch : 1;

        /* the zone is one for all workers: one of them listens */

        lane->nconns = (i == NGX_HTTP_MATTE_LISTEN) ? (ngx_worker == 0)
                                                    : mcf->connections[i];
        lane->conns = ngx_pcalloc(cycle->pool,
                             lane->nconns * sizeof(ngx_http_matte_pg_conn_t));
        if (lane->conns == NULL) {
            return NULL;
        }

        for (n = 0; n < lane->nconns; n++) {
            pc = &lane->conns[n];

            pc->lane = lane;
            ngx_queue_init(&pc->sent);
            pc->retry.handler = ngx_http_matte_pg_retry;
            pc->retry.data = pc;
            pc->retry.log = cycle->log;
            pc->retry.cancelable = 1;

            if (ngx_http_matte_pg_connect(pc) != NGX_OK) {
                ngx_http_matte_pg_fail(pc);
            }
        }
    }

    pg->ping.handler = ngx_http_matte_pg_ping;
    pg->ping.data = pg;
    pg->ping.log = cycle->log;
    pg->ping.cancelable = 1;
    ngx_http_matte_pg_ping(&pg->ping);

    return pg;
}


void
ngx_http_matte_pg_stop(ngx_http_matte_pg_t *pg)
{
    ngx_uint_t  i, n;

    pg->closing = 1;

    for (i = 0; i < NGX_HTTP_MATTE_LANES; i++) {
        for (n = 0; n < pg->lanes[i].nconns; n++) {
            ngx_http_matte_pg_close(&pg->lanes[i].conns[n]);
        }
    }
}


/* an answer came within the last two pings */

ngx_uint_t
ngx_http_matte_pg_alive(ngx_http_matte_pg_t *pg)
{
    return pg->alive
           && ngx_current_msec - pg->alive <= 2 * NGX_HTTP_MATTE_PING_TIME;
}


static void
ngx_http_matte_pg_pong(void *data, PGresult *res)
{
    ngx_http_matte_lane_t  *lane = data;

    lane->pinging = 0;
}


static void
ngx_http_matte_pg_ping(ngx_event_t *ev)
{
    ngx_http_matte_pg_t     *pg = ev->data;

    ngx_uint_t               i;
    ngx_http_matte_query_t  *q;

    static ngx_uint_t  statements[] = {
        NGX_HTTP_MATTE_PING,
        NGX_HTTP_MATTE_KEYS_CHANGED
    };

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_MATTE_PING_TIME);

    for (i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {

        q = ngx_http_matte_query(pg, statements[i]);
        if (q == NULL) {
            return;
        }

        if (q->lane->nconns == 0 || q->lane->pinging) {
            ngx_http_matte_query_free(q);
            continue;
        }

        if (ngx_http_matte_query_send(q, ngx_http_matte_pg_pong, q->lane)
            == NGX_OK)
        {
            q->lane->pinging = 1;
        }
    }
}


static ngx_int_t
ngx_http_matte_pg_attach(ngx_http_matte_pg_conn_t *pc)
{
    int                fd;
    ngx_log_t         *log;
    ngx_connection_t  *c;

    fd = PQsocket(pc->pg);
    if (fd < 0) {
        return NGX_ERROR;
    }

    log = pc->lane->pg->log;

    c = ngx_get_connection(fd, log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    pc->c = c;
    c->data = pc;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_http_matte_pg_handler;
    c->write->handler = ngx_http_matte_pg_handler;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    /* level-triggered: PQconsumeInput() may leave bytes in the socket */

    return ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);
}


static void
ngx_http_matte_pg_detach(ngx_http_matte_pg_conn_t *pc)
{
    ngx_connection_t  *c = pc->c;

    if (c == NULL) {
        return;
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    /*
     * the descriptor belongs to libpq, which closes it by itself on a fatal
     * error: it has left epoll then, and its number may be in use again
     */

    if (PQsocket(pc->pg) == c->fd) {

        if (c->read->active) {
            ngx_del_event(c->read, NGX_READ_EVENT, 0);
        }

        if (c->write->active) {
            ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
        }
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->closed = 1;
    c->write->closed = 1;

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
    pc->c = NULL;
}


static ngx_int_t
ngx_http_matte_pg_want_write(ngx_http_matte_pg_conn_t *pc, ngx_uint_t on)
{
    ngx_event_t  *wev = pc->c->write;

    if (on && !wev->active) {
        return ngx_add_event(wev, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);
    }

    if (!on && wev->active) {
        return ngx_del_event(wev, NGX_WRITE_EVENT, 0);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_pg_send_out(ngx_http_matte_pg_conn_t *pc)
{
    int  rc;

    rc = PQflush(pc->pg);

    if (rc < 0) {
        return NGX_ERROR;
    }

    return ngx_http_matte_pg_want_write(pc, rc == 1);
}


/* libpq's messages are of several lines: the first one says it */

static void
ngx_http_matte_pg_log(ngx_log_t *log, ngx_uint_t level, const char *message)
{
    ngx_str_t  line;

    line.data = (u_char *) message;
    line.len = strcspn(message, "\n");

    ngx_log_error(level, log, 0, "postgres: %V", &line);
}


static void
ngx_http_matte_pg_notice(void *log, const char *message)
{
    ngx_http_matte_pg_log(log, NGX_LOG_NOTICE, message);
}


static ngx_int_t
ngx_http_matte_pg_connect(ngx_http_matte_pg_conn_t *pc)
{
    ngx_http_matte_pg_t  *pg = pc->lane->pg;

    pc->pg = PQconnectStart((char *) pg->mcf->conninfo.data);

    if (pc->pg == NULL || PQstatus(pc->pg) == CONNECTION_BAD) {
        return NGX_ERROR;
    }

    PQsetnonblocking(pc->pg, 1);
    PQsetNoticeProcessor(pc->pg, ngx_http_matte_pg_notice, pg->log);

    if (ngx_http_matte_pg_attach(pc) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_add_timer(pc->c->read, pg->mcf->connect_timeout);
    pc->c->read->cancelable = 1;

    return ngx_http_matte_pg_want_write(pc, 1);
}


static void
ngx_http_matte_pg_retry(ngx_event_t *ev)
{
    ngx_http_matte_pg_conn_t  *pc = ev->data;

    if (ngx_exiting || ngx_terminate || pc->lane->pg->closing) {
        return;
    }

    if (ngx_http_matte_pg_connect(pc) != NGX_OK) {
        ngx_http_matte_pg_fail(pc);
    }
}


void
ngx_http_matte_pg_close(ngx_http_matte_pg_conn_t *pc)
{
    ngx_queue_t                 lost, *qu, *next;
    ngx_http_matte_pg_t        *pg = pc->lane->pg;
    ngx_http_matte_query_t     *q;

    pc->ready = 0;
    pc->stale = 0;
    pc->npreparing = 0;

    ngx_http_matte_pg_detach(pc);

    if (pc->pg) {
        PQfinish(pc->pg);
        pc->pg = NULL;
    }

    if (pc->retry.timer_set) {
        ngx_del_timer(&pc->retry);
    }

    if (!pg->closing && !ngx_exiting && !ngx_terminate) {
        ngx_add_timer(&pc->retry, pc->backoff + ngx_random() % 50);
        pc->backoff = ngx_min(pc->backoff ? pc->backoff * 2
                                          : NGX_HTTP_MATTE_BACKOFF,
                              NGX_HTTP_MATTE_BACKOFF_MAX);
    }

    if (ngx_queue_empty(&pc->sent)) {
        return;
    }

    ngx_queue_init(&lost);
    ngx_queue_add(&lost, &pc->sent);
    ngx_queue_init(&pc->sent);
    pc->nsent = 0;

    /* a read can be tried once more; a write may have been committed */

    for (qu = ngx_queue_head(&lost);
         qu != ngx_queue_sentinel(&lost);
         qu = next)
    {
        next = ngx_queue_next(qu);
        q = ngx_queue_data(qu, ngx_http_matte_query_t, queue);

        if (!q->statement->write && !q->retried && q->handler && !pg->closing)
        {
            ngx_queue_remove(qu);
            ngx_http_matte_query_again(q);
        }
    }

    ngx_http_matte_pg_refuse(&lost);
}


/*
 * The connection could not be made or was lost.  Of a lane without another
 * one nobody waits for an answer that will not come; while the first attempt
 * after a loss is under way, requests do wait.
 */

void
ngx_http_matte_pg_fail(ngx_http_matte_pg_conn_t *pc)
{
    ngx_uint_t              i, was_ready;
    ngx_queue_t             refused;
    ngx_http_matte_lane_t  *lane = pc->lane;

    ngx_http_matte_pg_log(lane->pg->log, NGX_LOG_ERR,
                          pc->pg ? PQerrorMessage(pc->pg) : "no memory");

    was_ready = pc->ready;

    ngx_http_matte_pg_close(pc);

    if (was_ready) {
        return;
    }

    for (i = 0; i < lane->nconns; i++) {
        if (lane->conns[i].ready) {
            return;
        }
    }

    lane->down = 1;

    if (ngx_queue_empty(&lane->pending)) {
        return;
    }

    ngx_queue_init(&refused);
    ngx_queue_add(&refused, &lane->pending);
    ngx_queue_init(&lane->pending);
    lane->npending = 0;

    ngx_http_matte_pg_refuse(&refused);
}


static ngx_int_t
ngx_http_matte_pg_prepare(ngx_http_matte_pg_conn_t *pc)
{
    ngx_uint_t                   i;
    ngx_http_matte_statement_t  *st;

    if (PQenterPipelineMode(pc->pg) != 1) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_MATTE_STATEMENTS; i++) {
        st = &ngx_http_matte_statements[i];

        if (st->lane != pc->lane->id) {
            continue;
        }

        if (!PQsendPrepare(pc->pg, st->name, st->sql, 0, NULL)) {
            return NGX_ERROR;
        }

        pc->npreparing++;

        if (i != NGX_HTTP_MATTE_KEYS_CHANGED) {
            continue;
        }

        if (!PQsendQueryPrepared(pc->pg, st->name, 0, NULL, NULL, NULL, 0)) {
            return NGX_ERROR;
        }

        pc->npreparing++;
    }

    if (!PQpipelineSync(pc->pg)) {
        return NGX_ERROR;
    }

    pc->npreparing++;

    return NGX_OK;
}


static ngx_int_t
ngx_http_matte_pg_prepared(ngx_http_matte_pg_conn_t *pc, PGresult *res)
{
    ngx_http_matte_lane_t  *lane = pc->lane;

    switch (PQresultStatus(res)) {

    case PGRES_COMMAND_OK:
    case PGRES_PIPELINE_SYNC:
        break;

    default:
        ngx_http_matte_pg_log(lane->pg->log, NGX_LOG_ERR,
                              PQresultErrorMessage(res));
        return NGX_ERROR;
    }

    if (--pc->npreparing == 0) {
        pc->ready = 1;
        pc->backoff = 0;
        lane->down = 0;
        ngx_del_timer(pc->c->read);

        /* what was told before it listened, nobody heard */

        if (lane->id == NGX_HTTP_MATTE_LISTEN) {
            ngx_http_matte_keys_forget(lane->pg->mcf->zone, NULL);
        }

        ngx_post_event(&lane->flush, &ngx_posted_events);
    }

    return NGX_OK;
}


/*
 * libpq may close its socket here and open another one (the next host, again
 * without GSS or SSL), even under the same number, which silently drops it
 * from epoll: it is registered anew around every step
 */

static ngx_int_t
ngx_http_matte_pg_poll(ngx_http_matte_pg_conn_t *pc)
{
    ngx_msec_t                 end;
    ngx_msec_int_t             left;
    PostgresPollingStatusType  poll;

    end = pc->c->read->timer.key;
    left = ngx_max((ngx_msec_int_t) (end - ngx_current_msec), 1);

    ngx_http_matte_pg_detach(pc);

    poll = PQconnectPoll(pc->pg);

    if (poll == PGRES_POLLING_FAILED || ngx_http_matte_pg_attach(pc) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_add_timer(pc->c->read, left);
    pc->c->read->cancelable = 1;

    if (poll == PGRES_POLLING_OK) {
        return NGX_OK;
    }

    if (ngx_http_matte_pg_want_write(pc, poll == PGRES_POLLING_WRITING)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_http_matte_pg_handler(ngx_event_t *ev)
{
    ngx_int_t                  rc;
    ngx_uint_t                 read;
    ngx_connection_t          *c = ev->data;
    ngx_http_matte_pg_conn_t  *pc = c->data;

    if (c->close) {                     /* worker_shutdown_timeout */
        ngx_http_matte_pg_close(pc);
        return;
    }

    if (ev->timedout) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "postgres: connect timed out");
        goto failed;
    }

    read = !ev->write;

    if (PQstatus(pc->pg) != CONNECTION_OK) {

        rc = ngx_http_matte_pg_poll(pc);

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc != NGX_OK || ngx_http_matte_pg_prepare(pc) != NGX_OK) {
            goto failed;
        }

        read = 0;
    }

    if (read) {

        if (!PQconsumeInput(pc->pg) || ngx_http_matte_pg_read(pc) != NGX_OK) {
            goto failed;
        }

        if (pc->stale) {
            ngx_http_matte_pg_close(pc);
        }

        if (pc->pg == NULL) {           /* closed by a handler */
            return;
        }
    }

    if (ngx_http_matte_pg_send_out(pc) == NGX_OK) {
        return;
    }

failed:

    ngx_http_matte_pg_fail(pc);
}


/* after a migration: a new connection knows the new types and functions */

static ngx_uint_t
ngx_http_matte_pg_outdated(PGresult *res)
{
    char        *state;
    ngx_uint_t   i;

    static char *states[] = {
        "0A000",        /* cached plan must not change result type */
        "26000",        /* prepared statement does not exist */
        "42804",        /* row of a function has other columns */
        NULL
    };

    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    for (i = 0; state && states[i]; i++) {
        if (ngx_strcmp(state, states[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


/* the transaction of all statements up to the one marked last has ended */

static void
ngx_http_matte_pg_sync(ngx_http_matte_pg_conn_t *pc)
{
    ngx_uint_t               last, failed, n;
    ngx_queue_t             *qu, done;
    ngx_http_matte_query_t  *q;

    pc->lane->pg->alive = ngx_current_msec;

    ngx_queue_init(&done);
    failed = 0;
    n = 0;

    do {
        qu = ngx_queue_head(&pc->sent);
        q = ngx_queue_data(qu, ngx_http_matte_query_t, queue);

        last = q->last;
        failed |= q->failed;

        if (q->failed && ngx_http_matte_pg_outdated(q->res)) {
            pc->stale = 1;
        }

        ngx_queue_remove(qu);
        ngx_queue_insert_tail(&done, qu);
        pc->nsent--;
        n++;

    } while (!last);

    while (!ngx_queue_empty(&done)) {
        qu = ngx_queue_head(&done);
        ngx_queue_remove(qu);
        q = ngx_queue_data(qu, ngx_http_matte_query_t, queue);

        /* an error rolled back the whole batch: each goes alone */

        if (failed && (n > 1 || pc->stale) && !q->retried) {
            ngx_http_matte_query_again(q);
            continue;
        }

        ngx_http_matte_query_done(q, q->res);
    }
}


/* a key whose SHA-256 is told has changed */

static void
ngx_http_matte_pg_notified(ngx_http_matte_pg_conn_t *pc, PGnotify *note)
{
    u_char  hash[NGX_HTTP_MATTE_HASH_LEN];

    if (ngx_http_matte_unhex(hash, (u_char *) note->extra,
                             ngx_strlen(note->extra))
        != NGX_OK)
    {
        return;
    }

    ngx_http_matte_keys_forget(pc->lane->pg->mcf->zone, hash);
}


static ngx_int_t
ngx_http_matte_pg_read(ngx_http_matte_pg_conn_t *pc)
{
    PGresult                *res;
    PGnotify                *note;
    ngx_queue_t             *cur;
    ExecStatusType           status;
    ngx_http_matte_query_t  *q;

    /* the first statement without a result */

    for (cur = ngx_queue_head(&pc->sent);
         cur != ngx_queue_sentinel(&pc->sent);
         cur = ngx_queue_next(cur))
    {
        q = ngx_queue_data(cur, ngx_http_matte_query_t, queue);

        if (q->res == NULL) {
            break;
        }
    }

    while (!PQisBusy(pc->pg)) {

        res = PQgetResult(pc->pg);

        if (res == NULL) {

            if (PQstatus(pc->pg) != CONNECTION_OK) {
                return NGX_ERROR;
            }

            if (ngx_queue_empty(&pc->sent) && pc->npreparing == 0) {
                break;
            }

            continue;                   /* the end of one statement */
        }

        if (pc->npreparing) {

            if (ngx_http_matte_pg_prepared(pc, res) != NGX_OK) {
                PQclear(res);
                return NGX_ERROR;
            }

            PQclear(res);
            continue;
        }

        status = PQresultStatus(res);

        if (status == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            ngx_http_matte_pg_sync(pc);

            if (pc->pg == NULL) {
                return NGX_OK;
            }

            cur = ngx_queue_head(&pc->sent);
            continue;
        }

        if (cur == ngx_queue_sentinel(&pc->sent)) {
            PQclear(res);               /* FATAL while idle */
            return NGX_ERROR;
        }

        q = ngx_queue_data(cur, ngx_http_matte_query_t, queue);
        q->res = res;
        q->failed = (status != PGRES_TUPLES_OK
                     && status != PGRES_COMMAND_OK);
        cur = ngx_queue_next(cur);
    }

    while ((note = PQnotifies(pc->pg)) != NULL) {
        ngx_http_matte_pg_notified(pc, note);
        PQfreemem(note);
    }

    if (pc->lane->npending) {
        ngx_post_event(&pc->lane->flush, &ngx_posted_events);
    }

    return NGX_OK;
}
