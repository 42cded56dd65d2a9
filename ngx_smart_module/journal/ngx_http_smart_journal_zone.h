
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the workers share: the slots of records, who is there, who writes, and
 * the counters.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_ZONE_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_ZONE_H_INCLUDED_


#include "ngx_http_smart_journal_module.h"
#include "../core/ngx_smart_cell.h"
#include "../core/ngx_smart_prom.h"


typedef enum {
    NGX_HTTP_SMART_JOURNAL_DROPPED_FULL = 0,    /* no slot was free */
    NGX_HTTP_SMART_JOURNAL_DROPPED_EXIT,        /* not drained in time */
    NGX_HTTP_SMART_JOURNAL_DROPPED_REFUSED,     /* by the store */
    NGX_HTTP_SMART_JOURNAL_DROPPED
} ngx_http_smart_journal_dropped_e;


/* a worker; the mutex of the zone guards it */
typedef struct {
    ngx_pid_t                          pid;     /* 0: none */
    ngx_uint_t                         leaving; /* unsigned  leaving:1; */
} ngx_http_smart_journal_worker_t;


struct ngx_http_smart_journal_shared_s {
    /* guarded by the mutex of the zone */
    ngx_http_smart_journal_worker_t    workers[NGX_MAX_PROCESSES];
    ngx_uint_t                         nworkers;
    ngx_pid_t                          writer;  /* 0: none */
    ngx_smart_ring_t                  *ring;

    char                              *cells;
    int64_t                            instance;
    ngx_http_smart_journal_process_t   master;

    /* counters, and what the writer tells */
    ngx_atomic_t                       events[NGX_SMART_RECORD_INTERRUPTED
                                              + 1];
    ngx_atomic_t                       dropped[NGX_HTTP_SMART_JOURNAL_DROPPED];
    ngx_atomic_t                       written;
    ngx_atomic_t                       swept;
    ngx_atomic_t                       pruned;
    ngx_atomic_t                       errors;
    ngx_atomic_t                       up;
    ngx_atomic_t                       batch;
    ngx_atomic_t                       last_write;    /* s */
    ngx_atomic_t                       writes[NGX_SMART_PROM_BUCKETS + 1];
    ngx_atomic_t                       writes_ms;
};


ngx_int_t ngx_http_smart_journal_zone_add(ngx_conf_t *cf);

/* a record begins: its slot, or NGX_SMART_RING_NONE, which is counted */
uint32_t ngx_http_smart_journal_zone_begin(
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_smart_record_t *record);
void ngx_http_smart_journal_zone_end(ngx_http_smart_journal_main_conf_t *jmcf,
    uint32_t slot, ngx_smart_record_t *record);

/* this process, a worker, is there */
void ngx_http_smart_journal_zone_join(
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_cycle_t *cycle);

/*
 * Takes over the writing if nobody alive does it; 1 if this process writes
 * from now on.  An exiting process does so only if no other can.
 */
ngx_uint_t ngx_http_smart_journal_zone_elect(
    ngx_http_smart_journal_main_conf_t *jmcf);

/*
 * By the writer: hands the writing to a worker that stays, if there is one,
 * and returns 1 then
 */
ngx_uint_t ngx_http_smart_journal_zone_hand_over(
    ngx_http_smart_journal_main_conf_t *jmcf);

/* by the writer: open records of dead workers are lost; how many */
ngx_uint_t ngx_http_smart_journal_zone_sweep(
    ngx_http_smart_journal_main_conf_t *jmcf);

/*
 * This process ends: its open records are lost.  Returns 1 if it has to
 * write what waits, and then calls ngx_http_smart_journal_zone_left().
 */
ngx_uint_t ngx_http_smart_journal_zone_leave(
    ngx_http_smart_journal_main_conf_t *jmcf);

/*
 * Ends the writing of a leaving process: if nothing waits, or by force.
 * Returns 1 if it ended; "left" tells what waits and nobody will write.
 */
ngx_uint_t ngx_http_smart_journal_zone_left(
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_uint_t force,
    ngx_uint_t *left);

/* by the writer */
size_t ngx_http_smart_journal_zone_take(
    ngx_http_smart_journal_main_conf_t *jmcf, uint32_t *slots, size_t n);
void ngx_http_smart_journal_zone_ack(
    ngx_http_smart_journal_main_conf_t *jmcf, const uint32_t *slots, size_t n);
void ngx_http_smart_journal_zone_untake(
    ngx_http_smart_journal_main_conf_t *jmcf, const uint32_t *slots, size_t n);


#endif /* _NGX_HTTP_SMART_JOURNAL_ZONE_H_INCLUDED_ */
