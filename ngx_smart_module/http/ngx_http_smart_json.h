
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Does the body of an answer hold the JSON that it should?  Without nginx, so
 * that it can be fuzzed: only jansson and zlib.
 */

#ifndef _NGX_HTTP_SMART_JSON_H_INCLUDED_
#define _NGX_HTTP_SMART_JSON_H_INCLUDED_


#include <stddef.h>

#include "../core/ngx_smart_pointer.h"


typedef struct ngx_http_smart_json_block_s  ngx_http_smart_json_block_t;

/* a body is a list of these */
struct ngx_http_smart_json_block_s {
    ngx_http_smart_json_block_t  *next;
    unsigned char                *data;
    size_t                        len;
    size_t                        size;       /* that there is room for */
};


typedef enum {
    NGX_HTTP_SMART_JSON_OK = 0,
    NGX_HTTP_SMART_JSON_MALFORMED,
    NGX_HTTP_SMART_JSON_UNEXPECTED,           /* a pointer does not match */
    NGX_HTTP_SMART_JSON_BROKEN,               /* cannot be decompressed */
    NGX_HTTP_SMART_JSON_TOO_LARGE,            /* decompressed */
    NGX_HTTP_SMART_JSON_NO_MEMORY
} ngx_http_smart_json_e;


/*
 * Well-formed means RFC 8259 in UTF-8 without a byte order mark, at most 2048
 * deep, no member of an object twice, no number beyond the range of a double.
 * A gzip body may have at most "limit" bytes when decompressed.  "failed" is
 * the pointer that does not match, if one does not.
 */
ngx_http_smart_json_e ngx_http_smart_json_check(
    const ngx_http_smart_json_block_t *body, unsigned gzip, size_t limit,
    const ngx_smart_pointer_t *pointers, size_t n, size_t *failed);


#endif /* _NGX_HTTP_SMART_JSON_H_INCLUDED_ */
