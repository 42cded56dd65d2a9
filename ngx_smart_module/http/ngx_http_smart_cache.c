
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Attempts of one request share an entry of nginx's cache.
 */


#include "ngx_http_smart_hedge.h"


#if (NGX_HTTP_CACHE)

static ngx_http_file_cache_node_t *ngx_http_smart_cache_lookup(
    ngx_http_cache_t *c);

#endif


/*
 * nginx drops a cache entry without a file with its last reference, unless
 * that brings an error: a loser must not drop the error that the winner left
 */
void
ngx_http_smart_cache_keep_error(ngx_http_request_t *r)
{
#if (NGX_HTTP_CACHE)

    ngx_http_cache_t            *c;
    ngx_http_file_cache_node_t  *node;

    c = r->cache;

    if (c == NULL || c->node == NULL || c->updated || c->error) {
        return;
    }

    node = c->node;

    ngx_shmtx_lock(&c->file_cache->shpool->mutex);

    if (!node->exists && node->error) {
        c->error = node->error;
        c->valid_sec = node->valid_sec;
    }

    ngx_shmtx_unlock(&c->file_cache->shpool->mutex);

#endif
}


/*
 * a failure is not for the cache while other attempts may succeed, and these
 * look there; nginx has stored one that is intercepted, others it stores later
 */
void
ngx_http_smart_cache_forget_error(ngx_http_request_t *r)
{
#if (NGX_HTTP_CACHE)

    ngx_http_cache_t            *c;
    ngx_http_file_cache_node_t  *node;

    r->upstream->cacheable = 0;

    c = r->cache;

    if (c == NULL || c->error == 0) {
        return;
    }

    ngx_shmtx_lock(&c->file_cache->shpool->mutex);

    node = ngx_http_smart_cache_lookup(c);

    if (node && node->error == c->error) {
        node->error = 0;
    }

    ngx_shmtx_unlock(&c->file_cache->shpool->mutex);

    c->error = 0;

#endif
}


void
ngx_http_smart_cache_unlock(ngx_http_request_t *r)
{
#if (NGX_HTTP_CACHE)

    if (r->cache && r->cache->waiting) {
        ngx_http_smart_cache_stop_waiting(r);
        ngx_http_file_cache_free(r->cache, NULL);
    }

#endif
}


/* other requests that wait for the primary's lock wait for the winner then */
void
ngx_http_smart_cache_take_lock(ngx_http_smart_ctx_t *ctx,
    ngx_http_request_t *r)
{
#if (NGX_HTTP_CACHE)

    ngx_http_cache_t     *c, *from;
    ngx_http_upstream_t  *u;

    c = r->cache;
    u = r->upstream;
    from = ctx->request->cache;

    if (c == NULL || from == NULL || r->cached || !u->cacheable
        || u->cleanup == NULL || c->updating || !from->updating
        || c->node != from->node)
    {
        return;
    }

    c->updating = 1;
    c->lock_time = from->lock_time;

    from->updating = 0;

#endif
}


void
ngx_http_smart_cache_stop_waiting(ngx_http_request_t *r)
{
#if (NGX_HTTP_CACHE)

    ngx_http_cache_t  *c;

    c = r->cache;

    if (c->wait_event.posted) {
        ngx_delete_posted_event(&c->wait_event);
    }

    if (c->wait_event.timer_set) {
        ngx_del_timer(&c->wait_event);
    }

    c->waiting = 0;
    r->main->blocked--;

#endif
}


/*
 * nginx counts the uses of an entry before it stores one: the use of a hedge
 * is that of its primary, which has been counted
 */
ngx_uint_t
ngx_http_smart_cache_forget_use(ngx_http_request_t *r)
{
    ngx_uint_t  forgotten;

    forgotten = 0;

#if (NGX_HTTP_CACHE)
    {
    ngx_http_cache_t            *c;
    ngx_http_file_cache_node_t  *node;

    c = r->cache;

    if (c == NULL || c->min_uses < 2 || c->file_cache == NULL) {
        return 0;
    }

    ngx_shmtx_lock(&c->file_cache->shpool->mutex);

    node = ngx_http_smart_cache_lookup(c);

    if (node && node->uses) {
        node->uses--;
        forgotten = 1;
    }

    ngx_shmtx_unlock(&c->file_cache->shpool->mutex);
    }
#endif

    return forgotten;
}


void
ngx_http_smart_cache_remember_use(ngx_http_request_t *r)
{
#if (NGX_HTTP_CACHE)

    ngx_http_cache_t            *c;
    ngx_http_file_cache_node_t  *node;

    c = r->cache;

    ngx_shmtx_lock(&c->file_cache->shpool->mutex);

    node = ngx_http_smart_cache_lookup(c);

    if (node) {
        node->uses++;
    }

    ngx_shmtx_unlock(&c->file_cache->shpool->mutex);

#endif
}


#if (NGX_HTTP_CACHE)

/* caller holds the mutex of the cache; the primary may have no node any more */
static ngx_http_file_cache_node_t *
ngx_http_smart_cache_lookup(ngx_http_cache_t *c)
{
    ngx_int_t                    rc;
    ngx_rbtree_t                *tree;
    ngx_rbtree_key_t             key;
    ngx_rbtree_node_t           *node;
    ngx_http_file_cache_node_t  *fcn;

    ngx_memcpy(&key, c->key, sizeof(ngx_rbtree_key_t));

    tree = &c->file_cache->sh->rbtree;
    node = tree->root;

    while (node != tree->sentinel) {

        if (node->key != key) {
            node = (key < node->key) ? node->left : node->right;
            continue;
        }

        fcn = (ngx_http_file_cache_node_t *) node;

        rc = ngx_memcmp(c->key + sizeof(ngx_rbtree_key_t), fcn->key,
                        NGX_HTTP_CACHE_KEY_LEN - sizeof(ngx_rbtree_key_t));

        if (rc == 0) {
            return fcn;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}

#endif
