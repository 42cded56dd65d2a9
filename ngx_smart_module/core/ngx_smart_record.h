
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A record of the journal: what a request was and what became of it.
 */

#ifndef _NGX_SMART_RECORD_H_INCLUDED_
#define _NGX_SMART_RECORD_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* a longer url is cut, and ends in the mark of ngx_smart_redact */
#define NGX_SMART_RECORD_MAX_URL       2048

/* other texts are cut without a mark */
#define NGX_SMART_RECORD_MAX_METHOD    16
#define NGX_SMART_RECORD_MAX_HOST      255
#define NGX_SMART_RECORD_MAX_WEBSITE   270
#define NGX_SMART_RECORD_MAX_NODE      255
#define NGX_SMART_RECORD_MAX_UPSTREAM  255
#define NGX_SMART_RECORD_TRACE_ID      32


/* the values are those of stores */
typedef enum {
    NGX_SMART_RECORD_OPEN = 0,
    NGX_SMART_RECORD_COMPLETE = 1,
    NGX_SMART_RECORD_ABORTED = 2,
    NGX_SMART_RECORD_INTERRUPTED = 3
} ngx_smart_record_state_e;


/* not terminated by zero; "len" is 0 for what is not known */
typedef struct {
    const char                *data;
    size_t                     len;
} ngx_smart_record_text_t;


typedef struct {
    uint8_t                    id[16];
    ngx_smart_record_state_e   state;
    int64_t                    timestamp;    /* us since the epoch */
    int64_t                    duration;     /* us, or -1 */
    int32_t                    code;         /* or 0 */
    int32_t                    attempts;     /* or -1 */
    int32_t                    winner;       /* or -1 */

    ngx_smart_record_text_t    url;
    ngx_smart_record_text_t    method;
    ngx_smart_record_text_t    host;
    ngx_smart_record_text_t    website;
    ngx_smart_record_text_t    node;
    ngx_smart_record_text_t    upstream;
    ngx_smart_record_text_t    trace_id;

    /* only a hint for stores: its beginning has been written before */
    unsigned                   again;
} ngx_smart_record_t;


#endif /* _NGX_SMART_RECORD_H_INCLUDED_ */
