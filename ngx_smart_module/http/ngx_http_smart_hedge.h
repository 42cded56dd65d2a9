
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The race of the attempts of one request: the decision machine's actions
 * are executed here.
 */

#ifndef _NGX_HTTP_SMART_HEDGE_H_INCLUDED_
#define _NGX_HTTP_SMART_HEDGE_H_INCLUDED_


#include "ngx_http_smart_module.h"


typedef struct ngx_http_smart_hold_s  ngx_http_smart_hold_t;


/* "post" comes first: a hedge is known by it */
typedef struct {
    ngx_http_post_subrequest_t    post;
    ngx_http_request_t           *request;     /* NULL: not started */

    ngx_int_t                   (*process_header)(ngx_http_request_t *r);
    ngx_int_t                   (*reinit_request)(ngx_http_request_t *r);
    ngx_int_t                   (*input_filter_init)(void *data);
    void                        (*finalize_request)(ngx_http_request_t *r,
                                    ngx_int_t rc);

    ngx_msec_t                    start;
    ngx_msec_t                    end;
    uint32_t                      begin;       /* us; not of the primary */
    ngx_str_t                     peer;
    ngx_uint_t                    status;      /* of the answer, or 0 */
    const char                   *failure;     /* why it is no success */
    ngx_http_smart_hold_t        *hold;        /* NULL: nothing is held */

    unsigned                      result:3;    /* ngx_http_smart_result_e */
    unsigned                      begun:1;     /* has run its handler */
    unsigned                      hooked:1;
    unsigned                      redirect:1;  /* X-Accel-Redirect */
    unsigned                      last_sent:1;
    unsigned                      done:1;
} ngx_http_smart_attempt_t;


struct ngx_http_smart_race_s {
    ngx_http_headers_out_t       *headers_out; /* before the primary's */
    size_t                        limit_rate;
    unsigned                      limit_rate_set:1;
    ngx_int_t                     rc;          /* of the main request */
    ngx_http_handler_pt           content_handler;
    ngx_http_event_handler_pt     read_event_handler;
    ngx_http_smart_attempt_t     *winner;      /* a hedge, or NULL */
    unsigned                      merged:1;    /* upstream states */

    /* hedges that would have been sent, and when; us, of the primary's age */
    ngx_uint_t                    ndry;
    uint64_t                      dry[NGX_SMART_HEDGE_MAX_EXTRA];

    ngx_http_smart_attempt_t      attempts[1]; /* as many as may be sent */
};


/* ngx_http_smart_hedge.c */

/* the handler of ctx->timer */
void ngx_http_smart_hedge_timer(ngx_http_smart_timer_t *t);

/*
 * Feeds an event and executes what it causes, but for what concerns the
 * attempt that reports: that action is returned (PROMOTE, PASS, FAIL, PARK or
 * DROP), and is up to the caller; NGX_DECLINED if there is none.
 */
ngx_int_t ngx_http_smart_hedge_feed(ngx_http_smart_ctx_t *ctx,
    ngx_smart_hedge_event_e event, ngx_uint_t attempt);

/* the primary's answer is the one that is passed on */
void ngx_http_smart_hedge_primary_won(ngx_http_smart_ctx_t *ctx);

/* arms the timer for a trigger in "delay" ms, or the deadline if it is first */
void ngx_http_smart_hedge_arm(ngx_http_smart_ctx_t *ctx, ngx_msec_t delay);

/* ms since the primary began; wraps as the clock does */
#define ngx_http_smart_hedge_age(ctx)                                         \
    ((ngx_msec_t) (uint32_t) ((uint32_t) ngx_current_msec - (ctx)->start))

/* accounts for what a request leaves behind that ended unseen */
void ngx_http_smart_hedge_close(ngx_http_smart_ctx_t *ctx);

/* NULL unless there is one already, or memory for one */
ngx_http_smart_race_t *ngx_http_smart_hedge_race(ngx_http_smart_ctx_t *ctx);

/* the hedge that a subrequest is, or NULL */
ngx_http_smart_attempt_t *ngx_http_smart_hedge_attempt(ngx_http_request_t *r);


/* ngx_http_smart_attempt.c */

/* starts a hedge; NGX_ERROR if it could not be made */
ngx_int_t ngx_http_smart_attempt_launch(ngx_http_smart_ctx_t *ctx,
    ngx_uint_t n);

/* what nginx calls when a hedge ends: ngx_http_post_subrequest_t.handler */
ngx_int_t ngx_http_smart_attempt_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);

/* the content handler of hedges: runs the location's own, then hooks in */
ngx_int_t ngx_http_smart_attempt_content(ngx_http_request_t *r);

/* hooks into the upstream of a hedge, once */
void ngx_http_smart_attempt_hook(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);

/* an attempt has ended, ngx_http_smart_result_e tells how; only the first
 * call for it counts */
void ngx_http_smart_attempt_end(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_uint_t result);

/* notes how an attempt ended that has just failed with a code or a header */
void ngx_http_smart_attempt_failed(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_int_t rc, ngx_uint_t rejected);

/* the header filter's part: ends a hedge whose header is not wanted */
ngx_int_t ngx_http_smart_attempt_discard(ngx_http_request_t *r);


/* ngx_http_smart_busy.c */

/* counts at which peer a request is; after the upstream's peer.init */
ngx_int_t ngx_http_smart_busy_wrap(ngx_http_request_t *r,
    ngx_http_smart_upstream_t *su);

/* the data of the balancer itself */
void *ngx_http_smart_busy_unwrap(ngx_peer_connection_t *pc);

/* forgets what killed workers had in flight, if that was not done just now */
void ngx_http_smart_busy_heal(ngx_http_request_t *r);

/* requests that all workers have at a peer */
ngx_uint_t ngx_http_smart_busy_count(ngx_http_request_t *r,
    ngx_http_smart_upstream_t *su, ngx_http_upstream_rr_peer_t *peer);


/* ngx_http_smart_verdict.c */

/*
 * 1 if the status and the media type of an answer mean success in the main
 * request's location; r is the attempt that has it.  Without a type only the
 * status is judged.
 */
ngx_uint_t ngx_http_smart_verdict(ngx_http_request_t *r,
    ngx_http_request_t *main, ngx_uint_t status, ngx_str_t *type);


/* ngx_http_smart_hold.c: of a request that is an attempt, "a" */

/* the attempt that a request is, or NULL */
ngx_http_smart_attempt_t *ngx_http_smart_hold_attempt(ngx_http_request_t *r);

/*
 * The header of attempt n is that of a success: NGX_OK if that is enough,
 * NGX_AGAIN if the body is held from here on and judged at its end,
 * NGX_DECLINED if it never will be a success.
 */
ngx_int_t ngx_http_smart_hold_header(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_uint_t n);

/* takes output; NGX_DONE if that was the end of the body */
ngx_int_t ngx_http_smart_hold_body(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_chain_t *in);

/*
 * NGX_OK if what is held may go on its way; if not, because a thread writes it
 * to a file, the write event handler is called again at the end of that.
 */
ngx_int_t ngx_http_smart_hold_idle(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);

/*
 * The upstream is being finalized with rc: NGX_OK if the body means success,
 * NGX_DECLINED if it does not; in both cases its end will come.  NGX_ERROR if
 * the body is cut; it is forgotten then.
 */
ngx_int_t ngx_http_smart_hold_end(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_int_t rc);

/* forgets what is held, if anything is */
void ngx_http_smart_hold_drop(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);

/* puts what is held before "out"; nothing is held any more */
ngx_int_t ngx_http_smart_hold_release(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_chain_t **out);


/* ngx_http_smart_filter.c */

/* a write event handler: ends an attempt whose body is too large */
void ngx_http_smart_filter_overflow(ngx_http_request_t *r);


/* ngx_http_smart_cancel.c */

/* stops attempt n, whatever it is doing */
void ngx_http_smart_cancel(ngx_http_smart_ctx_t *ctx, ngx_uint_t n);


/* ngx_http_smart_cache.c: nothing to do without a cache */

/* before a loser gives up its entry: the winner's error stays in it */
void ngx_http_smart_cache_keep_error(ngx_http_request_t *r);

/* an attempt has failed that is not the last one */
void ngx_http_smart_cache_forget_error(ngx_http_request_t *r);

/* a request that waits for a lock gives up its entry */
void ngx_http_smart_cache_unlock(ngx_http_request_t *r);

/* a hedge that has won takes over its primary's lock */
void ngx_http_smart_cache_take_lock(ngx_http_smart_ctx_t *ctx,
    ngx_http_request_t *r);

/* takes a request that waits for a lock, r->cache->waiting, out of the queue */
void ngx_http_smart_cache_stop_waiting(ngx_http_request_t *r);

/*
 * around a hedge's look at the cache; r is its main request, the use has to be
 * remembered where there was no such look
 */
ngx_uint_t ngx_http_smart_cache_forget_use(ngx_http_request_t *r);
void ngx_http_smart_cache_remember_use(ngx_http_request_t *r);


/* ngx_http_smart_main.c */

/* notices a client that leaves while hedges are under way */
void ngx_http_smart_main_watch(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);

/* lets the client wait for hedges; the primary is gone or going */
void ngx_http_smart_main_wait(ngx_http_request_t *r);

/* undoes what the primary's header did to the response */
void ngx_http_smart_main_clean(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);

/* passes the header of a hedge on as that of the main request; the return
 * value is that of ngx_http_send_header() */
ngx_int_t ngx_http_smart_main_promote(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a);

/* takes over what an intercepted error needs of the answer's header */
void ngx_http_smart_main_intercepted(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a);

/* finalizes the main request with rc, from a posted request */
void ngx_http_smart_main_finish(ngx_http_smart_ctx_t *ctx, ngx_int_t rc);

/* does what the winner's X-Accel-Redirect says, from a posted request */
void ngx_http_smart_main_redirect(ngx_http_smart_ctx_t *ctx);

/* makes the $upstream_* variables list every attempt */
void ngx_http_smart_main_merge_states(ngx_http_smart_ctx_t *ctx);


#endif /* _NGX_HTTP_SMART_HEDGE_H_INCLUDED_ */
