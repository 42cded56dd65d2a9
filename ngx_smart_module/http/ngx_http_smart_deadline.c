
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_timeout: how long a client waits for a response header at most.
 */


#include "ngx_http_smart_hedge.h"


static ngx_int_t ngx_http_smart_deadline_variable(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf, uint64_t *timeout);
static ngx_uint_t ngx_http_smart_deadline_is_direct(ngx_str_t *name);
static ngx_uint_t ngx_http_smart_deadline_count(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_uint_t ngx_http_smart_deadline_count_header(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_uint_t ngx_http_smart_deadline_count_arg(ngx_http_request_t *r,
    ngx_str_t *name);


ngx_int_t
ngx_http_smart_deadline_set(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    uint64_t                    timeout;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ctx->conf;

    if (ctx->replaced) {
        return NGX_OK;
    }

    if (slcf->timeout_index != NGX_ERROR) {

        if (ngx_http_smart_deadline_variable(r, slcf, &timeout) != NGX_OK) {
            ctx->outcome = NGX_HTTP_SMART_INVALID;
            return NGX_HTTP_BAD_REQUEST;
        }

    } else {
        timeout = slcf->timeout;
    }

    /* no request lives for 24 days */

    if (timeout >= NGX_MAX_INT32_VALUE) {
        return NGX_OK;
    }

    ctx->timeout = (uint32_t) timeout;
    ctx->deadline = ngx_current_msec + (ngx_msec_t) timeout
                    - ngx_http_smart_elapsed(r);

    if (ngx_http_smart_deadline_left(ctx) == 0) {
        ctx->outcome = NGX_HTTP_SMART_TIMEOUT;
        return NGX_HTTP_GATEWAY_TIME_OUT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_deadline_variable(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf, uint64_t *timeout)
{
    ngx_http_variable_value_t  *vv;

    vv = ngx_http_get_indexed_variable(r, slcf->timeout_index);

    if (vv == NULL || vv->not_found
        || (vv->len == 0
            && !ngx_http_smart_deadline_is_direct(&slcf->timeout_name)))
    {
        *timeout = NGX_SMART_PARSE_INFINITE;

        if (slcf->timeout_required) {
            ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                          "smart: the client sent no timeout in \"$%V\"",
                          &slcf->timeout_name);
            return NGX_DECLINED;
        }

        return NGX_OK;
    }

    if (ngx_smart_parse_timeout((char *) vv->data, vv->len, timeout)
        != NGX_SMART_PARSE_OK
        || ngx_http_smart_deadline_count(r, &slcf->timeout_name) > 1)
    {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "smart: the client sent an invalid timeout \"%v\" in "
                      "\"$%V\"", vv, &slcf->timeout_name);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * What a client sends is malformed where it is empty; an empty string that
 * a map or another module made means, as elsewhere in nginx, "none".
 */
static ngx_uint_t
ngx_http_smart_deadline_is_direct(ngx_str_t *name)
{
    return ngx_strncmp(name->data, "arg_", 4) == 0
           || ngx_strncmp(name->data, "http_", 5) == 0
           || ngx_strncmp(name->data, "cookie_", 7) == 0;
}


/* how often the client says it; older nginx knows only the first */
static ngx_uint_t
ngx_http_smart_deadline_count(ngx_http_request_t *r, ngx_str_t *name)
{
    if (ngx_strncmp(name->data, "arg_", 4) == 0) {
        return ngx_http_smart_deadline_count_arg(r, name);
    }

    if (ngx_strncmp(name->data, "http_", 5) == 0) {
        return ngx_http_smart_deadline_count_header(r, name);
    }

    return 1;
}


static ngx_uint_t
ngx_http_smart_deadline_count_header(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char            c;
    size_t            k, len;
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;
    len = name->len - 5;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != len) {
                continue;
            }

            for (k = 0; k < len; k++) {

                c = ngx_tolower(h[i].key.data[k]);

                if ((c == '-' ? '_' : c) != name->data[5 + k]) {
                    break;
                }
            }

            n += (k == len);
        }
    }

    return n;
}


static ngx_uint_t
ngx_http_smart_deadline_count_arg(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char      *p, *last, *end;
    size_t       len;
    ngx_uint_t   n;

    n = 0;
    len = name->len - 4;
    end = r->args.data + r->args.len;

    for (p = r->args.data; p < end; p = last + 1) {

        last = ngx_strlchr(p, end, '&');
        if (last == NULL) {
            last = end;
        }

        if ((size_t) (last - p) >= len
            && ngx_strncasecmp(p, name->data + 4, len) == 0
            && (p + len == last || p[len] == '='))
        {
            n++;
        }
    }

    return n;
}
