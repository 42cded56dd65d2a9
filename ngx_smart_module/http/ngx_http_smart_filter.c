
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
static ngx_int_t ngx_http_smart_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_smart_body_park(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);
static ngx_int_t ngx_http_smart_body_hedge(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_chain_t *in);
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
    ngx_uint_t            success;
    ngx_http_upstream_t  *u;

#if (NGX_HTTP_CACHE)
    success = r->cached;
#else
    success = 0;
#endif

    if (success
        || ngx_http_smart_verdict(r, r, r->headers_out.status,
                                          &r->headers_out.content_type))
    {
        ngx_http_smart_hedge_primary_won(ctx);

        return ngx_http_next_header_filter(r);
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
    ngx_uint_t             n, success;
    ngx_http_smart_ctx_t  *ctx;

    ctx = a->post.data;
    n = a - ctx->race->attempts;

    success = 0;

    if (r->connection->error == 0) {

#if (NGX_HTTP_CACHE)
        success = r->cached;
#endif

        success = success || ngx_http_smart_verdict(r, r->main,
                                                r->headers_out.status,
                                                &r->headers_out.content_type);
    }

    if (success) {
        ngx_http_smart_cache_take_lock(ctx, r);

        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_SUCCESS, n);

    } else {
        ngx_http_smart_attempt_failed(ctx, n, r->headers_out.status, 1);

        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, n);
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


static ngx_int_t
ngx_http_smart_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_smart_ctx_t      *ctx;
    ngx_http_smart_attempt_t  *a;

    if (r == r->main) {

        ctx = ngx_http_smart_ctx(r);

        if (ctx && ctx->parking) {
            return ngx_http_smart_body_park(r, ctx);
        }

        return ngx_http_next_body_filter(r, in);
    }

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
