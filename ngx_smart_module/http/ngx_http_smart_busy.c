
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * How busy the peers are: what all workers have in flight at each of them.
 * Only where a location asks for it, the callbacks of the balancer are wrapped
 * to count.
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_series.h"


typedef struct {
    ngx_http_smart_upstream_t        *upstream;
    ngx_http_smart_peer_series_t     *series;    /* NULL: no peer is held */

    void                             *data;
    ngx_event_get_peer_pt             get;
    ngx_event_free_peer_pt            free;
    ngx_event_notify_peer_pt          notify;
#if (NGX_SSL || NGX_COMPAT)
    ngx_event_set_peer_session_pt     set_session;
    ngx_event_save_peer_session_pt    save_session;
#endif
} ngx_http_smart_busy_t;


static ngx_int_t ngx_http_smart_busy_get(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_smart_busy_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_smart_busy_notify(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type);
#if (NGX_SSL || NGX_COMPAT)
static ngx_int_t ngx_http_smart_busy_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_smart_busy_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif


ngx_int_t
ngx_http_smart_busy_wrap(ngx_http_request_t *r, ngx_http_smart_upstream_t *su)
{
    ngx_http_smart_busy_t  *busy;
    ngx_peer_connection_t  *pc;

    busy = ngx_palloc(r->pool, sizeof(ngx_http_smart_busy_t));
    if (busy == NULL) {
        return NGX_ERROR;
    }

    pc = &r->upstream->peer;

    busy->upstream = su;
    busy->series = NULL;

    busy->data = pc->data;
    pc->data = busy;

    busy->get = pc->get;
    pc->get = ngx_http_smart_busy_get;

    busy->free = pc->free;
    pc->free = ngx_http_smart_busy_free;

    busy->notify = pc->notify;

    if (pc->notify) {
        pc->notify = ngx_http_smart_busy_notify;
    }

#if (NGX_SSL || NGX_COMPAT)

    busy->set_session = pc->set_session;

    if (pc->set_session) {
        pc->set_session = ngx_http_smart_busy_set_session;
    }

    busy->save_session = pc->save_session;

    if (pc->save_session) {
        pc->save_session = ngx_http_smart_busy_save_session;
    }

#endif

    return NGX_OK;
}


void *
ngx_http_smart_busy_unwrap(ngx_peer_connection_t *pc)
{
    ngx_http_smart_busy_t  *busy;

    if (pc->get != ngx_http_smart_busy_get) {
        return pc->data;
    }

    busy = pc->data;

    return busy->data;
}


void
ngx_http_smart_busy_heal(ngx_http_request_t *r)
{
    ngx_http_smart_main_conf_t  *smcf;

    static time_t  healed;

    if (healed == ngx_time()) {
        return;
    }

    healed = ngx_time();

    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);

    ngx_http_smart_shard_heal(smcf->zone, smcf->shared);
}


ngx_uint_t
ngx_http_smart_busy_count(ngx_http_request_t *r, ngx_http_smart_upstream_t *su,
    ngx_http_upstream_rr_peer_t *peer)
{
    ngx_http_smart_peer_t       *p;
    ngx_http_smart_main_conf_t  *smcf;

    p = su ? ngx_http_smart_series_find_peer(su, &peer->name) : NULL;

    /* those found at run time share a slot, but also nginx's own counts */

    if (p == NULL || p == su->peers.elts) {
        return peer->conns;
    }

    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);

    return ngx_http_smart_shard_sum(smcf->shared, p->series->in_flight);
}


static ngx_int_t
ngx_http_smart_busy_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_smart_busy_t *busy = data;

    ngx_int_t               rc;
    ngx_http_smart_peer_t  *peer;

    rc = busy->get(pc, busy->data);

    if ((rc == NGX_OK || rc == NGX_DONE) && pc->name && busy->series == NULL) {

        peer = ngx_http_smart_series_find_peer(busy->upstream, pc->name);

        busy->series = peer->series;

        (void) ngx_http_smart_add32(
                        &busy->series->in_flight[ngx_http_smart_shard_own], 1);
    }

    return rc;
}


static void
ngx_http_smart_busy_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_smart_busy_t *busy = data;

    if (busy->series) {
        (void) ngx_http_smart_add32(
                       &busy->series->in_flight[ngx_http_smart_shard_own], -1);

        busy->series = NULL;
    }

    busy->free(pc, busy->data, state);
}


static void
ngx_http_smart_busy_notify(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type)
{
    ngx_http_smart_busy_t *busy = data;

    busy->notify(pc, busy->data, type);
}


#if (NGX_SSL || NGX_COMPAT)

static ngx_int_t
ngx_http_smart_busy_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_smart_busy_t *busy = data;

    return busy->set_session(pc, busy->data);
}


static void
ngx_http_smart_busy_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_smart_busy_t *busy = data;

    busy->save_session(pc, busy->data);
}

#endif
