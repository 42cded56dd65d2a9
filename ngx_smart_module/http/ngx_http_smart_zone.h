
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


/* counts of what is in flight: one for each worker, the last for those that
 * find no other */
#define NGX_HTTP_SMART_SHARDS    128

#define NGX_HTTP_SMART_OUTCOMES  7
#define NGX_HTTP_SMART_RESULTS   4
#define NGX_HTTP_SMART_REASONS   8
#define NGX_HTTP_SMART_CODES     5


#define NGX_HTTP_SMART_ZONE_LOCATION  1
#define NGX_HTTP_SMART_ZONE_PEER      2


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
    ngx_atomic_t                  saved;       /* us */
    ngx_atomic_t                  dry_run;     /* hedges */

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

    uint32_t                      in_flight[NGX_HTTP_SMART_SHARDS];
} ngx_http_smart_series_t;

/* does not compile where a location would take more of the zone */
typedef char  ngx_http_smart_series_size_t
    [sizeof(ngx_http_smart_series_t) <= 16 * 1024 ? 1 : -1];


typedef struct {
    ngx_http_smart_slot_t         slot;        /* upstream, peer */

    ngx_atomic_t                  finished[NGX_HTTP_SMART_RESULTS];
    ngx_atomic_t                  lost;

    /* where locations want to know how busy a peer is */
    uint32_t                      in_flight[NGX_HTTP_SMART_SHARDS];
} ngx_http_smart_peer_series_t;


/* whose a shard is */
typedef struct {
    ngx_pid_t                     pid;         /* 0: free */
    ngx_int_t                     process;     /* slot of the master's */
} ngx_http_smart_shard_t;


typedef struct {
    ngx_queue_t                   slots;
    ngx_uint_t                    generation;  /* configurations read */
    ngx_uint_t                    current;     /* the one in force */
    ngx_uint_t                    previous;    /* and the one before it */
    ngx_uint_t                    dropped;
    time_t                        start;

    ngx_http_smart_shard_t        shards[NGX_HTTP_SMART_SHARDS];
    ngx_atomic_t                  nshards;     /* ever used */
} ngx_http_smart_shared_t;


/* adds the zone to the configuration if anything in it needs one */
ngx_int_t ngx_http_smart_zone_add(ngx_conf_t *cf);

/* the configuration is in force from now on; in the master */
void ngx_http_smart_zone_commit(ngx_cycle_t *cycle);

/* bytes in use, of the zone's size */
size_t ngx_http_smart_zone_used(ngx_shm_zone_t *zone);


/* ngx_http_smart_shard.c */

/* that of this worker */
extern ngx_uint_t  ngx_http_smart_shard_own;

/* finds one for the worker, and resets what is left in it */
void ngx_http_smart_shard_init_process(ngx_cycle_t *cycle);

/* resets what workers left behind that are gone and were not replaced */
void ngx_http_smart_shard_heal(ngx_shm_zone_t *zone,
    ngx_http_smart_shared_t *shared);

/* what all workers count together */
ngx_uint_t ngx_http_smart_shard_sum(ngx_http_smart_shared_t *shared,
    uint32_t *in_flight);


#endif /* _NGX_HTTP_SMART_ZONE_H_INCLUDED_ */
