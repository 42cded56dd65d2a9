
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_metrics: the counters as Prometheus reads them.
 */


#include "ngx_http_smart_series.h"
#include "ngx_http_smart_family.h"
#include "../common/ngx_http_smart_reply.h"
#include "../common/ngx_http_smart_turns.h"


/* the longest unit, a histogram, fits into an empty buffer */
#define NGX_HTTP_SMART_METRICS_BUFFER                                         \
    (NGX_SMART_PROM_MAX_HISTOGRAM + 16 * 1024)


/* where a scrape stands */
typedef struct {
    ngx_http_request_t               *request;
    ngx_http_smart_family_row_t       row;
    ngx_uint_t                        family;
    ngx_uint_t                        upstream;  /* or location */
    ngx_uint_t                        peer;
} ngx_http_smart_metrics_t;


static ngx_int_t ngx_http_smart_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_metrics_write(void *data, ngx_buf_t *b);
static ngx_uint_t ngx_http_smart_metrics_unit(ngx_http_smart_metrics_t *m);
static ngx_uint_t ngx_http_smart_metrics_next(ngx_http_smart_metrics_t *m,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_metrics_journal(ngx_http_smart_metrics_t *m);


static ngx_str_t  ngx_http_smart_metrics_text =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");

static ngx_str_t  ngx_http_smart_metrics_openmetrics =
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8");


static ngx_int_t
ngx_http_smart_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_str_t                 *type;
    ngx_http_smart_metrics_t  *m;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    m = ngx_pcalloc(r->pool, sizeof(ngx_http_smart_metrics_t));
    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    m->request = r;
    m->row.smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);
    ngx_http_smart_shard_heal(m->row.smcf->zone, m->row.smcf->shared);

    m->row.prom.openmetrics = ngx_http_smart_accepts(r,
                                              "application/openmetrics-text");

    type = m->row.prom.openmetrics ? &ngx_http_smart_metrics_openmetrics
                                   : &ngx_http_smart_metrics_text;

    rc = ngx_http_smart_reply_header(r, NGX_HTTP_OK, type, -1);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_smart_turns(r, NGX_HTTP_SMART_METRICS_BUFFER,
                                ngx_http_smart_metrics_write, m);
}


/* fills a buffer with whole rows */
static ngx_int_t
ngx_http_smart_metrics_write(void *data, ngx_buf_t *b)
{
    ngx_http_smart_metrics_t  *m = data;

    char              *mark;
    ngx_uint_t         more;
    ngx_smart_prom_t  *prom;

    prom = &m->row.prom;

    prom->pos = (char *) b->last;
    prom->end = (char *) b->end;
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

    return m->family == ngx_http_smart_family_count ? NGX_OK : NGX_AGAIN;
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

    slcf->content = NGX_HTTP_SMART_CONTENT_METRICS;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);
    smcf->metrics = 1;

    return NGX_CONF_OK;
}
