
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The journal's metrics: as a variable, which "smart_metrics" of the other
 * module appends, and by a directive of its own.
 */


#include "ngx_http_smart_journal_zone.h"
#include "../common/ngx_http_smart_reply.h"


#define NGX_HTTP_SMART_JOURNAL_METRICS_BUFFER  16384


static ngx_int_t ngx_http_smart_journal_metrics_handler(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_journal_metrics_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_journal_metrics_text(ngx_http_request_t *r,
    ngx_str_t *text, ngx_uint_t openmetrics, ngx_uint_t end);
static void ngx_http_smart_journal_metrics_counts(ngx_smart_prom_t *prom,
    ngx_http_smart_journal_shared_t *shared);
static void ngx_http_smart_journal_metrics_writes(ngx_smart_prom_t *prom,
    ngx_http_smart_journal_shared_t *shared);
static void ngx_http_smart_journal_metrics_number(ngx_smart_prom_t *prom,
    ngx_smart_prom_type_e type, const char *name, const char *help,
    uint64_t value);
static void ngx_http_smart_journal_metrics_labelled(ngx_smart_prom_t *prom,
    const char *name, const char *help, const char *label,
    const char *const *values, ngx_atomic_t *numbers, ngx_uint_t n);


static ngx_str_t  ngx_http_smart_journal_metrics_type =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");

static ngx_str_t  ngx_http_smart_journal_metrics_openmetrics =
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8");

static ngx_str_t  ngx_http_smart_journal_metrics_name =
    ngx_string("smart_journal_metrics");


/* by ngx_smart_record_state_e */

static const char *const  ngx_http_smart_journal_metrics_events[] = {
    "begun", "completed", "aborted", "interrupted"
};


/* by ngx_http_smart_journal_dropped_e */

static const char *const  ngx_http_smart_journal_metrics_reasons[] = {
    "full", "exit", "refused"
};


static ngx_int_t
ngx_http_smart_journal_metrics_handler(ngx_http_request_t *r)
{
    ngx_str_t   text, *type;
    ngx_uint_t  openmetrics;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    openmetrics = ngx_http_smart_accepts(r, "application/openmetrics-text");

    type = openmetrics ? &ngx_http_smart_journal_metrics_openmetrics
                       : &ngx_http_smart_journal_metrics_type;

    if (ngx_http_smart_journal_metrics_text(r, &text, openmetrics, 1)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_smart_reply(r, NGX_HTTP_OK, type, text.data, text.len);
}


/* of the format that the client wants, without the mark at its end */
static ngx_int_t
ngx_http_smart_journal_metrics_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t   text;
    ngx_uint_t  openmetrics;

    openmetrics = ngx_http_smart_accepts(r, "application/openmetrics-text");

    if (ngx_http_smart_journal_metrics_text(r, &text, openmetrics, 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    v->data = text.data;
    v->len = text.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_journal_metrics_text(ngx_http_request_t *r, ngx_str_t *text,
    ngx_uint_t openmetrics, ngx_uint_t end)
{
    ngx_smart_prom_t                     prom;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    text->data = ngx_pnalloc(r->pool, NGX_HTTP_SMART_JOURNAL_METRICS_BUFFER);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&prom, sizeof(ngx_smart_prom_t));

    prom.pos = (char *) text->data;
    prom.end = prom.pos + NGX_HTTP_SMART_JOURNAL_METRICS_BUFFER;
    prom.openmetrics = (openmetrics != 0);

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_smart_journal_module);

    if (jmcf->store) {
        ngx_http_smart_journal_metrics_counts(&prom, jmcf->shared);
        ngx_http_smart_journal_metrics_writes(&prom, jmcf->shared);
    }

    if (end) {
        ngx_smart_prom_end(&prom);
    }

    if (prom.overflow) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "smart: journal: the metrics do not fit");
        return NGX_ERROR;
    }

    text->len = (u_char *) prom.pos - text->data;

    return NGX_OK;
}


static void
ngx_http_smart_journal_metrics_counts(ngx_smart_prom_t *prom,
    ngx_http_smart_journal_shared_t *shared)
{
    ngx_http_smart_journal_metrics_labelled(prom,
                "nginx_smart_journal_records",
                "Records by what happened to them",
                "event", ngx_http_smart_journal_metrics_events,
                shared->events, NGX_SMART_RECORD_INTERRUPTED + 1);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_COUNTER,
                "nginx_smart_journal_written",
                "Beginnings and ends of records that the store has",
                shared->written);

    ngx_http_smart_journal_metrics_labelled(prom,
                "nginx_smart_journal_dropped",
                "Records that were lost: no slot was free, nginx ended before "
                "they could be written, or the store refused them",
                "reason", ngx_http_smart_journal_metrics_reasons,
                shared->dropped, NGX_HTTP_SMART_JOURNAL_DROPPED);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_COUNTER,
                "nginx_smart_journal_interrupted_records",
                "Records whose nginx or worker process died",
                shared->swept);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_COUNTER,
                "nginx_smart_journal_pruned_records",
                "Records removed at the end of their retention",
                shared->pruned);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_GAUGE,
                "nginx_smart_journal_queue_records",
                "Slots in use: records that are open or wait to be written",
                shared->ring->used);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_GAUGE,
                "nginx_smart_journal_queue_capacity_records",
                "Slots that there are", shared->ring->capacity);
}


static void
ngx_http_smart_journal_metrics_writes(ngx_smart_prom_t *prom,
    ngx_http_smart_journal_shared_t *shared)
{
    ngx_uint_t  i;
    uint64_t    counts[NGX_SMART_PROM_BUCKETS + 1];

    static const ngx_smart_prom_family_t  duration = {
        "nginx_smart_journal_write_duration_seconds",
        "Time that the store took for a batch",
        NGX_SMART_PROM_HISTOGRAM
    };

    for (i = 0; i <= NGX_SMART_PROM_BUCKETS; i++) {
        counts[i] = shared->writes[i];
    }

    ngx_smart_prom_header(prom, &duration);
    ngx_smart_prom_histogram(prom, &duration, NULL, 0, counts,
                             shared->writes_ms);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_GAUGE,
                "nginx_smart_journal_batch_records",
                "Beginnings and ends in the last batch", shared->batch);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_COUNTER,
                "nginx_smart_journal_write_errors",
                "Attempts to write that failed", shared->errors);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_GAUGE,
                "nginx_smart_journal_store_up",
                "1 if the last attempt to write succeeded", shared->up);

    ngx_http_smart_journal_metrics_number(prom, NGX_SMART_PROM_GAUGE,
                "nginx_smart_journal_last_write_timestamp_seconds",
                "When records were last written, 0 before",
                shared->last_write);
}


static void
ngx_http_smart_journal_metrics_number(ngx_smart_prom_t *prom,
    ngx_smart_prom_type_e type, const char *name, const char *help,
    uint64_t value)
{
    ngx_smart_prom_family_t  family;

    family.name = name;
    family.help = help;
    family.type = type;

    ngx_smart_prom_header(prom, &family);
    ngx_smart_prom_number(prom, &family, NULL, 0, value);
}


static void
ngx_http_smart_journal_metrics_labelled(ngx_smart_prom_t *prom,
    const char *name, const char *help, const char *label,
    const char *const *values, ngx_atomic_t *numbers, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_smart_prom_label_t   l;
    ngx_smart_prom_family_t  family;

    family.name = name;
    family.help = help;
    family.type = NGX_SMART_PROM_COUNTER;

    ngx_smart_prom_header(prom, &family);

    for (i = 0; i < n; i++) {
        l.name = label;
        l.value = values[i];
        l.len = ngx_strlen(values[i]);

        ngx_smart_prom_number(prom, &family, &l, 1, numbers[i]);
    }
}


char *
ngx_http_smart_journal_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_smart_journal_metrics_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_smart_journal_metrics_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_smart_journal_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    var = ngx_http_add_variable(cf, &ngx_http_smart_journal_metrics_name,
                                NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_smart_journal_metrics_variable;

    return ngx_http_smart_journal_schema_add_variable(cf);
}
