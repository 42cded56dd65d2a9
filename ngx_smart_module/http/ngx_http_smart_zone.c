
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_module.h"
#include "ngx_http_smart_series.h"


#define NGX_HTTP_SMART_ZONE_DEFAULT   (8 * 1024 * 1024)

/* tables of the slab allocator, and its partly used pages */
#define NGX_HTTP_SMART_ZONE_PAGES     24


static ngx_int_t ngx_http_smart_zone_init(ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_http_smart_zone_slots(ngx_shm_zone_t *zone,
    ngx_http_smart_main_conf_t *smcf);
static ngx_int_t ngx_http_smart_zone_locations(ngx_slab_pool_t *shpool,
    ngx_http_smart_main_conf_t *smcf);
static ngx_int_t ngx_http_smart_zone_peers(ngx_slab_pool_t *shpool,
    ngx_http_smart_main_conf_t *smcf);
static ngx_http_smart_slot_t *ngx_http_smart_zone_slot(
    ngx_slab_pool_t *shpool, ngx_http_smart_shared_t *shared,
    ngx_uint_t kind, size_t size, ngx_str_t *first, ngx_str_t *second);
static void ngx_http_smart_zone_reclaim(ngx_slab_pool_t *shpool,
    ngx_http_smart_shared_t *shared);
static ngx_uint_t ngx_http_smart_zone_in_flight(
    ngx_http_smart_shared_t *shared, ngx_http_smart_slot_t *slot);
static size_t ngx_http_smart_zone_need(ngx_http_smart_main_conf_t *smcf);
static size_t ngx_http_smart_zone_round(size_t size);


ngx_int_t
ngx_http_smart_zone_add(ngx_conf_t *cf)
{
    uint32_t                     hash;
    ngx_str_t                    name;
    ngx_http_smart_main_conf_t  *smcf;

    /* what the layout of the slots depends on */

    static const size_t  layout[] = {
        sizeof(ngx_http_smart_shared_t),
        sizeof(ngx_http_smart_slot_t),
        sizeof(ngx_http_smart_series_t),
        sizeof(ngx_http_smart_peer_series_t),
        offsetof(ngx_http_smart_series_t, requests),
        offsetof(ngx_http_smart_series_t, budget),
        offsetof(ngx_http_smart_series_t, sketch),
        offsetof(ngx_http_smart_series_t, in_flight),
        NGX_HTTP_SMART_SHARDS,
        NGX_SMART_SKETCH_STEPS,
        NGX_SMART_PROM_BUCKETS,
        NGX_HTTP_SMART_OUTCOMES,
        NGX_HTTP_SMART_RESULTS,
        NGX_HTTP_SMART_REASONS
    };

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    if (smcf->locations.nelts == 0 && !smcf->metrics && !smcf->zone_size) {
        return NGX_OK;
    }

    if (smcf->zone_size == 0) {
        smcf->zone_size = NGX_HTTP_SMART_ZONE_DEFAULT;
    }

    /* another layout is another zone: it would not be reused on a reload */

    hash = ngx_crc32_long((u_char *) layout, sizeof(layout));

    name.data = ngx_pnalloc(cf->pool, sizeof("ngx_smart_") - 1 + 8);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    name.len = ngx_sprintf(name.data, "ngx_smart_%08xD", hash) - name.data;

    smcf->zone = ngx_shared_memory_add(cf, &name, smcf->zone_size,
                                       &ngx_http_smart_module);
    if (smcf->zone == NULL) {
        return NGX_ERROR;
    }

    smcf->zone->init = ngx_http_smart_zone_init;
    smcf->zone->data = smcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_smart_main_conf_t  *prev = data;

    ngx_int_t                    rc;
    ngx_slab_pool_t             *shpool;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (prev) {
        smcf->shared = prev->shared;

    } else {

        if (ngx_process != NGX_PROCESS_SINGLE && !ngx_test_config
            && getpid() == ngx_pid && ngx_pid != 0
            && !ngx_is_init_cycle(ngx_cycle))
        {
            ngx_log_error(NGX_LOG_NOTICE, zone->shm.log, 0,
                          "smart: the size or the layout of \"smart_zone\" "
                          "has changed, counters start again");
        }

        smcf->shared = ngx_slab_calloc(shpool,
                                       sizeof(ngx_http_smart_shared_t));
        if (smcf->shared == NULL) {
            goto small;
        }

        ngx_queue_init(&smcf->shared->slots);
        smcf->shared->start = ngx_time();

        /* our own message says more */
        shpool->log_nomem = 0;
    }

    ngx_shmtx_lock(&shpool->mutex);

    rc = ngx_http_smart_zone_slots(zone, smcf);

    ngx_shmtx_unlock(&shpool->mutex);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

small:

    ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                  "\"smart_zone\" of %uzk is too small for %ui locations and "
                  "%ui peers, it takes \"smart_zone %uzk\"",
                  smcf->zone_size / 1024, smcf->locations.nelts,
                  smcf->npeers, ngx_http_smart_zone_need(smcf) / 1024);

    return NGX_ERROR;
}


/* the zone mutex is held */
static ngx_int_t
ngx_http_smart_zone_slots(ngx_shm_zone_t *zone,
    ngx_http_smart_main_conf_t *smcf)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    smcf->shared->generation++;

    if (ngx_http_smart_zone_locations(shpool, smcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_smart_zone_peers(shpool, smcf);
}


static ngx_int_t
ngx_http_smart_zone_locations(ngx_slab_pool_t *shpool,
    ngx_http_smart_main_conf_t *smcf)
{
    ngx_uint_t                  i;
    ngx_uint_t                  generation;
    ngx_http_smart_slot_t      *slot;
    ngx_http_smart_series_t   **series;
    ngx_http_smart_location_t  *location;

    location = smcf->locations.elts;

    for (i = 0; i < smcf->locations.nelts; i++) {

        generation = smcf->shared->generation;

        slot = ngx_http_smart_zone_slot(shpool, smcf->shared,
                                        NGX_HTTP_SMART_ZONE_LOCATION,
                                        sizeof(ngx_http_smart_series_t),
                                        &location[i].server,
                                        &location[i].name);
        if (slot == NULL) {
            return NGX_ERROR;
        }

        location[i].conf->series = (ngx_http_smart_series_t *) slot;

        /* locations of one name share a slot */

        if (slot->named == generation) {
            continue;
        }

        slot->named = generation;

        if (location[i].conf->plan.percentile == 0) {
            location[i].conf->series->delay = location[i].conf->plan.delay;
        }

        location[i].conf->series->budget_conf = location[i].conf->budget;

        series = ngx_array_push(&smcf->series);
        if (series == NULL) {
            return NGX_ERROR;
        }

        *series = (ngx_http_smart_series_t *) slot;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_zone_peers(ngx_slab_pool_t *shpool,
    ngx_http_smart_main_conf_t *smcf)
{
    ngx_uint_t                  i, n;
    ngx_http_smart_slot_t      *slot;
    ngx_http_smart_peer_t      *peer;
    ngx_http_smart_upstream_t  *su;

    su = smcf->upstreams.elts;

    for (i = 0; i < smcf->upstreams.nelts; i++) {

        peer = su[i].peers.elts;

        for (n = 0; n < su[i].peers.nelts; n++) {

            slot = ngx_http_smart_zone_slot(shpool, smcf->shared,
                                         NGX_HTTP_SMART_ZONE_PEER,
                                         sizeof(ngx_http_smart_peer_series_t),
                                         &su[i].name, &peer[n].name);
            if (slot == NULL) {
                return NGX_ERROR;
            }

            /* two upstreams may be of one name, by different ports' defaults */

            peer[n].again = (slot->named == smcf->shared->generation);
            slot->named = smcf->shared->generation;

            peer[n].series = (ngx_http_smart_peer_series_t *) slot;
        }
    }

    return NGX_OK;
}


/* finds the slot, or makes it */
static ngx_http_smart_slot_t *
ngx_http_smart_zone_slot(ngx_slab_pool_t *shpool,
    ngx_http_smart_shared_t *shared, ngx_uint_t kind, size_t size,
    ngx_str_t *first, ngx_str_t *second)
{
    u_char                 *p;
    size_t                  need;
    ngx_queue_t            *q;
    ngx_http_smart_slot_t  *slot;

    for (q = ngx_queue_head(&shared->slots);
         q != ngx_queue_sentinel(&shared->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_http_smart_slot_t, queue);

        if (slot->kind == kind
            && slot->labels[0].len == first->len
            && slot->labels[1].len == second->len
            && ngx_memcmp(slot->labels[0].data, first->data, first->len) == 0
            && ngx_memcmp(slot->labels[1].data, second->data, second->len)
               == 0)
        {
            return slot;
        }
    }

    need = size + first->len + second->len;

    slot = ngx_slab_alloc_locked(shpool, need);

    if (slot == NULL) {

        ngx_http_smart_zone_reclaim(shpool, shared);

        slot = ngx_slab_alloc_locked(shpool, need);
        if (slot == NULL) {
            return NULL;
        }
    }

    ngx_memzero(slot, size);

    slot->kind = kind;

    p = (u_char *) slot + size;

    slot->labels[0].len = first->len;
    slot->labels[0].data = p;
    p = ngx_cpymem(p, first->data, first->len);

    slot->labels[1].len = second->len;
    slot->labels[1].data = p;
    ngx_memcpy(p, second->data, second->len);

    ngx_queue_insert_tail(&shared->slots, &slot->queue);

    return slot;
}


/*
 * Frees what neither the configurations of living workers name, as far as can
 * be known, nor a request of an old worker counts in
 */
static void
ngx_http_smart_zone_reclaim(ngx_slab_pool_t *shpool,
    ngx_http_smart_shared_t *shared)
{
    ngx_uint_t              busy;
    ngx_queue_t            *q, *next;
    ngx_http_smart_slot_t  *slot;

    busy = 0;

    for (q = ngx_queue_head(&shared->slots);
         q != ngx_queue_sentinel(&shared->slots);
         q = next)
    {
        next = ngx_queue_next(q);

        slot = ngx_queue_data(q, ngx_http_smart_slot_t, queue);

        if (slot->named == shared->generation || slot->used == shared->current
            || slot->used == shared->previous)
        {
            continue;
        }

        if (ngx_http_smart_zone_in_flight(shared, slot)) {
            busy = 1;
            continue;
        }

        /* locations come before peers, which do not know who uses them */

        if (busy && slot->kind == NGX_HTTP_SMART_ZONE_PEER) {
            continue;
        }

        ngx_queue_remove(q);
        ngx_slab_free_locked(shpool, slot);
    }
}


static ngx_uint_t
ngx_http_smart_zone_in_flight(ngx_http_smart_shared_t *shared,
    ngx_http_smart_slot_t *slot)
{
    ngx_uint_t                i;
    ngx_http_smart_series_t  *series;

    if (slot->kind != NGX_HTTP_SMART_ZONE_LOCATION) {
        return 0;
    }

    series = (ngx_http_smart_series_t *) slot;

    for (i = 0; i < shared->nshards; i++) {
        if (series->in_flight[i]) {
            return 1;
        }
    }

    return 0;
}


/* a size with which the whole configuration fits into a fresh zone */
static size_t
ngx_http_smart_zone_need(ngx_http_smart_main_conf_t *smcf)
{
    size_t                      need;
    ngx_uint_t                  i, n;
    ngx_http_smart_peer_t      *peer;
    ngx_http_smart_upstream_t  *su;
    ngx_http_smart_location_t  *location;

    need = 0;
    location = smcf->locations.elts;

    for (i = 0; i < smcf->locations.nelts; i++) {
        need += ngx_http_smart_zone_round(sizeof(ngx_http_smart_series_t)
                                          + location[i].server.len
                                          + location[i].name.len);
    }

    su = smcf->upstreams.elts;

    for (i = 0; i < smcf->upstreams.nelts; i++) {

        peer = su[i].peers.elts;

        for (n = 0; n < su[i].peers.nelts; n++) {
            need += ngx_http_smart_zone_round(
                                         sizeof(ngx_http_smart_peer_series_t)
                                         + su[i].name.len + peer[n].name.len);
        }
    }

    need = need / ngx_pagesize + NGX_HTTP_SMART_ZONE_PAGES;
    need *= ngx_pagesize + sizeof(ngx_slab_page_t);

    return ngx_align(need, 64 * 1024);
}


/* what the slab allocator takes for an object */
static size_t
ngx_http_smart_zone_round(size_t size)
{
    size_t  n;

    if (size > ngx_pagesize / 2) {
        return ngx_align(size, ngx_pagesize);
    }

    for (n = 8; n < size; n *= 2) { /* void */ }

    return n;
}


void
ngx_http_smart_zone_commit(ngx_cycle_t *cycle)
{
    ngx_queue_t                 *q;
    ngx_slab_pool_t             *shpool;
    ngx_http_smart_slot_t       *slot;
    ngx_http_smart_shared_t     *shared;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_smart_module);

    if (smcf == NULL || smcf->shared == NULL) {
        return;
    }

    shared = smcf->shared;
    shpool = (ngx_slab_pool_t *) smcf->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    shared->previous = shared->current;
    shared->current = shared->generation;

    for (q = ngx_queue_head(&shared->slots);
         q != ngx_queue_sentinel(&shared->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_http_smart_slot_t, queue);

        if (slot->named == shared->current) {
            slot->used = shared->current;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


size_t
ngx_http_smart_zone_used(ngx_shm_zone_t *zone)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    return zone->shm.size - shpool->pfree * ngx_pagesize;
}
