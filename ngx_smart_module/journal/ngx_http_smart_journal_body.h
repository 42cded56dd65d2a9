
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The body of PUT: a record as clients hand it in.  It knows nothing of nginx.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_BODY_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_BODY_H_INCLUDED_


#include "ngx_smart_record.h"
#include "ngx_smart_redact.h"


typedef struct {
    ngx_smart_record_t   record;         /* its texts are below */
    char                 url[NGX_SMART_REDACT_MAX];
    char                 method[NGX_SMART_RECORD_MAX_METHOD];

    /* what is wrong: a member and what it must be, or a sentence alone */
    char                 member[64];
    char                 wrong[256];
} ngx_http_smart_journal_body_t;


typedef enum {
    NGX_HTTP_SMART_JOURNAL_BODY_OK = 0,
    NGX_HTTP_SMART_JOURNAL_BODY_MALFORMED,
    NGX_HTTP_SMART_JOURNAL_BODY_INVALID
} ngx_http_smart_journal_body_e;


/* the url comes redacted by these names; host and website are not set */
ngx_http_smart_journal_body_e ngx_http_smart_journal_body(const char *p,
    size_t len, const ngx_smart_redact_name_t *names, unsigned n,
    ngx_http_smart_journal_body_t *body);


#endif /* _NGX_HTTP_SMART_JOURNAL_BODY_H_INCLUDED_ */
