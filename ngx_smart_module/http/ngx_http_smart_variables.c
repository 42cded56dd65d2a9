
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_hedge.h"


static ngx_int_t ngx_http_smart_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_attempts(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_winner(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_delay(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_suppressed(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_remaining(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_attempt(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_smart_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t value);
static void ngx_http_smart_variable_text(ngx_http_variable_value_t *v,
    const char *text);


const char *const  ngx_http_smart_outcome_names[] = {
    "pending", "primary", "hedge", "failed", "timeout", "aborted", "invalid",
    "bypass"
};


const char *const  ngx_http_smart_reason_names[] = {
    "", "budget", "no_peer", "busy", "method", "body", "warmup", "deadline",
    "phase"
};


/* attempts share the variables of the main request: nothing may be cached */

static ngx_http_variable_t  ngx_http_smart_vars[] = {

    { ngx_string("smart_outcome"), NULL, ngx_http_smart_variable_outcome, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("smart_attempts"), NULL, ngx_http_smart_variable_attempts, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("smart_winner"), NULL, ngx_http_smart_variable_winner, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("smart_delay"), NULL, ngx_http_smart_variable_delay, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("smart_suppressed"), NULL,
      ngx_http_smart_variable_suppressed, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("smart_remaining"), NULL, ngx_http_smart_variable_remaining,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("smart_attempt"), NULL, ngx_http_smart_variable_attempt, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_smart_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_smart_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t       *ctx;
    ngx_http_smart_loc_conf_t  *slcf;

    ctx = ngx_http_smart_find_ctx(r);

    if (ctx) {

        /* what is pending where it is logged has been ended by nginx */

        if (ctx->outcome == NGX_HTTP_SMART_PENDING && !r->connection->error
            && !r->header_sent && !r->done)
        {
            v->not_found = 1;
            return NGX_OK;
        }

        ngx_http_smart_variable_text(v,
                    ngx_http_smart_outcome_names[ngx_http_smart_outcome(ctx)]);
        return NGX_OK;
    }

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    if (slcf->timers) {
        ngx_http_smart_variable_text(v,
                         ngx_http_smart_outcome_names[NGX_HTTP_SMART_BYPASS]);
        return NGX_OK;
    }

    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_variable_attempts(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_smart_variable_number(r, v, ctx->hedge.started);
}


static ngx_int_t
ngx_http_smart_variable_winner(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);

    if (ctx == NULL || ctx->hedge.winner == NGX_SMART_HEDGE_NO_WINNER) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_smart_variable_number(r, v, ctx->hedge.winner);
}


static ngx_int_t
ngx_http_smart_variable_delay(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);

    if (ctx == NULL || ctx->plan == NULL || ctx->plan->extra == 0
        || (ctx->plan->percentile && (!ctx->begun || ctx->warming)))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_smart_variable_number(r, v, ctx->plan->percentile
                                                ? ctx->delay
                                                : ctx->plan->delay);
}


static ngx_int_t
ngx_http_smart_variable_suppressed(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);

    if (ctx == NULL || ctx->reason == NGX_HTTP_SMART_NOT_SUPPRESSED) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_smart_variable_text(v, ngx_http_smart_reason_names[ctx->reason]);

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_variable_remaining(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);

    if (ctx == NULL || ctx->deadline == NGX_TIMER_INFINITE) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_smart_variable_number(r, v,
                                          ngx_http_smart_deadline_left(ctx));
}


static ngx_int_t
ngx_http_smart_variable_attempt(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_smart_ctx_t      *ctx;
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    if (a) {
        ctx = a->post.data;
        return ngx_http_smart_variable_number(r, v, a - ctx->race->attempts);
    }

    return ngx_http_smart_variable_number(r, v, 0);
}


static ngx_int_t
ngx_http_smart_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t value)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_sprintf(p, "%ui", value) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static void
ngx_http_smart_variable_text(ngx_http_variable_value_t *v, const char *text)
{
    v->data = (u_char *) text;
    v->len = ngx_strlen(text);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}
