
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Which peer a hedge goes to.  The balancers of nginx are derived from round
 * robin and skip the peers in a bitmap of those tried: a hedge begins with
 * the bits of its siblings set.
 */


#include "ngx_http_smart_hedge.h"


#define NGX_HTTP_SMART_PEER_BITS     (8 * sizeof(uintptr_t))

/* RFC 6298, section 2: the initial retransmission timeout, ms */
#define NGX_HTTP_SMART_PEER_CONNECT  1000


typedef struct {
    ngx_uint_t  usable;          /* peers that may be chosen */
    ngx_uint_t  untried;         /* of these, by no attempt */
} ngx_http_smart_peer_count_t;


static ngx_int_t ngx_http_smart_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_smart_peer_exclude(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);
static ngx_http_upstream_rr_peer_data_t *ngx_http_smart_peer_data(
    ngx_http_upstream_t *u);
static void *ngx_http_smart_peer_unwrap(ngx_http_upstream_t *u);
static ngx_uint_t ngx_http_smart_peer_on_backup(ngx_http_request_t *r);
static void ngx_http_smart_peer_count(ngx_http_smart_ctx_t *ctx,
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_http_smart_peer_count_t *count,
    uintptr_t *set);
static uintptr_t ngx_http_smart_peer_tried(ngx_http_smart_ctx_t *ctx,
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_uint_t word);
static ngx_uint_t ngx_http_smart_peer_usable(ngx_http_upstream_rr_peer_t *peer);
static int ngx_libc_cdecl ngx_http_smart_peer_cmp(const void *one,
    const void *two);


ngx_int_t
ngx_http_smart_peer_wrap(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_smart_upstream_t       *su;
    ngx_http_smart_main_conf_t      *smcf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_rr_peers_t    *peers;
    ngx_http_upstream_main_conf_t   *umcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);
    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    if (ngx_array_init(&smcf->upstreams, cf->pool,
                       umcf->upstreams.nelts ? umcf->upstreams.nelts : 1,
                       sizeof(ngx_http_smart_upstream_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        su = ngx_array_push(&smcf->upstreams);
        if (su == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(su, sizeof(ngx_http_smart_upstream_t));

        su->upstream = uscfp[i];
        su->init = uscfp[i]->peer.init;

        /* what makes the peers of round robin leaves this pointer in them */

        peers = uscfp[i]->peer.data;
        su->round_robin = (peers && peers->name == &uscfp[i]->host);

        uscfp[i]->peer.init = ngx_http_smart_peer_init;
    }

    ngx_qsort(smcf->upstreams.elts, smcf->upstreams.nelts,
              sizeof(ngx_http_smart_upstream_t), ngx_http_smart_peer_cmp);

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_int_t                   rc;
    ngx_http_smart_ctx_t       *ctx;
    ngx_http_smart_attempt_t   *a;
    ngx_http_smart_upstream_t  *su;

    su = ngx_http_smart_peer_upstream(r, us);

    if (r == r->main) {

        ctx = ngx_http_smart_ctx(r);

        if (ctx && !ctx->begun && ctx->outcome == NGX_HTTP_SMART_PENDING) {
            ngx_http_smart_begin(r, ctx, ngx_current_msec);
        }

        return su->init(r, us);
    }

    rc = su->init(r, us);

    a = ngx_http_smart_hedge_attempt(r);

    if (rc != NGX_OK || a == NULL) {
        return rc;
    }

    ngx_http_smart_attempt_hook(r, a);

    return ngx_http_smart_peer_exclude(r, a);
}


ngx_http_smart_upstream_t *
ngx_http_smart_peer_upstream(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                   left, right, i;
    ngx_http_smart_upstream_t   *su;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);

    su = smcf->upstreams.elts;

    left = 0;
    right = smcf->upstreams.nelts - 1;

    while (left < right) {

        i = (left + right) / 2;

        if ((uintptr_t) su[i].upstream < (uintptr_t) us) {
            left = i + 1;

        } else {
            right = i;
        }
    }

    return &su[left];
}


ngx_uint_t
ngx_http_smart_peer_available(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_uint_t n)
{
    ngx_http_smart_loc_conf_t         *slcf;
    ngx_http_smart_peer_count_t        count;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    rrp = ngx_http_smart_peer_data(r->upstream);

    if (rrp == NULL) {

        /* the others are down where a backup server is being asked */

        if (ngx_http_smart_peer_on_backup(r)) {
            return 0;
        }

        return slcf->peer == NGX_HTTP_SMART_PEER_PREFER ? n : 0;
    }

    ngx_http_smart_peer_count(ctx, rrp, &count, NULL);

    if (slcf->peer == NGX_HTTP_SMART_PEER_PREFER) {
        return count.usable ? n : 0;
    }

    return ngx_min(n, count.untried);
}


static ngx_int_t
ngx_http_smart_peer_exclude(ngx_http_request_t *r, ngx_http_smart_attempt_t *a)
{
    ngx_http_smart_ctx_t              *ctx;
    ngx_http_smart_loc_conf_t         *slcf;
    ngx_http_smart_peer_count_t        count;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    ctx = a->post.data;

    rrp = ngx_http_smart_peer_data(r->upstream);

    if (rrp == NULL) {
        return NGX_OK;
    }

    slcf = ngx_http_get_module_loc_conf(r->main, ngx_http_smart_module);

    ngx_http_smart_peer_count(ctx, rrp, &count, NULL);

    /* what was usable when the hedge was launched may not be any more */

    if (count.usable == 0
        || (count.untried == 0 && slcf->peer == NGX_HTTP_SMART_PEER_OTHER))
    {
        return NGX_ERROR;
    }

    if (count.untried) {
        ngx_http_smart_peer_count(ctx, rrp, &count, rrp->tried);
        count.usable = count.untried;
    }

    /* never the backup servers, which come after the tries of the others */

    if (r->upstream->peer.tries > count.usable) {
        r->upstream->peer.tries = count.usable;
    }

    return NGX_OK;
}


/* NULL if the balancer is not derived from round robin, or on its backup */
static ngx_http_upstream_rr_peer_data_t *
ngx_http_smart_peer_data(ngx_http_upstream_t *u)
{
    ngx_http_upstream_rr_peer_data_t  *rrp;

    if (u == NULL || u->upstream == NULL || u->peer.data == NULL) {
        return NULL;
    }

    rrp = ngx_http_smart_peer_unwrap(u);

    return (void *) rrp->peers == u->upstream->peer.data ? rrp : NULL;
}


static void *
ngx_http_smart_peer_unwrap(ngx_http_upstream_t *u)
{
    void  **data;

    data = u->peer.data;

    /* keepalive: its configuration, the upstream, the data of the balancer */

    return data[1] == (void *) u ? data[2] : data;
}


static ngx_uint_t
ngx_http_smart_peer_on_backup(ngx_http_request_t *r)
{
    ngx_http_upstream_t               *u;
    ngx_http_smart_upstream_t         *su;
    ngx_http_upstream_rr_peers_t      *peers;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    u = r->upstream;

    if (u->upstream == NULL || u->peer.data == NULL) {
        return 0;
    }

    su = ngx_http_smart_peer_upstream(r, u->upstream);

    if (!su->round_robin) {
        return 0;
    }

    rrp = ngx_http_smart_peer_unwrap(u);
    peers = u->upstream->peer.data;

    return peers->next && rrp->peers == peers->next;
}


/* counts the peers, and sets the bits of those tried if there is a set */
static void
ngx_http_smart_peer_count(ngx_http_smart_ctx_t *ctx,
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_http_smart_peer_count_t *count,
    uintptr_t *set)
{
    uintptr_t                      tried;
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    count->usable = 0;
    count->untried = 0;

    tried = 0;
    peers = rrp->peers;

    ngx_http_upstream_rr_peers_rlock(peers);

    if (!ngx_http_smart_peers_current(peers, rrp)) {
        count->usable = 1;
        ngx_http_upstream_rr_peers_unlock(peers);
        return;
    }

    for (peer = peers->peer, i = 0; peer; peer = peer->next, i++) {

        if (i % NGX_HTTP_SMART_PEER_BITS == 0) {
            tried = ngx_http_smart_peer_tried(ctx, rrp,
                                              i / NGX_HTTP_SMART_PEER_BITS);
            if (set) {
                set[i / NGX_HTTP_SMART_PEER_BITS] |= tried;
            }
        }

        if (ngx_http_smart_peer_usable(peer)) {
            count->usable++;

            /* an only peer is chosen without a look at its bit */

            if (!peers->single
                && !(tried & ((uintptr_t) 1 << i % NGX_HTTP_SMART_PEER_BITS)))
            {
                count->untried++;
            }
        }
    }

    ngx_http_upstream_rr_peers_unlock(peers);
}


/* a word of the bitmap of peers that any attempt has tried */
static uintptr_t
ngx_http_smart_peer_tried(ngx_http_smart_ctx_t *ctx,
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_uint_t word)
{
    uintptr_t                          tried;
    ngx_uint_t                         i;
    ngx_http_request_t                *ar;
    ngx_http_upstream_rr_peer_data_t  *other;

    tried = 0;

    for (i = 0; i < ctx->hedge.started; i++) {

        ar = i ? ctx->race->attempts[i].request : ctx->request;

        if (ar == NULL) {
            continue;
        }

        other = ngx_http_smart_peer_data(ar->upstream);

        if (other && ngx_http_smart_peers_same(rrp, other)) {
            tried |= other->tried[word];
        }
    }

    return tried;
}


static ngx_uint_t
ngx_http_smart_peer_usable(ngx_http_upstream_rr_peer_t *peer)
{
    if (peer->down || (peer->max_conns && peer->conns >= peer->max_conns)) {
        return 0;
    }

    return !(peer->max_fails && peer->fails >= peer->max_fails
             && ngx_time() - peer->checked <= peer->fail_timeout);
}


void
ngx_http_smart_peer_charge(ngx_http_request_t *r, ngx_msec_t delay)
{
    socklen_t             len;
    ngx_msec_t            age, least;
    ngx_uint_t            handshake;
    ngx_sockaddr_t        sa;
    ngx_connection_t     *c;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    c = u->peer.connection;

    if (c == NULL || u->peer.sockaddr == NULL || u->peer.free == NULL
        || u->state == NULL || u->state->connect_time != (ngx_msec_t) -1)
    {
        return;
    }

    /*
     * An attempt that was overtaken at once had no chance to connect, nor one
     * under a deadline of the client's choice; a second is when a connection
     * that got no answer is tried again
     */

    least = delay ? delay : NGX_HTTP_SMART_PEER_CONNECT;
    handshake = 0;

#if (NGX_HTTP_SSL)

    /*
     * a handshake is part of connecting, but takes longer than answers over
     * kept connections, which the delay may be made for
     */

    if (c->ssl) {
        least = ngx_max(least, NGX_HTTP_SMART_PEER_CONNECT);
        handshake = 1;
    }

#endif

    /* of this try: the attempt may have tried another peer before */

    age = ngx_current_msec - u->start_time;

    if (age < least) {
        return;
    }

    /* the peer has accepted, but the event is still to be handled */

    len = sizeof(ngx_sockaddr_t);

    if (!handshake && getpeername(c->fd, &sa.sockaddr, &len) == 0) {
        return;
    }

    u->peer.free(&u->peer, u->peer.data, NGX_PEER_FAILED);
    u->peer.sockaddr = NULL;
}


static int ngx_libc_cdecl
ngx_http_smart_peer_cmp(const void *one, const void *two)
{
    const ngx_http_smart_upstream_t  *a = one;
    const ngx_http_smart_upstream_t  *b = two;

    if ((uintptr_t) a->upstream == (uintptr_t) b->upstream) {
        return 0;
    }

    return (uintptr_t) a->upstream < (uintptr_t) b->upstream ? -1 : 1;
}
