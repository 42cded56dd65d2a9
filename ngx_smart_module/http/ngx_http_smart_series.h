
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Counting.  A request is counted where its context was made, or, without
 * one, in the location that logs it.
 */

#ifndef _NGX_HTTP_SMART_SERIES_H_INCLUDED_
#define _NGX_HTTP_SMART_SERIES_H_INCLUDED_


#include "ngx_http_smart_module.h"
#include "ngx_http_smart_zone.h"


typedef struct {
    ngx_http_smart_loc_conf_t    *conf;
    ngx_http_core_srv_conf_t     *cscf;
    ngx_str_t                     server;
    ngx_str_t                     name;
} ngx_http_smart_location_t;


typedef struct {
    ngx_str_t                     name;
    ngx_http_smart_peer_series_t *series;
    ngx_uint_t                    again;   /* in the same slot as another */
} ngx_http_smart_peer_t;


/* notes a location that counts; called while configurations are merged */
ngx_int_t ngx_http_smart_series_add(ngx_conf_t *cf,
    ngx_http_smart_loc_conf_t *slcf);

/* gives every location and every peer its labels */
ngx_int_t ngx_http_smart_series_name(ngx_conf_t *cf);

/* the request enters and leaves the location */
void ngx_http_smart_series_enter(ngx_http_smart_ctx_t *ctx);
void ngx_http_smart_series_leave(ngx_http_smart_ctx_t *ctx);

/* the primary begins */
void ngx_http_smart_series_begin(ngx_http_smart_ctx_t *ctx);

/* attempt n begins; ends with a result, "age" ms old; r is its request */
void ngx_http_smart_series_start(ngx_http_smart_ctx_t *ctx, ngx_uint_t n);
void ngx_http_smart_series_finish(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_http_request_t *r, ngx_uint_t result, ngx_msec_t age);

/* the peer of that name; the first one, "other", if there is none */
ngx_http_smart_peer_t *ngx_http_smart_series_find_peer(
    ngx_http_smart_upstream_t *su, ngx_str_t *name);

void ngx_http_smart_series_suppress(ngx_http_smart_ctx_t *ctx,
    ngx_uint_t reason);

/* the handler of the log phase */
ngx_int_t ngx_http_smart_series_log(ngx_http_request_t *r);


/* ngx_http_smart_metrics.c */

/* the setter of "smart_metrics" */
char *ngx_http_smart_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_SMART_SERIES_H_INCLUDED_ */
