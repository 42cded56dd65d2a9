
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * How attempts are stopped, whatever they are doing.
 */


#include "ngx_http_smart_hedge.h"


static void ngx_http_smart_cancel_primary(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);
static void ngx_http_smart_cancel_hedge(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_http_smart_attempt_t *a);
static void ngx_http_smart_cancel_late(ngx_http_request_t *r);
static void ngx_http_smart_cancel_release(ngx_http_request_t *r);
static void ngx_http_smart_cancel_terminate(ngx_http_request_t *r);

#if (NGX_THREADS)
static void ngx_http_smart_cancel_detach(ngx_http_request_t *r,
    ngx_event_pipe_t *p);
static void ngx_http_smart_cancel_written(ngx_event_t *ev);
#endif


void
ngx_http_smart_cancel(ngx_http_smart_ctx_t *ctx, ngx_uint_t n)
{
    ngx_http_smart_attempt_t  *a;

    ngx_http_smart_attempt_end(ctx, n, NGX_HTTP_SMART_CANCELLED);

    if (n == 0) {
        ngx_http_smart_cancel_primary(ctx->request, ctx);
        return;
    }

    a = &ctx->race->attempts[n];

    ngx_http_smart_cancel_hedge(a->request, ctx, a);
}


static void
ngx_http_smart_cancel_primary(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "smart cancel primary");

    if (u == NULL) {
        return;
    }

    if (u->cleanup) {

        if (ctx->hooked) {
            u->finalize_request = ctx->original.finalize_request;
            ctx->hooked = 0;
        }

        if (ctx->held) {
            ngx_http_smart_hold_drop(r, &ctx->race->attempts[0]);
            ngx_http_smart_main_clean(r, ctx);
        }

        ngx_http_smart_peer_charge(r, ctx->delay);
        ngx_http_smart_cache_keep_error(r);

#if (NGX_THREADS)

        if (r->aio && u->pipe && u->pipe->writing) {
            ngx_http_smart_cancel_detach(r, u->pipe);
        }

#endif

        r->main->count++;
        (*u->cleanup)(r);
    }

    ngx_http_smart_main_wait(r);
}


static void
ngx_http_smart_cancel_hedge(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_http_smart_attempt_t *a)
{
    ngx_http_upstream_t  *u;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "smart cancel hedge %ui",
                   (ngx_uint_t) (a - ctx->race->attempts));

    if (a->done) {
        return;
    }

    if (r->aio) {
        r->write_event_handler = ngx_http_smart_cancel_late;
        return;
    }

    a->done = 1;

    r->read_event_handler = ngx_http_request_empty_handler;
    r->write_event_handler = ngx_http_request_empty_handler;

    u = r->upstream;

    if (u && u->cleanup) {
        ngx_http_smart_peer_charge(r, ctx->delay);
        ngx_http_smart_cache_keep_error(r);

        (*u->cleanup)(r);

    } else if (!a->begun) {
        ngx_http_finalize_request(r, NGX_DONE);

#if (NGX_HTTP_CACHE)
    } else if (r->cache) {
        ngx_http_smart_cache_unlock(r);
        ngx_http_finalize_request(r, NGX_DONE);
#endif

    }

    r->read_event_handler = ngx_http_request_empty_handler;
    r->write_event_handler = ngx_http_request_empty_handler;
}


/*
 * A cancelled hedge whose file operation has come to its end.  The response
 * may have been sent by now, with nothing but the hedge left to refer to it.
 */
static void
ngx_http_smart_cancel_late(ngx_http_request_t *r)
{
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    r->main->count++;

    ngx_http_smart_cancel_hedge(r, a->post.data, a);

    ngx_http_smart_cancel_release(r);
}


/* drops a reference for which a termination of the request may have waited */
static void
ngx_http_smart_cancel_release(ngx_http_request_t *r)
{
    ngx_http_request_t  *mr;

    mr = r->main;

    if (r->connection->error) {

        /*
         * a termination has run the cleanup; what it leaves to be called may
         * be that of a subrequest, which nobody calls
         */

        if (mr->cleanup == NULL) {
            mr->write_event_handler = ngx_http_smart_cancel_terminate;
        }

        (void) ngx_http_post_request(mr, NULL);
    }

    ngx_http_finalize_request(r, NGX_DONE);
}


static void
ngx_http_smart_cancel_terminate(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, NGX_ERROR);
}


#if (NGX_THREADS)

/*
 * A thread is writing what the primary has held to a file.  Both belong to the
 * request, which stays until the thread has ended, but nothing else waits for
 * that: the winner may have a thread of its own.
 */
static void
ngx_http_smart_cancel_detach(ngx_http_request_t *r, ngx_event_pipe_t *p)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "smart cancel while a thread writes");

    p->temp_file->file.thread_task->event.handler =
                                                ngx_http_smart_cancel_written;
    r->main->count++;
    r->aio = 0;
}


static void
ngx_http_smart_cancel_written(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "smart cancel written: \"%V?%V\"", &r->uri, &r->args);

    if (ev->timedout) {
        ngx_log_error(NGX_LOG_ALERT, c->log, 0,
                      "thread operation took too long");
        ev->timedout = 0;
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    r->main->blocked--;

    ngx_http_smart_cancel_release(r);
    ngx_http_run_posted_requests(c);
}

#endif
