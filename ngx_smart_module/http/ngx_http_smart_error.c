
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the client and the error log get to know of a request without
 * success.
 */


#include "ngx_http_smart_hedge.h"
#include "../common/ngx_http_smart_reply.h"
#include "../core/ngx_smart_json.h"


#define NGX_HTTP_SMART_ERROR_SIZE  1024
#define NGX_HTTP_SMART_ERROR_LINE  1024


static size_t ngx_http_smart_error_json(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_int_t status, u_char *data, size_t size);
static void ngx_http_smart_error_json_text(ngx_smart_json_t *json,
    ngx_http_request_t *r, ngx_int_t status);
static void ngx_http_smart_error_json_failures(ngx_smart_json_t *json,
    ngx_http_smart_ctx_t *ctx);
static ngx_msec_t ngx_http_smart_error_elapsed(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);
static u_char *ngx_http_smart_error_log_attempt(u_char *p, u_char *last,
    ngx_http_smart_attempt_t *a);


static ngx_str_t  ngx_http_smart_problem_type =
    ngx_string("application/problem+json");
static ngx_str_t  ngx_http_smart_json_type = ngx_string("application/json");


ngx_int_t
ngx_http_smart_error(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_int_t status)
{
    size_t                      len;
    u_char                     *data;
    ngx_str_t                  *type;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    if (slcf->errors != NGX_HTTP_SMART_ERRORS_JSON) {
        return status;
    }

    data = ngx_pnalloc(r->pool, NGX_HTTP_SMART_ERROR_SIZE);
    if (data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = ngx_http_smart_error_json(r, ctx, status, data,
                                    NGX_HTTP_SMART_ERROR_SIZE);

    type = &ngx_http_smart_problem_type;

    if (ngx_http_smart_accepts(r, "application/json")
        && !ngx_http_smart_accepts(r, "application/problem+json"))
    {
        type = &ngx_http_smart_json_type;
    }

    return ngx_http_smart_reply(r, status, type, data, len);
}


static size_t
ngx_http_smart_error_json(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_int_t status, u_char *data, size_t size)
{
    ngx_smart_json_t  json;

    ngx_smart_json_init(&json, (char *) data, size);
    ngx_smart_json_open(&json, '{');

    ngx_smart_json_key(&json, "type");
    ngx_smart_json_text(&json, "about:blank");

    ngx_http_smart_error_json_text(&json, r, status);

    ngx_smart_json_key(&json, "timeout");

    if (ctx->deadline == NGX_TIMER_INFINITE) {
        ngx_smart_json_null(&json);

    } else {
        ngx_smart_json_seconds(&json, ctx->timeout);
    }

    ngx_smart_json_key(&json, "time_spent");
    ngx_smart_json_seconds(&json, ngx_http_smart_error_elapsed(r, ctx));

    ngx_smart_json_key(&json, "attempts");
    ngx_smart_json_uint(&json, ctx->hedge.started);

    ngx_smart_json_key(&json, "failures");
    ngx_http_smart_error_json_failures(&json, ctx);

    ngx_smart_json_close(&json, '}');

    return json.overflow ? 0 : json.len;
}


static void
ngx_http_smart_error_json_text(ngx_smart_json_t *json, ngx_http_request_t *r,
    ngx_int_t status)
{
    u_char                      detail[NGX_HTTP_SMART_ERROR_DETAIL], *p;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    p = ngx_http_smart_error_detail(slcf, status, detail,
                                    detail + sizeof(detail));

    ngx_smart_json_key(json, "title");
    ngx_smart_json_text(json, ngx_http_smart_error_title(status));

    ngx_smart_json_key(json, "status");
    ngx_smart_json_uint(json, status);

    ngx_smart_json_key(json, "detail");
    ngx_smart_json_string(json, (char *) detail, p - detail);
}


const char *
ngx_http_smart_error_title(ngx_int_t status)
{
    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        return "Bad Request";

    case NGX_HTTP_GATEWAY_TIME_OUT:
        return "Gateway Timeout";

    default:
        return "Bad Gateway";
    }
}


u_char *
ngx_http_smart_error_detail(ngx_http_smart_loc_conf_t *slcf, ngx_int_t status,
    u_char *p, u_char *last)
{
    size_t      n;
    ngx_str_t  *name;

    name = &slcf->timeout_name;

    switch (status) {

    case NGX_HTTP_BAD_REQUEST:

        if (ngx_strncmp(name->data, "arg_", 4) == 0) {
            n = ngx_min(name->len - 4, 64);
            p = ngx_slprintf(p, last, "The parameter \"%*s\"",
                             n, name->data + 4);

        } else {
            n = ngx_min(name->len, 64);
            p = ngx_slprintf(p, last, "The timeout (%*s)", n, name->data);
        }

        return ngx_slprintf(p, last, " must be given once, as a whole number "
                            "of milliseconds, 0 or more");

    case NGX_HTTP_GATEWAY_TIME_OUT:
        return ngx_slprintf(p, last, "The deadline passed before a successful "
                            "response");

    default:
        return ngx_slprintf(p, last, "Every attempt failed");
    }
}


static void
ngx_http_smart_error_json_failures(ngx_smart_json_t *json,
    ngx_http_smart_ctx_t *ctx)
{
    u_char                    *p;
    u_char                     status[NGX_INT_T_LEN];
    ngx_uint_t                 i;
    ngx_http_smart_attempt_t  *a;

    ngx_smart_json_open(json, '[');

    for (i = 0; ctx->race && i < ctx->hedge.started; i++) {

        a = &ctx->race->attempts[i];

        if (a->result == NGX_HTTP_SMART_REJECTED && a->failure == NULL) {
            p = ngx_sprintf(status, "%ui", a->status);
            ngx_smart_json_string(json, (char *) status, p - status);

        } else if (a->result == NGX_HTTP_SMART_REJECTED
                   || a->result == NGX_HTTP_SMART_NO_ANSWER)
        {
            ngx_smart_json_text(json, a->failure);

        } else {
            ngx_smart_json_text(json, "cancelled");
        }
    }

    ngx_smart_json_close(json, ']');
}


/* what ended at its deadline took as long: two clocks count whole ms here */
static ngx_msec_t
ngx_http_smart_error_elapsed(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    ngx_msec_t  elapsed;

    elapsed = ngx_http_smart_elapsed(r);

    if (ctx->outcome == NGX_HTTP_SMART_TIMEOUT) {
        elapsed = ngx_max(elapsed, ctx->timeout);
    }

    return elapsed;
}


void
ngx_http_smart_error_log(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    u_char       line[NGX_HTTP_SMART_ERROR_LINE], *p, *last;
    ngx_uint_t   i;

    p = line;
    last = line + sizeof(line);

    for (i = 0; ctx->race && i < ctx->hedge.started; i++) {

        p = ngx_slprintf(p, last, i ? ", " : ": ");
        p = ngx_http_smart_error_log_attempt(p, last,
                                             &ctx->race->attempts[i]);
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "smart: %s after %M ms, %ud attempt%s%*s",
                  ngx_http_smart_outcome_names[ctx->outcome],
                  ngx_http_smart_error_elapsed(r, ctx),
                  (unsigned) ctx->hedge.started,
                  ctx->hedge.started == 1 ? "" : "s",
                  (size_t) (p - line), line);
}


static u_char *
ngx_http_smart_error_log_attempt(u_char *p, u_char *last,
    ngx_http_smart_attempt_t *a)
{
    if (a->peer.len) {
        p = ngx_slprintf(p, last, "%V ", &a->peer);
    }

    switch (a->result) {

    case NGX_HTTP_SMART_REJECTED:
        return ngx_slprintf(p, last, "answered %ui%s%s", a->status,
                            a->failure ? ", " : "",
                            a->failure ? a->failure : "");

    case NGX_HTTP_SMART_NO_ANSWER:
        return ngx_slprintf(p, last, "%s", a->failure);

    default:
        return ngx_slprintf(p, last, "cancelled after %M ms",
                            a->end - a->start);
    }
}
