
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_smart_hedge.h"


typedef struct {
    ngx_smart_hedge_action_t  *actions;
    size_t                     n;
} ngx_smart_hedge_out_t;


static void ngx_smart_hedge_due(ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan, uint64_t now, unsigned allowed,
    ngx_smart_hedge_out_t *out);
static void ngx_smart_hedge_success(ngx_smart_hedge_t *h, unsigned attempt,
    ngx_smart_hedge_out_t *out);
static void ngx_smart_hedge_failure(ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan, unsigned attempt, unsigned allowed,
    ngx_smart_hedge_out_t *out);
static void ngx_smart_hedge_end(ngx_smart_hedge_t *h,
    ngx_smart_hedge_out_t *out);
static void ngx_smart_hedge_launch(ngx_smart_hedge_t *h, unsigned n,
    ngx_smart_hedge_out_t *out);
static void ngx_smart_hedge_add(ngx_smart_hedge_out_t *out,
    ngx_smart_hedge_action_e type, unsigned attempt, uint64_t time);
static unsigned ngx_smart_hedge_left(const ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan);


size_t
ngx_smart_hedge_feed(ngx_smart_hedge_t *h, const ngx_smart_hedge_plan_t *plan,
    ngx_smart_hedge_event_e event, unsigned attempt, uint64_t now,
    unsigned allowed, ngx_smart_hedge_action_t *actions)
{
    ngx_smart_hedge_out_t  out;

    out.actions = actions;
    out.n = 0;

    if (h->flags & NGX_SMART_HEDGE_DECIDED) {
        return 0;
    }

    switch (event) {

    case NGX_SMART_HEDGE_BEGIN:

        if (h->flags & NGX_SMART_HEDGE_BEGUN) {
            break;
        }

        ngx_smart_hedge_begin(h);

        if (plan->extra) {
            ngx_smart_hedge_add(&out, NGX_SMART_HEDGE_ARM, 0,
                                now + plan->delay);
        }

        break;

    case NGX_SMART_HEDGE_DUE:
        ngx_smart_hedge_due(h, plan, now, allowed, &out);
        break;

    case NGX_SMART_HEDGE_SUCCESS:
        ngx_smart_hedge_success(h, attempt, &out);
        break;

    case NGX_SMART_HEDGE_FAILURE:
        ngx_smart_hedge_failure(h, plan, attempt, allowed, &out);
        break;

    case NGX_SMART_HEDGE_EXPIRE:
        ngx_smart_hedge_end(h, &out);
        ngx_smart_hedge_add(&out, NGX_SMART_HEDGE_TIMEOUT, 0, 0);
        break;

    case NGX_SMART_HEDGE_ABORT:
        ngx_smart_hedge_end(h, &out);
        break;
    }

    return out.n;
}


unsigned
ngx_smart_hedge_wanted(const ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan, ngx_smart_hedge_event_e event,
    unsigned attempt)
{
    unsigned  left;

    if (!(h->flags & NGX_SMART_HEDGE_BEGUN)
        || (h->flags & NGX_SMART_HEDGE_DECIDED))
    {
        return 0;
    }

    left = ngx_smart_hedge_left(h, plan);

    if (event == NGX_SMART_HEDGE_FAILURE) {
        return (attempt == 0 && (h->alive & 1)) ? left : 0;
    }

    if (event == NGX_SMART_HEDGE_DUE && (h->alive & 1)) {
        return (plan->step && left) ? 1 : left;
    }

    return 0;
}


static void
ngx_smart_hedge_due(ngx_smart_hedge_t *h, const ngx_smart_hedge_plan_t *plan,
    uint64_t now, unsigned allowed, ngx_smart_hedge_out_t *out)
{
    unsigned  n;

    n = ngx_smart_hedge_wanted(h, plan, NGX_SMART_HEDGE_DUE, 0);

    if (n > allowed) {
        n = allowed;
    }

    if (n == 0) {
        return;
    }

    ngx_smart_hedge_launch(h, n, out);

    if (plan->step && ngx_smart_hedge_left(h, plan)) {
        ngx_smart_hedge_add(out, NGX_SMART_HEDGE_ARM, 0, now + plan->step);
    }
}


static void
ngx_smart_hedge_success(ngx_smart_hedge_t *h, unsigned attempt,
    ngx_smart_hedge_out_t *out)
{
    if (attempt >= NGX_SMART_HEDGE_MAX_ATTEMPTS
        || !(h->alive & (1u << attempt)))
    {
        return;
    }

    h->winner = (uint8_t) attempt;
    h->alive &= (uint8_t) ~(1u << attempt);

    ngx_smart_hedge_end(h, out);
    ngx_smart_hedge_add(out, NGX_SMART_HEDGE_PROMOTE, attempt, 0);
}


static void
ngx_smart_hedge_failure(ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan, unsigned attempt, unsigned allowed,
    ngx_smart_hedge_out_t *out)
{
    unsigned  n;

    if (attempt >= NGX_SMART_HEDGE_MAX_ATTEMPTS
        || !(h->alive & (1u << attempt)))
    {
        return;
    }

    n = ngx_smart_hedge_wanted(h, plan, NGX_SMART_HEDGE_FAILURE, attempt);

    if (n > allowed) {
        n = allowed;
    }

    h->alive &= (uint8_t) ~(1u << attempt);

    if (h->alive == 0 && n == 0) {
        h->flags |= NGX_SMART_HEDGE_DECIDED;
        ngx_smart_hedge_add(out, plan->own_failure ? NGX_SMART_HEDGE_FAIL
                                                   : NGX_SMART_HEDGE_PASS,
                            attempt, 0);
        return;
    }

    ngx_smart_hedge_add(out, attempt == 0 ? NGX_SMART_HEDGE_PARK
                                          : NGX_SMART_HEDGE_DROP,
                        attempt, 0);

    ngx_smart_hedge_launch(h, n, out);
}


static void
ngx_smart_hedge_end(ngx_smart_hedge_t *h, ngx_smart_hedge_out_t *out)
{
    unsigned  i;

    for (i = 0; i < NGX_SMART_HEDGE_MAX_ATTEMPTS; i++) {
        if (h->alive & (1u << i)) {
            ngx_smart_hedge_add(out, NGX_SMART_HEDGE_CANCEL, i, 0);
        }
    }

    h->alive = 0;
    h->flags |= NGX_SMART_HEDGE_DECIDED;
}


static void
ngx_smart_hedge_launch(ngx_smart_hedge_t *h, unsigned n,
    ngx_smart_hedge_out_t *out)
{
    while (n--) {
        h->alive |= (uint8_t) (1u << h->started);
        ngx_smart_hedge_add(out, NGX_SMART_HEDGE_LAUNCH, h->started, 0);
        h->started++;
    }
}


static void
ngx_smart_hedge_add(ngx_smart_hedge_out_t *out, ngx_smart_hedge_action_e type,
    unsigned attempt, uint64_t time)
{
    out->actions[out->n].type = type;
    out->actions[out->n].attempt = attempt;
    out->actions[out->n].time = time;
    out->n++;
}


static unsigned
ngx_smart_hedge_left(const ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan)
{
    unsigned  started;

    started = h->started - 1u;

    return plan->extra > started ? plan->extra - started : 0;
}
