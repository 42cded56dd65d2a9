
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */

#ifndef _NGX_HTTP_SMART_FAMILY_H_INCLUDED_
#define _NGX_HTTP_SMART_FAMILY_H_INCLUDED_


#include "ngx_http_smart_series.h"


/* what a family has a row of samples for */
typedef enum {
    NGX_HTTP_SMART_FAMILY_ONCE = 0,
    NGX_HTTP_SMART_FAMILY_LOCATION,
    NGX_HTTP_SMART_FAMILY_PEER
} ngx_http_smart_family_scope_e;


typedef struct {
    ngx_http_smart_main_conf_t       *smcf;
    ngx_http_smart_series_t          *series;
    ngx_http_smart_peer_series_t     *peer;
    ngx_smart_prom_t                  prom;
} ngx_http_smart_family_row_t;


typedef struct ngx_http_smart_family_s  ngx_http_smart_family_t;

typedef void (*ngx_http_smart_family_write_pt)(
    ngx_http_smart_family_row_t *row,
    const ngx_http_smart_family_t *family);

struct ngx_http_smart_family_s {
    ngx_smart_prom_family_t           prom;
    ngx_http_smart_family_scope_e    scope;
    ngx_http_smart_family_write_pt   write;
    size_t                            offset;    /* of what is written */
    ngx_uint_t                        n;         /* how many of it */
    const char                       *label;
    const char *const                *values;
};


/* in the order in which they are written */
extern const ngx_http_smart_family_t  ngx_http_smart_families[];
extern const ngx_uint_t               ngx_http_smart_family_count;


#endif /* _NGX_HTTP_SMART_FAMILY_H_INCLUDED_ */
