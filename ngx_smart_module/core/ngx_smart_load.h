
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * How near an upstream is to its limits, as far as its clients can tell.
 *
 * Without queues the latency of a request does not depend on how many others
 * are in flight.  With queues it does, the more the nearer the limits are.  So
 * the latencies of requests that begin while more is in flight than on average
 * are compared with those of the others: the ratio of their medians is 1
 * without queues, whatever the latencies are, and grows with the load.  Where a
 * queue is never empty it falls again, but then latencies are in proportion to
 * what is in flight.  Hedges are more load: of a budget for them less is given
 * out.
 *
 * Nobody else may use a load at the same time.  Zeroed memory knows nothing.
 */

#ifndef _NGX_SMART_LOAD_H_INCLUDED_
#define _NGX_SMART_LOAD_H_INCLUDED_


#include <stdint.h>


/* the ratio of medians up to which all of the budget is given out, and the one
 * from which on the least of it is; percent */
#define NGX_SMART_LOAD_FREE    110
#define NGX_SMART_LOAD_BUSY    150

/* and how much of the growth of what is in flight latencies take part in;
 * percent */
#define NGX_SMART_LOAD_PART     50
#define NGX_SMART_LOAD_WHOLE    80

/* shares of a budget, per mille */
#define NGX_SMART_LOAD_ALL    1000
#define NGX_SMART_LOAD_LEAST   100


typedef struct {
    double      average;     /* in flight */

    /* of requests that begin with fewer, with more than that in flight */
    double      flight[2];   /* average in flight, with the request itself */
    double      median[2];   /* us */
    uint32_t    n[2];        /* latencies, as far as they are counted */
    uint32_t    begun;       /* requests, as far as they are counted */
} ngx_smart_load_t;


/* a request begins, so many others are in flight: 1 if that is more than on
 * average */
unsigned ngx_smart_load_begin(ngx_smart_load_t *load, uint32_t in_flight);

/* its latency, with what ngx_smart_load_begin() returned */
void ngx_smart_load_end(ngx_smart_load_t *load, unsigned more, uint64_t us);

/* how much of a budget is to be given out: LEAST to ALL */
unsigned ngx_smart_load_share(const ngx_smart_load_t *load);


#endif /* _NGX_SMART_LOAD_H_INCLUDED_ */
