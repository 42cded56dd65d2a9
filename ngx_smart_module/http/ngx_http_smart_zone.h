
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The shared zone: named slots of counters, found when the configuration is
 * read.  Workers only ever touch them by single atomic operations.
 */

#ifndef _NGX_HTTP_SMART_ZONE_H_INCLUDED_
#define _NGX_HTTP_SMART_ZONE_H_INCLUDED_


#include "../common/ngx_http_smart_compat.h"
#include "../core/ngx_smart_budget.h"
#include "../core/ngx_smart_prom.h"
#include "../core/ngx_smart_sketch.h"


#define NGX_HTTP_SMART_OUTCOMES  7
#define NGX_HTTP_SMART_RESULTS   4
#define NGX_HTTP_SMART_REASONS   8
#define NGX_HTTP_SMART_CODES     5


/* a slot is known by its kind and its two labels */
typedef struct {
    ngx_queue_t                   queue;
    ngx_uint_t                    kind;
    ngx_uint_t                    named;       /* by the configuration read */
    ngx_uint_t                    used;        /* by the one in force */
    ngx_str_t                     labels[2];
} ngx_http_smart_slot_t;


typedef struct {
    ngx_atomic_t                  buckets[NGX_SMART_PROM_BUCKETS + 1];
    ngx_atomic_t                  sum;         /* ms */
} ngx_http_smart_histogram_t;


/* of a location; the first index of attempts is 0 for primaries */
typedef struct {
    ngx_http_smart_slot_t         slot;        /* server, location */

    ngx_atomic_t                  codes[NGX_HTTP_SMART_CODES];
    ngx_atomic_t                  outcomes[NGX_HTTP_SMART_OUTCOMES];
    ngx_atomic_t                  started[2];
    ngx_atomic_t                  finished[2][NGX_HTTP_SMART_RESULTS];
    ngx_atomic_t                  suppressed[NGX_HTTP_SMART_REASONS];
    ngx_atomic_t                  wasted;      /* ms */
    ngx_atomic_t                  delay;       /* ms, in force */

    ngx_smart_budget_t            budget;
    ngx_smart_budget_conf_t       budget_conf; /* of the last configuration */

    ngx_http_smart_histogram_t    requests;
    ngx_http_smart_histogram_t    attempts[2];

    /*
     * for the live page: primaries cancelled, and those that failed; and the
     * age of primaries at which a hedge won
     */
    ngx_http_smart_histogram_t    cancelled;
    ngx_http_smart_histogram_t    failed;
    ngx_http_smart_histogram_t    rescued;

    ngx_smart_sketch_t            sketch;

    /* by the process slot of the worker, which resets its own */
    uint32_t                      in_flight[NGX_MAX_PROCESSES];
} ngx_http_smart_series_t;


typedef struct {
    ngx_http_smart_slot_t         slot;        /* upstream, peer */

    ngx_atomic_t                  finished[NGX_HTTP_SMART_RESULTS];
    ngx_atomic_t                  lost;
} ngx_http_smart_peer_series_t;


typedef struct {
    ngx_queue_t                   slots;
    ngx_uint_t                    generation;  /* configurations read */
    ngx_uint_t                    current;     /* the one in force */
    ngx_uint_t                    previous;    /* and the one before it */
    ngx_uint_t                    dropped;
    time_t                        start;

    /* of the workers, by process slot; and how many slots were ever used */
    ngx_pid_t                     pids[NGX_MAX_PROCESSES];
    ngx_atomic_t                  processes;
} ngx_http_smart_shared_t;


/* adds the zone to the configuration if anything in it needs one */
ngx_int_t ngx_http_smart_zone_add(ngx_conf_t *cf);

/* the configuration is in force from now on; in the master */
void ngx_http_smart_zone_commit(ngx_cycle_t *cycle);

/* resets what the worker's predecessor in the process slot left behind */
void ngx_http_smart_zone_init_process(ngx_cycle_t *cycle);

/* resets what workers left behind that are gone and were not replaced */
void ngx_http_smart_zone_heal(ngx_shm_zone_t *zone,
    ngx_http_smart_shared_t *shared);

/* bytes in use, of the zone's size */
size_t ngx_http_smart_zone_used(ngx_shm_zone_t *zone);


#endif /* _NGX_HTTP_SMART_ZONE_H_INCLUDED_ */
