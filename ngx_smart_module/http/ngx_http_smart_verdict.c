
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Which answers mean success in a location.
 */


#include "ngx_http_smart_hedge.h"


#define NGX_HTTP_SMART_VERDICT_GRPC  (sizeof("application/grpc") - 1)


static ngx_uint_t ngx_http_smart_verdict_type(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf, ngx_str_t *type) ngx_http_smart_noinline;
static ngx_uint_t ngx_http_smart_verdict_grpc(ngx_http_request_t *r);


ngx_uint_t
ngx_http_smart_verdict(ngx_http_request_t *r,
    ngx_http_request_t *main, ngx_uint_t status, ngx_str_t *type)
{
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(main, ngx_http_smart_module);

    if (status == NGX_HTTP_SWITCHING_PROTOCOLS) {
        return r == main;
    }

    if (!ngx_smart_verdict_status(slcf->statuses, (unsigned) status)) {
        return 0;
    }

    if (type == NULL || status == NGX_HTTP_NO_CONTENT
        || status == NGX_HTTP_NOT_MODIFIED)
    {
        return 1;
    }

    if (type->len < NGX_HTTP_SMART_VERDICT_GRPC && slcf->types == NULL) {
        return 1;
    }

    return ngx_http_smart_verdict_type(r, slcf, type);
}


static ngx_uint_t
ngx_http_smart_verdict_type(ngx_http_request_t *r,
    ngx_http_smart_loc_conf_t *slcf, ngx_str_t *type)
{
    ngx_str_t   *types;
    ngx_uint_t   i;

    if (type->len >= NGX_HTTP_SMART_VERDICT_GRPC
        && ngx_strncasecmp(type->data, (u_char *) "application/grpc",
                           NGX_HTTP_SMART_VERDICT_GRPC)
           == 0
        && !ngx_http_smart_verdict_grpc(r))
    {
        return 0;
    }

    if (slcf->types == NULL) {
        return 1;
    }

    types = slcf->types->elts;

    for (i = 0; i < slcf->types->nelts; i++) {

        if (ngx_smart_verdict_type((char *) types[i].data, types[i].len,
                                   (char *) type->data, type->len))
        {
            return 1;
        }
    }

    return 0;
}


/* a status in the trailers comes too late to be judged */
static ngx_uint_t
ngx_http_smart_verdict_grpc(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->upstream->headers_in.headers.part;
         part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == sizeof("grpc-status") - 1
                && ngx_strncasecmp(h[i].key.data, (u_char *) "grpc-status",
                                   sizeof("grpc-status") - 1)
                   == 0)
            {
                return h[i].value.len == 1 && h[i].value.data[0] == '0';
            }
        }
    }

    return 1;
}
