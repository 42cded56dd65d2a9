
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * When a hedge is due, and whether it may be sent: what the latencies of the
 * location, the deadline and the budget say.
 */

#ifndef _NGX_HTTP_SMART_POLICY_H_INCLUDED_
#define _NGX_HTTP_SMART_POLICY_H_INCLUDED_


#include "ngx_http_smart_module.h"
#include "../core/ngx_smart_load.h"


/* percentiles of a location that are remembered; variables may ask for more */
#define NGX_HTTP_SMART_POLICY_KNOWN  4


typedef struct {
    ngx_uint_t                    percentile;  /* tenths; 0: free */
    ngx_msec_t                    time;        /* when it was read */
    uint32_t                      value;       /* us */
    uint32_t                      samples;
    uint32_t                      total;

    /* for the requests of a plan; NULL: for none yet */
    const ngx_smart_hedge_plan_t *plan;
    int64_t                       due;         /* us, rounded for a timer */
    uint32_t                      delay;       /* ms */
} ngx_http_smart_known_t;


/* what a worker remembers of a location */
struct ngx_http_smart_policy_s {
    ngx_smart_load_t              load;
    ngx_msec_t                    turned;
    ngx_uint_t                    skip;        /* primaries, until a sample */
    ngx_http_smart_known_t        known[NGX_HTTP_SMART_POLICY_KNOWN];
};


/* us, of a clock that does not step: enough of it to tell durations */
uint32_t ngx_http_smart_policy_now(void);

/* the plan of a request whose smart_hedge holds variables; NULL if there is no
 * memory, and a value that makes no sense is logged and means off */
const ngx_smart_hedge_plan_t *ngx_http_smart_policy_plan(
    ngx_http_request_t *r, ngx_http_smart_loc_conf_t *slcf);

/*
 * The primary began "age" ms ago: decides on the delay, and returns how many
 * ms of it are left; NGX_TIMER_INFINITE if no hedge will ever be due.
 */
ngx_msec_t ngx_http_smart_policy_begin(ngx_http_smart_ctx_t *ctx,
    ngx_msec_t age);

/* why no hedge may be sent now: ngx_http_smart_reason_e */
ngx_uint_t ngx_http_smart_policy_refusal(ngx_http_smart_ctx_t *ctx);

/* how many of n hedges the budget allows, which counts them as sent */
ngx_uint_t ngx_http_smart_policy_budget(ngx_http_smart_ctx_t *ctx,
    ngx_uint_t n);

/* n hedges would have been sent now */
void ngx_http_smart_policy_dry_run(ngx_http_smart_ctx_t *ctx, ngx_uint_t n);

/* a hedge has won */
void ngx_http_smart_policy_won(ngx_http_smart_ctx_t *ctx);

/* the primary has won "age" ms old, and no hedge was ever due */
void ngx_http_smart_policy_alone(ngx_http_smart_ctx_t *ctx, ngx_msec_t age);

/* attempt n has ended with a result, "age" ms old */
void ngx_http_smart_policy_end(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_uint_t result, ngx_msec_t age);


#endif /* _NGX_HTTP_SMART_POLICY_H_INCLUDED_ */
