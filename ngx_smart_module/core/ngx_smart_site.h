
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Scheme and authority of requests.  One after the other mostly has the same,
 * and what was found out about them is kept until others come.
 */

#ifndef _NGX_SMART_SITE_H_INCLUDED_
#define _NGX_SMART_SITE_H_INCLUDED_


#include "ngx_smart_record.h"


/* all zeroes before the first call */
typedef struct {
    char      text[NGX_SMART_RECORD_MAX_WEBSITE];   /* "scheme://authority" */
    size_t    len;
    size_t    scheme_len;
    size_t    host;                                 /* where it is in that */
    size_t    host_len;
    unsigned  plain;
} ngx_smart_site_t;


/*
 * Returns 1 if "scheme://authority" is a website as it is, so that the record
 * of a request has it in its url: nothing to redact, in lower case, and not too
 * long.  "text", "len", "host" and "host_len" tell which one.
 */
unsigned ngx_smart_site(ngx_smart_site_t *site, const char *scheme,
    size_t scheme_len, const char *authority, size_t len);


#endif /* _NGX_SMART_SITE_H_INCLUDED_ */
