
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Texts that are made while they are sent: a buffer in each turn, other
 * events between them.
 */

#ifndef _NGX_HTTP_SMART_TURNS_H_INCLUDED_
#define _NGX_HTTP_SMART_TURNS_H_INCLUDED_


#include "ngx_http_smart_compat.h"


/*
 * Writes from b->last on, at most up to b->end, and returns NGX_OK when that
 * was the end of the text, NGX_AGAIN when there is more, or NGX_ERROR.
 */
typedef ngx_int_t (*ngx_http_smart_turns_pt)(void *data, ngx_buf_t *b);


/*
 * Sends a body whose header has been sent; "size" is that of a buffer.  The
 * return value is that of a content handler.
 */
ngx_int_t ngx_http_smart_turns(ngx_http_request_t *r, size_t size,
    ngx_http_smart_turns_pt write, void *data);


#endif /* _NGX_HTTP_SMART_TURNS_H_INCLUDED_ */
