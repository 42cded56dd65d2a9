
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_metrics: the counters as Prometheus reads them.  A text that fills
 * more than a buffer is written in turns, other events between them.
 */


#include "ngx_http_smart_series.h"
#include "../common/ngx_http_smart_reply.h"


/* the longest unit, a histogram, fits into an empty buffer */
#define NGX_HTTP_SMART_METRICS_BUFFER                                         \
    (NGX_SMART_PROM_MAX_HISTOGRAM + 16 * 1024)


/* what a family has a row of samples for */
typedef enum {
    NGX_HTTP_SMART_METRICS_ONCE = 0,
    NGX_HTTP_SMART_METRICS_LOCATION,
    NGX_HTTP_SMART_METRICS_PEER
} ngx_http_smart_metrics_scope_e;


typedef struct {
    ngx_http_smart_main_conf_t       *smcf;
    ngx_http_smart_series_t          *series;
    ngx_http_smart_peer_series_t     *peer;
    ngx_smart_prom_t                  prom;
} ngx_http_smart_metrics_row_t;


typedef struct ngx_http_smart_metrics_family_s  ngx_http_smart_metrics_family_t;

typedef void (*ngx_http_smart_metrics_write_pt)(
    ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);

struct ngx_http_smart_metrics_family_s {
    ngx_smart_prom_family_t           prom;
    ngx_http_smart_metrics_scope_e    scope;
    ngx_http_smart_metrics_write_pt   write;
    size_t                            offset;    /* of what is written */
    ngx_uint_t                        n;         /* how many of it */
    const char                       *label;
    const char *const                *values;
};


/* where a scrape stands */
typedef struct {
    ngx_event_t                       event;
    ngx_http_request_t               *request;
    ngx_http_smart_metrics_row_t      row;
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
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_cleanup(void *data);

static void ngx_http_smart_metrics_build(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_start(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_zone(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_dropped(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_counters(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_seconds(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_in_flight(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_finished(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static void ngx_http_smart_metrics_histograms(
    ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family);
static ngx_uint_t ngx_http_smart_metrics_labels(
    ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family,
    ngx_smart_prom_label_t *labels);
static void ngx_http_smart_metrics_label(ngx_smart_prom_label_t *label,
    const char *name, const char *value);


static const char *const  ngx_http_smart_metrics_codes[] = {
    "1xx", "2xx", "3xx", "4xx", "5xx"
};

static const char *const  ngx_http_smart_metrics_attempts[] = {
    "primary", "hedge"
};

static const char *const  ngx_http_smart_metrics_results[] = {
    "won", "cancelled", "failed", "rejected"
};


#define NGX_HTTP_SMART_METRICS_OF(type, field)                                \
    offsetof(ngx_http_smart_##type##_t, field)


static const ngx_http_smart_metrics_family_t  ngx_http_smart_families[] = {

    { { "nginx_smart_build_info",
        "Version of the module and of nginx", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_METRICS_ONCE, ngx_http_smart_metrics_build,
      0, 1, NULL, NULL },

    { { "nginx_smart_start_time_seconds",
        "When counting began, in seconds since 1970", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_METRICS_ONCE, ngx_http_smart_metrics_start,
      0, 1, NULL, NULL },

    { { "nginx_smart_requests",
        "Requests, by class of the status sent", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_counters,
      NGX_HTTP_SMART_METRICS_OF(series, codes), NGX_HTTP_SMART_CODES,
      "code", ngx_http_smart_metrics_codes },

    { { "nginx_smart_requests_in_flight",
        "Requests that have not been answered yet", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_in_flight,
      0, 1, NULL, NULL },

    { { "nginx_smart_request_duration_seconds",
        "Time from a request's first byte to its log entry",
        NGX_SMART_PROM_HISTOGRAM },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_histograms,
      NGX_HTTP_SMART_METRICS_OF(series, requests), 1, NULL, NULL },

    { { "nginx_smart_outcomes",
        "Requests, by what became of them", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_counters,
      NGX_HTTP_SMART_METRICS_OF(series, outcomes), NGX_HTTP_SMART_OUTCOMES,
      "outcome", ngx_http_smart_outcome_names + NGX_HTTP_SMART_PRIMARY },

    { { "nginx_smart_attempts",
        "Attempts started", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_counters,
      NGX_HTTP_SMART_METRICS_OF(series, started), 2,
      "attempt", ngx_http_smart_metrics_attempts },

    { { "nginx_smart_attempts_finished",
        "Attempts ended, by how they did", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_finished,
      0, 2, "attempt", ngx_http_smart_metrics_attempts },

    { { "nginx_smart_attempt_duration_seconds",
        "Time from an attempt's start to its verdict",
        NGX_SMART_PROM_HISTOGRAM },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_histograms,
      NGX_HTTP_SMART_METRICS_OF(series, attempts), 2,
      "attempt", ngx_http_smart_metrics_attempts },

    { { "nginx_smart_suppressed",
        "Hedges that were due and not sent, by the reason",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_counters,
      NGX_HTTP_SMART_METRICS_OF(series, suppressed), NGX_HTTP_SMART_REASONS,
      "reason", ngx_http_smart_reason_names + 1 },

    { { "nginx_smart_wasted_seconds",
        "Time of the attempts of hedged requests that did not win",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_seconds,
      NGX_HTTP_SMART_METRICS_OF(series, wasted), 1, NULL, NULL },

    { { "nginx_smart_delay_seconds",
        "The delay after which hedges are sent", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_METRICS_LOCATION, ngx_http_smart_metrics_seconds,
      NGX_HTTP_SMART_METRICS_OF(series, delay), 1, NULL, NULL },

    { { "nginx_smart_peer_attempts",
        "Attempts ended at a peer, by how they did", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_PEER, ngx_http_smart_metrics_counters,
      NGX_HTTP_SMART_METRICS_OF(peer_series, finished),
      NGX_HTTP_SMART_RESULTS, "result", ngx_http_smart_metrics_results },

    { { "nginx_smart_peer_lost",
        "Attempts at a peer that a later one overtook",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_PEER, ngx_http_smart_metrics_counters,
      NGX_HTTP_SMART_METRICS_OF(peer_series, lost), 1, NULL, NULL },

    { { "nginx_smart_zone_size_bytes",
        "Size of the shared zone", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_METRICS_ONCE, ngx_http_smart_metrics_zone,
      0, 1, NULL, NULL },

    { { "nginx_smart_zone_used_bytes",
        "What of the shared zone is in use", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_METRICS_ONCE, ngx_http_smart_metrics_zone,
      1, 1, NULL, NULL },

    { { "nginx_smart_series_dropped",
        "Peers for which the shared zone had no room",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_METRICS_ONCE, ngx_http_smart_metrics_dropped,
      0, 1, NULL, NULL }
};


#define NGX_HTTP_SMART_FAMILIES                                               \
    (sizeof(ngx_http_smart_families) / sizeof(ngx_http_smart_families[0]))


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

        if (rc == NGX_ERROR || m->family == NGX_HTTP_SMART_FAMILIES) {
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

    if (m->family == NGX_HTTP_SMART_FAMILIES) {
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
    const ngx_http_smart_metrics_family_t  *family;

    if (m->family == NGX_HTTP_SMART_FAMILIES) {
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

        if (m->family == NGX_HTTP_SMART_FAMILIES) {
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
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_http_smart_peer_t        *peer;
    ngx_http_smart_series_t     **series;
    ngx_http_smart_upstream_t    *su;
    ngx_http_smart_main_conf_t   *smcf;

    smcf = m->row.smcf;

    switch (family->scope) {

    case NGX_HTTP_SMART_METRICS_ONCE:
        return m->upstream++ == 0;

    case NGX_HTTP_SMART_METRICS_LOCATION:

        if (m->upstream == smcf->series.nelts) {
            return 0;
        }

        series = smcf->series.elts;
        m->row.series = series[m->upstream++];

        return 1;

    default: /* NGX_HTTP_SMART_METRICS_PEER */

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


static void
ngx_http_smart_metrics_cleanup(void *data)
{
    ngx_http_smart_metrics_t  *m = data;

    if (m->event.posted) {
        ngx_delete_posted_event(&m->event);
    }
}


static void
ngx_http_smart_metrics_build(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_smart_prom_label_t  labels[2];

    ngx_http_smart_metrics_label(&labels[0], "version",
                                 NGX_HTTP_SMART_VERSION);
    ngx_http_smart_metrics_label(&labels[1], "nginx_version", NGINX_VERSION);

    ngx_smart_prom_number(&row->prom, &family->prom, labels, 2, 1);
}


static void
ngx_http_smart_metrics_start(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_smart_prom_number(&row->prom, &family->prom, NULL, 0,
                          row->smcf->shared->start);
}


static void
ngx_http_smart_metrics_zone(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_shm_zone_t  *zone;

    zone = row->smcf->zone;

    ngx_smart_prom_number(&row->prom, &family->prom, NULL, 0,
                          family->offset ? ngx_http_smart_zone_used(zone)
                                         : zone->shm.size);
}


static void
ngx_http_smart_metrics_dropped(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_smart_prom_number(&row->prom, &family->prom, NULL, 0,
                          row->smcf->shared->dropped);
}


/* counters that stand one after another, a label's value for each */
static void
ngx_http_smart_metrics_counters(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    u_char                  *base;
    ngx_uint_t               i, n;
    ngx_atomic_t            *counters;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_metrics_labels(row, family, labels);

    base = (family->scope == NGX_HTTP_SMART_METRICS_LOCATION)
           ? (u_char *) row->series : (u_char *) row->peer;

    counters = (ngx_atomic_t *) (base + family->offset);

    for (i = 0; i < family->n; i++) {

        if (family->label) {
            ngx_http_smart_metrics_label(&labels[n], family->label,
                                         family->values[i]);
        }

        ngx_smart_prom_number(&row->prom, &family->prom, labels,
                              family->label ? n + 1 : n, counters[i]);
    }
}


static void
ngx_http_smart_metrics_seconds(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_uint_t               n;
    ngx_atomic_t            *ms;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_metrics_labels(row, family, labels);

    ms = (ngx_atomic_t *) ((u_char *) row->series + family->offset);

    ngx_smart_prom_seconds(&row->prom, &family->prom, labels, n, *ms);
}


static void
ngx_http_smart_metrics_in_flight(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_uint_t               i, n;
    ngx_atomic_int_t         sum;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_metrics_labels(row, family, labels);
    sum = 0;

    for (i = 0; i < row->smcf->shared->processes; i++) {
        sum += (ngx_atomic_int_t) row->series->in_flight[i];
    }

    ngx_smart_prom_number(&row->prom, &family->prom, labels, n,
                          sum > 0 ? sum : 0);
}


static void
ngx_http_smart_metrics_finished(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    ngx_uint_t               a, i, n;
    ngx_smart_prom_label_t   labels[4];

    n = ngx_http_smart_metrics_labels(row, family, labels);

    for (a = 0; a < 2; a++) {

        ngx_http_smart_metrics_label(&labels[n], "attempt",
                                     family->values[a]);

        for (i = 0; i < NGX_HTTP_SMART_RESULTS; i++) {

            ngx_http_smart_metrics_label(&labels[n + 1], "result",
                                         ngx_http_smart_metrics_results[i]);

            ngx_smart_prom_number(&row->prom, &family->prom, labels, n + 2,
                                  row->series->finished[a][i]);
        }
    }
}


static void
ngx_http_smart_metrics_histograms(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family)
{
    uint64_t                     counts[NGX_SMART_PROM_BUCKETS + 1];
    ngx_uint_t                   i, b, n;
    ngx_smart_prom_label_t       labels[3];
    ngx_http_smart_histogram_t  *h;

    n = ngx_http_smart_metrics_labels(row, family, labels);

    h = (ngx_http_smart_histogram_t *) ((u_char *) row->series
                                        + family->offset);

    for (i = 0; i < family->n; i++) {

        for (b = 0; b <= NGX_SMART_PROM_BUCKETS; b++) {
            counts[b] = h[i].buckets[b];
        }

        if (family->label) {
            ngx_http_smart_metrics_label(&labels[n], family->label,
                                         family->values[i]);
        }

        ngx_smart_prom_histogram(&row->prom, &family->prom, labels,
                                 family->label ? n + 1 : n, counts, h[i].sum);
    }
}


static ngx_uint_t
ngx_http_smart_metrics_labels(ngx_http_smart_metrics_row_t *row,
    const ngx_http_smart_metrics_family_t *family,
    ngx_smart_prom_label_t *labels)
{
    ngx_uint_t              i;
    ngx_http_smart_slot_t  *slot;

    static const char  *names[][2] = {
        { "server", "location" },
        { "upstream", "peer" }
    };

    i = (family->scope == NGX_HTTP_SMART_METRICS_PEER);
    slot = i ? &row->peer->slot : &row->series->slot;

    labels[0].name = names[i][0];
    labels[0].value = (char *) slot->labels[0].data;
    labels[0].len = slot->labels[0].len;

    labels[1].name = names[i][1];
    labels[1].value = (char *) slot->labels[1].data;
    labels[1].len = slot->labels[1].len;

    return 2;
}


static void
ngx_http_smart_metrics_label(ngx_smart_prom_label_t *label, const char *name,
    const char *value)
{
    label->name = name;
    label->value = value;
    label->len = ngx_strlen(value);
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
