
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Attempts of one request share an entry of nginx's cache.
 */


#include "ngx_http_smart_hedge.h"


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
