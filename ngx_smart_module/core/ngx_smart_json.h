
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A writer of JSON text into memory of the caller.
 */

#ifndef _NGX_SMART_JSON_H_INCLUDED_
#define _NGX_SMART_JSON_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_SMART_JSON_DEPTH  15


/*
 * What does not fit is dropped and "overflow" is set: the text is unusable
 * then, its "len" is what it would have taken.  Bytes that are no UTF-8
 * become U+FFFD.
 */
typedef struct {
    char      *start;
    size_t     size;
    size_t     len;
    unsigned   depth;
    uint16_t   filled;           /* bit d: depth d has a member */
    uint8_t    overflow;
    uint8_t    after_key;
} ngx_smart_json_t;


void ngx_smart_json_init(ngx_smart_json_t *json, char *start, size_t size);

/* '{' or '[', at most NGX_SMART_JSON_DEPTH deep */
void ngx_smart_json_open(ngx_smart_json_t *json, char bracket);
void ngx_smart_json_close(ngx_smart_json_t *json, char bracket);

void ngx_smart_json_key(ngx_smart_json_t *json, const char *key);
void ngx_smart_json_string(ngx_smart_json_t *json, const char *p, size_t len);
void ngx_smart_json_text(ngx_smart_json_t *json, const char *text);
void ngx_smart_json_uint(ngx_smart_json_t *json, uint64_t value);
void ngx_smart_json_null(ngx_smart_json_t *json);

/* text that is JSON already */
void ngx_smart_json_raw(ngx_smart_json_t *json, const char *p, size_t len);

/* a number of thousandths, written as seconds, shortest: 1500 is "1.5" */
void ngx_smart_json_seconds(ngx_smart_json_t *json, uint64_t ms);


#endif /* _NGX_SMART_JSON_H_INCLUDED_ */
