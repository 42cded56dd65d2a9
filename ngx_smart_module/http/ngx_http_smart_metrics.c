
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_metrics: the counters as Prometheus reads them.  A text that fills
 * more than a buffer is written in turns, other events between them.
 */


#include "ngx_http_smart_series.h"
#include "ngx_http_smart_family.h"
#include "../common/ngx_http_smart_reply.h"


/* the longest unit, a histogram, fits into an empty buffer */
#define NGX_HTTP_SMART_METRICS_BUFFER                                         \
    (NGX_SMART_PROM_MAX_HISTOGRAM + 16 * 1024)


/* where a scrape stands */
typedef struct {
    ngx_event_t                       event;
    ngx_http_request_t               *request;
    ngx_http_smart_family_row_t      row;
    ngx_uint_t                        family;
    ngx_uint_t                        upstream;  /* or location */
    ngx_uint_t                        peer;
    ngx_uint_t                        openmetrics;
} ngx_http_smart_metrics_t;


static ngx_int_t ngx_http_smart_metrics_handler(ngx_http_request_t *r);
static void ngx_http_smart_metrics_event_handler(ngx_event_t *ev);
static void ngx_http_smart_metrics_write_handler(ngx_http_request_t *r);
static void ngx_http_smart_metrics_go_on(ngx_http_smart_metrics_t *m);
static ngx_int_t ngx_http_smart_metrics_turn(ngx_http_smart_metrics_t *m);
static ngx_uint_t ngx_http_smart_metrics_unit(ngx_http_smart_metrics_t *m);
static ngx_uint_t ngx_http_smart_metrics_next(ngx_http_smart_metrics_t *m,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_metrics_journal(ngx_http_smart_metrics_t *m);
static void ngx_http_smart_metrics_cleanup(void *data);


static ngx_str_t  ngx_http_smart_metrics_text =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");

static ngx_str_t  ngx_http_smart_metrics_openmetrics =
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8");


static ngx_int_t
ngx_http_smart_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_str_t                 *type;
    ngx_pool_cleanup_t        *cln;
    ngx_http_smart_metrics_t  *m;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_smart_metrics_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    m = cln->data;
    ngx_memzero(m, sizeof(ngx_http_smart_metrics_t));

    cln->handler = ngx_http_smart_metrics_cleanup;

    m->request = r;
    m->event.handler = ngx_http_smart_metrics_event_handler;
    m->event.data = m;
    m->event.log = r->connection->log;
    m->row.smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);
    ngx_http_smart_zone_heal(m->row.smcf->zone, m->row.smcf->shared);

    m->openmetrics = ngx_http_smart_accepts(r, "application/openmetrics-text");

    type = m->openmetrics ? &ngx_http_smart_metrics_openmetrics
                          : &ngx_http_smart_metrics_text;

    rc = ngx_http_smart_reply_header(r, NGX_HTTP_OK, type, -1);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    r->main->count++;

    ngx_http_smart_metrics_go_on(m);

    return NGX_DONE;
}


static void
ngx_http_smart_metrics_event_handler(ngx_event_t *ev)
{
    ngx_connection_t          *c;
    ngx_http_smart_metrics_t  *m;

    m = ev->data;
    c = m->request->connection;

    ngx_http_set_log_request(c->log, m->request);

    ngx_http_smart_metrics_go_on(m);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_smart_metrics_write_handler(ngx_http_request_t *r)
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
        if (cln->handler == ngx_http_smart_metrics_cleanup) {
            ngx_http_smart_metrics_go_on(cln->data);
            return;
        }
    }
}


/* one turn, and what the next one waits for */
static void
ngx_http_smart_metrics_go_on(ngx_http_smart_metrics_t *m)
{
    ngx_int_t                  rc;
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = m->request;
    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!r->buffered && !r->connection->buffered) {

        rc = ngx_http_smart_metrics_turn(m);

        if (rc == NGX_ERROR || m->family == ngx_http_smart_family_count) {
            ngx_http_finalize_request(r, rc);
            return;
        }
    }

    if (!r->buffered && !r->connection->buffered) {

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

        r->write_event_handler = ngx_http_request_empty_handler;

        ngx_post_event(&m->event, &ngx_posted_next_events);
        return;
    }

    r->write_event_handler = ngx_http_smart_metrics_write_handler;

    ngx_add_timer(wev, clcf->send_timeout);

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


/* fills a buffer and sends it */
static ngx_int_t
ngx_http_smart_metrics_turn(ngx_http_smart_metrics_t *m)
{
    char                *mark;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_uint_t           more;
    ngx_smart_prom_t    *prom;
    ngx_http_request_t  *r;

    r = m->request;
    prom = &m->row.prom;

    b = ngx_create_temp_buf(r->pool, NGX_HTTP_SMART_METRICS_BUFFER);
    if (b == NULL) {
        return NGX_ERROR;
    }

    prom->pos = (char *) b->pos;
    prom->end = (char *) b->end;
    prom->openmetrics = (m->openmetrics != 0);
    prom->overflow = 0;

    do {
        mark = prom->pos;
        more = ngx_http_smart_metrics_unit(m);

    } while (more && !prom->overflow);

    if (prom->overflow) {

        /* the unit that does not fit begins the next buffer */

        prom->pos = mark;
    }

    b->last = (u_char *) prom->pos;

    if (m->family == ngx_http_smart_family_count) {
        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;

    } else {
        b->flush = 1;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* writes one row of a family and moves on, unless it did not fit */
static ngx_uint_t
ngx_http_smart_metrics_unit(ngx_http_smart_metrics_t *m)
{
    ngx_uint_t                              first;
    ngx_http_smart_metrics_t                saved;
    const ngx_http_smart_family_t  *family;

    if (m->family == ngx_http_smart_family_count) {
        return 0;
    }

    saved = *m;
    first = (m->upstream == 0 && m->peer == 0);

    family = &ngx_http_smart_families[m->family];

    if (first) {
        ngx_smart_prom_header(&m->row.prom, &family->prom);
    }

    if (ngx_http_smart_metrics_next(m, family)) {

        family->write(&m->row, family);

    } else {
        m->family++;
        m->upstream = 0;
        m->peer = 0;

        if (m->family == ngx_http_smart_family_count) {
            ngx_http_smart_metrics_journal(m);
            ngx_smart_prom_end(&m->row.prom);
        }
    }

    if (m->row.prom.overflow) {
        m->family = saved.family;
        m->upstream = saved.upstream;
        m->peer = saved.peer;
    }

    return 1;
}


/* the row that is to be written; 0 after the last one */
static ngx_uint_t
ngx_http_smart_metrics_next(ngx_http_smart_metrics_t *m,
    const ngx_http_smart_family_t *family)
{
    ngx_http_smart_peer_t        *peer;
    ngx_http_smart_series_t     **series;
    ngx_http_smart_upstream_t    *su;
    ngx_http_smart_main_conf_t   *smcf;

    smcf = m->row.smcf;

    switch (family->scope) {

    case NGX_HTTP_SMART_FAMILY_ONCE:
        return m->upstream++ == 0;

    case NGX_HTTP_SMART_FAMILY_LOCATION:

        if (m->upstream == smcf->series.nelts) {
            return 0;
        }

        series = smcf->series.elts;
        m->row.series = series[m->upstream++];

        return 1;

    default: /* NGX_HTTP_SMART_FAMILY_PEER */

        su = smcf->upstreams.elts;

        while (m->upstream < smcf->upstreams.nelts) {

            peer = su[m->upstream].peers.elts;

            while (m->peer < su[m->upstream].peers.nelts) {

                peer = &peer[m->peer++];

                if (!peer->again) {
                    m->row.peer = peer->series;
                    return 1;
                }

                peer = su[m->upstream].peers.elts;
            }

            m->upstream++;
            m->peer = 0;
        }

        return 0;
    }
}


/* what the other module has, if it is loaded */
static void
ngx_http_smart_metrics_journal(ngx_http_smart_metrics_t *m)
{
    ngx_uint_t                  key;
    ngx_smart_prom_t           *prom;
    ngx_http_variable_value_t  *vv;

    static ngx_str_t  name = ngx_string("smart_journal_metrics");

    prom = &m->row.prom;

    key = ngx_hash_key(name.data, name.len);

    vv = ngx_http_get_variable(m->request, &name, key);

    if (vv == NULL || vv->not_found) {
        return;
    }

    if (vv->len > (size_t) (prom->end - prom->pos)) {
        prom->overflow = 1;
        return;
    }

    prom->pos = (char *) ngx_cpymem(prom->pos, vv->data, vv->len);
}


static void
ngx_http_smart_metrics_cleanup(void *data)
{
    ngx_http_smart_metrics_t  *m = data;

    if (m->event.posted) {
        ngx_delete_posted_event(&m->event);
    }
}


char *
ngx_http_smart_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_smart_main_conf_t  *smcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_smart_metrics_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_smart_metrics_handler;

    slcf->exempt = 1;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);
    smcf->metrics = 1;

    return NGX_CONF_OK;
}
