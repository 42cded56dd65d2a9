
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Small complete responses made by the modules themselves.
 */

#ifndef _NGX_HTTP_SMART_REPLY_H_INCLUDED_
#define _NGX_HTTP_SMART_REPLY_H_INCLUDED_


#include "ngx_http_smart_compat.h"


/*
 * Answers the main request with the body, of which "len" bytes at "data" must
 * live as long as the request does.  What is left of the request's own body
 * is discarded.  The return value is for ngx_http_finalize_request().
 */
ngx_int_t ngx_http_smart_reply(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, u_char *data, size_t len);

/*
 * Sends the header of such a response; "len" is -1 for a body of unknown
 * length.  The return value is that of ngx_http_send_header().
 */
ngx_int_t ngx_http_smart_reply_header(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, off_t len);

/*
 * The same in steps, for what has more headers: _start() makes the header
 * ready, _add() adds to it, of which "name" and "value" must live as long as
 * the request does, and _send() sends it and the body.
 */
ngx_int_t ngx_http_smart_reply_start(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, off_t len);
ngx_int_t ngx_http_smart_reply_add(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);
ngx_int_t ngx_http_smart_reply_send(ngx_http_request_t *r, u_char *data,
    size_t len);

/* 1 if the Accept header of the request names the media type */
ngx_uint_t ngx_http_smart_accepts(ngx_http_request_t *r, const char *type);

/* in thousandths; -1 if it does not name the media type, or range */
ngx_int_t ngx_http_smart_weight(ngx_http_request_t *r, const char *type);


#endif /* _NGX_HTTP_SMART_REPLY_H_INCLUDED_ */
