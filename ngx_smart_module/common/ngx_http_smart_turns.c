
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_turns.h"


typedef struct {
    ngx_event_t               event;
    ngx_http_request_t       *request;
    size_t                    size;
    ngx_http_smart_turns_pt   write;
    void                     *data;
    ngx_uint_t                done;    /* unsigned  done:1; */
} ngx_http_smart_turns_t;


static void ngx_http_smart_turns_event_handler(ngx_event_t *ev);
static void ngx_http_smart_turns_write_handler(ngx_http_request_t *r);
static void ngx_http_smart_turns_go_on(ngx_http_smart_turns_t *t);
static ngx_int_t ngx_http_smart_turns_turn(ngx_http_smart_turns_t *t);
static void ngx_http_smart_turns_cleanup(void *data);


ngx_int_t
ngx_http_smart_turns(ngx_http_request_t *r, size_t size,
    ngx_http_smart_turns_pt write, void *data)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_smart_turns_t  *t;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_smart_turns_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    t = cln->data;
    ngx_memzero(t, sizeof(ngx_http_smart_turns_t));

    cln->handler = ngx_http_smart_turns_cleanup;

    t->event.handler = ngx_http_smart_turns_event_handler;
    t->event.data = t;
    t->event.log = r->connection->log;
    t->request = r;
    t->size = size;
    t->write = write;
    t->data = data;

    r->main->count++;

    ngx_http_smart_turns_go_on(t);

    return NGX_DONE;
}


static void
ngx_http_smart_turns_event_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_http_smart_turns_t  *t;

    t = ev->data;
    c = t->request->connection;

    ngx_http_set_log_request(c->log, t->request);

    ngx_http_smart_turns_go_on(t);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_smart_turns_write_handler(ngx_http_request_t *r)
{
    ngx_event_t         *wev;
    ngx_pool_cleanup_t  *cln;

    wev = r->connection->write;

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_smart_turns_cleanup) {
            ngx_http_smart_turns_go_on(cln->data);
            return;
        }
    }
}


/* one turn, and what the next one waits for */
static void
ngx_http_smart_turns_go_on(ngx_http_smart_turns_t *t)
{
    ngx_int_t                  rc;
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = t->request;
    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!r->buffered && !r->connection->buffered) {

        rc = ngx_http_smart_turns_turn(t);

        if (rc == NGX_ERROR || t->done) {
            ngx_http_finalize_request(r, rc);
            return;
        }
    }

    if (!r->buffered && !r->connection->buffered) {

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        r->write_event_handler = ngx_http_request_empty_handler;

        ngx_post_event(&t->event, &ngx_posted_next_events);
        return;
    }

    r->write_event_handler = ngx_http_smart_turns_write_handler;

    ngx_add_timer(wev, clcf->send_timeout);

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


/* fills a buffer and sends it */
static ngx_int_t
ngx_http_smart_turns_turn(ngx_http_smart_turns_t *t)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = t->request;

    b = ngx_create_temp_buf(r->pool, t->size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    rc = t->write(t->data, b);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        t->done = 1;

        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;

    } else {
        b->flush = 1;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_smart_turns_cleanup(void *data)
{
    ngx_http_smart_turns_t  *t = data;

    if (t->event.posted) {
        ngx_delete_posted_event(&t->event);
    }
}
