
/*
 * The doorbell: one SOCK_SEQPACKET connection a worker to the engine, a
 * message a datagram.  It is a hint and carries no data: the engine finds the
 * job in the database, with it or without.
 */


#include "ngx_http_matte.h"


#define NGX_HTTP_MATTE_MESSAGE      128
#define NGX_HTTP_MATTE_BACKOFF      100
#define NGX_HTTP_MATTE_BACKOFF_MAX  5000


struct ngx_http_matte_engine_s {
    ngx_http_matte_main_conf_t   *mcf;
    ngx_log_t                    *log;
    ngx_connection_t             *c;         /* NULL: not connected */
    ngx_queue_t                   waiting;   /* by number, so by deadline */
    ngx_event_t                   timer;     /* of the first one waiting */
    ngx_event_t                   retry;
    ngx_msec_t                    backoff;
    uint64_t                      number;
};


static ngx_int_t ngx_http_matte_engine_connect(ngx_http_matte_engine_t *e);
static void ngx_http_matte_engine_close(ngx_http_matte_engine_t *e);
static void ngx_http_matte_engine_retry(ngx_event_t *ev);
static void ngx_http_matte_engine_read(ngx_event_t *ev);
static void ngx_http_matte_engine_answer(ngx_http_matte_engine_t *e,
    u_char *p, u_char *last);
static void ngx_http_matte_engine_timeout(ngx_event_t *ev);
static void ngx_http_matte_engine_schedule(ngx_http_matte_engine_t *e);


ngx_http_matte_engine_t *
ngx_http_matte_engine_start(ngx_cycle_t *cycle,
    ngx_http_matte_main_conf_t *mcf)
{
    ngx_http_matte_engine_t  *e;

    e = ngx_pcalloc(cycle->pool, sizeof(ngx_http_matte_engine_t));
    if (e == NULL) {
        return NULL;
    }

    e->mcf = mcf;
    e->log = cycle->log;
    ngx_queue_init(&e->waiting);

    e->timer.handler = ngx_http_matte_engine_timeout;
    e->timer.data = e;
    e->timer.log = cycle->log;

    e->retry.handler = ngx_http_matte_engine_retry;
    e->retry.data = e;
    e->retry.log = cycle->log;
    e->retry.cancelable = 1;

    ngx_http_matte_engine_retry(&e->retry);

    return e;
}


void
ngx_http_matte_engine_stop(ngx_http_matte_engine_t *e)
{
    if (e->c) {
        ngx_close_connection(e->c);
        e->c = NULL;
    }
}


ngx_uint_t
ngx_http_matte_engine_connected(ngx_http_matte_engine_t *e)
{
    return e->c != NULL;
}


static ngx_int_t
ngx_http_matte_engine_send(ngx_http_matte_engine_t *e, const char *verb,
    ngx_str_t *job)
{
    u_char   buf[NGX_HTTP_MATTE_MESSAGE], *last;
    ssize_t  n;

    if (e->c == NULL) {
        return NGX_DECLINED;
    }

    last = ngx_snprintf(buf, NGX_HTTP_MATTE_MESSAGE, "%s %uL %V", verb,
                        ++e->number, job);

    n = send(e->c->fd, buf, last - buf, MSG_NOSIGNAL);

    if (n == -1) {

        /* a full socket: the engine has enough to do and will poll */

        if (ngx_socket_errno != NGX_EAGAIN) {
            ngx_log_error(NGX_LOG_ERR, e->log, ngx_socket_errno,
                          "send() to the engine failed");
            ngx_http_matte_engine_close(e);
        }

        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_matte_engine_ring(ngx_http_matte_engine_t *e,
    ngx_http_matte_ring_t *ring, ngx_str_t *job)
{
    if (ngx_http_matte_engine_send(e, "start", job) != NGX_OK) {
        return NGX_DECLINED;
    }

    ring->number = e->number;
    ring->engine = e;
    ring->deadline = ngx_current_msec + e->mcf->engine_wait;
    ngx_queue_insert_tail(&e->waiting, &ring->queue);

    ngx_http_matte_engine_schedule(e);

    return NGX_OK;
}


void
ngx_http_matte_engine_cancel(ngx_http_matte_engine_t *e, ngx_str_t *job)
{
    (void) ngx_http_matte_engine_send(e, "cancel", job);
}


void
ngx_http_matte_engine_forget(ngx_http_matte_ring_t *ring)
{
    ngx_http_matte_engine_t  *e = ring->engine;

    if (e == NULL) {
        return;
    }

    ring->engine = NULL;
    ngx_queue_remove(&ring->queue);

    ngx_http_matte_engine_schedule(e);
}


static void
ngx_http_matte_engine_schedule(ngx_http_matte_engine_t *e)
{
    ngx_queue_t            *q;
    ngx_msec_int_t          left;
    ngx_http_matte_ring_t  *ring;

    if (ngx_queue_empty(&e->waiting)) {

        if (e->timer.timer_set) {
            ngx_del_timer(&e->timer);
        }

        return;
    }

    if (e->timer.timer_set) {
        return;                         /* of an earlier one: it looks again */
    }

    q = ngx_queue_head(&e->waiting);
    ring = ngx_queue_data(q, ngx_http_matte_ring_t, queue);

    left = (ngx_msec_int_t) (ring->deadline - ngx_current_msec);

    ngx_add_timer(&e->timer, ngx_max(left, 1));
}


static void
ngx_http_matte_engine_timeout(ngx_event_t *ev)
{
    ngx_http_matte_engine_t  *e = ev->data;

    ngx_queue_t            *q;
    ngx_http_matte_ring_t  *ring;

    while (!ngx_queue_empty(&e->waiting)) {
        q = ngx_queue_head(&e->waiting);
        ring = ngx_queue_data(q, ngx_http_matte_ring_t, queue);

        if ((ngx_msec_int_t) (ring->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_http_matte_engine_forget(ring);
        ring->handler(ring->data, NULL);
    }

    ngx_http_matte_engine_schedule(e);
}


static void
ngx_http_matte_engine_retry(ngx_event_t *ev)
{
    ngx_http_matte_engine_t  *e = ev->data;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    if (ngx_http_matte_engine_connect(e) == NGX_OK) {
        e->backoff = 0;
        return;
    }

    e->backoff = ngx_min(e->backoff ? e->backoff * 2
                                    : NGX_HTTP_MATTE_BACKOFF,
                         NGX_HTTP_MATTE_BACKOFF_MAX);

    ngx_add_timer(&e->retry, e->backoff);
}


static ngx_int_t
ngx_http_matte_engine_connect(ngx_http_matte_engine_t *e)
{
    ngx_uint_t         level;
    ngx_addr_t        *addr = e->mcf->engine_addr;
    ngx_socket_t       s;
    ngx_connection_t  *c;

    s = ngx_socket(AF_UNIX, SOCK_SEQPACKET, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ALERT, e->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NGX_ERROR;
    }

    /* a local socket connects at once or not at all */

    if (ngx_nonblocking(s) == -1
        || connect(s, addr->sockaddr, addr->socklen) == -1)
    {
        level = e->backoff ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, e->log, ngx_socket_errno,
                      "connect() to the engine at %V failed", &addr->name);
        goto failed;
    }

    c = ngx_get_connection(s, e->log);
    if (c == NULL) {
        goto failed;
    }

    c->data = e;
    c->log = e->log;
    c->read->log = e->log;
    c->write->log = e->log;
    c->read->handler = ngx_http_matte_engine_read;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    e->c = c;

    return NGX_OK;

failed:

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, e->log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return NGX_ERROR;
}


/* those who wait run into their time: it is short */

static void
ngx_http_matte_engine_close(ngx_http_matte_engine_t *e)
{
    ngx_close_connection(e->c);
    e->c = NULL;

    if (!ngx_exiting && !ngx_terminate && !e->retry.timer_set) {
        ngx_add_timer(&e->retry, NGX_HTTP_MATTE_BACKOFF);
    }
}


static void
ngx_http_matte_engine_read(ngx_event_t *ev)
{
    u_char                    buf[NGX_HTTP_MATTE_MESSAGE];
    ssize_t                   n;
    ngx_connection_t         *c = ev->data;
    ngx_http_matte_engine_t  *e = c->data;

    if (c->close) {
        ngx_http_matte_engine_close(e);
        return;
    }

    /* level-triggered: what is left comes in the next turn */

    n = recv(c->fd, buf, NGX_HTTP_MATTE_MESSAGE, 0);

    if (n > 0) {
        ngx_http_matte_engine_answer(e, buf, buf + n);
        return;
    }

    if (n == -1 && (ngx_socket_errno == NGX_EAGAIN
                    || ngx_socket_errno == NGX_EINTR))
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, e->log, n ? ngx_socket_errno : 0,
                  "the engine closed its connection");

    ngx_http_matte_engine_close(e);
}


/* "<number> <word>"; of a number nobody waits for any more: dropped */

static void
ngx_http_matte_engine_answer(ngx_http_matte_engine_t *e, u_char *p,
    u_char *last)
{
    uint64_t                number;
    ngx_str_t               word;
    ngx_queue_t            *q;
    ngx_http_matte_ring_t  *ring;

    number = 0;

    while (p < last && *p >= '0' && *p <= '9') {
        number = number * 10 + (*p++ - '0');
    }

    if (p == last || *p++ != ' ') {
        return;
    }

    word.data = p;
    word.len = last - p;

    for (q = ngx_queue_head(&e->waiting);
         q != ngx_queue_sentinel(&e->waiting);
         q = ngx_queue_next(q))
    {
        ring = ngx_queue_data(q, ngx_http_matte_ring_t, queue);

        if (ring->number == number) {
            ngx_http_matte_engine_forget(ring);
            ring->handler(ring->data, &word);
            return;
        }
    }
}
