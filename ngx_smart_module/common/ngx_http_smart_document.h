
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Documents that clients may keep and ask for again by their ETag.
 */

#ifndef _NGX_HTTP_SMART_DOCUMENT_H_INCLUDED_
#define _NGX_HTTP_SMART_DOCUMENT_H_INCLUDED_


#include "ngx_http_smart_compat.h"


typedef struct {
    ngx_str_t          type;
    ngx_str_t          text;
    ngx_str_t          etag;      /* with its quotes */
    const ngx_keyval_t *headers;  /* more of them, up to an empty key */
} ngx_http_smart_document_t;


/* makes the ETag from the text */
ngx_int_t ngx_http_smart_document_etag(ngx_pool_t *pool,
    ngx_http_smart_document_t *doc);

/*
 * Answers GET and HEAD with the document, which must live as long as the
 * request does.  The return value is that of a content handler.
 */
ngx_int_t ngx_http_smart_document_send(ngx_http_request_t *r,
    const ngx_http_smart_document_t *doc);

/*
 * Sends its header; without an ETag nobody may keep it, and without a text
 * its length is not known yet.  The return value is that of
 * ngx_http_send_header().
 */
ngx_int_t ngx_http_smart_document_header(ngx_http_request_t *r,
    const ngx_http_smart_document_t *doc);


#endif /* _NGX_HTTP_SMART_DOCUMENT_H_INCLUDED_ */
