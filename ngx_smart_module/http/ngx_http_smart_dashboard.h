
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The live page: its files, which pages/embed.sh turns into C, and its data.
 */

#ifndef _NGX_HTTP_SMART_DASHBOARD_H_INCLUDED_
#define _NGX_HTTP_SMART_DASHBOARD_H_INCLUDED_


#include "ngx_http_smart_module.h"


typedef struct {
    const char    *name;      /* below the location; NULL ends the list */
    const char    *type;
    const u_char  *data;
    size_t         len;
} ngx_http_smart_page_t;


/* generated; empty if the module was built without uPlot */
extern const ngx_http_smart_page_t  ngx_http_smart_pages[];


/* ngx_http_smart_data.c */

/* answers with all counters, as JSON; "id" is that of the page's files */
ngx_int_t ngx_http_smart_data(ngx_http_request_t *r, ngx_str_t *id);


#endif /* _NGX_HTTP_SMART_DASHBOARD_H_INCLUDED_ */
