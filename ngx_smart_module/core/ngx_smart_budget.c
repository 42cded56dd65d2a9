
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_smart_budget.h"


#define NGX_SMART_BUDGET_SHIFT     36
#define NGX_SMART_BUDGET_MISSING   ((UINT64_C(1) << NGX_SMART_BUDGET_SHIFT) - 1)
#define NGX_SMART_BUDGET_REQUESTS  ((UINT32_C(1) << 28) - 1)


/* a number of requests that is so much behind has been read too early */
#define NGX_SMART_BUDGET_LATE      4096


static uint64_t ngx_smart_budget_missing(ngx_smart_budget_t state,
    const ngx_smart_budget_conf_t *conf, uint32_t requests);
static uint32_t ngx_smart_budget_since(ngx_smart_budget_t state,
    uint32_t requests);
static uint64_t ngx_smart_budget_size(const ngx_smart_budget_conf_t *conf);


ngx_smart_budget_t
ngx_smart_budget_take(ngx_smart_budget_t state,
    const ngx_smart_budget_conf_t *conf, uint32_t requests, unsigned wanted,
    unsigned *granted)
{
    uint32_t  seen;
    uint64_t  missing, tokens;

    missing = ngx_smart_budget_missing(state, conf, requests);

    tokens = (ngx_smart_budget_size(conf) - missing) / NGX_SMART_BUDGET_TOKEN;

    if (tokens > wanted) {
        tokens = wanted;
    }

    *granted = (unsigned) tokens;

    missing += tokens * NGX_SMART_BUDGET_TOKEN;

    seen = (uint32_t) (state >> NGX_SMART_BUDGET_SHIFT)
           + ngx_smart_budget_since(state, requests);

    return ((uint64_t) (seen & NGX_SMART_BUDGET_REQUESTS)
            << NGX_SMART_BUDGET_SHIFT) | missing;
}


uint64_t
ngx_smart_budget_left(ngx_smart_budget_t state,
    const ngx_smart_budget_conf_t *conf, uint32_t requests)
{
    return ngx_smart_budget_size(conf)
           - ngx_smart_budget_missing(state, conf, requests);
}


static uint64_t
ngx_smart_budget_missing(ngx_smart_budget_t state,
    const ngx_smart_budget_conf_t *conf, uint32_t requests)
{
    uint64_t  missing, brought, size;

    missing = state & NGX_SMART_BUDGET_MISSING;

    brought = (uint64_t) ngx_smart_budget_since(state, requests)
              * conf->share;

    missing = missing > brought ? missing - brought : 0;

    /* the bucket may have been a larger one */

    size = ngx_smart_budget_size(conf);

    return missing > size ? size : missing;
}


static uint32_t
ngx_smart_budget_since(ngx_smart_budget_t state, uint32_t requests)
{
    uint32_t  since;

    since = (requests - (uint32_t) (state >> NGX_SMART_BUDGET_SHIFT))
            & NGX_SMART_BUDGET_REQUESTS;

    return since > NGX_SMART_BUDGET_REQUESTS - NGX_SMART_BUDGET_LATE ? 0
                                                                     : since;
}


static uint64_t
ngx_smart_budget_size(const ngx_smart_budget_conf_t *conf)
{
    uint64_t  burst;

    burst = conf->burst;

    if (burst == 0 && conf->share) {
        burst = 1;
    }

    return burst * NGX_SMART_BUDGET_TOKEN;
}
