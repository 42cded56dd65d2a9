
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_document.h"

#include <ngx_md5.h>


static ngx_int_t ngx_http_smart_document_headers(ngx_http_request_t *r,
    const ngx_keyval_t *headers);
static ngx_table_elt_t *ngx_http_smart_document_push(ngx_http_request_t *r,
    const ngx_str_t *key, const ngx_str_t *value);


ngx_int_t
ngx_http_smart_document_etag(ngx_pool_t *pool, ngx_http_smart_document_t *doc)
{
    u_char     *p;
    u_char      hash[16];
    ngx_md5_t   md5;

    p = ngx_pnalloc(pool, 2 * sizeof(hash) + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, doc->text.data, doc->text.len);
    ngx_md5_final(hash, &md5);

    doc->etag.data = p;

    *p++ = '"';
    p = ngx_hex_dump(p, hash, sizeof(hash));
    *p++ = '"';

    doc->etag.len = p - doc->etag.data;

    return NGX_OK;
}


ngx_int_t
ngx_http_smart_document_send(ngx_http_request_t *r,
    const ngx_http_smart_document_t *doc)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_smart_document_header(r, doc);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = doc->text.data;
    b->last = doc->text.data + doc->text.len;
    b->memory = doc->text.len ? 1 : 0;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_smart_document_header(ngx_http_request_t *r,
    const ngx_http_smart_document_t *doc)
{
    static const ngx_str_t  etag = ngx_string("ETag");
    static const ngx_str_t  cache = ngx_string("Cache-Control");
    static const ngx_str_t  ask = ngx_string("no-cache");
    static const ngx_str_t  never = ngx_string("no-store");

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = doc->text.data ? (off_t) doc->text.len
                                                     : -1;
    r->headers_out.content_type = doc->type;
    r->headers_out.content_type_len = doc->type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_strncmp(doc->type.data, "text/", 5) == 0) {
        ngx_str_set(&r->headers_out.charset, "utf-8");
    }

    if (doc->etag.len) {

        r->headers_out.etag = ngx_http_smart_document_push(r, &etag,
                                                           &doc->etag);
        if (r->headers_out.etag == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ngx_http_smart_document_push(r, &cache, doc->etag.len ? &ask : &never)
        == NULL
        || ngx_http_smart_document_headers(r, doc->headers) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_http_smart_document_headers(ngx_http_request_t *r,
    const ngx_keyval_t *headers)
{
    for ( /* void */ ; headers && headers->key.len; headers++) {

        if (ngx_http_smart_document_push(r, &headers->key, &headers->value)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_table_elt_t *
ngx_http_smart_document_push(ngx_http_request_t *r, const ngx_str_t *key,
    const ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
    h->key = *key;
    h->value = *value;
    ngx_http_smart_header_unlink(h);

    return h;
}
