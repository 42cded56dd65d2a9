
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_sketch.h"


/* so many latencies beyond a quantile make it steady */
#define NGX_SMART_SKETCH_BEYOND  100

/* what clocks of several processes, read one after another, may differ; s */
#define NGX_SMART_SKETCH_SKEW    2


static void ngx_smart_sketch_forget(ngx_smart_sketch_t *s, uint32_t now);
static uint32_t ngx_smart_sketch_sum(const ngx_smart_sketch_window_t *w);
static uint32_t ngx_smart_sketch_age(uint32_t now, uint32_t then);
static uint32_t ngx_smart_sketch_add(uint32_t a, uint32_t b);
static uint64_t ngx_smart_sketch_bound(unsigned bucket);
static double ngx_smart_sketch_beyond(const double *beyond, uint64_t us);


static inline unsigned
ngx_smart_sketch_place(uint64_t us)
{
    unsigned  octave;
    uint64_t  step;

    if (us < (UINT64_C(1) << NGX_SMART_SKETCH_FIRST)) {
        return 0;
    }

    if (us >> (NGX_SMART_SKETCH_FIRST + NGX_SMART_SKETCH_OCTAVES)) {
        return NGX_SMART_SKETCH_BUCKETS - 1;
    }

#if defined(__GNUC__)

    octave = 63 - NGX_SMART_SKETCH_FIRST - (unsigned) __builtin_clzll(us);

#else

    for (octave = 0; us >> (NGX_SMART_SKETCH_FIRST + 1 + octave); octave++) {
        /* void */
    }

#endif

    step = (us * NGX_SMART_SKETCH_STEPS >> (NGX_SMART_SKETCH_FIRST + octave))
           - NGX_SMART_SKETCH_STEPS;

    return 1 + octave * NGX_SMART_SKETCH_STEPS + (unsigned) step;
}


uint32_t *
ngx_smart_sketch_counter(ngx_smart_sketch_t *s, uint64_t us)
{
    volatile uint32_t  *head;

    head = &s->head;

    return &s->windows[*head % NGX_SMART_SKETCH_WINDOWS]
            .counts[ngx_smart_sketch_place(us)];
}


unsigned
ngx_smart_sketch_bucket(uint64_t us)
{
    return ngx_smart_sketch_place(us);
}


/* the shortest latency of the bucket */
static uint64_t
ngx_smart_sketch_bound(unsigned bucket)
{
    unsigned  octave, step;

    if (bucket == 0) {
        return 0;
    }

    octave = (bucket - 1) / NGX_SMART_SKETCH_STEPS;
    step = (bucket - 1) % NGX_SMART_SKETCH_STEPS;

    return ((uint64_t) (NGX_SMART_SKETCH_STEPS + step)
            << (NGX_SMART_SKETCH_FIRST + octave)) / NGX_SMART_SKETCH_STEPS;
}


uint64_t
ngx_smart_sketch_value(unsigned bucket, uint64_t nth, uint64_t count)
{
    uint64_t  low, high, value;

    low = ngx_smart_sketch_bound(bucket);

    if (bucket == NGX_SMART_SKETCH_BUCKETS - 1) {
        return low;
    }

    high = ngx_smart_sketch_bound(bucket + 1);

    value = low + (uint64_t) ((double) (high - low) * (double) nth
                              / (double) count);

    /* never more than 5 % from any latency of the bucket */

    if (bucket && value > low + low / 20) {
        value = low + low / 20;
    }

    if (value < high - high / 21) {
        value = high - high / 21;
    }

    return value;
}


void
ngx_smart_sketch_turn(ngx_smart_sketch_t *s, uint32_t now)
{
    uint32_t                    head, seen, sum;
    volatile uint32_t          *hp, *sp;
    ngx_smart_sketch_window_t  *w, *next;

    hp = &s->head;
    sp = &s->seen;

    head = *hp;
    seen = *sp;

    if (ngx_smart_sketch_age(now, seen) > NGX_SMART_SKETCH_SILENCE) {
        ngx_smart_sketch_forget(s, now);
        return;
    }

    if (seen != now) {
        *sp = now;
    }

    w = &s->windows[head % NGX_SMART_SKETCH_WINDOWS];

    if (ngx_smart_sketch_age(now, w->start) < NGX_SMART_SKETCH_TURN) {
        return;
    }

    sum = ngx_smart_sketch_sum(w);

    if (sum < NGX_SMART_SKETCH_LEAST) {
        return;
    }

    /* whoever comes here at the same time stores the same */

    next = &s->windows[(head + 1) % NGX_SMART_SKETCH_WINDOWS];

    memset(next->counts, 0, sizeof(next->counts));

    next->before = ngx_smart_sketch_add(w->before, sum);
    next->start = now;

    *hp = head + 1;
}


static void
ngx_smart_sketch_forget(ngx_smart_sketch_t *s, uint32_t now)
{
    unsigned            i;
    volatile uint32_t  *sp;

    for (i = 0; i < NGX_SMART_SKETCH_WINDOWS; i++) {
        memset(s->windows[i].counts, 0, sizeof(s->windows[i].counts));

        s->windows[i].before = 0;
        s->windows[i].start = now;
    }

    sp = &s->seen;
    *sp = now;
}


void
ngx_smart_sketch_view(const ngx_smart_sketch_t *s, uint32_t now,
    unsigned quantile, ngx_smart_sketch_view_t *view)
{
    unsigned                          i, b;
    uint32_t                          head, need, end, before, count;
    const volatile uint32_t          *hp;
    const ngx_smart_sketch_window_t  *w;

    hp = &s->head;
    head = *hp;

    need = quantile < NGX_SMART_SKETCH_ALL
           ? NGX_SMART_SKETCH_BEYOND * NGX_SMART_SKETCH_ALL
             / (NGX_SMART_SKETCH_ALL - quantile)
           : UINT32_MAX;

    end = now;
    before = 0;
    view->samples = 0;
    memset(view->counts, 0, sizeof(view->counts));

    for (i = 0; i < NGX_SMART_SKETCH_WINDOWS - 1; i++) {

        w = &s->windows[(head - i) % NGX_SMART_SKETCH_WINDOWS];

        /* the first may have just begun */

        if (i > 1
            && (view->samples >= need
                || (view->samples >= NGX_SMART_SKETCH_FEW
                    && ngx_smart_sketch_age(now, end)
                       >= NGX_SMART_SKETCH_RECENT)))
        {
            break;
        }

        if (i == 0 || w->before != before || before == UINT32_MAX) {

            for (b = 0; b < NGX_SMART_SKETCH_BUCKETS; b++) {
                count = w->counts[b];
                view->counts[b] += count;
                view->samples += count;
            }
        }

        if (i == 0) {
            view->total = ngx_smart_sketch_add(w->before, view->samples);
        }

        /* an older one with as many before it is empty */

        before = w->before;
        end = w->start;
    }
}


uint64_t
ngx_smart_sketch_quantile(const ngx_smart_sketch_view_t *view,
    unsigned quantile)
{
    unsigned  b;
    uint64_t  rank, n;

    if (view->samples == 0) {
        return 0;
    }

    rank = ((uint64_t) view->samples * quantile + NGX_SMART_SKETCH_ALL - 1)
           / NGX_SMART_SKETCH_ALL;

    n = 0;

    for (b = 0; b < NGX_SMART_SKETCH_BUCKETS - 1; b++) {

        n += view->counts[b];

        if (n && n >= rank) {
            break;
        }
    }

    /* those of a bucket are taken to lie evenly in it */

    n -= b < NGX_SMART_SKETCH_BUCKETS - 1 ? view->counts[b] : 0;

    return ngx_smart_sketch_value(b, rank - n, view->counts[b]);
}


uint64_t
ngx_smart_sketch_rest(const ngx_smart_sketch_view_t *view, uint64_t us)
{
    double    sum;
    unsigned  b;
    uint64_t  n, low, high;

    n = 0;
    sum = 0;

    for (b = ngx_smart_sketch_bucket(us) + 1;
         b < NGX_SMART_SKETCH_BUCKETS;
         b++)
    {
        low = ngx_smart_sketch_bound(b);
        high = b < NGX_SMART_SKETCH_BUCKETS - 1
               ? ngx_smart_sketch_bound(b + 1) : low;

        n += view->counts[b];
        sum += (double) view->counts[b]
               * ((double) (low + high) / 2 - (double) us);
    }

    return n ? (uint64_t) (sum / (double) n) : 0;
}


uint64_t
ngx_smart_sketch_gain(const ngx_smart_sketch_view_t *view,
    const uint64_t *starts, unsigned n, uint64_t end)
{
    double    sum, none, beyond[NGX_SMART_SKETCH_BUCKETS + 1];
    unsigned  b, i;
    uint64_t  low, high, at;

    if (view->samples == 0 || n == 0 || end <= starts[0]) {
        return 0;
    }

    beyond[NGX_SMART_SKETCH_BUCKETS] = 0;

    for (b = NGX_SMART_SKETCH_BUCKETS; b-- > 0; /* void */) {
        beyond[b] = beyond[b + 1]
                    + (double) view->counts[b] / (double) view->samples;
    }

    /* adds up the probabilities that any of them has answered by then */

    sum = 0;

    for (b = 0; b < NGX_SMART_SKETCH_BUCKETS; b++) {

        low = ngx_smart_sketch_bound(b);

        if (low >= end - starts[0]) {
            break;
        }

        high = b < NGX_SMART_SKETCH_BUCKETS - 1
               ? ngx_smart_sketch_bound(b + 1) : UINT64_MAX;

        if (high > end - starts[0]) {
            high = end - starts[0];
        }

        at = starts[0] + low + (high - low) / 2;
        none = 1;

        for (i = 0; i < n && starts[i] < at; i++) {
            none *= ngx_smart_sketch_beyond(beyond, at - starts[i]);
        }

        sum += (double) (high - low) * (1 - none);
    }

    return (uint64_t) sum;
}


/* the share of latencies longer than "us" */
static double
ngx_smart_sketch_beyond(const double *beyond, uint64_t us)
{
    unsigned  b;
    uint64_t  low, high;

    b = ngx_smart_sketch_bucket(us);

    if (b == NGX_SMART_SKETCH_BUCKETS - 1) {
        return beyond[b] / 2;
    }

    low = ngx_smart_sketch_bound(b);
    high = ngx_smart_sketch_bound(b + 1);

    return beyond[b] - (beyond[b] - beyond[b + 1]) * (double) (us - low)
                       / (double) (high - low);
}


static uint32_t
ngx_smart_sketch_sum(const ngx_smart_sketch_window_t *w)
{
    unsigned  b;
    uint32_t  sum;

    sum = 0;

    for (b = 0; b < NGX_SMART_SKETCH_BUCKETS; b++) {
        sum += w->counts[b];
    }

    return sum;
}


/* other clocks may be a little ahead; one that has stepped back is old */
static uint32_t
ngx_smart_sketch_age(uint32_t now, uint32_t then)
{
    uint32_t  age;

    age = now - then;

    return age > UINT32_MAX - NGX_SMART_SKETCH_SKEW ? 0 : age;
}


/* stays at the end of its range */
static uint32_t
ngx_smart_sketch_add(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}
