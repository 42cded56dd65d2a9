
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Counts of what is in flight.  Each worker has a shard of them for itself, so
 * that what a killed one leaves behind can be told from what is true.
 */


#include "ngx_http_smart_module.h"
#include "ngx_http_smart_series.h"


static ngx_uint_t ngx_http_smart_shard_find(ngx_http_smart_shared_t *shared);
static ngx_uint_t ngx_http_smart_shard_dead(ngx_pid_t pid);
static void ngx_http_smart_shard_reset(ngx_http_smart_shared_t *shared,
    ngx_uint_t shard);


ngx_uint_t  ngx_http_smart_shard_own;


void
ngx_http_smart_shard_init_process(ngx_cycle_t *cycle)
{
    ngx_slab_pool_t             *shpool;
    ngx_http_smart_shared_t     *shared;
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_smart_module);

    if (smcf == NULL || smcf->shared == NULL) {
        return;
    }

    shared = smcf->shared;
    shpool = (ngx_slab_pool_t *) smcf->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    ngx_http_smart_shard_own = ngx_http_smart_shard_find(shared);

    if (ngx_http_smart_shard_own != NGX_HTTP_SMART_SHARDS - 1) {

        shared->shards[ngx_http_smart_shard_own].pid = ngx_pid;
        shared->shards[ngx_http_smart_shard_own].process = ngx_process_slot;

        ngx_http_smart_shard_reset(shared, ngx_http_smart_shard_own);
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


/* the zone mutex is held */
static ngx_uint_t
ngx_http_smart_shard_find(ngx_http_smart_shared_t *shared)
{
    ngx_uint_t  i;

    /* that of the predecessor, whose pid may be another's by now */

    for (i = 0; i < shared->nshards; i++) {
        if (shared->shards[i].pid
            && shared->shards[i].process == ngx_process_slot)
        {
            return i;
        }
    }

    for (i = 0; i < shared->nshards && i < NGX_HTTP_SMART_SHARDS - 1; i++) {
        if (ngx_http_smart_shard_dead(shared->shards[i].pid)) {
            return i;
        }
    }

    if (shared->nshards < NGX_HTTP_SMART_SHARDS) {
        shared->nshards++;
    }

    return i;
}


static ngx_uint_t
ngx_http_smart_shard_dead(ngx_pid_t pid)
{
    return pid == 0 || (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH);
}


void
ngx_http_smart_shard_heal(ngx_shm_zone_t *zone, ngx_http_smart_shared_t *shared)
{
    ngx_uint_t        i;
    ngx_pid_t         pid;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    for (i = 0; i < shared->nshards; i++) {

        pid = shared->shards[i].pid;

        if (pid == 0 || !ngx_http_smart_shard_dead(pid)) {
            continue;
        }

        ngx_shmtx_lock(&shpool->mutex);

        if (shared->shards[i].pid == pid) {
            shared->shards[i].pid = 0;
            ngx_http_smart_shard_reset(shared, i);
        }

        ngx_shmtx_unlock(&shpool->mutex);
    }
}


/* the zone mutex is held */
static void
ngx_http_smart_shard_reset(ngx_http_smart_shared_t *shared, ngx_uint_t shard)
{
    ngx_queue_t            *q;
    ngx_http_smart_slot_t  *slot;

    for (q = ngx_queue_head(&shared->slots);
         q != ngx_queue_sentinel(&shared->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_http_smart_slot_t, queue);

        if (slot->kind == NGX_HTTP_SMART_ZONE_LOCATION) {
            ((ngx_http_smart_series_t *) slot)->in_flight[shard] = 0;

        } else {
            ((ngx_http_smart_peer_series_t *) slot)->in_flight[shard] = 0;
        }
    }
}


ngx_uint_t
ngx_http_smart_shard_sum(ngx_http_smart_shared_t *shared, uint32_t *in_flight)
{
    int64_t     sum;
    ngx_uint_t  i;

    sum = 0;

    for (i = 0; i < shared->nshards; i++) {
        sum += (int32_t) in_flight[i];
    }

    return sum > 0 ? (ngx_uint_t) sum : 0;
}
