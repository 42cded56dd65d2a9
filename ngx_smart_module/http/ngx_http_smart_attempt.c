
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The life of a single attempt.
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_policy.h"
#include "ngx_http_smart_series.h"


/* headers that a hedge has room for, before it takes more */
#define NGX_HTTP_SMART_ATTEMPT_HEADERS  8


static void ngx_http_smart_attempt_trim(ngx_http_request_t *sr);
static ngx_int_t ngx_http_smart_attempt_process_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_attempt_reinit_request(ngx_http_request_t *r);
static void ngx_http_smart_attempt_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_uint_t ngx_http_smart_attempt_replaceable(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_int_t rc);
static ngx_int_t ngx_http_smart_attempt_won(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a, ngx_int_t rc);
static const char *ngx_http_smart_attempt_failure(ngx_http_request_t *r,
    ngx_int_t rc);


ngx_int_t
ngx_http_smart_attempt_launch(ngx_http_smart_ctx_t *ctx, ngx_uint_t n)
{
    ngx_http_request_t          *r, *sr;
    ngx_http_smart_race_t       *race;
    ngx_http_smart_attempt_t    *a;
    ngx_http_smart_main_conf_t  *smcf;

    r = ctx->request;
    race = ctx->race;

    a = &race->attempts[n];

    a->post.handler = ngx_http_smart_attempt_done;
    a->post.data = ctx;
    a->start = ngx_current_msec;
    a->begin = ngx_http_smart_policy_now();

    if (race->content_handler == NULL) {
        race->content_handler = r->content_handler;
    }

    if (r->request_body) {
        r->preserve_body = 1;
    }

    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, &a->post,
                            NGX_HTTP_SUBREQUEST_CLONE
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    a->request = sr;

    ngx_http_smart_attempt_trim(sr);

    sr->content_handler = ngx_http_smart_attempt_content;

    sr->quoted_uri = r->quoted_uri;
    sr->complex_uri = r->complex_uri;
    sr->plus_in_uri = r->plus_in_uri;
    sr->request_length = r->request_length;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "smart hedge %ui launched after %M", n,
                   ngx_http_smart_hedge_age(ctx));

    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);

    if (smcf->slice) {

        /* $slice_range has a value only where this is */

        sr->ctx[smcf->slice->ctx_index] = r->ctx[smcf->slice->ctx_index];
    }

    ngx_http_smart_series_start(ctx);

    ngx_http_smart_main_watch(r, ctx);

    return NGX_OK;
}


/*
 * nginx has just made room for 24 headers, of which a hedge that waits has none
 * and most answers few: what lies at the end of a block of the pool goes back
 * to it.  Only the queue of posted requests may already point behind it.
 */
static void
ngx_http_smart_attempt_trim(ngx_http_request_t *sr)
{
    size_t                      unused;
    u_char                     *end;
    ngx_list_t                 *headers, *trailers;
    ngx_pool_t                 *pool;
    ngx_http_posted_request_t  *pr, **last;

    headers = &sr->headers_out.headers;
    trailers = &sr->headers_out.trailers;

    if (headers->nalloc <= NGX_HTTP_SMART_ATTEMPT_HEADERS) {
        return;
    }

    last = &sr->main->posted_requests;

    while (*last && (*last)->next) {
        last = &(*last)->next;
    }

    pr = *last;

    end = (u_char *) headers->part.elts + headers->nalloc * headers->size;

    if (trailers->part.elts == end) {
        end += trailers->nalloc * trailers->size;
    }

    if ((u_char *) pr == end) {
        end = (u_char *) (pr + 1);

    } else {
        pr = NULL;
    }

    for (pool = sr->pool; pool && pool->d.last != end; pool = pool->d.next) {
        /* void */
    }

    if (pool == NULL) {
        return;
    }

    unused = (headers->nalloc - NGX_HTTP_SMART_ATTEMPT_HEADERS)
             * headers->size;

    headers->nalloc = NGX_HTTP_SMART_ATTEMPT_HEADERS;

    if ((u_char *) trailers->part.elts > (u_char *) headers->part.elts
        && (u_char *) trailers->part.elts < end)
    {
        trailers->part.elts = (u_char *) trailers->part.elts - unused;
    }

    if (pr) {
        *last = (ngx_http_posted_request_t *) ((u_char *) pr - unused);
        **last = *pr;
    }

    pool->d.last -= unused;
}


ngx_int_t
ngx_http_smart_attempt_content(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_uint_t                 forgotten;
    ngx_http_smart_ctx_t      *ctx;
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);
    ctx = a->post.data;

    a->begun = 1;

    forgotten = ngx_http_smart_cache_forget_use(ctx->request);

    rc = ctx->race->content_handler(r);

#if (NGX_HTTP_CACHE)

    if (forgotten && (r->cache == NULL || r->cache->node == NULL)) {
        ngx_http_smart_cache_remember_use(ctx->request);
    }

#endif

    if (r->upstream && !a->done) {
        ngx_http_smart_attempt_hook(r, a);
    }

#if (NGX_HTTP_CACHE)

    /* a hedge does not wait for what its primary, or another, is fetching */

    if (r->cache && r->cache->waiting && !a->done) {

        r->cache->lock = 0;

        ngx_http_smart_cache_stop_waiting(r);

        if (ngx_http_post_request(r, NULL) != NGX_OK) {
            return NGX_ERROR;
        }
    }

#endif

    return rc;
}


void
ngx_http_smart_attempt_hook(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a)
{
    ngx_http_upstream_t  *u;

    if (a->hooked) {
        return;
    }

    a->hooked = 1;

    u = r->upstream;

    a->process_header = u->process_header;
    u->process_header = ngx_http_smart_attempt_process_header;

    a->reinit_request = u->reinit_request;
    u->reinit_request = ngx_http_smart_attempt_reinit_request;

    a->finalize_request = u->finalize_request;
    u->finalize_request = ngx_http_smart_attempt_finalize_request;
}


/*
 * A redirect of a subrequest would not pass the access phase of its target:
 * the attempt ends here, and the main request is redirected instead.
 */
static ngx_int_t
ngx_http_smart_attempt_process_header(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_upstream_t       *u;
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);
    u = r->upstream;

    u->process_header = a->process_header;

    rc = u->process_header(r);

    a->process_header = u->process_header;
    u->process_header = ngx_http_smart_attempt_process_header;

    if (rc != NGX_OK || u->headers_in.x_accel_redirect == NULL
        || (u->conf->ignore_headers & NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT))
    {
        return rc;
    }

    a->redirect = 1;

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_smart_attempt_reinit_request(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_upstream_t       *u;
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);
    u = r->upstream;

    rc = a->reinit_request(r);

    a->process_header = u->process_header;
    u->process_header = ngx_http_smart_attempt_process_header;

    return rc;
}


/* the connection is still there, and tells why the attempt has failed */
static void
ngx_http_smart_attempt_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    r->upstream->finalize_request = a->finalize_request;
    r->upstream->finalize_request(r, rc);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE
        && ngx_http_smart_attempt_replaceable(r, a, rc))
    {
        ngx_http_smart_cache_forget_error(r);
    }

    if (a->hold) {
        (void) ngx_http_smart_hold_end(r, a, rc);
    }

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE && a->failure == NULL) {
        a->failure = ngx_http_smart_attempt_failure(r, rc);
    }
}


/* another attempt may still succeed where this one has not */
static ngx_uint_t
ngx_http_smart_attempt_replaceable(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_int_t rc)
{
    ngx_uint_t             others;
    ngx_http_smart_ctx_t  *ctx;

    ctx = a->post.data;
    others = ctx->hedge.alive & ~(1 << (a - ctx->race->attempts));

    if (ngx_smart_hedge_decided(&ctx->hedge) || others == 0 || a->redirect) {
        return 0;
    }

    return r->upstream->headers_in.status_n != (ngx_uint_t) rc
           || !ngx_http_smart_verdict(r, r->main, rc, NULL);
}


ngx_int_t
ngx_http_smart_attempt_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_smart_ctx_t *ctx = data;

    ngx_int_t                  action;
    ngx_uint_t                 n;
    ngx_http_upstream_t       *u;
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    if (a->done) {
        return NGX_OK;
    }

    a->done = 1;

    if (ctx->race->winner == a) {
        return ngx_http_smart_attempt_won(ctx, a, rc);
    }

    n = a - ctx->race->attempts;
    u = r->upstream;

    if (a->redirect
        || (rc >= NGX_HTTP_SPECIAL_RESPONSE && u
            && u->headers_in.status_n == (ngx_uint_t) rc
            && ngx_http_smart_verdict(r, r->main, rc, NULL)))
    {
        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_SUCCESS, n);

    } else {
        ngx_http_smart_attempt_failed(ctx, n, rc, 0);

        action = ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, n);
    }

    switch (action) {

    case NGX_SMART_HEDGE_PROMOTE:

        if (a->redirect) {
            ctx->race->winner = a;
            ngx_http_smart_main_redirect(ctx);
            break;
        }

        ngx_http_smart_main_intercepted(ctx, a);
        ngx_http_smart_main_finish(ctx, rc);
        break;

    case NGX_SMART_HEDGE_PASS:

        if (u && u->headers_in.status_n == (ngx_uint_t) rc) {
            ngx_http_smart_main_intercepted(ctx, a);
        }

        ngx_http_smart_main_finish(ctx, rc >= NGX_HTTP_SPECIAL_RESPONSE
                                        ? rc : NGX_HTTP_BAD_GATEWAY);
        break;

    case NGX_SMART_HEDGE_FAIL:
        ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);
        break;
    }

    return NGX_OK;
}


/* the whole answer of the winner has been read, or will never be */
static ngx_int_t
ngx_http_smart_attempt_won(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a, ngx_int_t rc)
{
    ngx_http_request_t  *r, *sr;

    r = ctx->request;
    sr = a->request;

    if (rc == NGX_ERROR || rc == NGX_HTTP_REQUEST_TIME_OUT
        || rc == NGX_HTTP_CLIENT_CLOSED_REQUEST || r->connection->error)
    {
        return rc;
    }

    if (!sr->keepalive) {
        /* nginx tells so that the answer was cut */
        r->keepalive = 0;

    } else if (rc == NGX_OK && !a->last_sent && !r->header_only) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    ngx_http_smart_main_finish(ctx, rc);

    return NGX_OK;
}


ngx_int_t
ngx_http_smart_attempt_discard(ngx_http_request_t *r)
{
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    if (a) {
        a->done = 1;
    }

    /*
     * the upstream is finalized twice: here, and by its caller that sees
     * the error, which only drops a reference then
     */

    if (r->upstream->cleanup) {
        r->main->count++;
        (*r->upstream->cleanup)(r);
    }

    return NGX_ERROR;
}


void
ngx_http_smart_attempt_failed(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_int_t rc, ngx_uint_t rejected)
{
    ngx_http_request_t        *r;
    ngx_http_smart_race_t     *race;
    ngx_http_smart_attempt_t  *a;

    race = ngx_http_smart_hedge_race(ctx);
    if (race == NULL) {
        return;
    }

    a = &race->attempts[n];
    r = a->request;

    if (r == NULL) {
        a->result = NGX_HTTP_SMART_NO_ANSWER;
        a->failure = "not started";
        return;
    }

    if (!rejected) {
        rejected = (r->upstream
                    && r->upstream->headers_in.status_n == (ngx_uint_t) rc);
    }

    if (rejected) {
        a->status = rc;

    } else if (a->failure == NULL) {
        a->failure = ngx_http_smart_attempt_failure(r, rc);
    }

    ngx_http_smart_attempt_end(ctx, n, rejected ? NGX_HTTP_SMART_REJECTED
                                                : NGX_HTTP_SMART_NO_ANSWER);
}


/* in words that say nothing of addresses: clients get to see them */
static const char *
ngx_http_smart_attempt_failure(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t     *c;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || u->state == NULL || rc == NGX_ERROR
        || rc == NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        return "internal error";
    }

    if (u->peer.name == NULL) {
        return "host not found";
    }

    /* nginx sets the name of the upstream where it has no peer */

    if (u->upstream && u->peer.name->len == u->upstream->host.len
        && ngx_strncmp(u->peer.name->data, u->upstream->host.data,
                       u->upstream->host.len)
           == 0)
    {
        return "no live upstreams";
    }

    c = u->peer.connection;

    if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        return u->request_sent ? "timed out" : "connection timed out";
    }

    if (c == NULL || !u->request_sent) {
        return "connection failed";
    }

    if (c->read->eof || c->read->error) {
        return "connection closed";
    }

    return "invalid header";
}


void
ngx_http_smart_attempt_end(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_uint_t result)
{
    ngx_msec_t                 age;
    ngx_http_request_t        *r;
    ngx_http_upstream_t       *u;
    ngx_http_smart_attempt_t  *a;

    r = ctx->request;
    age = ngx_http_smart_hedge_age(ctx);

    if (n == 0) {

        if (ctx->ended) {
            return;
        }

        ctx->ended = 1;
    }

    if (ctx->race) {

        a = &ctx->race->attempts[n];

        if (a->request == NULL || a->result != NGX_HTTP_SMART_RUNNING) {
            return;
        }

        r = a->request;
        age = ngx_current_msec - a->start;

        a->result = result;
        a->end = ngx_current_msec;

        u = r->upstream;

        if (u && u->peer.name) {
            a->peer = *u->peer.name;
        }
    }

    ngx_http_smart_policy_end(ctx, n, result, age);

    ngx_http_smart_series_finish(ctx, n, r, result, age);
}
