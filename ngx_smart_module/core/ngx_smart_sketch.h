
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A sketch of latencies: how many fell into which bucket, in windows that
 * turn, so that what is old is forgotten.
 *
 * Many processes may use one at the same time without a lock.  They add to the
 * counter that ngx_smart_sketch_counter() names, by an atomic operation; all
 * else is read and stored word by word.  Where they meet, or where one of them
 * dies, a few latencies are lost or counted in the next window, nothing more.
 *
 * Latencies are in us, "now" is in seconds of a clock that all of them share.
 * It should not step; when it does, what is known may be forgotten.
 */

#ifndef _NGX_SMART_SKETCH_H_INCLUDED_
#define _NGX_SMART_SKETCH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* a bucket for what is shorter than 2^6 us, for what is longer than 2^26, and
 * 16 of the same width for each power of two between */
#define NGX_SMART_SKETCH_FIRST    6
#define NGX_SMART_SKETCH_OCTAVES  20
#define NGX_SMART_SKETCH_STEPS    16
#define NGX_SMART_SKETCH_BUCKETS                                              \
    (NGX_SMART_SKETCH_OCTAVES * NGX_SMART_SKETCH_STEPS + 2)

/* one is being filled, one is empty, the next to come */
#define NGX_SMART_SKETCH_WINDOWS  8

/* a window lasts as long, and until it holds as many; s */
#define NGX_SMART_SKETCH_TURN     5
#define NGX_SMART_SKETCH_LEAST    16

/* older ones matter only where the newer hold less than this; s */
#define NGX_SMART_SKETCH_RECENT   30
#define NGX_SMART_SKETCH_FEW      100

/* after as long a silence nothing is known any more; s */
#define NGX_SMART_SKETCH_SILENCE  300

/* quantiles are in tenths of a percent */
#define NGX_SMART_SKETCH_MEDIAN   500
#define NGX_SMART_SKETCH_ALL      1000


typedef struct {
    uint32_t           start;    /* s */
    uint32_t           before;   /* latencies since the last silence */
    uint32_t           counts[NGX_SMART_SKETCH_BUCKETS];
} ngx_smart_sketch_window_t;


/* zeroed memory is an empty one */
typedef struct {
    uint32_t                   head;   /* the window that is being filled */
    uint32_t                   seen;   /* s, the last turn */
    ngx_smart_sketch_window_t  windows[NGX_SMART_SKETCH_WINDOWS];
} ngx_smart_sketch_t;


/* what a sketch knew at some time */
typedef struct {
    uint32_t           total;    /* latencies since the last silence */
    uint32_t           samples;  /* of these, in "counts" */
    uint32_t           counts[NGX_SMART_SKETCH_BUCKETS];
} ngx_smart_sketch_view_t;


/* the counter to add 1 to */
uint32_t *ngx_smart_sketch_counter(ngx_smart_sketch_t *s, uint64_t us);

/* goes on to the next window if it is time to */
void ngx_smart_sketch_turn(ngx_smart_sketch_t *s, uint32_t now);

/*
 * Adds up the latest windows: those of the last NGX_SMART_SKETCH_RECENT s, but
 * no more of them than the quantile needs, and older ones if these hold but a
 * few.  NGX_SMART_SKETCH_ALL needs all of them.
 */
void ngx_smart_sketch_view(const ngx_smart_sketch_t *s, uint32_t now,
    unsigned quantile, ngx_smart_sketch_view_t *view);

/*
 * The quantile, 0 without any latency: within 5 % of that of the latencies that
 * were added, from 100 us to 60 s
 */
uint64_t ngx_smart_sketch_quantile(const ngx_smart_sketch_view_t *view,
    unsigned quantile);

/* how much longer than "us", on average, are those that are longer */
uint64_t ngx_smart_sketch_rest(const ngx_smart_sketch_view_t *view,
    uint64_t us);

/*
 * How much sooner, on average, the first of "n" attempts that were started at
 * the times given, ascending, would have answered than at "end".
 */
uint64_t ngx_smart_sketch_gain(const ngx_smart_sketch_view_t *view,
    const uint64_t *starts, unsigned n, uint64_t end);

/* the bucket of a latency, and about the n-th of the "count" in a bucket */
unsigned ngx_smart_sketch_bucket(uint64_t us);
uint64_t ngx_smart_sketch_value(unsigned bucket, uint64_t nth,
    uint64_t count);


#endif /* _NGX_SMART_SKETCH_H_INCLUDED_ */
