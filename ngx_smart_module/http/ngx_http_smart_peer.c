
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Which peer a hedge goes to.  The balancers of nginx are derived from round
 * robin and skip the peers in a bitmap of those tried: a hedge begins with
 * the bits of its siblings set.
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_series.h"


#define NGX_HTTP_SMART_PEER_BITS     (8 * sizeof(uintptr_t))

/* RFC 6298, section 2: the initial retransmission timeout, ms */
#define NGX_HTTP_SMART_PEER_CONNECT  1000

/* so many losers in a row that were not let in are no chance */
#define NGX_HTTP_SMART_PEER_MISSED   3


typedef struct {
    ngx_uint_t  usable;          /* peers that may be chosen */
    ngx_uint_t  untried;         /* of these, by no attempt */
    ngx_uint_t  idle;            /* of these, less busy than the primary's */
} ngx_http_smart_peer_count_t;


/* requests at a peer, to be divided by its weight */
typedef struct {
    ngx_uint_t  count;
    ngx_uint_t  weight;
} ngx_http_smart_peer_load_t;


typedef struct {
    ngx_http_smart_upstream_t   *upstream;
    ngx_http_smart_peer_load_t   limit;   /* weight 0: there is none */
    ngx_http_smart_peer_load_t   least;
    ngx_uint_t                   ties;    /* peers as busy as the least */
} ngx_http_smart_peer_idle_t;


static ngx_int_t ngx_http_smart_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_smart_peer_hedge(ngx_http_request_t *r,
    ngx_int_t rc) ngx_http_smart_noinline;
static ngx_int_t ngx_http_smart_peer_exclude(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);
static ngx_http_upstream_rr_peer_data_t *ngx_http_smart_peer_data(
    ngx_http_upstream_t *u);
static void *ngx_http_smart_peer_unwrap(ngx_http_upstream_t *u);
static ngx_uint_t ngx_http_smart_peer_on_backup(ngx_http_request_t *r);
static void ngx_http_smart_peer_count(ngx_http_smart_ctx_t *ctx,
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_uint_t policy,
    ngx_http_smart_peer_count_t *count, uintptr_t *set);
static void ngx_http_smart_peer_idle_init(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_peer_idle_t *idle);
static ngx_uint_t ngx_http_smart_peer_idle(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_peer_idle_t *idle, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t *n);
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

    su = smcf->upstreams.elts;

    for (i = 0; i < smcf->upstreams.nelts; i++) {

        /* the place of this module, which has no configuration there */

        if (su[i].upstream->srv_conf) {
            su[i].upstream->srv_conf[ngx_http_smart_module.ctx_index] = &su[i];
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_int_t                    rc;
    ngx_http_smart_ctx_t        *ctx;
    ngx_http_smart_upstream_t   *su;
    ngx_http_smart_main_conf_t  *smcf;

    su = ngx_http_smart_peer_upstream(r, us);

    if (su == NULL) {
        return NGX_ERROR;
    }

    if (r == r->main) {

        ctx = ngx_http_smart_ctx(r);

        if (ctx && !ctx->begun && ctx->outcome == NGX_HTTP_SMART_PENDING) {
            ngx_http_smart_begin(r, ctx, ngx_current_msec);
        }
    }

    rc = su->init(r, us);

    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);

    if (rc == NGX_OK && smcf->busy) {
        rc = ngx_http_smart_busy_wrap(r, su);
    }

    return (r == r->main) ? rc : ngx_http_smart_peer_hedge(r, rc);
}


/* the peers of a hedge are known, if rc is NGX_OK */
static ngx_int_t
ngx_http_smart_peer_hedge(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_smart_attempt_t  *a;

    a = ngx_http_smart_hedge_attempt(r);

    if (rc != NGX_OK || a == NULL) {
        return rc;
    }

    ngx_http_smart_attempt_hook(r, a);

    return ngx_http_smart_peer_exclude(r, a);
}


ngx_http_smart_upstream_t *
ngx_http_smart_peer_search(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                   left, right, i;
    ngx_http_smart_upstream_t   *su;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);

    su = smcf->upstreams.elts;

    left = 0;
    right = smcf->upstreams.nelts;

    while (left < right) {

        i = (left + right) / 2;

        if ((uintptr_t) su[i].upstream < (uintptr_t) us) {
            left = i + 1;

        } else {
            right = i;
        }
    }

    return (left < smcf->upstreams.nelts && su[left].upstream == us)
           ? &su[left] : NULL;
}


ngx_uint_t
ngx_http_smart_peer_available(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_uint_t n, ngx_uint_t *reason)
{
    ngx_http_smart_loc_conf_t         *slcf;
    ngx_http_smart_peer_count_t        count;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    *reason = NGX_HTTP_SMART_NO_PEER;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);

    rrp = ngx_http_smart_peer_data(r->upstream);

    if (rrp == NULL) {

        /* the others are down where a backup server is being asked */

        if (ngx_http_smart_peer_on_backup(r)) {
            return 0;
        }

        return slcf->peer == NGX_HTTP_SMART_PEER_PREFER ? n : 0;
    }

    if (slcf->peer == NGX_HTTP_SMART_PEER_IDLE) {
        ngx_http_smart_busy_heal(r);
    }

    ngx_http_smart_peer_count(ctx, rrp, slcf->peer, &count, NULL);

    switch (slcf->peer) {

    case NGX_HTTP_SMART_PEER_PREFER:
        return count.usable ? n : 0;

    case NGX_HTTP_SMART_PEER_OTHER:
        return ngx_min(n, count.untried);

    default: /* NGX_HTTP_SMART_PEER_IDLE */

        if (count.untried && count.idle == 0) {
            *reason = NGX_HTTP_SMART_BUSY;
        }

        return ngx_min(n, count.idle);
    }
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

    ngx_http_smart_peer_count(ctx, rrp, slcf->peer, &count, NULL);

    /* what was usable when the hedge was launched may not be any more */

    if (count.usable == 0
        || (count.untried == 0 && slcf->peer != NGX_HTTP_SMART_PEER_PREFER))
    {
        return NGX_ERROR;
    }

    if (count.untried) {
        ngx_http_smart_peer_count(ctx, rrp, slcf->peer, &count, rrp->tried);
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

    data = ngx_http_smart_busy_unwrap(&u->peer);

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

    if (su == NULL || !su->round_robin) {
        return 0;
    }

    rrp = ngx_http_smart_peer_unwrap(u);
    peers = u->upstream->peer.data;

    return peers->next && rrp->peers == peers->next;
}


/*
 * Counts the peers, and sets the bits of those that a hedge must not choose if
 * there is a set
 */
static void
ngx_http_smart_peer_count(ngx_http_smart_ctx_t *ctx,
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_uint_t policy,
    ngx_http_smart_peer_count_t *count, uintptr_t *set)
{
    uintptr_t                      tried;
    ngx_uint_t                     i, best;
    ngx_http_smart_peer_idle_t     idle;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    count->usable = 0;
    count->untried = 0;
    count->idle = 0;

    tried = 0;
    best = 0;
    peers = rrp->peers;

    ngx_http_upstream_rr_peers_rlock(peers);

    if (!ngx_http_smart_peers_current(peers, rrp)) {
        count->usable = 1;
        ngx_http_upstream_rr_peers_unlock(peers);
        return;
    }

    ngx_memzero(&idle, sizeof(ngx_http_smart_peer_idle_t));

    if (policy == NGX_HTTP_SMART_PEER_IDLE) {
        ngx_http_smart_peer_idle_init(ctx, &idle);
    }

    for (peer = peers->peer, i = 0; peer; peer = peer->next, i++) {

        if (i % NGX_HTTP_SMART_PEER_BITS == 0) {
            tried = ngx_http_smart_peer_tried(ctx, rrp,
                                              i / NGX_HTTP_SMART_PEER_BITS);
            if (set) {
                set[i / NGX_HTTP_SMART_PEER_BITS] |= tried;
            }
        }

        if (!ngx_http_smart_peer_usable(peer)) {
            continue;
        }

        count->usable++;

        /* an only peer is chosen without a look at its bit */

        if (peers->single
            || (tried & ((uintptr_t) 1 << i % NGX_HTTP_SMART_PEER_BITS)))
        {
            continue;
        }

        count->untried++;

        if (policy == NGX_HTTP_SMART_PEER_IDLE
            && ngx_http_smart_peer_idle(ctx, &idle, peer, &count->idle))
        {
            best = i;
        }
    }

    if (set && policy == NGX_HTTP_SMART_PEER_IDLE && count->untried) {

        /* only the least busy one is left */

        while (i--) {
            if (i != best) {
                set[i / NGX_HTTP_SMART_PEER_BITS] |=
                                (uintptr_t) 1 << i % NGX_HTTP_SMART_PEER_BITS;
            }
        }

        count->untried = 1;
    }

    ngx_http_upstream_rr_peers_unlock(peers);
}


/* what the primary's peer is compared with: nothing once it has failed */
static void
ngx_http_smart_peer_idle_init(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_peer_idle_t *idle)
{
    ngx_http_request_t                *r;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    r = ctx->request;

    idle->upstream = ngx_http_smart_peer_upstream(r, r->upstream->upstream);

    if (ctx->ended) {
        return;
    }

    rrp = ngx_http_smart_peer_data(r->upstream);

    if (rrp && rrp->current) {
        idle->limit.weight = ngx_max(rrp->current->weight, 1);
        idle->limit.count = ngx_http_smart_busy_count(r, idle->upstream,
                                                      rrp->current);
    }
}


/* counts a peer that is less busy than the primary's; 1 if it is the least
 * busy so far, or drawn among several that are */
static ngx_uint_t
ngx_http_smart_peer_idle(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_peer_idle_t *idle, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t *n)
{
    ngx_http_smart_peer_load_t  load;

    load.weight = ngx_max(peer->weight, 1);
    load.count = ngx_http_smart_busy_count(ctx->request, idle->upstream, peer);

    if (idle->limit.weight == 0
        || load.count * idle->limit.weight < idle->limit.count * load.weight)
    {
        (*n)++;
    }

    if (idle->ties
        && load.count * idle->least.weight > idle->least.count * load.weight)
    {
        return 0;
    }

    if (idle->ties == 0
        || load.count * idle->least.weight < idle->least.count * load.weight)
    {
        idle->least = load;
        idle->ties = 1;
        return 1;
    }

    return (ngx_uint_t) ngx_random() % ++idle->ties == 0;
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
    socklen_t               len;
    ngx_msec_t              age, least;
    ngx_uint_t              handshake;
    ngx_sockaddr_t          sa;
    ngx_connection_t       *c;
    ngx_http_upstream_t    *u;
    ngx_http_smart_peer_t  *peer;

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

    peer = ngx_http_smart_series_chosen(r);

    if (peer) {

        /* a SYN gets lost at times, but not one after the other */

        if (age < NGX_HTTP_SMART_PEER_CONNECT
            && ++peer->missed < NGX_HTTP_SMART_PEER_MISSED)
        {
            return;
        }

        peer->missed = 0;
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
