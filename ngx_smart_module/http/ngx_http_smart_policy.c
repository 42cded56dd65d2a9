
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_policy.h"


/* how long what was read from a sketch is good enough, ms */
#define NGX_HTTP_SMART_POLICY_FRESH  100

/* a delay that must not be cut by any part of a ms, us */
#define NGX_HTTP_SMART_POLICY_FINE   5000

/* a clock of 32 bits in us tells apart what is younger, ms */
#define NGX_HTTP_SMART_POLICY_LONG   (60 * 60 * 1000)


static ngx_msec_t ngx_http_smart_policy_percentile(ngx_http_smart_ctx_t *ctx,
    ngx_msec_t age);
static ngx_uint_t ngx_http_smart_policy_warm(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_known_t *known);
static ngx_http_smart_known_t *ngx_http_smart_policy_know(
    ngx_http_smart_loc_conf_t *slcf, ngx_uint_t percentile);
static void ngx_http_smart_policy_turn(ngx_http_smart_loc_conf_t *slcf);


uint64_t
ngx_http_smart_policy_now(void)
{
#if (NGX_HAVE_CLOCK_MONOTONIC)
    struct timespec  ts;

    if (clock_gettime(CLOCK_MONOTONIC, &ts) == 0) {
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
    }
#endif

    return (uint64_t) ngx_current_msec * 1000;
}


ngx_msec_t
ngx_http_smart_policy_begin(ngx_http_smart_ctx_t *ctx, ngx_msec_t age)
{
    if (ctx->plan->extra == 0) {
        return NGX_TIMER_INFINITE;
    }

    if (ctx->plan->percentile && ctx->conf->series) {
        return ngx_http_smart_policy_percentile(ctx, age);
    }

    ctx->begin = (uint32_t) (ngx_http_smart_policy_now()
                             - (uint64_t) age * 1000);

    ctx->delay = (uint32_t) ctx->plan->delay;

    return ctx->delay > age ? ctx->delay - age : 0;
}


static ngx_msec_t
ngx_http_smart_policy_percentile(ngx_http_smart_ctx_t *ctx, ngx_msec_t age)
{
    uint64_t                       now, delay, due, loop, round;
    ngx_http_smart_known_t        *known;
    const ngx_smart_hedge_plan_t  *plan;

    plan = ctx->plan;
    known = ngx_http_smart_policy_know(ctx->conf, plan->percentile);

    delay = ngx_max(known->value, (uint64_t) plan->min * 1000);
    delay = ngx_min(delay, (uint64_t) plan->max * 1000);

    /* timers count whole ms; where these are many, they may be too early */

    round = delay < NGX_HTTP_SMART_POLICY_FINE ? 999 : 500;

    ctx->delay = (uint32_t) ((delay + round) / 1000);
    ctx->warming = !ngx_http_smart_policy_warm(ctx, known);

    now = ngx_http_smart_policy_now();

    ctx->begin = (uint32_t) (now - (uint64_t) age * 1000);

    /* and from when events were looked for */

    loop = (uint64_t) ngx_current_msec * 1000;
    due = ngx_max(now, loop) - (uint64_t) age * 1000 + delay;

    return due > loop ? (ngx_msec_t) ((due - loop + round) / 1000) : 0;
}


ngx_uint_t
ngx_http_smart_policy_refusal(ngx_http_smart_ctx_t *ctx)
{
    ngx_http_smart_known_t  *known;

    if (ctx->plan->percentile == 0) {
        return NGX_HTTP_SMART_NOT_SUPPRESSED;
    }

    if (ctx->conf->series == NULL) {
        return NGX_HTTP_SMART_WARMUP;
    }

    known = ngx_http_smart_policy_know(ctx->conf, ctx->plan->percentile);

    return ngx_http_smart_policy_warm(ctx, known)
           ? NGX_HTTP_SMART_NOT_SUPPRESSED : NGX_HTTP_SMART_WARMUP;
}


static ngx_uint_t
ngx_http_smart_policy_warm(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_known_t *known)
{
    return known->samples && known->total >= ctx->plan->warmup;
}


ngx_uint_t
ngx_http_smart_policy_budget(ngx_http_smart_ctx_t *ctx, ngx_uint_t n)
{
    unsigned                    granted;
    uint32_t                    requests;
    ngx_smart_budget_t          old, set;
    ngx_http_smart_series_t    *series;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;
    series = slcf->series;

    if (series == NULL || slcf->budget.share == NGX_HTTP_SMART_BUDGET_OFF) {
        return n;
    }

    do {
        old = series->budget;

        /* not before the state, which would know of more requests then */

        ngx_memory_barrier();

        requests = (uint32_t) series->started[0];

        set = ngx_smart_budget_take(old, &slcf->budget, requests,
                                    (unsigned) n, &granted);

    } while (!ngx_http_smart_set64(&series->budget, old, set));

    return granted;
}


void
ngx_http_smart_policy_end(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_uint_t result, ngx_msec_t age)
{
    uint32_t                    *counter, begin;
    uint64_t                     us;
    ngx_http_smart_loc_conf_t   *slcf;
#if (NGX_HTTP_CACHE)
    ngx_http_request_t          *r;
#endif

    slcf = ctx->conf;

    if (slcf->series == NULL || ctx->plan->extra == 0) {
        return;
    }

#if (NGX_HTTP_CACHE)

    /* a stale answer, in place of the upstream's */

    r = n ? ctx->race->attempts[n].request : ctx->request;

    if (r->cached) {
        return;
    }

#endif

    /* what fails fast says nothing of how long an answer takes */

    if ((result == NGX_HTTP_SMART_NO_ANSWER
         || result == NGX_HTTP_SMART_REJECTED)
        && (ctx->warming || age < ctx->delay))
    {
        return;
    }

    if (age < NGX_HTTP_SMART_POLICY_LONG) {
        begin = n ? ctx->race->attempts[n].begin : ctx->begin;
        us = (uint32_t) ngx_http_smart_policy_now() - begin;

    } else {
        us = (uint64_t) age * 1000;
    }

    if (ngx_current_msec - slcf->policy->turned
        >= NGX_HTTP_SMART_POLICY_FRESH)
    {
        ngx_http_smart_policy_turn(slcf);
    }

    counter = ngx_smart_sketch_counter(&slcf->series->sketch, us);

    (void) ngx_http_smart_add32(counter, 1);
}


/* a percentile as it was within the last 100 ms */
static ngx_http_smart_known_t *
ngx_http_smart_policy_know(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t percentile)
{
    uint32_t                  now;
    ngx_uint_t                i;
    ngx_smart_sketch_view_t   view;
    ngx_http_smart_known_t   *known, *oldest;

    known = slcf->policy->known;
    oldest = known;

    for (i = 0; i < NGX_HTTP_SMART_POLICY_KNOWN; i++) {

        if (known[i].percentile == percentile) {

            if (ngx_current_msec - known[i].time
                < NGX_HTTP_SMART_POLICY_FRESH)
            {
                return &known[i];
            }

            oldest = &known[i];
            break;
        }

        if ((ngx_msec_int_t) (known[i].time - oldest->time) < 0) {
            oldest = &known[i];
        }
    }

    ngx_http_smart_policy_turn(slcf);

    now = (uint32_t) (ngx_http_smart_policy_now() / 1000000);

    ngx_smart_sketch_view(&slcf->series->sketch, now, percentile, &view);

    oldest->percentile = percentile;
    oldest->time = ngx_current_msec;
    oldest->value = (uint32_t) ngx_smart_sketch_quantile(&view, percentile);
    oldest->samples = view.samples;
    oldest->total = view.total;

    return oldest;
}


static void
ngx_http_smart_policy_turn(ngx_http_smart_loc_conf_t *slcf)
{
    slcf->policy->turned = ngx_current_msec;

    ngx_smart_sketch_turn(&slcf->series->sketch,
                     (uint32_t) (ngx_http_smart_policy_now() / 1000000));
}
