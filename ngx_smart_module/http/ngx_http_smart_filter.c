
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The top of both filter chains: the verdict on an answer is reached when
 * its header comes, and the winner's answer leaves as the main request's.
 */


#include "ngx_http_smart_hedge.h"


static ngx_int_t ngx_http_smart_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_header_primary(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);
static ngx_int_t ngx_http_smart_header_hedge(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);
static ngx_int_t ngx_http_smart_header_verdict(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_uint_t n);
static ngx_int_t ngx_http_smart_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_smart_body_subrequest(ngx_http_request_t *r,
    ngx_chain_t *in) ngx_http_smart_noinline;
static ngx_int_t ngx_http_smart_body_park(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx) ngx_http_smart_noinline;
static ngx_int_t ngx_http_smart_body_primary(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_chain_t *in) ngx_http_smart_noinline;
static ngx_int_t ngx_http_smart_body_hedge(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_chain_t *in);
static ngx_int_t ngx_http_smart_body_judged(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_chain_t *in);
static void ngx_http_smart_body_pass(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_http_smart_attempt_t *a);
static void ngx_http_smart_body_last(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_buf_t *b);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_smart_header_filter(ngx_http_request_t *r)
{
    ngx_http_smart_ctx_t      *ctx;
    ngx_http_smart_attempt_t  *a;

    if (r == r->main) {

        ctx = ngx_http_smart_ctx(r);

        if (ctx && ctx->begun && !ngx_smart_hedge_decided(&ctx->hedge)
            && r->upstream && r->upstream->cleanup)
        {
            return ngx_http_smart_header_primary(r, ctx);
        }

        return ngx_http_next_header_filter(r);
    }

    a = ngx_http_smart_hedge_attempt(r);

    return a ? ngx_http_smart_header_hedge(r, a)
             : ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_smart_header_primary(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    ngx_int_t             action;
    ngx_http_upstream_t  *u;

    switch (ngx_http_smart_header_verdict(r, ctx, 0)) {

    case NGX_OK:
        ngx_http_smart_hedge_primary_won(ctx);

        return ngx_http_next_header_filter(r);

    case NGX_AGAIN:

        /* as if it had been sent: the body comes next */

        return NGX_OK;

    case NGX_ERROR:
        return NGX_ERROR;
    }

    ngx_http_smart_attempt_failed(ctx, 0, r->headers_out.status, 1);

    action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, 0);

    if (action != NGX_SMART_HEDGE_PARK && action != NGX_SMART_HEDGE_FAIL) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->hooked) {
        u = r->upstream;
        u->finalize_request = ctx->original.finalize_request;
        ctx->hooked = 0;
    }

    ngx_http_smart_main_clean(r, ctx);

    /* another reference than that which both finalizations drop */
    r->main->count++;

    (void) ngx_http_smart_attempt_discard(r);

    if (action == NGX_SMART_HEDGE_FAIL) {
        ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);

    } else if (!ngx_smart_hedge_decided(&ctx->hedge)) {
        ngx_http_smart_main_wait(r);
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_smart_header_hedge(ngx_http_request_t *r, ngx_http_smart_attempt_t *a)
{
    ngx_int_t              action;
    ngx_uint_t             n;
    ngx_http_smart_ctx_t  *ctx;

    ctx = a->post.data;
    n = a - ctx->race->attempts;

    switch (ngx_http_smart_header_verdict(r, ctx, n)) {

    case NGX_OK:
        ngx_http_smart_cache_take_lock(ctx, r);

        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_SUCCESS, n);
        break;

    case NGX_AGAIN:
        return NGX_OK;

    case NGX_ERROR:
        return NGX_ERROR;

    default:
        ngx_http_smart_attempt_failed(ctx, n, r->headers_out.status, 1);

        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, n);
        break;
    }

    switch (action) {

    case NGX_SMART_HEDGE_PROMOTE:
    case NGX_SMART_HEDGE_PASS:
        return ngx_http_smart_main_promote(ctx, a);

    case NGX_SMART_HEDGE_FAIL:
        (void) ngx_http_smart_attempt_discard(r);
        ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);
        return NGX_ERROR;

    default:
        return ngx_http_smart_attempt_discard(r);
    }
}


/* as ngx_http_smart_hold_header(), for any answer */
static ngx_int_t
ngx_http_smart_header_verdict(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_uint_t n)
{
    if (n && r->connection->error) {
        return NGX_DECLINED;
    }

#if (NGX_HTTP_CACHE)

    if (r->cached) {
        return NGX_OK;
    }

#endif

    if (!ngx_http_smart_verdict(r, r->main, r->headers_out.status,
                                &r->headers_out.content_type))
    {
        return NGX_DECLINED;
    }

    return ctx->conf->json ? ngx_http_smart_hold_header(r, ctx, n) : NGX_OK;
}


static ngx_int_t
ngx_http_smart_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_smart_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_smart_body_subrequest(r, in);
    }

    ctx = ngx_http_smart_ctx(r);

    if (ctx == NULL || !(ctx->parking || ctx->held)) {
        return ngx_http_next_body_filter(r, in);
    }

    return ctx->parking ? ngx_http_smart_body_park(r, ctx)
                        : ngx_http_smart_body_primary(r, ctx, in);
}


static ngx_int_t
ngx_http_smart_body_subrequest(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    return a ? ngx_http_smart_body_hedge(r, a, in)
             : ngx_http_next_body_filter(r, in);
}


/*
 * The flush that nginx sends after a failed upstream: peer, connection and
 * cache entry of the primary are free now
 */
static ngx_int_t
ngx_http_smart_body_park(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    ctx->parking = 0;

    r->keepalive = ctx->keepalive;

    ngx_http_smart_main_clean(r, ctx);

    if (ngx_smart_hedge_decided(&ctx->hedge)) {
        r->read_event_handler = ngx_http_block_reading;

    } else {
        ngx_http_smart_main_wait(r);
    }

    return NGX_DONE;
}


/*
 * The primary's body is held.  At its end it is known what becomes of it, and
 * peer, connection and cache entry are free
 */
static ngx_int_t
ngx_http_smart_body_primary(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t                  rc;
    ngx_http_upstream_t       *u;
    ngx_http_smart_attempt_t  *a;

    a = &ctx->race->attempts[0];

    rc = ngx_http_smart_hold_body(r, a, in);

    if (rc != NGX_DONE) {
        return rc;
    }

    if (ctx->outcome == NGX_HTTP_SMART_ABORTED) {
        ngx_http_smart_hold_drop(r, a);
        return NGX_ERROR;
    }

    if (ngx_http_smart_hold_release(r, a, &in) != NGX_OK) {
        return NGX_ERROR;
    }

    u = r->upstream;

    rc = ngx_http_next_header_filter(r);

    if (r->upstream != u) {

        /* a filter has replaced the answer, and error_page the location */

        return NGX_DONE;
    }

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_next_body_filter(r, in);
}


static ngx_int_t
ngx_http_smart_body_hedge(ngx_http_request_t *r, ngx_http_smart_attempt_t *a,
    ngx_chain_t *in)
{
    ngx_int_t                  rc;
    ngx_chain_t               *cl;
    ngx_event_t               *wev;
    ngx_http_request_t        *main;
    ngx_http_smart_ctx_t      *ctx;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = a->post.data;
    main = r->main;

    if (a->hold) {
        rc = ngx_http_smart_hold_body(r, a, in);

        return (rc == NGX_DONE) ? ngx_http_smart_body_judged(r, a, in) : rc;
    }

    if (ctx->race->winner != a) {
        return NGX_OK;
    }

    for (cl = in; cl; cl = cl->next) {

        if (cl->buf->last_in_chain) {
            ngx_http_smart_body_last(r, a, cl->buf);
        }
    }

    rc = ngx_http_output_filter(main, in);

    if (rc == NGX_ERROR || r->upstream->buffering || main->connection->data
                                                     != main)
    {
        return rc;
    }

    /* nginx does this itself only for the request that the client sees */

    wev = main->connection->write;
    clcf = ngx_http_get_module_loc_conf(main, ngx_http_core_module);

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        return NGX_ERROR;
    }

    return rc;
}


/* the body of a hedge that was held is complete */
static ngx_int_t
ngx_http_smart_body_judged(ngx_http_request_t *r, ngx_http_smart_attempt_t *a,
    ngx_chain_t *in)
{
    ngx_int_t              rc, action;
    ngx_uint_t             n;
    ngx_http_smart_ctx_t  *ctx;

    ctx = a->post.data;
    n = a - ctx->race->attempts;

    if (a->failure == NULL && r->connection->error == 0) {
        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_SUCCESS, n);

    } else {
        ngx_http_smart_attempt_failed(ctx, n, r->headers_out.status, 1);

        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, n);
    }

    switch (action) {

    case NGX_SMART_HEDGE_PROMOTE:
    case NGX_SMART_HEDGE_PASS:
        break;

    default:
        ngx_http_smart_hold_drop(r, a);
        a->done = 1;

        if (action == NGX_SMART_HEDGE_FAIL) {
            ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);
        }

        return NGX_OK;
    }

    if (ngx_http_smart_hold_release(r, a, &in) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_smart_main_promote(ctx, a);

    if (a->done) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_smart_body_hedge(r, a, in);
}


void
ngx_http_smart_filter_overflow(ngx_http_request_t *r)
{
    ngx_uint_t                 n;
    ngx_http_smart_ctx_t      *ctx;
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hold_attempt(r);

    if (a == NULL || ngx_http_smart_hold_idle(r, a) != NGX_OK) {
        return;
    }

    ctx = ngx_http_smart_find_ctx(r);
    n = a - ctx->race->attempts;

    ngx_http_smart_attempt_failed(ctx, n, r->headers_out.status, 1);

    switch (ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, n)) {

    case NGX_SMART_HEDGE_PASS:
        ngx_http_smart_body_pass(r, ctx, a);
        break;

    case NGX_SMART_HEDGE_FAIL:
        ngx_http_smart_cancel(ctx, n);
        ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);
        break;

    default:
        ngx_http_smart_cancel(ctx, n);
        break;
    }
}


/* a body that is too large is the best that there is: it streams on */
static void
ngx_http_smart_body_pass(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a)
{
    ngx_int_t             rc;
    ngx_chain_t          *out;
    ngx_http_upstream_t  *u;

    out = NULL;
    u = r->upstream;

    rc = ngx_http_smart_hold_release(r, a, &out);

    if (rc == NGX_OK) {
        rc = (r == r->main) ? ngx_http_next_header_filter(r)
                            : ngx_http_smart_main_promote(ctx, a);
    }

    if (u->cleanup == NULL) {

        /* a filter has replaced the answer, and error_page the location */

        ngx_http_finalize_request(r, NGX_DONE);
        return;
    }

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {

        /* a hedge has a reference of its own */

        if (r == r->main) {
            r->main->count++;
        }

        a->done = 1;
        (*u->cleanup)(r);

        if (r == r->main) {
            ngx_http_finalize_request(r, rc);

        } else {
            ngx_http_smart_main_finish(ctx, rc);
        }

        return;
    }

    (void) ngx_http_output_filter(r, out);

    /* that of a hedge's main request goes on with the hedge */

    r->main->write_event_handler(r->main);
}


/* the end of a subrequest's answer becomes the end of the response */
static void
ngx_http_smart_body_last(ngx_http_request_t *r, ngx_http_smart_attempt_t *a,
    ngx_buf_t *b)
{
    ngx_http_request_t  *main;

    main = r->main;

    a->last_sent = 1;

    b->last_buf = 1;

    if (!ngx_buf_in_memory(b) && !b->in_file) {
        b->sync = 0;
    }

    if (r->headers_out.trailers.part.nelts == 0) {
        return;
    }

    main->headers_out.trailers = r->headers_out.trailers;

    if (main->headers_out.trailers.last == &r->headers_out.trailers.part) {
        main->headers_out.trailers.last = &main->headers_out.trailers.part;
    }
}


ngx_int_t
ngx_http_smart_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_smart_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_smart_body_filter;

    return NGX_OK;
}


ngx_int_t
ngx_http_smart_filter_check(ngx_log_t *log)
{
    if (ngx_http_top_header_filter == ngx_http_smart_header_filter
        && ngx_http_top_body_filter == ngx_http_smart_body_filter)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "ngx_http_smart_module must be the last filter module to be "
                  "loaded: move its \"load_module\" directive below those of "
                  "the others");

    return NGX_ERROR;
}
