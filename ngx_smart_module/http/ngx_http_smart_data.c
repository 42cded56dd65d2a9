
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The data of the live page: what smart_metrics answers with, as JSON.
 */


#include "ngx_http_smart_dashboard.h"
#include "ngx_http_smart_family.h"
#include "../common/ngx_http_smart_document.h"
#include "../common/ngx_http_smart_turns.h"
#include "../core/ngx_smart_json.h"

#include <jansson.h>


/* any unit, a location with all its counters, fits into an empty buffer */
#define NGX_HTTP_SMART_DATA_BUFFER   (64 * 1024)

/* the longest text of the journal's metrics that is passed on */
#define NGX_HTTP_SMART_DATA_JOURNAL  (32 * 1024)


typedef enum {
    NGX_HTTP_SMART_DATA_HEAD = 0,
    NGX_HTTP_SMART_DATA_JOURNAL_PART,
    NGX_HTTP_SMART_DATA_LOCATIONS,
    NGX_HTTP_SMART_DATA_PEERS,
    NGX_HTTP_SMART_DATA_END
} ngx_http_smart_data_part_e;


/* where the answer stands */
typedef struct {
    ngx_http_smart_family_row_t   row;
    ngx_http_request_t           *request;
    ngx_str_t                    *id;
    ngx_http_smart_data_part_e    part;
    ngx_uint_t                    upstream;   /* or location */
    ngx_uint_t                    peer;
    ngx_uint_t                    some;       /* unsigned  some:1; */
} ngx_http_smart_data_t;


static ngx_int_t ngx_http_smart_data_write(void *data, ngx_buf_t *b);
static void ngx_http_smart_data_unit(ngx_http_smart_data_t *d);
static void ngx_http_smart_data_head(ngx_http_smart_data_t *d);
static void ngx_http_smart_data_journal(ngx_http_smart_data_t *d);
static ngx_int_t ngx_http_smart_data_variable(ngx_http_request_t *r,
    const char *text, ngx_str_t *value);
static ngx_int_t ngx_http_smart_data_api(ngx_http_request_t *r,
    ngx_str_t *path);
static void ngx_http_smart_data_location(ngx_http_smart_data_t *d);
static void ngx_http_smart_data_histogram(ngx_http_smart_data_t *d,
    const char *name, ngx_http_smart_histogram_t *h);
static void ngx_http_smart_data_peer(ngx_http_smart_data_t *d);
static void ngx_http_smart_data_families(ngx_http_smart_data_t *d,
    ngx_http_smart_family_scope_e scope);
static void ngx_http_smart_data_labels(ngx_http_smart_data_t *d,
    ngx_http_smart_slot_t *slot, const char *first, const char *second);
static void ngx_http_smart_data_string(ngx_smart_prom_t *prom,
    ngx_str_t *value);
static void ngx_http_smart_data_text(ngx_smart_prom_t *prom,
    const char *text);
static void ngx_http_smart_data_put(ngx_smart_prom_t *prom, u_char *p,
    size_t len);


static const ngx_keyval_t  ngx_http_smart_data_headers[] = {
    { ngx_string("X-Content-Type-Options"), ngx_string("nosniff") },
    { ngx_string("Cross-Origin-Resource-Policy"), ngx_string("same-origin") },
    { ngx_null_string, ngx_null_string }
};


ngx_int_t
ngx_http_smart_data(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_int_t                   rc;
    ngx_http_smart_data_t      *d;
    ngx_http_smart_document_t   doc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    d = ngx_pcalloc(r->pool, sizeof(ngx_http_smart_data_t));
    if (d == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    d->request = r;
    d->id = id;
    d->row.prom.json = 1;
    d->row.smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);
    ngx_http_smart_shard_heal(d->row.smcf->zone, d->row.smcf->shared);

    ngx_memzero(&doc, sizeof(ngx_http_smart_document_t));

    ngx_str_set(&doc.type, "application/json");
    doc.headers = ngx_http_smart_data_headers;

    rc = ngx_http_smart_document_header(r, &doc);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_smart_turns(r, NGX_HTTP_SMART_DATA_BUFFER,
                                ngx_http_smart_data_write, d);
}


/* fills a buffer with whole units */
static ngx_int_t
ngx_http_smart_data_write(void *data, ngx_buf_t *b)
{
    ngx_http_smart_data_t  *d = data;

    ngx_smart_prom_t       *prom;
    ngx_http_smart_data_t   saved;

    prom = &d->row.prom;

    prom->pos = (char *) b->last;
    prom->end = (char *) b->end;

    while (d->part != NGX_HTTP_SMART_DATA_END) {

        saved = *d;

        ngx_http_smart_data_unit(d);

        if (prom->overflow) {

            /* the unit that does not fit begins the next buffer */

            *d = saved;
            break;
        }
    }

    if (prom->pos == (char *) b->last) {
        ngx_log_error(NGX_LOG_ALERT, d->request->connection->log, 0,
                      "smart: a part of the page's data is too long");
        return NGX_ERROR;
    }

    b->last = (u_char *) prom->pos;

    return d->part == NGX_HTTP_SMART_DATA_END ? NGX_OK : NGX_AGAIN;
}


/* writes one and moves on */
static void
ngx_http_smart_data_unit(ngx_http_smart_data_t *d)
{
    ngx_array_t  *upstreams;

    switch (d->part) {

    case NGX_HTTP_SMART_DATA_HEAD:
        ngx_http_smart_data_head(d);
        d->part = NGX_HTTP_SMART_DATA_JOURNAL_PART;
        return;

    case NGX_HTTP_SMART_DATA_JOURNAL_PART:
        ngx_http_smart_data_journal(d);
        ngx_http_smart_data_text(&d->row.prom, ",\"locations\":[");
        d->part = NGX_HTTP_SMART_DATA_LOCATIONS;
        return;

    case NGX_HTTP_SMART_DATA_LOCATIONS:

        if (d->upstream < d->row.smcf->series.nelts) {
            ngx_http_smart_data_location(d);
            return;
        }

        ngx_http_smart_data_text(&d->row.prom, "],\"peers\":[");
        d->part = NGX_HTTP_SMART_DATA_PEERS;
        d->upstream = 0;
        d->some = 0;
        return;

    default: /* NGX_HTTP_SMART_DATA_PEERS */

        upstreams = &d->row.smcf->upstreams;

        if (d->upstream < upstreams->nelts) {
            ngx_http_smart_data_peer(d);
            return;
        }

        ngx_http_smart_data_text(&d->row.prom, "]}\n");
        d->part = NGX_HTTP_SMART_DATA_END;
    }
}


static void
ngx_http_smart_data_head(ngx_http_smart_data_t *d)
{
    u_char             *p;
    u_char              text[256];
    ngx_uint_t          i;
    ngx_time_t         *tp;
    ngx_smart_prom_t   *prom;

    prom = &d->row.prom;
    tp = ngx_timeofday();

    p = ngx_sprintf(text, "{\"page\":\"%V\",\"version\":\"%s\","
                    "\"nginx\":\"%s\",\"time\":%T.%03M,\"bounds\":[",
                    d->id, NGX_HTTP_SMART_VERSION, NGINX_VERSION,
                    tp->sec, tp->msec);

    ngx_http_smart_data_put(prom, text, p - text);

    for (i = 0; i < NGX_SMART_PROM_BUCKETS; i++) {
        ngx_http_smart_data_text(prom, i ? "," : "");
        ngx_http_smart_data_text(prom, ngx_smart_prom_bound(i));
    }

    ngx_http_smart_data_text(prom, "]");

    prom->skip = 0;
    ngx_http_smart_data_families(d, NGX_HTTP_SMART_FAMILY_ONCE);
    prom->skip = 2;
}


/* a module of its own, which is met through variables */
static void
ngx_http_smart_data_journal(ngx_http_smart_data_t *d)
{
    ngx_str_t          value;
    ngx_smart_prom_t  *prom;

    prom = &d->row.prom;

    ngx_http_smart_data_text(prom, ",\"journal\":");

    if (ngx_http_smart_data_variable(d->request, "smart_journal_metrics",
                                     &value)
        != NGX_OK
        || value.len > NGX_HTTP_SMART_DATA_JOURNAL)
    {
        ngx_http_smart_data_text(prom, "null");
        return;
    }

    ngx_http_smart_data_text(prom, "{\"metrics\":");
    ngx_http_smart_data_string(prom, &value);
    ngx_http_smart_data_text(prom, ",\"api\":");

    if (ngx_http_smart_data_api(d->request, &value) == NGX_OK) {
        ngx_http_smart_data_string(prom, &value);

    } else {
        ngx_http_smart_data_text(prom, "null");
    }

    ngx_http_smart_data_text(prom, "}");
}


static ngx_int_t
ngx_http_smart_data_variable(ngx_http_request_t *r, const char *text,
    ngx_str_t *value)
{
    ngx_str_t                   name;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    name.data = (u_char *) text;
    name.len = ngx_strlen(text);

    key = ngx_hash_key(name.data, name.len);

    v = ngx_http_get_variable(r, &name, key);

    if (v == NULL || v->not_found || v->len == 0) {
        return NGX_DECLINED;
    }

    value->data = v->data;
    value->len = v->len;

    return NGX_OK;
}


/* the path of the call that lists records, as the schema names it */
static ngx_int_t
ngx_http_smart_data_api(ngx_http_request_t *r, ngx_str_t *path)
{
    size_t        len;
    json_t       *schema, *item;
    ngx_int_t     rc;
    ngx_str_t     text;
    const char   *key;

    static const char  end[] = "/get";

    if (ngx_http_smart_data_variable(r, "smart_journal_schema", &text)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    schema = json_loadb((char *) text.data, text.len, 0, NULL);
    rc = NGX_DECLINED;

    json_object_foreach(json_object_get(schema, "paths"), key, item) {

        len = ngx_strlen(key);

        if (len < sizeof(end) - 1
            || ngx_strcmp(key + len - (sizeof(end) - 1), end) != 0)
        {
            continue;
        }

        path->len = len;
        path->data = ngx_pnalloc(r->pool, len);

        if (path->data) {
            ngx_memcpy(path->data, key, len);
            rc = NGX_OK;
        }

        break;
    }

    json_decref(schema);

    return rc;
}


static void
ngx_http_smart_data_location(ngx_http_smart_data_t *d)
{
    ngx_http_smart_series_t  **series;

    series = d->row.smcf->series.elts;
    d->row.series = series[d->upstream++];

    ngx_http_smart_data_labels(d, &d->row.series->slot, "server", "location");
    ngx_http_smart_data_families(d, NGX_HTTP_SMART_FAMILY_LOCATION);
    ngx_http_smart_data_histogram(d, "cancelled", &d->row.series->cancelled);
    ngx_http_smart_data_histogram(d, "failed", &d->row.series->failed);
    ngx_http_smart_data_histogram(d, "rescued", &d->row.series->rescued);
    ngx_http_smart_data_text(&d->row.prom, "}\n");
}


/* one that only the page needs */
static void
ngx_http_smart_data_histogram(ngx_http_smart_data_t *d, const char *name,
    ngx_http_smart_histogram_t *h)
{
    uint64_t                 counts[NGX_SMART_PROM_BUCKETS + 1];
    ngx_uint_t               i;
    ngx_smart_prom_family_t  family;

    for (i = 0; i <= NGX_SMART_PROM_BUCKETS; i++) {
        counts[i] = h->buckets[i];
    }

    family.name = name;
    family.help = NULL;
    family.type = NGX_SMART_PROM_HISTOGRAM;

    ngx_smart_prom_histogram(&d->row.prom, &family, NULL, 0, counts, h->sum);
}


/* the next peer of an upstream, or nothing and the next upstream */
static void
ngx_http_smart_data_peer(ngx_http_smart_data_t *d)
{
    ngx_http_smart_peer_t      *peer;
    ngx_http_smart_upstream_t  *su;

    su = d->row.smcf->upstreams.elts;
    su = &su[d->upstream];

    if (d->peer == su->peers.nelts) {
        d->upstream++;
        d->peer = 0;
        return;
    }

    peer = su->peers.elts;
    peer = &peer[d->peer++];

    if (peer->again) {
        return;
    }

    d->row.peer = peer->series;

    ngx_http_smart_data_labels(d, &d->row.peer->slot, "upstream", "peer");
    ngx_http_smart_data_families(d, NGX_HTTP_SMART_FAMILY_PEER);
    ngx_http_smart_data_text(&d->row.prom, "}\n");
}


static void
ngx_http_smart_data_families(ngx_http_smart_data_t *d,
    ngx_http_smart_family_scope_e scope)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_http_smart_family_count; i++) {

        if (ngx_http_smart_families[i].scope == scope) {
            ngx_http_smart_families[i].write(&d->row,
                                             &ngx_http_smart_families[i]);
        }
    }
}


/* opens the object */
static void
ngx_http_smart_data_labels(ngx_http_smart_data_t *d,
    ngx_http_smart_slot_t *slot, const char *first, const char *second)
{
    ngx_smart_prom_t  *prom;

    prom = &d->row.prom;

    ngx_http_smart_data_text(prom, d->some ? ",{\"" : "{\"");
    ngx_http_smart_data_text(prom, first);
    ngx_http_smart_data_text(prom, "\":");
    ngx_http_smart_data_string(prom, &slot->labels[0]);
    ngx_http_smart_data_text(prom, ",\"");
    ngx_http_smart_data_text(prom, second);
    ngx_http_smart_data_text(prom, "\":");
    ngx_http_smart_data_string(prom, &slot->labels[1]);

    d->some = 1;
}


static void
ngx_http_smart_data_string(ngx_smart_prom_t *prom, ngx_str_t *value)
{
    ngx_smart_json_t  json;

    ngx_smart_json_init(&json, prom->pos, prom->end - prom->pos);
    ngx_smart_json_string(&json, (char *) value->data, value->len);

    if (json.overflow) {
        prom->overflow = 1;
        return;
    }

    prom->pos += json.len;
}


static void
ngx_http_smart_data_text(ngx_smart_prom_t *prom, const char *text)
{
    ngx_http_smart_data_put(prom, (u_char *) text, ngx_strlen(text));
}


static void
ngx_http_smart_data_put(ngx_smart_prom_t *prom, u_char *p, size_t len)
{
    if (len > (size_t) (prom->end - prom->pos)) {
        prom->overflow = 1;
        return;
    }

    prom->pos = (char *) ngx_cpymem(prom->pos, p, len);
}
