
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The families of metrics, and how each is written.
 */


#include "ngx_http_smart_family.h"


static void ngx_http_smart_family_build(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_start(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_zone(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_dropped(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_counters(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_seconds(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_us(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_tokens(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_in_flight(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_finished(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static void ngx_http_smart_family_histograms(
    ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);
static ngx_uint_t ngx_http_smart_family_labels(
    ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family,
    ngx_smart_prom_label_t *labels);
static void ngx_http_smart_family_label(ngx_smart_prom_label_t *label,
    const char *name, const char *value);


static const char *const  ngx_http_smart_family_codes[] = {
    "1xx", "2xx", "3xx", "4xx", "5xx"
};

static const char *const  ngx_http_smart_family_attempts[] = {
    "primary", "hedge"
};

static const char *const  ngx_http_smart_family_results[] = {
    "won", "cancelled", "failed", "rejected"
};


#define NGX_HTTP_SMART_FAMILY_OF(type, field)                                \
    offsetof(ngx_http_smart_##type##_t, field)


const ngx_http_smart_family_t  ngx_http_smart_families[] = {

    { { "nginx_smart_build_info",
        "Version of the module and of nginx", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_ONCE, ngx_http_smart_family_build,
      0, 1, NULL, NULL },

    { { "nginx_smart_start_time_seconds",
        "When counting began, in seconds since 1970", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_ONCE, ngx_http_smart_family_start,
      0, 1, NULL, NULL },

    { { "nginx_smart_requests",
        "Requests, by class of the status sent", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(series, codes), NGX_HTTP_SMART_CODES,
      "code", ngx_http_smart_family_codes },

    { { "nginx_smart_requests_in_flight",
        "Requests that have not been answered yet", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_in_flight,
      0, 1, NULL, NULL },

    { { "nginx_smart_request_duration_seconds",
        "Time from a request's first byte to its log entry",
        NGX_SMART_PROM_HISTOGRAM },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_histograms,
      NGX_HTTP_SMART_FAMILY_OF(series, requests), 1, NULL, NULL },

    { { "nginx_smart_outcomes",
        "Requests, by what became of them", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(series, outcomes), NGX_HTTP_SMART_OUTCOMES,
      "outcome", ngx_http_smart_outcome_names + NGX_HTTP_SMART_PRIMARY },

    { { "nginx_smart_attempts",
        "Attempts started", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(series, started), 2,
      "attempt", ngx_http_smart_family_attempts },

    { { "nginx_smart_attempts_finished",
        "Attempts ended, by how they did", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_finished,
      0, 2, "attempt", ngx_http_smart_family_attempts },

    { { "nginx_smart_attempt_duration_seconds",
        "Time from an attempt's start to its verdict",
        NGX_SMART_PROM_HISTOGRAM },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_histograms,
      NGX_HTTP_SMART_FAMILY_OF(series, attempts), 2,
      "attempt", ngx_http_smart_family_attempts },

    { { "nginx_smart_suppressed",
        "Hedges that were due and not sent, by the reason",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(series, suppressed), NGX_HTTP_SMART_REASONS,
      "reason", ngx_http_smart_reason_names + 1 },

    { { "nginx_smart_dry_run_hedges",
        "Hedges that would have been sent, were it no dry run",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(series, dry_run), 1, NULL, NULL },

    { { "nginx_smart_saved_seconds",
        "Time that hedges saved clients at the least, estimated",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_us,
      NGX_HTTP_SMART_FAMILY_OF(series, saved), 1, NULL, NULL },

    { { "nginx_smart_wasted_seconds",
        "Time of the attempts of hedged requests that did not win",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_seconds,
      NGX_HTTP_SMART_FAMILY_OF(series, wasted), 1, NULL, NULL },

    { { "nginx_smart_delay_seconds",
        "The delay after which hedges are sent", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_seconds,
      NGX_HTTP_SMART_FAMILY_OF(series, delay), 1, NULL, NULL },

    { { "nginx_smart_budget_tokens",
        "Hedges that the budget allows at once", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_LOCATION, ngx_http_smart_family_tokens,
      0, 1, NULL, NULL },

    { { "nginx_smart_peer_attempts",
        "Attempts ended at a peer, by how they did", NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_PEER, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(peer_series, finished),
      NGX_HTTP_SMART_RESULTS, "result", ngx_http_smart_family_results },

    { { "nginx_smart_peer_lost",
        "Attempts at a peer that a later one overtook",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_PEER, ngx_http_smart_family_counters,
      NGX_HTTP_SMART_FAMILY_OF(peer_series, lost), 1, NULL, NULL },

    { { "nginx_smart_zone_size_bytes",
        "Size of the shared zone", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_ONCE, ngx_http_smart_family_zone,
      0, 1, NULL, NULL },

    { { "nginx_smart_zone_used_bytes",
        "What of the shared zone is in use", NGX_SMART_PROM_GAUGE },
      NGX_HTTP_SMART_FAMILY_ONCE, ngx_http_smart_family_zone,
      1, 1, NULL, NULL },

    { { "nginx_smart_series_dropped",
        "Peers for which the shared zone had no room",
        NGX_SMART_PROM_COUNTER },
      NGX_HTTP_SMART_FAMILY_ONCE, ngx_http_smart_family_dropped,
      0, 1, NULL, NULL }
};


const ngx_uint_t  ngx_http_smart_family_count =
    sizeof(ngx_http_smart_families) / sizeof(ngx_http_smart_families[0]);


static void
ngx_http_smart_family_build(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_smart_prom_label_t  labels[2];

    ngx_http_smart_family_label(&labels[0], "version",
                                 NGX_HTTP_SMART_VERSION);
    ngx_http_smart_family_label(&labels[1], "nginx_version", NGINX_VERSION);

    ngx_smart_prom_number(&row->prom, &family->prom, labels, 2, 1);
}


static void
ngx_http_smart_family_start(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_smart_prom_number(&row->prom, &family->prom, NULL, 0,
                          row->smcf->shared->start);
}


static void
ngx_http_smart_family_zone(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_shm_zone_t  *zone;

    zone = row->smcf->zone;

    ngx_smart_prom_number(&row->prom, &family->prom, NULL, 0,
                          family->offset ? ngx_http_smart_zone_used(zone)
                                         : zone->shm.size);
}


static void
ngx_http_smart_family_dropped(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_smart_prom_number(&row->prom, &family->prom, NULL, 0,
                          row->smcf->shared->dropped);
}


/* counters that stand one after another, a label's value for each */
static void
ngx_http_smart_family_counters(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    u_char                  *base;
    ngx_uint_t               i, n;
    ngx_atomic_t            *counters;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_family_labels(row, family, labels);

    base = (family->scope == NGX_HTTP_SMART_FAMILY_LOCATION)
           ? (u_char *) row->series : (u_char *) row->peer;

    counters = (ngx_atomic_t *) (base + family->offset);

    for (i = 0; i < family->n; i++) {

        if (family->label) {
            ngx_http_smart_family_label(&labels[n], family->label,
                                         family->values[i]);
        }

        ngx_smart_prom_number(&row->prom, &family->prom, labels,
                              family->label ? n + 1 : n, counters[i]);
    }
}


static void
ngx_http_smart_family_seconds(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_uint_t               n;
    ngx_atomic_t            *ms;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_family_labels(row, family, labels);

    ms = (ngx_atomic_t *) ((u_char *) row->series + family->offset);

    ngx_smart_prom_seconds(&row->prom, &family->prom, labels, n, *ms);
}


static void
ngx_http_smart_family_us(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_uint_t               n;
    ngx_atomic_t            *us;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_family_labels(row, family, labels);

    us = (ngx_atomic_t *) ((u_char *) row->series + family->offset);

    ngx_smart_prom_seconds(&row->prom, &family->prom, labels, n, *us / 1000);
}


/* without a budget as many as are wanted */
static void
ngx_http_smart_family_tokens(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    uint64_t                  left;
    ngx_uint_t                n;
    ngx_http_smart_series_t  *series;
    ngx_smart_prom_label_t    labels[3];

    series = row->series;
    n = ngx_http_smart_family_labels(row, family, labels);

    if (series->budget_conf.share == NGX_HTTP_SMART_BUDGET_OFF) {
        ngx_smart_prom_infinite(&row->prom, &family->prom, labels, n);
        return;
    }

    left = ngx_smart_budget_left(series->budget, &series->budget_conf,
                                 (uint32_t) series->started[0]);

    ngx_smart_prom_seconds(&row->prom, &family->prom, labels, n,
                           left / (NGX_SMART_BUDGET_TOKEN / 1000));
}


static void
ngx_http_smart_family_in_flight(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_uint_t               n;
    ngx_smart_prom_label_t   labels[3];

    n = ngx_http_smart_family_labels(row, family, labels);

    ngx_smart_prom_number(&row->prom, &family->prom, labels, n,
                          ngx_http_smart_shard_sum(row->smcf->shared,
                                                  row->series->in_flight));
}


static void
ngx_http_smart_family_finished(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    ngx_uint_t               a, i, n;
    ngx_smart_prom_label_t   labels[4];

    n = ngx_http_smart_family_labels(row, family, labels);

    for (a = 0; a < 2; a++) {

        ngx_http_smart_family_label(&labels[n], "attempt",
                                     family->values[a]);

        for (i = 0; i < NGX_HTTP_SMART_RESULTS; i++) {

            ngx_http_smart_family_label(&labels[n + 1], "result",
                                         ngx_http_smart_family_results[i]);

            ngx_smart_prom_number(&row->prom, &family->prom, labels, n + 2,
                                  row->series->finished[a][i]);
        }
    }
}


static void
ngx_http_smart_family_histograms(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family)
{
    uint64_t                     counts[NGX_SMART_PROM_BUCKETS + 1];
    ngx_uint_t                   i, b, n;
    ngx_smart_prom_label_t       labels[3];
    ngx_http_smart_histogram_t  *h;

    n = ngx_http_smart_family_labels(row, family, labels);

    h = (ngx_http_smart_histogram_t *) ((u_char *) row->series
                                        + family->offset);

    for (i = 0; i < family->n; i++) {

        for (b = 0; b <= NGX_SMART_PROM_BUCKETS; b++) {
            counts[b] = h[i].buckets[b];
        }

        if (family->label) {
            ngx_http_smart_family_label(&labels[n], family->label,
                                         family->values[i]);
        }

        ngx_smart_prom_histogram(&row->prom, &family->prom, labels,
                                 family->label ? n + 1 : n, counts, h[i].sum);
    }
}


static ngx_uint_t
ngx_http_smart_family_labels(ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family,
    ngx_smart_prom_label_t *labels)
{
    ngx_uint_t              i;
    ngx_http_smart_slot_t  *slot;

    static const char  *names[][2] = {
        { "server", "location" },
        { "upstream", "peer" }
    };

    i = (family->scope == NGX_HTTP_SMART_FAMILY_PEER);
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
ngx_http_smart_family_label(ngx_smart_prom_label_t *label, const char *name,
    const char *value)
{
    label->name = name;
    label->value = value;
    label->len = ngx_strlen(value);
}
