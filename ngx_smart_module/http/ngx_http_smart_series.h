
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
    unsigned                      again:1; /* in the same slot as another */
    uint32_t                      missed;  /* losers in a row, not let in */
} ngx_http_smart_peer_t;


/* notes a location that counts; called while configurations are merged */
ngx_int_t ngx_http_smart_series_add(ngx_conf_t *cf,
    ngx_http_smart_loc_conf_t *slcf);

/* gives every location and every peer its labels */
ngx_int_t ngx_http_smart_series_name(ngx_conf_t *cf);

/* the request enters the location (1), or leaves it (-1) */
static ngx_inline void
ngx_http_smart_series_move(ngx_http_smart_ctx_t *ctx, ngx_int_t n)
{
    ngx_http_smart_series_t  *series;

    series = ctx->conf->series;

    if (series) {
        (void) ngx_http_smart_add32(
                   &series->in_flight[ngx_http_smart_shard_own], (uint32_t) n);
    }
}


/* the primary begins */
void ngx_http_smart_series_begin(ngx_http_smart_ctx_t *ctx);

/* a hedge begins */
void ngx_http_smart_series_start(ngx_http_smart_ctx_t *ctx);

/* attempt n ends with a result, "age" ms old; r is its request */
void ngx_http_smart_series_finish(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_http_request_t *r, ngx_uint_t result, ngx_msec_t age);

/* what names of peers are known by: their addresses seldom change */
#define ngx_http_smart_series_seen(su, name)                                  \
    (((uintptr_t) (name)->data >> 4 ^ (uintptr_t) (name)->data >> 10)         \
     & (su)->mask)

/* a peer by its name, at whatever address that is */
ngx_http_smart_peer_t *ngx_http_smart_series_search(
    ngx_http_smart_upstream_t *su, ngx_str_t *name);


/* the primary ends as the winner, and no hedge was ever due */
void ngx_http_smart_series_won(ngx_http_smart_ctx_t *ctx, ngx_msec_t age);

/* the peer of that name; the first one, "other", if there is none */
static ngx_inline ngx_http_smart_peer_t *
ngx_http_smart_series_find_peer(ngx_http_smart_upstream_t *su, ngx_str_t *name)
{
    ngx_http_smart_peer_t  *peer;

    peer = su->peers.elts;
    peer += su->found[ngx_http_smart_series_seen(su, name)];

    if (peer->name.data == name->data && peer->name.len == name->len) {
        return peer;
    }

    return ngx_http_smart_series_search(su, name);
}


/* the peer that a request was sent to; NULL without an upstream of the
 * configuration, or before there is a peer */
static ngx_inline ngx_http_smart_peer_t *
ngx_http_smart_series_chosen(ngx_http_request_t *r)
{
    ngx_http_upstream_t        *u;
    ngx_http_smart_upstream_t  *su;

    u = r->upstream;

    if (u == NULL || u->upstream == NULL || u->peer.name == NULL) {
        return NULL;
    }

    su = ngx_http_smart_peer_upstream(r, u->upstream);

    return su ? ngx_http_smart_series_find_peer(su, u->peer.name) : NULL;
}


void ngx_http_smart_series_suppress(ngx_http_smart_ctx_t *ctx,
    ngx_uint_t reason);

/* the handler of the log phase */
ngx_int_t ngx_http_smart_series_log(ngx_http_request_t *r);


/* ngx_http_smart_metrics.c */

/* the setter of "smart_metrics" */
char *ngx_http_smart_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_SMART_SERIES_H_INCLUDED_ */
