
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_series.h"
#include "ngx_http_smart_hedge.h"


#define NGX_HTTP_SMART_SERIES_PEERS  65535

#define NGX_HTTP_SMART_SERIES_CUT    (NGX_SMART_PROM_MAX_LABEL - 9)


static ngx_int_t ngx_http_smart_series_server(ngx_conf_t *cf,
    ngx_http_smart_location_t *location);
static ngx_int_t ngx_http_smart_series_cut(ngx_conf_t *cf, ngx_str_t *name);
static ngx_int_t ngx_http_smart_series_upstream(ngx_conf_t *cf,
    ngx_http_smart_main_conf_t *smcf, ngx_http_smart_upstream_t *su);
static ngx_int_t ngx_http_smart_series_peer(ngx_conf_t *cf,
    ngx_http_smart_upstream_t *su, ngx_str_t *name);
static ngx_int_t ngx_http_smart_series_hash(ngx_conf_t *cf,
    ngx_http_smart_upstream_t *su);
static void ngx_http_smart_series_observe(ngx_http_smart_histogram_t *h,
    ngx_msec_t ms);


ngx_int_t
ngx_http_smart_series_add(ngx_conf_t *cf, ngx_http_smart_loc_conf_t *slcf)
{
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_smart_location_t   *location;
    ngx_http_smart_main_conf_t  *smcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    /* a server has no content of its own */

    if (slcf->name.len == 0 && clcf->name.len == 0) {
        return NGX_OK;
    }

    location = ngx_array_push(&smcf->locations);
    if (location == NULL) {
        return NGX_ERROR;
    }

    location->conf = slcf;
    location->cscf = ngx_http_conf_get_module_srv_conf(cf,
                                                       ngx_http_core_module);
    location->name = slcf->name.len ? slcf->name : clcf->name;

    return ngx_http_smart_series_cut(cf, &location->name);
}


ngx_int_t
ngx_http_smart_series_name(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_http_smart_location_t   *location;
    ngx_http_smart_upstream_t   *su;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    location = smcf->locations.elts;

    for (i = 0; i < smcf->locations.nelts; i++) {
        if (ngx_http_smart_series_server(cf, &location[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    su = smcf->upstreams.elts;

    for (i = 0; i < smcf->upstreams.nelts; i++) {
        if (ngx_http_smart_series_upstream(cf, smcf, &su[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the first server_name, or the first address that the server listens on */
static ngx_int_t
ngx_http_smart_series_server(ngx_conf_t *cf,
    ngx_http_smart_location_t *location)
{
    ngx_uint_t                   p, a, s;
    ngx_http_conf_addr_t        *addr;
    ngx_http_conf_port_t        *port;
    ngx_http_core_srv_conf_t   **servers;
    ngx_http_core_main_conf_t   *cmcf;

    location->server = location->cscf->server_name;

    if (location->server.len) {
        return ngx_http_smart_series_cut(cf, &location->server);
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (cmcf->ports == NULL) {
        return NGX_OK;
    }

    port = cmcf->ports->elts;

    for (p = 0; p < cmcf->ports->nelts; p++) {

        addr = port[p].addrs.elts;

        for (a = 0; a < port[p].addrs.nelts; a++) {

            servers = addr[a].servers.elts;

            for (s = 0; s < addr[a].servers.nelts; s++) {

                if (servers[s] == location->cscf) {
                    location->server = addr[a].opt.addr_text;
                    return ngx_http_smart_series_cut(cf, &location->server);
                }
            }
        }
    }

    return NGX_OK;
}


/* two labels that are cut must not become one */
static ngx_int_t
ngx_http_smart_series_cut(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char  *p;

    if (name->len <= NGX_SMART_PROM_MAX_LABEL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(cf->pool, NGX_SMART_PROM_MAX_LABEL);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "%*s~%08xD", (size_t) NGX_HTTP_SMART_SERIES_CUT, name->data,
                ngx_crc32_long(name->data, name->len));

    name->data = p;
    name->len = NGX_SMART_PROM_MAX_LABEL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_series_upstream(ngx_conf_t *cf,
    ngx_http_smart_main_conf_t *smcf, ngx_http_smart_upstream_t *su)
{
    ngx_str_t                      other = ngx_string("other");
    ngx_uint_t                     i, n;
    ngx_http_upstream_server_t    *server;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;
    ngx_http_upstream_srv_conf_t  *us;

    us = su->upstream;

    su->name = us->host;

    if (us->port && !us->no_port) {

        su->name.data = ngx_pnalloc(cf->pool, us->host.len + sizeof(":65535"));
        if (su->name.data == NULL) {
            return NGX_ERROR;
        }

        su->name.len = ngx_sprintf(su->name.data, "%V:%ui", &us->host,
                                   (ngx_uint_t) us->port)
                       - su->name.data;
    }

    if (ngx_http_smart_series_cut(cf, &su->name) != NGX_OK
        || ngx_array_init(&su->peers, cf->pool, 4,
                          sizeof(ngx_http_smart_peer_t))
           != NGX_OK
        || ngx_http_smart_series_peer(cf, su, &other) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (us->servers) {

        server = us->servers->elts;

        for (i = 0; i < us->servers->nelts; i++) {
            for (n = 0; n < server[i].naddrs; n++) {

                if (ngx_http_smart_series_peer(cf, su,
                                               &server[i].addrs[n].name)
                    != NGX_OK)
                {
                    return NGX_ERROR;
                }
            }
        }

    } else if (us->peer.data) {

        /* proxy_pass and its like make these, always for round robin */

        peers = us->peer.data;

        for (peer = peers->peer; peer; peer = peer->next) {
            if (ngx_http_smart_series_peer(cf, su, &peer->name) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    smcf->npeers += su->peers.nelts;

    return ngx_http_smart_series_hash(cf, su);
}


static ngx_int_t
ngx_http_smart_series_hash(ngx_conf_t *cf, ngx_http_smart_upstream_t *su)
{
    ngx_uint_t              i, n, size;
    ngx_http_smart_peer_t  *peer;

    if (su->peers.nelts > NGX_HTTP_SMART_SERIES_PEERS) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "smart: upstream \"%V\" has more than %d peers",
                      &su->name, NGX_HTTP_SMART_SERIES_PEERS);
        return NGX_ERROR;
    }

    for (size = 4; size < 2 * su->peers.nelts; size *= 2) { /* void */ }

    su->mask = size - 1;
    su->hash = ngx_pcalloc(cf->pool, size * sizeof(uint16_t));
    if (su->hash == NULL) {
        return NGX_ERROR;
    }

    su->seen = ngx_pcalloc(cf->pool, size * sizeof(u_char *));
    if (su->seen == NULL) {
        return NGX_ERROR;
    }

    su->found = ngx_pcalloc(cf->pool, size * sizeof(uint16_t));
    if (su->found == NULL) {
        return NGX_ERROR;
    }

    peer = su->peers.elts;

    for (i = 1; i < su->peers.nelts; i++) {

        n = ngx_crc32_short(peer[i].name.data, peer[i].name.len);

        while (su->hash[n & su->mask]) {
            n++;
        }

        su->hash[n & su->mask] = (uint16_t) i;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_series_peer(ngx_conf_t *cf, ngx_http_smart_upstream_t *su,
    ngx_str_t *name)
{
    ngx_uint_t              i;
    ngx_http_smart_peer_t  *peer;

    peer = su->peers.elts;

    for (i = 0; i < su->peers.nelts; i++) {

        if (peer[i].name.len == name->len
            && ngx_memcmp(peer[i].name.data, name->data, name->len) == 0)
        {
            return NGX_OK;
        }
    }

    /* a server whose name is resolved at run time has no peer yet */

    if (name->len == 0 || name->len > NGX_SMART_PROM_MAX_LABEL) {
        return NGX_OK;
    }

    peer = ngx_array_push(&su->peers);
    if (peer == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(peer, sizeof(ngx_http_smart_peer_t));

    peer->name = *name;

    return NGX_OK;
}


void
ngx_http_smart_series_begin(ngx_http_smart_ctx_t *ctx)
{
    ngx_msec_t                delay;
    ngx_http_smart_series_t  *series;

    series = ctx->conf->series;

    if (series == NULL) {
        return;
    }

    (void) ngx_atomic_fetch_add(&series->started[0], 1);

    if (ctx->conf->hedge == NULL && ctx->plan->percentile == 0) {
        return;
    }

    delay = ctx->warming ? 0 : ctx->delay;

    if (series->delay != delay) {
        series->delay = delay;
    }
}


void
ngx_http_smart_series_start(ngx_http_smart_ctx_t *ctx)
{
    ngx_http_smart_series_t  *series;

    series = ctx->conf->series;

    if (series) {
        (void) ngx_atomic_fetch_add(&series->started[1], 1);
    }
}


void
ngx_http_smart_series_won(ngx_http_smart_ctx_t *ctx, ngx_msec_t age)
{
    ngx_http_smart_peer_t    *peer;
    ngx_http_smart_series_t  *series;

    series = ctx->conf->series;

    if (series == NULL) {
        return;
    }

    (void) ngx_atomic_fetch_add(&series->finished[0][0], 1);

    ngx_http_smart_series_observe(&series->attempts[0], age);

    peer = ngx_http_smart_series_chosen(ctx->request);

    if (peer) {
        peer->missed = 0;

        (void) ngx_atomic_fetch_add(&peer->series->finished[0], 1);
    }
}


void
ngx_http_smart_series_finish(ngx_http_smart_ctx_t *ctx, ngx_uint_t n,
    ngx_http_request_t *r, ngx_uint_t result, ngx_msec_t age)
{
    ngx_http_smart_peer_t    *peer;
    ngx_http_smart_series_t  *series;

    series = ctx->conf->series;

    if (series == NULL) {
        return;
    }

    result -= NGX_HTTP_SMART_WON;

    (void) ngx_atomic_fetch_add(&series->finished[n != 0][result], 1);

    ngx_http_smart_series_observe(&series->attempts[n != 0], age);

    if (n == 0 && result) {
        ngx_http_smart_series_observe(
                    result == NGX_HTTP_SMART_CANCELLED - NGX_HTTP_SMART_WON
                    ? &series->cancelled : &series->failed, age);

    } else if (n && result == 0) {
        ngx_http_smart_series_observe(&series->rescued,
                                      ngx_http_smart_hedge_age(ctx));
    }

    if (result && ctx->hedge.started > 1) {
        (void) ngx_atomic_fetch_add(&series->wasted, age);
    }

    peer = ngx_http_smart_series_chosen(r);

    if (peer == NULL) {
        return;
    }

    if (result == 0
        || result == NGX_HTTP_SMART_REJECTED - NGX_HTTP_SMART_WON)
    {
        peer->missed = 0;
    }

    (void) ngx_atomic_fetch_add(&peer->series->finished[result], 1);

    if (result == NGX_HTTP_SMART_CANCELLED - NGX_HTTP_SMART_WON
        && ctx->hedge.winner != NGX_SMART_HEDGE_NO_WINNER
        && ctx->hedge.winner > n)
    {
        (void) ngx_atomic_fetch_add(&peer->series->lost, 1);
    }
}


ngx_http_smart_peer_t *
ngx_http_smart_series_search(ngx_http_smart_upstream_t *su, ngx_str_t *name)
{
    ngx_uint_t              i, n, seen;
    ngx_http_smart_peer_t  *peer;

    peer = su->peers.elts;

    /* names seldom move: their addresses are known after the first time */

    seen = ngx_http_smart_series_seen(su, name);

    if (su->seen[seen] == name->data) {

        i = su->found[seen];

        if (peer[i].name.len == name->len
            && (peer[i].name.data == name->data
                || ngx_memcmp(peer[i].name.data, name->data, name->len) == 0))
        {
            return &peer[i];
        }
    }

    n = ngx_crc32_short(name->data, name->len);

    for ( ;; ) {

        i = su->hash[n++ & su->mask];

        if (i == 0) {
            return &peer[0];
        }

        if (peer[i].name.len == name->len
            && ngx_memcmp(peer[i].name.data, name->data, name->len) == 0)
        {
            su->seen[seen] = name->data;
            su->found[seen] = (uint16_t) i;

            return &peer[i];
        }
    }
}


void
ngx_http_smart_series_suppress(ngx_http_smart_ctx_t *ctx, ngx_uint_t reason)
{
    ngx_http_smart_series_t  *series;

    series = ctx->conf->series;

    if (series) {
        (void) ngx_atomic_fetch_add(&series->suppressed[reason - 1], 1);
    }
}


ngx_int_t
ngx_http_smart_series_log(ngx_http_request_t *r)
{
    ngx_uint_t                  status, outcome;
    ngx_http_smart_ctx_t       *ctx;
    ngx_http_smart_series_t    *series;
    ngx_http_smart_loc_conf_t  *slcf;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_smart_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_smart_find_ctx(r);
    }

    slcf = ctx ? ctx->conf
               : ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    series = slcf->series;

    if (series == NULL) {
        return NGX_OK;
    }

    outcome = ctx ? ngx_http_smart_outcome(ctx) : NGX_HTTP_SMART_BYPASS;

    status = r->err_status ? r->err_status : r->headers_out.status;

    /* nothing was sent: the client has left */

    status = (status < 100 || status > 599) ? NGX_HTTP_CLIENT_CLOSED_REQUEST
                                            : status;

    (void) ngx_atomic_fetch_add(&series->codes[status / 100 - 1], 1);
    (void) ngx_atomic_fetch_add(
                          &series->outcomes[outcome - NGX_HTTP_SMART_PRIMARY],
                          1);

    ngx_http_smart_series_observe(&series->requests,
                                  ngx_http_smart_elapsed(r));

    return NGX_OK;
}


static void
ngx_http_smart_series_observe(ngx_http_smart_histogram_t *h, ngx_msec_t ms)
{
    (void) ngx_atomic_fetch_add(&h->buckets[ngx_smart_prom_bucket(ms)], 1);
    (void) ngx_atomic_fetch_add(&h->sum, ms);
}
