
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_module.h"
#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_policy.h"
#include "ngx_http_smart_series.h"


static ngx_int_t ngx_http_smart_handler(ngx_http_request_t *r);
static void ngx_http_smart_body_handler(ngx_http_request_t *r);
static const ngx_smart_hedge_plan_t *ngx_http_smart_plan(
    ngx_http_request_t *r, ngx_http_smart_loc_conf_t *slcf);
static ngx_http_smart_ctx_t *ngx_http_smart_create_ctx(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf, const ngx_smart_hedge_plan_t *plan);
static void ngx_http_smart_cleanup(void *data);
static ngx_int_t ngx_http_smart_content_handler(ngx_http_request_t *r);
static void ngx_http_smart_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);
static void ngx_http_smart_primary_judged(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_smart_primary_lost(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_int_t rc);

static ngx_int_t ngx_http_smart_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_smart_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_smart_init_process(ngx_cycle_t *cycle);


static ngx_http_module_t  ngx_http_smart_module_ctx = {
    ngx_http_smart_add_variables,          /* preconfiguration */
    ngx_http_smart_init,                   /* postconfiguration */

    ngx_http_smart_create_main_conf,       /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_smart_create_loc_conf,        /* create location configuration */
    ngx_http_smart_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_smart_module = {
    NGX_MODULE_V1,
    &ngx_http_smart_module_ctx,            /* module context */
    ngx_http_smart_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_smart_init_module,            /* init module */
    ngx_http_smart_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* the last handler of the precontent phase */
static ngx_int_t
ngx_http_smart_handler(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    ngx_http_smart_ctx_t          *ctx;
    ngx_http_smart_loc_conf_t     *slcf;
    const ngx_smart_hedge_plan_t  *plan;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    if (slcf->timers == NULL || r != r->main || r->content_handler == NULL
        || r->post_action || ngx_http_smart_ctx(r) != NULL)
    {
        return NGX_DECLINED;
    }

    plan = ngx_http_smart_plan(r, slcf);
    if (plan == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (plan->extra == 0 && slcf->timeout == NGX_TIMER_INFINITE
        && slcf->timeout_index == NGX_ERROR)
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_smart_create_ctx(r, slcf, plan);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = NGX_OK;

    if (slcf->timeout != NGX_TIMER_INFINITE
        || slcf->timeout_index != NGX_ERROR)
    {
        rc = ngx_http_smart_deadline_set(r, ctx);
    }

    if (rc != NGX_OK) {
        rc = ngx_http_smart_error(r, ctx, rc);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE || rc == NGX_ERROR) {
            return rc;
        }

        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    if (plan->extra == 0 && ctx->deadline == NGX_TIMER_INFINITE) {
        ctx->outcome = NGX_HTTP_SMART_BYPASS;
        return NGX_DECLINED;
    }

    ctx->original.content_handler = r->content_handler;
    r->content_handler = ngx_http_smart_content_handler;

    if (plan->extra == 0 || slcf->dry_run || !(r->method & slcf->methods)
        || r->headers_in.content_length_n > (off_t) slcf->body_size
        || (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked))
    {
        return NGX_DECLINED;
    }

    /* a body is read whole, whatever its reader would do, to be sent again */

    ngx_http_smart_hedge_arm(ctx, NGX_TIMER_INFINITE);

    rc = ngx_http_read_client_request_body(r, ngx_http_smart_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_smart_body_handler(ngx_http_request_t *r)
{
    r->preserve_body = 1;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


/* NULL if there is no memory */
static const ngx_smart_hedge_plan_t *
ngx_http_smart_plan(ngx_http_request_t *r, ngx_http_smart_loc_conf_t *slcf)
{
    static const ngx_smart_hedge_plan_t  off;

    if (r->headers_in.upgrade) {
        return &off;
    }

    if (slcf->hedge) {
        return ngx_http_smart_policy_plan(r, slcf);
    }

    return (r->method & slcf->methods) ? &slcf->plan : &slcf->other;
}


static ngx_http_smart_ctx_t *
ngx_http_smart_create_ctx(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf, const ngx_smart_hedge_plan_t *plan)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_smart_ctx_t  *ctx, *prev;

    prev = r->internal ? ngx_http_smart_find_ctx(r) : NULL;

    /* one allocation for what ngx_pool_cleanup_add() would take two for */

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_smart_ctx_t)
                              + sizeof(ngx_pool_cleanup_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->conf = slcf;
    ctx->plan = plan;
    ctx->deadline = NGX_TIMER_INFINITE;
    ngx_smart_hedge_init(&ctx->hedge);

    ngx_memzero(&ctx->timer, sizeof(ngx_http_smart_ctx_t)
                             - offsetof(ngx_http_smart_ctx_t, timer));

    cln = (ngx_pool_cleanup_t *) (ctx + 1);

    cln->handler = ngx_http_smart_cleanup;
    cln->data = ctx;
    cln->next = r->pool->cleanup;

    r->pool->cleanup = cln;

    /* an error page of an expired request is not held to the deadline */

    if (prev && (prev->replaced || prev->outcome == NGX_HTTP_SMART_TIMEOUT
                 || prev->outcome == NGX_HTTP_SMART_INVALID))
    {
        ctx->replaced = 1;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_smart_module);

    ngx_http_smart_series_move(ctx, 1);

    return ctx;
}


static void
ngx_http_smart_cleanup(void *data)
{
    ngx_http_smart_ctx_t  *ctx = data;

    /* the queue must not keep a timer whose memory goes */

    if (ctx->timer.due) {
        ngx_http_smart_timer_del(&ctx->timer);
    }

    if (ctx->outcome != NGX_HTTP_SMART_PRIMARY) {
        ngx_http_smart_hedge_close(ctx);
    }

    ngx_http_smart_series_move(ctx, -1);
}


ngx_msec_t
ngx_http_smart_elapsed(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (ngx_msec_int_t) (tp->msec - r->start_msec));

    return (ngx_msec_t) ngx_max(ms, 0);
}


ngx_http_smart_ctx_t *
ngx_http_smart_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_smart_ctx_t  *ctx;

    r = r->main;
    ctx = ngx_http_smart_ctx(r);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_smart_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


/* runs the location's own handler and looks at what it has begun */
static ngx_int_t
ngx_http_smart_content_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_upstream_t   *u;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_ctx(r);

    r->content_handler = ctx->original.content_handler;
    ctx->original.finalize_request = NULL;

    rc = r->content_handler(r);

    if (ngx_http_smart_ctx(r) != ctx || ctx->begun
        || ctx->outcome != NGX_HTTP_SMART_PENDING)
    {
        return rc;
    }

    u = r->upstream;

    if (rc != NGX_DONE || u == NULL || r->header_sent) {
        ctx->outcome = NGX_HTTP_SMART_BYPASS;
        return rc;
    }

    if (u->cleanup) {
        ngx_http_smart_begin(r, ctx, ngx_current_msec);
        return rc;
    }

    /* the body of the request or a cache lock is waited for */

    ngx_http_smart_hedge_arm(ctx, ngx_http_smart_policy_begin(ctx, 0));

    return rc;
}


void
ngx_http_smart_begin(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_msec_t start)
{
    ngx_msec_t              age, left;
    ngx_http_smart_race_t  *race;

    ctx->begun = 1;
    ctx->start = (uint32_t) start;

    ctx->original.finalize_request = r->upstream->finalize_request;
    r->upstream->finalize_request = ngx_http_smart_finalize_request;
    ctx->hooked = 1;

    if (r->headers_out.headers.part.nelts || r->limit_rate_set) {

        race = ngx_http_smart_hedge_race(ctx);

        if (race) {
            race->headers_out = ngx_palloc(r->pool,
                                           sizeof(ngx_http_headers_out_t));
            if (race->headers_out) {
                *race->headers_out = r->headers_out;
            }

            race->limit_rate = r->limit_rate;
            race->limit_rate_set = r->limit_rate_set;
        }
    }

    age = ngx_http_smart_hedge_age(ctx);
    left = ngx_http_smart_policy_begin(ctx, age);

    ngx_http_smart_series_begin(ctx);

    ngx_smart_hedge_begin(&ctx->hedge);

    if (ctx->race) {

        /* a deadline may have made it before the primary was known */

        ctx->race->attempts[0].start = ngx_current_msec - age;
    }

    ngx_http_smart_hedge_arm(ctx, left);
}


/*
 * The first thing that happens when the primary's upstream ends, for whatever
 * reason: peer, connection and cache entry are still there.
 */
static void
ngx_http_smart_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_uint_t             success;
    ngx_http_upstream_t   *u;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);
    u = r->upstream;

    u->finalize_request = ctx->original.finalize_request;
    ctx->hooked = 0;

    u->finalize_request(r, rc);

    if (ngx_smart_hedge_decided(&ctx->hedge)) {
        return;
    }

    if (ctx->held) {
        ngx_http_smart_primary_judged(r, ctx, rc);
        return;
    }

    if (r->header_sent || rc == NGX_DECLINED) {

        /* a cached answer, or the primary's own X-Accel-Redirect */

        ngx_http_smart_hedge_primary_won(ctx);
        return;
    }

    if (rc < NGX_HTTP_SPECIAL_RESPONSE
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || r->connection->error)
    {
        (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_ABORT, 0);
        return;
    }

    success = (u->headers_in.status_n == (ngx_uint_t) rc
               && ngx_http_smart_verdict(r, r, rc, NULL));

    if (success) {
        ngx_http_smart_hedge_primary_won(ctx);
        return;
    }

    ngx_http_smart_attempt_failed(ctx, 0, rc, 0);
    ngx_http_smart_primary_lost(r, ctx, rc);
}


/* the header was good; the body is complete, or will never be */
static void
ngx_http_smart_primary_judged(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_int_t             verdict;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    verdict = ngx_http_smart_hold_end(r, &ctx->race->attempts[0], rc);

    if (r->connection->error || (u->pipe && u->pipe->downstream_error)) {
        (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_ABORT, 0);
        return;
    }

    switch (verdict) {

    case NGX_OK:
        ngx_http_smart_hedge_primary_won(ctx);
        return;

    case NGX_DECLINED:
        ngx_http_smart_attempt_failed(ctx, 0, r->headers_out.status, 1);
        break;

    default:

        if (rc != NGX_OK
            && (rc < NGX_HTTP_SPECIAL_RESPONSE
                || rc == NGX_HTTP_REQUEST_TIME_OUT
                || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST))
        {
            (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_ABORT, 0);
            return;
        }

        ngx_http_smart_main_clean(r, ctx);
        ngx_http_smart_attempt_failed(ctx, 0, rc, 0);
        break;
    }

    ngx_http_smart_primary_lost(r, ctx, rc);
}


static void
ngx_http_smart_primary_lost(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_int_t             action;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    /* nginx would not come to the filter that parks the request */

    if (r->header_only || (u->pipe && u->pipe->downstream_error)) {
        (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_ABORT, 0);
        return;
    }

    action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, 0);

    if (action == NGX_SMART_HEDGE_PASS && rc == NGX_OK && !ctx->held) {

        /* cut, which nginx does not know: there is nothing to pass on */
        action = NGX_SMART_HEDGE_FAIL;
    }

    if (action != NGX_SMART_HEDGE_PARK && action != NGX_SMART_HEDGE_FAIL) {
        return;
    }

    if (action == NGX_SMART_HEDGE_FAIL) {
        ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);

    } else {
        ngx_http_smart_cache_forget_error(r);
    }

    if (ctx->held) {
        ngx_http_smart_hold_drop(r, &ctx->race->attempts[0]);
    }

    /*
     * makes nginx send a flush instead of an error page: the body filter
     * takes it and answers NGX_DONE, which drops the reference taken here
     */

    r->main->count++;
    u->header_sent = 1;

    ctx->parking = 1;
    ctx->keepalive = r->keepalive;
}


static ngx_int_t
ngx_http_smart_init(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_http_handler_pt         *h;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    if (ngx_http_smart_schema_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!smcf->enabled) {

        /* no request will ever notice that the module is loaded */

        return ngx_http_smart_zone_add(cf);
    }

    if (ngx_http_smart_peer_wrap(cf) != NGX_OK
        || ngx_http_smart_series_name(cf) != NGX_OK
        || ngx_http_smart_zone_add(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name,
                       "ngx_http_slice_filter_module")
            == 0)
        {
            smcf->slice = cf->cycle->modules[i];
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* handlers run from the last to the first */

    h = cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers.elts;

    for (i = cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers.nelts - 1;
         i > 0;
         i--)
    {
        h[i] = h[i - 1];
    }

    h[0] = ngx_http_smart_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_smart_series_log;

    return ngx_http_smart_filter_init(cf);
}


static ngx_int_t
ngx_http_smart_init_module(ngx_cycle_t *cycle)
{
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_smart_module);

    if (smcf == NULL) {
        return NGX_OK;
    }

    ngx_http_smart_zone_commit(cycle);

    if (!smcf->enabled) {
        return NGX_OK;
    }

    return ngx_http_smart_filter_check(cycle->log);
}


static ngx_int_t
ngx_http_smart_init_process(ngx_cycle_t *cycle)
{
    ngx_http_smart_shard_init_process(cycle);

    return NGX_OK;
}
