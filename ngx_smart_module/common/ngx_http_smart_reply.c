
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_reply.h"


static size_t ngx_http_smart_media_len(ngx_str_t *type);
static ngx_int_t ngx_http_smart_weight_in(ngx_str_t *value, const char *type);
static ngx_int_t ngx_http_smart_weight_of(u_char *p, u_char *last);


ngx_int_t
ngx_http_smart_reply(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, u_char *data, size_t len)
{
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    if (ngx_http_smart_reply_start(r, status, type, len) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_smart_reply_send(r, data, len);
}


ngx_int_t
ngx_http_smart_reply_send(ngx_http_request_t *r, u_char *data, size_t len)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = data;
    b->last = data + len;
    b->memory = len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* of the media type without its parameters, which gzip_types compares */
static size_t
ngx_http_smart_media_len(ngx_str_t *type)
{
    u_char  *p;

    p = ngx_strlchr(type->data, type->data + type->len, ';');

    return p ? (size_t) (p - type->data) : type->len;
}


ngx_int_t
ngx_http_smart_reply_header(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, off_t len)
{
    if (ngx_http_smart_reply_start(r, status, type, len) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_http_smart_reply_start(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, off_t len)
{
    static ngx_str_t  no_store = ngx_string("no-store");

    ngx_http_clean_header(r);

    r->headers_out.status = status;
    r->headers_out.status_line.len = 0;
    r->headers_out.content_length_n = len;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = ngx_http_smart_media_len(type);
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_last_modified(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_etag(r);

    r->allow_ranges = 0;

    return ngx_http_smart_reply_add(r, "Cache-Control", &no_store);
}


ngx_int_t
ngx_http_smart_reply_add(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;
    ngx_http_smart_header_unlink(h);

    return NGX_OK;
}


ngx_uint_t
ngx_http_smart_accepts(ngx_http_request_t *r, const char *type)
{
    return ngx_http_smart_weight(r, type) > 0;
}


ngx_int_t
ngx_http_smart_weight(ngx_http_request_t *r, const char *type)
{
    ngx_int_t         weight, found;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    weight = -1;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == 6
                && ngx_strncasecmp(h[i].key.data, (u_char *) "Accept", 6) == 0)
            {
                found = ngx_http_smart_weight_in(&h[i].value, type);
                weight = ngx_max(weight, found);
            }
        }
    }

    return weight;
}


/* RFC 9110, section 12.5.1 */
static ngx_int_t
ngx_http_smart_weight_in(ngx_str_t *value, const char *type)
{
    size_t      len;
    u_char     *p, *next, *last, *end;
    ngx_int_t   weight, found;

    len = ngx_strlen(type);
    end = value->data + value->len;
    weight = -1;

    for (p = value->data; p < end; p = next + 1) {

        next = ngx_strlchr(p, end, ',');
        if (next == NULL) {
            next = end;
        }

        while (p < next && (*p == ' ' || *p == '\t')) {
            p++;
        }

        last = p + len;

        if (last > next || ngx_strncasecmp(p, (u_char *) type, len) != 0
            || (last < next && *last != ';' && *last != ' ' && *last != '\t'))
        {
            continue;
        }

        found = ngx_http_smart_weight_of(last, next);
        weight = ngx_max(weight, found);
    }

    return weight;
}


/* of the parameters of a type; what is malformed weighs as nothing does */
static ngx_int_t
ngx_http_smart_weight_of(u_char *p, u_char *last)
{
    u_char     *q;
    ngx_int_t   weight;

    for ( ;; ) {

        p = ngx_strlchr(p, last, ';');
        if (p == NULL) {
            return 1000;
        }

        for (p++; p < last && (*p == ' ' || *p == '\t'); p++) { /* void */ }

        if (last - p < 3 || (p[0] | 0x20) != 'q' || p[1] != '=') {
            continue;
        }

        p += 2;

        for (q = p; q < last && *q != ';' && *q != ' ' && *q != '\t'; q++) {
            /* void */
        }

        weight = ngx_atofp(p, q - p, 3);

        return (weight == NGX_ERROR || weight > 1000) ? 1000 : weight;
    }
}
