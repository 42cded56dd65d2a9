
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_policy.h"
#include "ngx_http_smart_series.h"


/* how soon a state that must pass first is looked at again, ms */
#define NGX_HTTP_SMART_AGAIN  5


static void ngx_http_smart_hedge_due(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);
static void ngx_http_smart_hedge_expire(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);
static ngx_uint_t ngx_http_smart_hedge_dry_run(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_smart_hedge_event_e event,
    ngx_uint_t wanted);
static ngx_uint_t ngx_http_smart_hedge_allowed(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_uint_t wanted);
static ngx_uint_t ngx_http_smart_hedge_body(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf);
static void ngx_http_smart_hedge_suppress(ngx_http_smart_ctx_t *ctx,
    ngx_uint_t reason);
static void ngx_http_smart_hedge_decided(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_int_t action, ngx_uint_t attempt);
static void ngx_http_smart_hedge_unhook(ngx_http_smart_ctx_t *ctx);
static void ngx_http_smart_hedge_cleanup(void *data);


void
ngx_http_smart_hedge_timer(ngx_http_smart_timer_t *t)
{
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_queue_data(t, ngx_http_smart_ctx_t, timer);

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "smart timer: \"%V?%V\"", &r->uri, &r->args);

    if (ngx_http_smart_ctx(r) != ctx
        || ctx->outcome != NGX_HTTP_SMART_PENDING
        || ngx_smart_hedge_decided(&ctx->hedge))
    {
        return;
    }

    if (ngx_http_smart_deadline_left(ctx) == 0) {
        ngx_http_smart_hedge_expire(r, ctx);

    } else {
        ngx_http_smart_hedge_due(r, ctx);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_smart_hedge_due(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (r->header_sent || u == NULL) {
        ctx->outcome = NGX_HTTP_SMART_BYPASS;
        return;
    }

    if (!ctx->begun) {

        if (u->cleanup == NULL) {
            ngx_http_smart_hedge_arm(ctx, ngx_max(ctx->delay,
                                                  NGX_HTTP_SMART_AGAIN));
            return;
        }

        ngx_http_smart_begin(r, ctx, u->start_time ? u->start_time
                                                   : ngx_current_msec);
        return;
    }

    if (r->connection->error || u->cleanup == NULL || u->upgrade
        || r->reading_body)
    {
        ngx_http_smart_hedge_suppress(ctx, NGX_HTTP_SMART_PHASE);
        ngx_http_smart_hedge_arm(ctx, NGX_TIMER_INFINITE);
        return;
    }

    ngx_http_smart_hedge_arm(ctx, NGX_TIMER_INFINITE);

    (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_DUE,
                                     NGX_SMART_HEDGE_MAX_ATTEMPTS);
}


static void
ngx_http_smart_hedge_expire(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    if (r->header_sent) {
        ctx->outcome = NGX_HTTP_SMART_BYPASS;
        return;
    }

    if ((r->aio && !ctx->begun) || ngx_http_smart_hedge_race(ctx) == NULL) {
        (void) ngx_http_smart_timer_set(ctx->conf->timers, &ctx->timer,
                                    ngx_current_msec + NGX_HTTP_SMART_AGAIN,
                                    r->pool);
        return;
    }

    if (!ctx->begun) {

        if (r->upstream && r->upstream->cleanup) {
            ngx_http_smart_begin(r, ctx, r->upstream->start_time
                                         ? r->upstream->start_time
                                         : ngx_current_msec);
        } else {
            ngx_http_smart_cache_unlock(r);
        }
    }

    (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_EXPIRE,
                                     NGX_SMART_HEDGE_MAX_ATTEMPTS);
}


ngx_int_t
ngx_http_smart_hedge_feed(ngx_http_smart_ctx_t *ctx,
    ngx_smart_hedge_event_e event, ngx_uint_t attempt)
{
    size_t                     i, n;
    uint64_t                   now;
    ngx_int_t                  action;
    ngx_uint_t                 wanted, allowed, failed;
    ngx_http_request_t        *r;
    ngx_smart_hedge_action_t   actions[NGX_SMART_HEDGE_MAX_ACTIONS], *a;

    r = ctx->request;

    wanted = ngx_smart_hedge_wanted(&ctx->hedge, ctx->plan, event,
                                    (unsigned) attempt);

    if (ctx->conf->dry_run && wanted) {
        wanted = ngx_http_smart_hedge_dry_run(r, ctx, event, wanted);
    }

    allowed = wanted ? ngx_http_smart_hedge_allowed(r, ctx, wanted) : 0;

    /* the machine's clock starts with the primary */

    now = ngx_http_smart_hedge_age(ctx);

    n = ngx_smart_hedge_feed(&ctx->hedge, ctx->plan, event,
                             (unsigned) attempt, now, (unsigned) allowed,
                             actions);

    action = NGX_DECLINED;
    failed = 0;

    for (i = 0; i < n; i++) {

        a = &actions[i];

        switch (a->type) {

        case NGX_SMART_HEDGE_ARM:
            ngx_http_smart_hedge_arm(ctx, a->time > now
                                              ? (ngx_msec_t) (a->time - now)
                                              : 0);
            break;

        case NGX_SMART_HEDGE_LAUNCH:
            if (ngx_http_smart_attempt_launch(ctx, a->attempt) != NGX_OK) {
                failed |= 1 << a->attempt;
            }

            break;

        case NGX_SMART_HEDGE_CANCEL:
            if (a->attempt != attempt) {
                ngx_http_smart_cancel(ctx, a->attempt);
            }

            break;

        default:
            action = a->type;
            break;
        }
    }

    if (ngx_smart_hedge_decided(&ctx->hedge)) {

        if (n || event == NGX_SMART_HEDGE_ABORT) {
            ngx_http_smart_hedge_decided(r, ctx, action, attempt);
        }

        return action;
    }

    if (action == NGX_SMART_HEDGE_PARK) {
        ngx_http_smart_hedge_arm(ctx, NGX_TIMER_INFINITE);
    }

    for (i = 1; failed >> i; i++) {

        if (!(failed & (1 << i))) {
            continue;
        }

        ngx_http_smart_attempt_failed(ctx, i, NGX_ERROR, 0);

        switch (ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, i)) {

        case NGX_SMART_HEDGE_PASS:
        case NGX_SMART_HEDGE_FAIL:
            ngx_http_smart_main_finish(ctx, NGX_HTTP_BAD_GATEWAY);
            break;
        }
    }

    return action;
}


/* decides as if hedges were to be sent, of which none is */
static ngx_uint_t
ngx_http_smart_hedge_dry_run(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_smart_hedge_event_e event, ngx_uint_t wanted)
{
    ngx_uint_t                     n, left;
    const ngx_smart_hedge_plan_t  *plan;

    plan = ctx->plan;

    left = plan->extra - (ctx->race ? ctx->race->ndry : 0);

    n = left ? ngx_http_smart_hedge_allowed(r, ctx, ngx_min(wanted, left)) : 0;

    if (n) {
        ngx_http_smart_policy_dry_run(ctx, n);
    }

    if (n && n < left && plan->step && event == NGX_SMART_HEDGE_DUE) {
        ngx_http_smart_hedge_arm(ctx, (ngx_msec_t) plan->step);
    }

    return 0;
}


void
ngx_http_smart_hedge_primary_won(ngx_http_smart_ctx_t *ctx)
{
    ngx_msec_t  age;

    if (!ngx_smart_hedge_alone(&ctx->hedge)) {
        (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_SUCCESS, 0);
        return;
    }

    ngx_http_smart_timer_del(&ctx->timer);
    ngx_http_smart_hedge_unhook(ctx);

    ctx->outcome = NGX_HTTP_SMART_PRIMARY;

    if (ctx->race) {
        ngx_http_smart_attempt_end(ctx, 0, NGX_HTTP_SMART_WON);
        ngx_http_smart_main_merge_states(ctx);
        return;
    }

    /* the same, without what only a race needs */

    age = ngx_http_smart_hedge_age(ctx);

    ctx->ended = 1;

    ngx_http_smart_policy_alone(ctx, age);
    ngx_http_smart_series_won(ctx, age);
}


/* each refusal has a reason */
static ngx_uint_t
ngx_http_smart_hedge_allowed(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_uint_t wanted)
{
    ngx_uint_t                  n, reason;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;

    if (r->connection->error) {
        return 0;
    }

    if (!(r->method & slcf->methods)) {
        ngx_http_smart_hedge_suppress(ctx, NGX_HTTP_SMART_METHOD);
        return 0;
    }

    if (ngx_http_smart_hedge_body(r, slcf) != NGX_OK) {
        ngx_http_smart_hedge_suppress(ctx, NGX_HTTP_SMART_BODY);
        return 0;
    }

    reason = ngx_http_smart_policy_refusal(ctx);

    if (reason != NGX_HTTP_SMART_NOT_SUPPRESSED) {
        ngx_http_smart_hedge_suppress(ctx, reason);
        return 0;
    }

    n = ngx_http_smart_peer_available(r, ctx, wanted, &reason);

    if (n == 0) {
        ngx_http_smart_hedge_suppress(ctx, reason);
        return 0;
    }

    if (ngx_http_smart_hedge_race(ctx) == NULL) {
        return 0;
    }

    n = ngx_http_smart_policy_budget(ctx, n);

    if (n == 0) {
        ngx_http_smart_hedge_suppress(ctx, NGX_HTTP_SMART_BUDGET);
    }

    return n;
}


/* NGX_OK if the body can be sent again, or there is none */
static ngx_uint_t
ngx_http_smart_hedge_body(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf)
{
    /* that of a body in chunks is known by now */

    if (r->headers_in.content_length_n <= 0) {
        return NGX_OK;
    }

    if ((r->request_body_no_buffering && !slcf->dry_run)
        || r->headers_in.content_length_n > (off_t) slcf->body_size)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_smart_hedge_suppress(ngx_http_smart_ctx_t *ctx, ngx_uint_t reason)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "smart hedge suppressed: %s",
                   ngx_http_smart_reason_names[reason]);

    ngx_http_smart_series_suppress(ctx, reason);

    if (ctx->reason == NGX_HTTP_SMART_NOT_SUPPRESSED) {
        ctx->reason = reason;
    }
}


static void
ngx_http_smart_hedge_decided(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_int_t action, ngx_uint_t attempt)
{
    ngx_http_smart_timer_del(&ctx->timer);
    ngx_http_smart_hedge_unhook(ctx);

    switch (action) {

    case NGX_SMART_HEDGE_PROMOTE:
        ctx->outcome = attempt ? NGX_HTTP_SMART_HEDGE
                               : NGX_HTTP_SMART_PRIMARY;

        ngx_http_smart_attempt_end(ctx, attempt, NGX_HTTP_SMART_WON);

        if (attempt) {
            ngx_http_smart_policy_won(ctx);
        }

        break;

    case NGX_SMART_HEDGE_PASS:
    case NGX_SMART_HEDGE_FAIL:
        ctx->outcome = NGX_HTTP_SMART_FAILED;
        break;

    case NGX_SMART_HEDGE_TIMEOUT:
        ctx->outcome = NGX_HTTP_SMART_TIMEOUT;
        break;

    default:
        ctx->outcome = NGX_HTTP_SMART_ABORTED;
        ngx_http_smart_hedge_close(ctx);
        break;
    }

    ngx_http_smart_main_merge_states(ctx);

    if (ctx->outcome == NGX_HTTP_SMART_TIMEOUT
        || (ctx->outcome == NGX_HTTP_SMART_FAILED && ctx->plan->extra
            && (r->method & ctx->conf->methods)))
    {
        ngx_http_smart_error_log(r, ctx);
    }

    if (action == NGX_SMART_HEDGE_TIMEOUT) {
        ngx_http_smart_main_finish(ctx, NGX_HTTP_GATEWAY_TIME_OUT);
    }
}


/*
 * Once it is decided, the primary's hook has no work left; a filter may
 * replace the answer now, and the upstream end in the context of another
 * location.
 */
static void
ngx_http_smart_hedge_unhook(ngx_http_smart_ctx_t *ctx)
{
    if (ctx->hooked) {
        ctx->request->upstream->finalize_request =
                                               ctx->original.finalize_request;
        ctx->hooked = 0;
    }
}


void
ngx_http_smart_hedge_arm(ngx_http_smart_ctx_t *ctx, ngx_msec_t delay)
{
    ngx_msec_t                  left;
    ngx_http_request_t         *r;

    r = ctx->request;
    left = ngx_http_smart_deadline_left(ctx);

    if (delay > left) {
        delay = left;
    }

    if (delay == NGX_TIMER_INFINITE) {
        ngx_http_smart_timer_del(&ctx->timer);
        return;
    }

    if (ngx_http_smart_timer_set(ctx->conf->timers, &ctx->timer,
                                 ngx_current_msec + delay, r->pool)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "smart: no memory for a timer, the request is neither "
                      "hedged nor held to its deadline");
    }
}


void
ngx_http_smart_hedge_close(ngx_http_smart_ctx_t *ctx)
{
    ngx_uint_t  i;

    for (i = 0; i < ctx->hedge.started; i++) {
        ngx_http_smart_attempt_end(ctx, i, NGX_HTTP_SMART_CANCELLED);
    }
}


ngx_http_smart_race_t *
ngx_http_smart_hedge_race(ngx_http_smart_ctx_t *ctx)
{
    ngx_http_cleanup_t     *cln;
    ngx_http_smart_race_t  *race;

    if (ctx->race) {
        return ctx->race;
    }

    race = ngx_pcalloc(ctx->request->pool,
                       sizeof(ngx_http_smart_race_t)
                       + ctx->plan->extra * sizeof(ngx_http_smart_attempt_t));
    if (race == NULL) {
        return NULL;
    }

    cln = ngx_http_cleanup_add(ctx->request, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_smart_hedge_cleanup;
    cln->data = ctx;

    ctx->race = race;

    race->attempts[0].request = ctx->request;
    race->attempts[0].start = ngx_current_msec
                              - ngx_http_smart_hedge_age(ctx);

    return race;
}


/* before the request is logged, and before its attempts are cleaned up */
static void
ngx_http_smart_hedge_cleanup(void *data)
{
    ngx_http_smart_ctx_t  *ctx = data;

    ngx_http_smart_main_merge_states(ctx);
}


ngx_http_smart_attempt_t *
ngx_http_smart_hedge_attempt(ngx_http_request_t *r)
{
    ngx_http_post_subrequest_t  *ps;

    ps = r->post_subrequest;

    if (ps == NULL || ps->handler != ngx_http_smart_attempt_done) {
        return NULL;
    }

    return (ngx_http_smart_attempt_t *) ps;
}
