
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_journal_zone.h"
#include "ngx_http_smart_journal_process.h"


/* tables of the slab allocator */
#define NGX_HTTP_SMART_JOURNAL_ZONE_PAGES  24


static ngx_int_t ngx_http_smart_journal_zone_init(ngx_shm_zone_t *zone,
    void *data);
static size_t ngx_http_smart_journal_zone_size(ngx_uint_t queue);
static void ngx_http_smart_journal_zone_lock(
    ngx_http_smart_journal_main_conf_t *jmcf);
static void ngx_http_smart_journal_zone_unlock(
    ngx_http_smart_journal_main_conf_t *jmcf);
static ngx_uint_t ngx_http_smart_journal_zone_alive(ngx_pid_t pid);
static ngx_uint_t ngx_http_smart_journal_zone_others(
    ngx_http_smart_journal_shared_t *shared);
static void ngx_http_smart_journal_zone_lose(
    ngx_http_smart_journal_shared_t *shared, const uint32_t *dead,
    ngx_uint_t n, ngx_uint_t untake);


ngx_int_t
ngx_http_smart_journal_zone_add(ngx_conf_t *cf)
{
    uint32_t                             hash;
    ngx_str_t                            name;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    /* what the layout depends on */

    size_t  layout[] = {
        sizeof(ngx_http_smart_journal_shared_t),
        sizeof(ngx_smart_ring_slot_t),
        NGX_SMART_CELL_SIZE,
        0
    };

    jmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_smart_journal_module);

    /* another store, queue or layout is another zone: what waits in the old
     * one is written by the old workers */

    layout[3] = jmcf->queue;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, (u_char *) layout, sizeof(layout));
    ngx_crc32_update(&hash, (u_char *) jmcf->options.place,
                     ngx_strlen(jmcf->options.place));
    ngx_crc32_final(hash);

    name.data = ngx_pnalloc(cf->pool, sizeof("ngx_smart_journal_") - 1 + 8);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    name.len = ngx_sprintf(name.data, "ngx_smart_journal_%08xD", hash)
               - name.data;

    jmcf->zone = ngx_shared_memory_add(cf, &name,
                                 ngx_http_smart_journal_zone_size(jmcf->queue),
                                 &ngx_http_smart_journal_module);
    if (jmcf->zone == NULL) {
        return NGX_ERROR;
    }

    jmcf->zone->init = ngx_http_smart_journal_zone_init;
    jmcf->zone->data = jmcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_journal_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_smart_journal_main_conf_t  *prev = data;

    ngx_slab_pool_t                     *shpool;
    ngx_http_smart_journal_shared_t     *shared;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    jmcf = zone->data;

    if (prev) {
        jmcf->shared = prev->shared;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    shared = ngx_slab_calloc(shpool, sizeof(ngx_http_smart_journal_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    shared->ring = ngx_slab_alloc(shpool, ngx_smart_ring_size(jmcf->queue));
    if (shared->ring == NULL) {
        return NGX_ERROR;
    }

    shared->cells = ngx_slab_alloc(shpool, jmcf->queue * NGX_SMART_CELL_SIZE);
    if (shared->cells == NULL) {
        return NGX_ERROR;
    }

    ngx_smart_ring_init(shared->ring, jmcf->queue);

    shared->instance = ngx_http_smart_journal_process_random()
                       & INT64_C(0x7fffffffffffffff);

    jmcf->shared = shared;

    return NGX_OK;
}


static size_t
ngx_http_smart_journal_zone_size(ngx_uint_t queue)
{
    size_t  pages;

    pages = sizeof(ngx_http_smart_journal_shared_t) / ngx_pagesize
            + ngx_smart_ring_size(queue) / ngx_pagesize
            + queue * NGX_SMART_CELL_SIZE / ngx_pagesize
            + NGX_HTTP_SMART_JOURNAL_ZONE_PAGES;

    return pages * (ngx_pagesize + sizeof(ngx_slab_page_t));
}


uint32_t
ngx_http_smart_journal_zone_begin(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_smart_record_t *record)
{
    uint32_t                          n, slot;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;

    ngx_smart_cell_limit(record);

    n = ngx_smart_cell_need(record);

    ngx_http_smart_journal_zone_lock(jmcf);

    slot = ngx_smart_ring_acquire(shared->ring, n);

    if (slot != NGX_SMART_RING_NONE) {
        ngx_smart_cell_begin(shared->cells, shared->ring, slot, record);
        ngx_smart_ring_open(shared->ring, slot, (uint32_t) ngx_pid);
    }

    ngx_http_smart_journal_zone_unlock(jmcf);

    if (slot != NGX_SMART_RING_NONE) {
        (void) ngx_atomic_fetch_add(&shared->events[NGX_SMART_RECORD_OPEN], 1);

    } else {
        (void) ngx_atomic_fetch_add(
                       &shared->dropped[NGX_HTTP_SMART_JOURNAL_DROPPED_FULL],
                       1);
    }

    return slot;
}


void
ngx_http_smart_journal_zone_end(ngx_http_smart_journal_main_conf_t *jmcf,
    uint32_t slot, ngx_smart_record_t *record)
{
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;

    ngx_http_smart_journal_zone_lock(jmcf);

    ngx_smart_cell_end(shared->cells, shared->ring, slot, record);
    ngx_smart_ring_done(shared->ring, slot, NGX_SMART_RING_DONE);

    ngx_http_smart_journal_zone_unlock(jmcf);

    (void) ngx_atomic_fetch_add(&shared->events[record->state], 1);
}


static void
ngx_http_smart_journal_zone_lock(ngx_http_smart_journal_main_conf_t *jmcf)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) jmcf->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);
}


static void
ngx_http_smart_journal_zone_unlock(ngx_http_smart_journal_main_conf_t *jmcf)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) jmcf->zone->shm.addr;

    ngx_shmtx_unlock(&shpool->mutex);
}


void
ngx_http_smart_journal_zone_join(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;

    ngx_http_smart_journal_zone_lock(jmcf);

    for (i = 0; i < shared->nworkers; i++) {
        if (shared->workers[i].pid == 0
            || shared->workers[i].pid == ngx_pid)
        {
            break;
        }
    }

    if (i < NGX_MAX_PROCESSES) {
        shared->workers[i].pid = ngx_pid;
        shared->workers[i].leaving = 0;

        if (i == shared->nworkers) {
            shared->nworkers++;
        }
    }

    if (shared->master.pid == 0) {
        shared->master.pid = (ngx_process == NGX_PROCESS_SINGLE) ? ngx_pid
                                                                 : getppid();
    }

    ngx_http_smart_journal_zone_unlock(jmcf);

    ngx_http_smart_journal_process_started(&shared->master);
}


ngx_uint_t
ngx_http_smart_journal_zone_elect(ngx_http_smart_journal_main_conf_t *jmcf)
{
    uint32_t                          dead;
    ngx_pid_t                         writer;
    ngx_uint_t                        elected;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;
    writer = shared->writer;

    if (writer && ngx_http_smart_journal_zone_alive(writer)) {
        return 0;
    }

    elected = 0;

    ngx_http_smart_journal_zone_lock(jmcf);

    if (shared->writer == writer
        && !(ngx_exiting && ngx_http_smart_journal_zone_others(shared)))
    {
        elected = 1;
        shared->writer = ngx_pid;

        /* a dead writer's batch, and whatever else it left undone */

        dead = (uint32_t) writer;

        ngx_http_smart_journal_zone_lose(shared, &dead, writer ? 1 : 0, 1);
    }

    ngx_http_smart_journal_zone_unlock(jmcf);

    return elected;
}


static ngx_uint_t
ngx_http_smart_journal_zone_alive(ngx_pid_t pid)
{
    return pid == ngx_pid || kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


/* the mutex is held; 1 if there is a worker that stays */
static ngx_uint_t
ngx_http_smart_journal_zone_others(ngx_http_smart_journal_shared_t *shared)
{
    ngx_uint_t  i;

    for (i = 0; i < shared->nworkers; i++) {
        if (shared->workers[i].pid && shared->workers[i].pid != ngx_pid
            && !shared->workers[i].leaving
            && ngx_http_smart_journal_zone_alive(shared->workers[i].pid))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_smart_journal_zone_hand_over(ngx_http_smart_journal_main_conf_t *jmcf)
{
    ngx_uint_t                        i, others;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;

    ngx_http_smart_journal_zone_lock(jmcf);

    for (i = 0; i < shared->nworkers; i++) {
        if (shared->workers[i].pid == ngx_pid) {
            shared->workers[i].leaving = 1;
        }
    }

    others = ngx_http_smart_journal_zone_others(shared);

    if (others && shared->writer == ngx_pid) {
        shared->writer = 0;
    }

    ngx_http_smart_journal_zone_unlock(jmcf);

    return others;
}


ngx_uint_t
ngx_http_smart_journal_zone_sweep(ngx_http_smart_journal_main_conf_t *jmcf)
{
    uint32_t                          dead[NGX_MAX_PROCESSES];
    ngx_uint_t                        i, n;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;
    n = 0;

    for (i = 0; i < shared->nworkers; i++) {
        if (shared->workers[i].pid
            && !ngx_http_smart_journal_zone_alive(shared->workers[i].pid))
        {
            dead[n++] = (uint32_t) shared->workers[i].pid;
        }
    }

    if (n == 0) {
        return 0;
    }

    ngx_http_smart_journal_zone_lock(jmcf);

    ngx_http_smart_journal_zone_lose(shared, dead, n, 0);

    ngx_http_smart_journal_zone_unlock(jmcf);

    return n;
}


/* the mutex is held */
static void
ngx_http_smart_journal_zone_lose(ngx_http_smart_journal_shared_t *shared,
    const uint32_t *dead, ngx_uint_t n, ngx_uint_t untake)
{
    size_t      lost;
    ngx_uint_t  i, k;

    lost = ngx_smart_ring_recover(shared->ring, dead, n, untake);

    (void) ngx_atomic_fetch_add(&shared->events[NGX_SMART_RECORD_INTERRUPTED],
                                lost);
    (void) ngx_atomic_fetch_add(&shared->swept, lost);

    for (i = 0; i < shared->nworkers; i++) {
        for (k = 0; k < n; k++) {
            if ((uint32_t) shared->workers[i].pid == dead[k]) {
                shared->workers[i].pid = 0;
            }
        }
    }
}


ngx_uint_t
ngx_http_smart_journal_zone_leave(ngx_http_smart_journal_main_conf_t *jmcf)
{
    uint32_t                          self;
    ngx_uint_t                        writes;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;
    self = (uint32_t) ngx_pid;

    ngx_http_smart_journal_zone_lock(jmcf);

    if (shared->writer
        && !ngx_http_smart_journal_zone_alive(shared->writer))
    {
        shared->writer = 0;
    }

    writes = (shared->writer == 0 || shared->writer == ngx_pid);

    if (writes) {
        shared->writer = ngx_pid;
    }

    ngx_http_smart_journal_zone_lose(shared, &self, 1, writes);

    ngx_http_smart_journal_zone_unlock(jmcf);

    return writes;
}


ngx_uint_t
ngx_http_smart_journal_zone_left(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_uint_t force, ngx_uint_t *left)
{
    ngx_uint_t                        i, ended;
    ngx_http_smart_journal_shared_t  *shared;

    shared = jmcf->shared;
    *left = 0;

    ngx_http_smart_journal_zone_lock(jmcf);

    ended = (shared->ring->queued == 0 || force);

    if (ended) {
        shared->writer = 0;
        *left = shared->ring->queued;

        for (i = 0; i < shared->nworkers; i++) {
            if (shared->workers[i].pid
                && ngx_http_smart_journal_zone_alive(shared->workers[i].pid))
            {
                *left = 0;
            }
        }
    }

    ngx_http_smart_journal_zone_unlock(jmcf);

    return ended;
}


size_t
ngx_http_smart_journal_zone_take(ngx_http_smart_journal_main_conf_t *jmcf,
    uint32_t *slots, size_t n)
{
    if (jmcf->shared->ring->queued == 0) {
        return 0;
    }

    ngx_http_smart_journal_zone_lock(jmcf);

    n = ngx_smart_ring_take(jmcf->shared->ring, slots, n);

    ngx_http_smart_journal_zone_unlock(jmcf);

    return n;
}


void
ngx_http_smart_journal_zone_ack(ngx_http_smart_journal_main_conf_t *jmcf,
    const uint32_t *slots, size_t n)
{
    ngx_http_smart_journal_zone_lock(jmcf);

    ngx_smart_ring_ack(jmcf->shared->ring, slots, n);

    ngx_http_smart_journal_zone_unlock(jmcf);
}


void
ngx_http_smart_journal_zone_untake(ngx_http_smart_journal_main_conf_t *jmcf,
    const uint32_t *slots, size_t n)
{
    ngx_http_smart_journal_zone_lock(jmcf);

    ngx_smart_ring_untake(jmcf->shared->ring, slots, n);

    ngx_http_smart_journal_zone_unlock(jmcf);
}
