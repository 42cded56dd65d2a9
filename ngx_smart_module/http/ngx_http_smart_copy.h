
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The body of an answer, copied as it comes, to be judged and sent later.
 */

#ifndef _NGX_HTTP_SMART_COPY_H_INCLUDED_
#define _NGX_HTTP_SMART_COPY_H_INCLUDED_


#include "ngx_http_smart_module.h"
#include "ngx_http_smart_json.h"


typedef struct {
    ngx_http_smart_json_block_t  *first;
    ngx_http_smart_json_block_t  *last;
    size_t                        size;
    size_t                        limit;      /* bytes, at most */
    unsigned                      gzip:1;
} ngx_http_smart_copy_t;


/* NULL, or why a body with this header cannot be read */
const char *ngx_http_smart_copy_encoding(ngx_http_request_t *r,
    ngx_uint_t *gzip);

/*
 * Makes room for so many bytes, or for more up to the limit where that is not
 * the first room of a body with a length.
 */
ngx_int_t ngx_http_smart_copy_reserve(ngx_http_request_t *r,
    ngx_http_smart_copy_t *copy, size_t size);

/* copies and consumes a buffer, which has to fit */
ngx_int_t ngx_http_smart_copy_append(ngx_http_request_t *r,
    ngx_http_smart_copy_t *copy, ngx_buf_t *b);

/* NULL for a success, else why not, and the pointer if it is because of one */
const char *ngx_http_smart_copy_judge(ngx_http_smart_copy_t *copy,
    ngx_http_smart_pointers_t *json, ngx_str_t **pointer);

/*
 * Makes buffers of what was copied, without another copy, and returns where
 * the chain goes on, or NULL.  "last" is the last of them, if there is one.
 */
ngx_chain_t **ngx_http_smart_copy_chain(ngx_http_request_t *r,
    ngx_http_smart_copy_t *copy, ngx_chain_t **out, ngx_buf_t **last);

void ngx_http_smart_copy_free(ngx_http_request_t *r,
    ngx_http_smart_copy_t *copy);


#endif /* _NGX_HTTP_SMART_COPY_H_INCLUDED_ */
