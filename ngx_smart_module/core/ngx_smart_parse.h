
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Parsers of what configuration and requests hand in.
 */

#ifndef _NGX_SMART_PARSE_H_INCLUDED_
#define _NGX_SMART_PARSE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "ngx_smart_hedge.h"


#define NGX_SMART_PARSE_INFINITE  UINT64_MAX

typedef enum {
    NGX_SMART_PARSE_OK = 0,
    NGX_SMART_PARSE_OFF,         /* the word "off" */
    NGX_SMART_PARSE_INVALID
} ngx_smart_parse_e;


/* where and why a value was not understood; points into the value */
typedef struct {
    const char  *data;
    size_t       len;
    const char  *allowed;        /* what it should have been */
} ngx_smart_parse_error_t;


/*
 * A time in nginx syntax ("300ms", "1m 30s" without the blank), in ms, at
 * most 24 days.  A number without a unit is seconds, as in nginx.
 */
ngx_smart_parse_e ngx_smart_parse_time(const char *p, size_t len,
    uint64_t *ms);

/*
 * Decimal digits only, in ms.  What no integer holds is
 * NGX_SMART_PARSE_INFINITE.
 */
ngx_smart_parse_e ngx_smart_parse_timeout(const char *p, size_t len,
    uint64_t *ms);

/*
 * The whole value of "smart_hedge": a delay and its parameters, separated by
 * blanks, or "off".  Sets all of the plan but own_failure; "error" tells what
 * is wrong after NGX_SMART_PARSE_INVALID.
 */
ngx_smart_parse_e ngx_smart_parse_hedge(const char *p, size_t len,
    ngx_smart_hedge_plan_t *plan, ngx_smart_parse_error_t *error);


#endif /* _NGX_SMART_PARSE_H_INCLUDED_ */
