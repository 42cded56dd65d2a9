
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A record of each main request: begun in the rewrite phase, ended when the
 * request is logged.
 */


#include "ngx_http_smart_journal_zone.h"
#include "ngx_http_smart_journal_process.h"
#include "../core/ngx_smart_uuid7.h"


/* in the pool's cleanup, so that an internal redirect does not lose it */
typedef struct {
    ngx_http_smart_journal_main_conf_t  *jmcf;
    uint64_t                             start;   /* us, monotonic */
    uint32_t                             slot;
} ngx_http_smart_journal_ctx_t;


static ngx_int_t ngx_http_smart_journal_rewrite_handler(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_journal_log_handler(ngx_http_request_t *r);
static ngx_http_smart_journal_ctx_t *ngx_http_smart_journal_find_ctx(
    ngx_http_request_t *r);
static void ngx_http_smart_journal_cleanup(void *data);
static uint32_t ngx_http_smart_journal_begin(ngx_http_request_t *r,
    ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_loc_conf_t *jlcf, uint64_t timestamp);
static void ngx_http_smart_journal_trace_id(ngx_http_request_t *r,
    ngx_smart_record_t *record, char *buf);
static void ngx_http_smart_journal_end(ngx_http_request_t *r,
    ngx_http_smart_journal_main_conf_t *jmcf, uint32_t slot,
    int64_t duration);
static void ngx_http_smart_journal_upstream(ngx_http_request_t *r,
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_smart_record_text_t *text);
static int32_t ngx_http_smart_journal_number(ngx_http_request_t *r,
    ngx_int_t index);
static ngx_int_t ngx_http_smart_journal_index(ngx_conf_t *cf,
    const char *name);
static uint64_t ngx_http_smart_journal_us(clockid_t clock);


static ngx_smart_uuid7_t  ngx_http_smart_journal_ids;


/* the first one of its phase: a "return" ends that */
static ngx_int_t
ngx_http_smart_journal_rewrite_handler(ngx_http_request_t *r)
{
    uint64_t                             timestamp;
    ngx_pool_cleanup_t                  *cln;
    ngx_http_smart_journal_ctx_t        *ctx;
    ngx_http_smart_journal_loc_conf_t   *jlcf;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_journal_module);

    if (!jlcf->enable || ngx_http_smart_journal_find_ctx(r)) {
        return NGX_DECLINED;
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_smart_journal_module);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_smart_journal_ctx_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = cln->data;

    ctx->jmcf = jmcf;
    ctx->start = ngx_http_smart_journal_us(CLOCK_MONOTONIC);

    timestamp = ngx_http_smart_journal_us(CLOCK_REALTIME);

    ctx->slot = ngx_http_smart_journal_begin(r, jmcf, jlcf, timestamp);

    cln->handler = ngx_http_smart_journal_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_smart_journal_module);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_smart_journal_log_handler(ngx_http_request_t *r)
{
    int64_t                              duration;
    uint32_t                             slot;
    uint64_t                             now, timestamp;
    ngx_http_smart_journal_ctx_t        *ctx;
    ngx_http_smart_journal_loc_conf_t   *jlcf;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_smart_journal_find_ctx(r);

    if (ctx) {

        if (ctx->slot != NGX_SMART_RING_NONE) {
            duration = ngx_http_smart_journal_us(CLOCK_MONOTONIC) - ctx->start;

            ngx_http_smart_journal_end(r, ctx->jmcf, ctx->slot, duration);

            ctx->slot = NGX_SMART_RING_NONE;
        }

        return NGX_OK;
    }

    /* one that never came to the rewrite phase of a location */

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_journal_module);

    if (!jlcf->enable || r->unparsed_uri.len == 0) {
        return NGX_OK;
    }

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_smart_journal_module);

    now = ngx_http_smart_journal_us(CLOCK_REALTIME);
    timestamp = ((uint64_t) r->start_sec * 1000 + r->start_msec) * 1000;

    slot = ngx_http_smart_journal_begin(r, jmcf, jlcf, timestamp);

    if (slot != NGX_SMART_RING_NONE) {
        ngx_http_smart_journal_end(r, jmcf, slot,
                                   now > timestamp ? now - timestamp : 0);
    }

    return NGX_OK;
}


static ngx_http_smart_journal_ctx_t *
ngx_http_smart_journal_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_smart_journal_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_smart_journal_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_smart_journal_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


/* of a request that nobody logged */
static void
ngx_http_smart_journal_cleanup(void *data)
{
    ngx_http_smart_journal_ctx_t  *ctx = data;

    ngx_smart_record_t  record;

    if (ctx->slot == NGX_SMART_RING_NONE) {
        return;
    }

    ngx_memzero(&record, sizeof(ngx_smart_record_t));

    record.state = NGX_SMART_RECORD_ABORTED;
    record.duration = ngx_http_smart_journal_us(CLOCK_MONOTONIC) - ctx->start;
    record.attempts = -1;
    record.winner = -1;

    ngx_http_smart_journal_zone_end(ctx->jmcf, ctx->slot, &record);
}


static uint32_t
ngx_http_smart_journal_begin(ngx_http_request_t *r,
    ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_loc_conf_t *jlcf, uint64_t timestamp)
{
    char                trace_id[NGX_SMART_RECORD_TRACE_ID];
    ngx_smart_record_t  record;

    ngx_memzero(&record, sizeof(ngx_smart_record_t));

    if (ngx_http_smart_journal_target(r, jlcf, &record) != NGX_OK) {
        return NGX_SMART_RING_NONE;
    }

    ngx_smart_uuid7(&ngx_http_smart_journal_ids, timestamp, record.id);

    record.timestamp = timestamp;

    record.method.data = (char *) r->method_name.data;
    record.method.len = r->method_name.len;

    ngx_http_smart_journal_trace_id(r, &record, trace_id);

    return ngx_http_smart_journal_zone_begin(jmcf, &record);
}


/* of a W3C "traceparent": version-id-parent-flags */
static void
ngx_http_smart_journal_trace_id(ngx_http_request_t *r,
    ngx_smart_record_t *record, char *buf)
{
    u_char            c, any;
    ngx_uint_t        i, k;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    h = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == 11
                && ngx_strncmp(h[i].lowcase_key, "traceparent", 11) == 0)
            {
                h = &h[i];
                goto found;
            }
        }
    }

    return;

found:

    if (h->value.len < 55 || h->value.data[2] != '-'
        || h->value.data[35] != '-'
        || ngx_strncasecmp(h->value.data, (u_char *) "ff", 2) == 0)
    {
        return;
    }

    any = 0;

    for (k = 0; k < NGX_SMART_RECORD_TRACE_ID; k++) {

        c = h->value.data[3 + k];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return;
        }

        any |= (c != '0');
        buf[k] = c;
    }

    if (any) {
        record->trace_id.data = buf;
        record->trace_id.len = NGX_SMART_RECORD_TRACE_ID;
    }
}


static void
ngx_http_smart_journal_end(ngx_http_request_t *r,
    ngx_http_smart_journal_main_conf_t *jmcf, uint32_t slot, int64_t duration)
{
    ngx_uint_t                  status;
    ngx_connection_t           *c;
    ngx_smart_record_t          record;

    ngx_memzero(&record, sizeof(ngx_smart_record_t));

    c = r->connection;

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (status < 100 || status > 599) {
        status = 0;
    }

    record.state = NGX_SMART_RECORD_COMPLETE;

    if (status == 0 || status == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || c->error || c->timedout)
    {
        record.state = NGX_SMART_RECORD_ABORTED;
    }

    if (status == 0 && c->error) {
        status = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    record.duration = duration;
    record.code = status;
    record.attempts = ngx_http_smart_journal_number(r, jmcf->attempts_index);
    record.winner = -1;

    if (record.attempts != -1) {
        record.winner = ngx_http_smart_journal_number(r, jmcf->winner_index);
    }

    ngx_http_smart_journal_upstream(r, jmcf, &record.upstream);

    ngx_http_smart_journal_zone_end(jmcf, slot, &record);
}


/* $upstream_addr, which need not be put together where there is only one */
static void
ngx_http_smart_journal_upstream(ngx_http_request_t *r,
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_smart_record_text_t *text)
{
    ngx_http_upstream_state_t  *state;
    ngx_http_variable_value_t  *vv;

    if (r->upstream_states == NULL) {
        return;
    }

    state = r->upstream_states->elts;

    if (r->upstream_states->nelts == 1 && state->peer) {
        text->data = (char *) state->peer->data;
        text->len = state->peer->len;
        return;
    }

    vv = ngx_http_get_flushed_variable(r, jmcf->upstream_index);

    if (vv && !vv->not_found) {
        text->data = (char *) vv->data;
        text->len = vv->len;
    }
}


static int32_t
ngx_http_smart_journal_number(ngx_http_request_t *r, ngx_int_t index)
{
    ngx_int_t                   n;
    ngx_http_variable_value_t  *vv;

    if (index == NGX_ERROR) {
        return -1;
    }

    vv = ngx_http_get_flushed_variable(r, index);

    if (vv == NULL || vv->not_found) {
        return -1;
    }

    n = ngx_atoi(vv->data, vv->len);

    return (n == NGX_ERROR) ? -1 : n;
}


ngx_int_t
ngx_http_smart_journal_request_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                 *h;
    ngx_http_core_main_conf_t           *cmcf;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_smart_journal_module);

    jmcf->attempts_index = ngx_http_smart_journal_index(cf, "smart_attempts");
    jmcf->winner_index = ngx_http_smart_journal_index(cf, "smart_winner");
    jmcf->upstream_index = ngx_http_smart_journal_index(cf, "upstream_addr");

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_smart_journal_rewrite_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_smart_journal_log_handler;

    return NGX_OK;
}


/* NGX_ERROR if no module has such a variable */
static ngx_int_t
ngx_http_smart_journal_index(ngx_conf_t *cf, const char *name)
{
    ngx_str_t                   s;
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {
        if (key[i].key.len == s.len
            && ngx_strncmp(key[i].key.data, s.data, s.len) == 0)
        {
            return ngx_http_get_variable_index(cf, &s);
        }
    }

    return NGX_ERROR;
}


void
ngx_http_smart_journal_request_init_process(void)
{
    ngx_http_smart_journal_ids.s[0] = ngx_http_smart_journal_process_random();
    ngx_http_smart_journal_ids.s[1] = ngx_http_smart_journal_process_random()
                                      | 1;
}


static uint64_t
ngx_http_smart_journal_us(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
