
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_policy.h"


/* how long what was read from a sketch is good enough, ms */
#define NGX_HTTP_SMART_POLICY_FRESH  100

/* with a fixed delay one of so many requests without a race is looked at */
#define NGX_HTTP_SMART_POLICY_SAMPLE  8

/* so many latencies have a median */
#define NGX_HTTP_SMART_POLICY_SOME   10

/* a delay that must not be cut by any part of a ms, us */
#define NGX_HTTP_SMART_POLICY_FINE   5000

/* a clock of 32 bits in us tells apart what is younger, ms */
#define NGX_HTTP_SMART_POLICY_LONG   (60 * 60 * 1000)


static ngx_msec_t ngx_http_smart_policy_fine(ngx_http_smart_ctx_t *ctx,
    ngx_msec_t age) ngx_http_smart_noinline;
static ngx_uint_t ngx_http_smart_policy_warm(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_known_t *known);
static ngx_http_smart_known_t *ngx_http_smart_policy_look(
    ngx_http_smart_loc_conf_t *slcf, ngx_uint_t percentile)
    ngx_http_smart_noinline;
static void ngx_http_smart_policy_apply(ngx_http_smart_known_t *known,
    const ngx_smart_hedge_plan_t *plan) ngx_http_smart_noinline;
static uint64_t ngx_http_smart_policy_age(ngx_http_smart_ctx_t *ctx,
    ngx_uint_t n, ngx_msec_t age);
static void ngx_http_smart_policy_gain(ngx_http_smart_ctx_t *ctx,
    uint64_t us);
static void ngx_http_smart_policy_view(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t percentile, ngx_smart_sketch_view_t *view);
static void ngx_http_smart_policy_count(ngx_http_smart_loc_conf_t *slcf,
    uint64_t us, uint32_t weight);
static void ngx_http_smart_policy_turn(ngx_http_smart_loc_conf_t *slcf)
    ngx_http_smart_noinline;


/* a clock that all workers share, and whose ms are those of nginx */
static ngx_inline void
ngx_http_smart_policy_clock(struct timespec *ts)
{
#if (NGX_HAVE_CLOCK_MONOTONIC)
    if (clock_gettime(CLOCK_MONOTONIC, ts) == 0) {
        return;
    }
#endif

    ts->tv_sec = (time_t) (ngx_current_msec / 1000);
    ts->tv_nsec = (long) (ngx_current_msec % 1000) * 1000000;
}


uint32_t
ngx_http_smart_policy_now(void)
{
    /* on the stack it would have to be protected, twice in each request */

    static struct timespec  ts;

    ngx_http_smart_policy_clock(&ts);

    return (uint32_t) ts.tv_sec * 1000000 + (uint32_t) ts.tv_nsec / 1000;
}


static uint32_t
ngx_http_smart_policy_seconds(void)
{
    struct timespec  ts;

    ngx_http_smart_policy_clock(&ts);

    return (uint32_t) ts.tv_sec;
}


const ngx_smart_hedge_plan_t *
ngx_http_smart_policy_plan(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf)
{
    ngx_str_t                 value, bad;
    ngx_smart_parse_error_t   error;
    ngx_smart_hedge_plan_t   *p;

    if (ngx_http_complex_value(r, slcf->hedge, &value) != NGX_OK) {
        return NULL;
    }

    p = ngx_pcalloc(r->pool, sizeof(ngx_smart_hedge_plan_t));
    if (p == NULL) {
        return NULL;
    }

    if (ngx_smart_parse_hedge((char *) value.data, value.len, p, &error)
        == NGX_SMART_PARSE_INVALID)
    {
        bad.data = (u_char *) error.data;
        bad.len = error.len;

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "smart: not hedged, invalid value \"%V\" in "
                      "\"smart_hedge\", it must be %s",
                      &bad, error.allowed);
    }

    p->own_failure = ((r->method & slcf->methods) && p->extra
                      && slcf->errors == NGX_HTTP_SMART_ERRORS_JSON);

    return p;
}


ngx_msec_t
ngx_http_smart_policy_begin(ngx_http_smart_ctx_t *ctx, ngx_msec_t age)
{
    if (ctx->plan->extra == 0) {
        return NGX_TIMER_INFINITE;
    }

    if (ctx->conf->fine && ctx->conf->series) {
        return ngx_http_smart_policy_fine(ctx, age);
    }

    ctx->delay = (uint32_t) ctx->plan->delay;

    return ctx->delay > age ? ctx->delay - age : 0;
}


/* the other requests of the location, in all workers */
static ngx_inline uint32_t
ngx_http_smart_policy_in_flight(ngx_http_smart_ctx_t *ctx)
{
    ngx_uint_t                   n;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_smart_module);

    n = ngx_http_smart_shard_sum(smcf->shared, ctx->conf->series->in_flight);

    return n ? (uint32_t) (n - 1) : 0;
}


/* a percentile as it was within the last 100 ms */
static ngx_inline ngx_http_smart_known_t *
ngx_http_smart_policy_know(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t percentile)
{
    ngx_http_smart_known_t  *known;

    /* the first is nearly always the location's own */

    known = slcf->policy->known;

    if (known->percentile == percentile
        && ngx_current_msec - known->time < NGX_HTTP_SMART_POLICY_FRESH)
    {
        return known;
    }

    return ngx_http_smart_policy_look(slcf, percentile);
}


/* in us: for percentiles, and for the load, ms are too coarse */
static ngx_msec_t
ngx_http_smart_policy_fine(ngx_http_smart_ctx_t *ctx, ngx_msec_t age)
{
    int32_t                        ahead;
    int64_t                        left;
    uint32_t                       now;
    ngx_http_smart_known_t        *known;
    const ngx_smart_hedge_plan_t  *plan;

    plan = ctx->plan;

    ctx->crowd = ngx_smart_load_begin(&ctx->conf->policy->load,
                                      ngx_http_smart_policy_in_flight(ctx));

    now = ngx_http_smart_policy_now();

    ctx->begin = now - (uint32_t) age * 1000;

    if (plan->percentile == 0) {
        ctx->delay = (uint32_t) plan->delay;

        return ctx->delay > age ? ctx->delay - age : 0;
    }

    known = ngx_http_smart_policy_know(ctx->conf, plan->percentile);

    /* a plan of variables goes with its request */

    if (known->plan != plan || ctx->conf->hedge) {
        ngx_http_smart_policy_apply(known, plan);
    }

    ctx->delay = known->delay;
    ctx->warming = !ngx_http_smart_policy_warm(ctx, known);

    /* and from when events were looked for */

    ahead = (int32_t) (now - (uint32_t) ngx_current_msec * 1000);

    left = known->due + ngx_max(ahead, 0) - (int64_t) age * 1000;

    return left > 0 ? (ngx_msec_t) ((uint64_t) left / 1000) : 0;
}


/* what a plan makes of a percentile */
static void
ngx_http_smart_policy_apply(ngx_http_smart_known_t *known,
    const ngx_smart_hedge_plan_t *plan)
{
    uint64_t  us;

    us = ngx_max(known->value, (uint64_t) plan->min * 1000);
    us = ngx_min(us, (uint64_t) plan->max * 1000);

    /* timers count whole ms; where these are many, they may be too early */

    us += us < NGX_HTTP_SMART_POLICY_FINE ? 999 : 500;

    known->plan = plan;
    known->due = (int64_t) us;
    known->delay = (uint32_t) (us / 1000);
}


ngx_uint_t
ngx_http_smart_policy_refusal(ngx_http_smart_ctx_t *ctx)
{
    ngx_msec_t                  left;
    ngx_http_smart_known_t     *known;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;

    if (slcf->series == NULL) {
        return ctx->plan->percentile ? NGX_HTTP_SMART_WARMUP
                                     : NGX_HTTP_SMART_NOT_SUPPRESSED;
    }

    if (ctx->plan->percentile) {

        known = ngx_http_smart_policy_know(slcf, ctx->plan->percentile);

        if (!ngx_http_smart_policy_warm(ctx, known)) {
            return NGX_HTTP_SMART_WARMUP;
        }
    }

    left = ngx_http_smart_deadline_left(ctx);

    if (left == NGX_TIMER_INFINITE) {
        return NGX_HTTP_SMART_NOT_SUPPRESSED;
    }

    /* one of two hedges would come too late */

    known = ngx_http_smart_policy_know(slcf, NGX_SMART_SKETCH_MEDIAN);

    if (known->samples >= NGX_HTTP_SMART_POLICY_SOME
        && known->value > (uint64_t) left * 1000)
    {
        return NGX_HTTP_SMART_DEADLINE;
    }

    return NGX_HTTP_SMART_NOT_SUPPRESSED;
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
    ngx_smart_budget_conf_t     budget;
    ngx_http_smart_series_t    *series;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;
    series = slcf->series;

    if (series == NULL || slcf->budget.share == NGX_HTTP_SMART_BUDGET_OFF) {
        return n;
    }

    /* the nearer the upstream is to its limits, the less requests bring */

    budget = slcf->budget;
    budget.share = (uint32_t) ((uint64_t) budget.share
                               * ngx_smart_load_share(&slcf->policy->load)
                               / NGX_SMART_LOAD_ALL);

    do {
        old = series->budget;

        /* not before the state, which would know of more requests then */

        ngx_memory_barrier();

        requests = (uint32_t) series->started[0];

        set = ngx_smart_budget_take(old, &budget, requests,
                                    (unsigned) n, &granted);

    } while (!ngx_http_smart_set64(&series->budget, old, set));

    return granted;
}


void
ngx_http_smart_policy_alone(ngx_http_smart_ctx_t *ctx, ngx_msec_t age)
{
    uint64_t                    us;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;

    if (slcf->series == NULL || ctx->plan->extra == 0) {
        return;
    }

#if (NGX_HTTP_CACHE)

    if (ctx->request->cached) {
        return;
    }

#endif

    if (!slcf->fine && slcf->policy->skip) {

        /* a sample tells enough of what is never hedged */

        slcf->policy->skip--;
        return;
    }

    us = ngx_http_smart_policy_age(ctx, 0, age);

    if (slcf->fine) {
        ngx_smart_load_end(&slcf->policy->load, ctx->crowd, us);
        ngx_http_smart_policy_count(slcf, us, 1);
        return;
    }

    ngx_http_smart_policy_count(slcf, us, NGX_HTTP_SMART_POLICY_SAMPLE);

    slcf->policy->skip = NGX_HTTP_SMART_POLICY_SAMPLE - 1;
}


void
ngx_http_smart_policy_end(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_uint_t result, ngx_msec_t age)
{
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

    us = ngx_http_smart_policy_age(ctx, n, age);

    if (n == 0 && ctx->race && ctx->race->ndry) {
        ngx_http_smart_policy_gain(ctx, us);
    }

    /* what fails fast says nothing of how long an answer takes */

    if ((result == NGX_HTTP_SMART_NO_ANSWER
         || result == NGX_HTTP_SMART_REJECTED)
        && (ctx->warming || age < ctx->delay))
    {
        return;
    }

    if (n == 0 && slcf->fine) {
        ngx_smart_load_end(&slcf->policy->load, ctx->crowd, us);
    }

    ngx_http_smart_policy_count(slcf, us, 1);
}


static void
ngx_http_smart_policy_count(ngx_http_smart_loc_conf_t *slcf, uint64_t us,
    uint32_t weight)
{
    uint32_t  *counter;

    if (ngx_current_msec - slcf->policy->turned
        >= NGX_HTTP_SMART_POLICY_FRESH)
    {
        ngx_http_smart_policy_turn(slcf);
    }

    counter = ngx_smart_sketch_counter(&slcf->series->sketch, us);

    (void) ngx_http_smart_add32(counter, weight);
}


/* of an attempt, in us, and "age" in ms */
static uint64_t
ngx_http_smart_policy_age(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_msec_t age)
{
    uint32_t  begin;

    if (!ctx->conf->fine || age >= NGX_HTTP_SMART_POLICY_LONG) {
        return (uint64_t) age * 1000;
    }

    begin = n ? ctx->race->attempts[n].begin : ctx->begin;

    return (uint32_t) (ngx_http_smart_policy_now() - begin);
}


void
ngx_http_smart_policy_dry_run(ngx_http_smart_ctx_t *ctx, ngx_uint_t n)
{
    uint64_t                us;
    ngx_http_smart_race_t  *race;

    race = ctx->race;

    if (ctx->conf->series) {
        (void) ngx_atomic_fetch_add(&ctx->conf->series->dry_run, n);
    }

    us = ngx_http_smart_policy_age(ctx, 0, ngx_http_smart_hedge_age(ctx));

    while (n-- && race->ndry < NGX_SMART_HEDGE_MAX_EXTRA) {
        race->dry[race->ndry++] = us;
    }
}


/*
 * What the hedges of a dry run would have saved: by how much the first of them
 * would have been sooner, on average, than the primary that took "us"
 */
static void
ngx_http_smart_policy_gain(ngx_http_smart_ctx_t *ctx, uint64_t us)
{
    ngx_smart_sketch_view_t  view;

    ngx_http_smart_policy_view(ctx->conf, NGX_SMART_SKETCH_ALL, &view);

    (void) ngx_atomic_fetch_add(&ctx->conf->series->saved,
                                (ngx_atomic_int_t)
                                ngx_smart_sketch_gain(&view, ctx->race->dry,
                                             (unsigned) ctx->race->ndry, us));
}


/*
 * What a hedge has saved: by how much longer, on average, take the attempts
 * that take longer than the primary had run.  It is too little rather than too
 * much, since those that were cancelled themselves are among them.
 */
void
ngx_http_smart_policy_won(ngx_http_smart_ctx_t *ctx)
{
    uint64_t                    us;
    ngx_smart_sketch_view_t     view;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;

    /* a primary that has failed would have saved the client nothing */

    if (slcf->series == NULL
        || ctx->race->attempts[0].result != NGX_HTTP_SMART_CANCELLED)
    {
        return;
    }

    us = ngx_http_smart_policy_age(ctx, 0, ngx_http_smart_hedge_age(ctx));

    ngx_http_smart_policy_view(slcf, NGX_SMART_SKETCH_ALL, &view);

    (void) ngx_atomic_fetch_add(&slcf->series->saved,
                                (ngx_atomic_int_t)
                                ngx_smart_sketch_rest(&view, us));
}


static ngx_http_smart_known_t *
ngx_http_smart_policy_look(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t percentile)
{
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
    ngx_http_smart_policy_view(slcf, percentile, &view);

    oldest->percentile = percentile;
    oldest->plan = NULL;
    oldest->time = ngx_current_msec;
    oldest->value = (uint32_t) ngx_smart_sketch_quantile(&view, percentile);
    oldest->samples = view.samples;
    oldest->total = view.total;

    return oldest;
}


static void
ngx_http_smart_policy_view(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t percentile, ngx_smart_sketch_view_t *view)
{
    ngx_smart_sketch_view(&slcf->series->sketch,
                          ngx_http_smart_policy_seconds(),
                          (unsigned) percentile, view);
}


static void
ngx_http_smart_policy_turn(ngx_http_smart_loc_conf_t *slcf)
{
    slcf->policy->turned = ngx_current_msec;

    ngx_smart_sketch_turn(&slcf->series->sketch,
                          ngx_http_smart_policy_seconds());
}
