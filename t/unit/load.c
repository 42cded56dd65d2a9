
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The load of simulated upstreams: with servers and a queue, and without.
 */

#include <math.h>
#include <string.h>

#include "tap.h"

#include "ngx_smart_load.h"


#define MAX_SERVERS  64
#define MAX_FLIGHT   4096


/* times are in us */
typedef struct {
    unsigned          servers;           /* 0: as many as are wanted */
    double            gap;               /* between requests, on average */
    double            service;           /* median */
    double            now;
    double            free[MAX_SERVERS]; /* when they are */

    /* requests whose end is still to come */
    unsigned          n;
    double            end[MAX_FLIGHT];
    double            begin[MAX_FLIGHT];
    unsigned          more[MAX_FLIGHT];

    unsigned          lowest;            /* share */
    double            sum;               /* of shares */
    unsigned          requests;
    ngx_smart_load_t  load;
} upstream_t;


static uint64_t    state = 7;
static upstream_t  up;


static void start(unsigned servers, double use);
static void run(unsigned requests);
static void finish(double now);
static double mean(void);
static double uniform(void);


/* 5 % are ten times slower: 1.45 times the mean of the others, and that is
 * 1.0833 times their median */
#define SERVICE  10000.0
#define MEAN     (SERVICE * 1.0833 * 1.45)


int
main(void)
{
    static const unsigned  servers[] = { 8, 24, 48 };

    unsigned          i;
    ngx_smart_load_t  load;

    memset(&load, 0, sizeof(load));
    is_uint(ngx_smart_load_share(&load), NGX_SMART_LOAD_ALL,
            "nothing known: all of the budget");
    is_uint(ngx_smart_load_begin(&load, 0), 0, "the first one is alone");
    is_uint(ngx_smart_load_begin(&load, 1), 1, "the next is not");
    ngx_smart_load_end(&load, 0, 0);
    ngx_smart_load_end(&load, 0, 0);
    ngx_smart_load_end(&load, 1, UINT64_MAX);
    ngx_smart_load_end(&load, 1, 0);
    is_uint(ngx_smart_load_share(&load), NGX_SMART_LOAD_ALL,
            "little known: all of it");

    /* as many servers as are wanted: whatever is in flight, no queue */

    start(0, 0);

    for (i = 0; i < 4; i++) {
        up.gap = MEAN / (i * i * 20 + 2);
        run(5000);
        up.lowest = NGX_SMART_LOAD_ALL;
        up.sum = up.requests = 0;
        run(50000);

        ok(mean() > 990, "no queue, %u in flight: %.0f on average, %u at least",
           i * i * 20 + 2, mean(), up.lowest);
    }

    for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {

        start(servers[i], 0.3);
        run(20000);
        ok(mean() > 995, "%u servers, 30 %%: %.0f on average", servers[i],
           mean());

        start(servers[i], 0.95);
        run(20000);
        up.sum = up.requests = 0;
        run(50000);
        ok(mean() < 350, "%u servers, 95 %%: %.0f on average", servers[i],
           mean());

        /* and back */

        up.gap *= 0.95 / 0.3;
        run(20000);
        is_uint(ngx_smart_load_share(&up.load), NGX_SMART_LOAD_ALL,
                "%u servers, back at 30 %%", servers[i]);
    }

    start(24, 0.6);
    run(50000);
    ok(mean() > 950, "24 servers, 60 %%: %.0f on average", mean());

    start(24, 1.1);
    run(30000);
    is_uint(ngx_smart_load_share(&up.load), NGX_SMART_LOAD_LEAST,
            "overload: the least of it");

    /* a queue that is never empty, from the first request on */

    start(12, 1.02);
    run(1000);
    up.sum = up.requests = 0;
    run(5000);
    ok(mean() < 250, "a standing queue: %.0f on average", mean());

    start(24, 1.1);
    run(30000);

    /* hardly a request at a time: what was known is void */

    up.gap = MEAN * 20;
    run(6000);
    is_uint(ngx_smart_load_share(&up.load), NGX_SMART_LOAD_ALL,
            "a quiet night: all of it");

    /* slower from one moment to the next, without queues */

    start(0, 0);
    up.gap = MEAN / 20;
    run(20000);
    up.service *= 3;
    run(20000);
    is_uint(ngx_smart_load_share(&up.load), NGX_SMART_LOAD_ALL,
            "three times slower, after a while");
    ok(fabs(up.load.median[0] / SERVICE - 3) < 0.3
       && fabs(up.load.median[1] / SERVICE - 3) < 0.3,
       "the medians follow: %.0f, %.0f", up.load.median[0],
       up.load.median[1]);

    return tap_done();
}


static void
start(unsigned servers, double use)
{
    memset(&up, 0, sizeof(up));

    up.servers = servers;
    up.service = SERVICE;
    up.gap = servers ? MEAN / servers / use : 0;
}


static void
run(unsigned requests)
{
    double    u, service, begin;
    unsigned  i, first;

    while (requests--) {

        up.now += -log(uniform()) * up.gap;
        finish(up.now);

        u = sqrt(-2 * log(uniform())) * cos(2 * 3.14159265358979 * uniform());
        service = up.service * exp(0.4 * u);

        if (uniform() < 0.05) {
            service *= 10;
        }

        begin = up.now;

        if (up.servers) {

            for (first = 0, i = 1; i < up.servers; i++) {
                if (up.free[i] < up.free[first]) {
                    first = i;
                }
            }

            begin = up.free[first] > up.now ? up.free[first] : up.now;
            up.free[first] = begin + service;
        }

        if (up.n == MAX_FLIGHT) {
            continue;
        }

        up.begin[up.n] = up.now;
        up.end[up.n] = begin + service;
        up.more[up.n] = ngx_smart_load_begin(&up.load, up.n);
        up.n++;

        i = ngx_smart_load_share(&up.load);
        up.sum += i;
        up.requests++;
        up.lowest = i < up.lowest ? i : up.lowest;
    }
}


static void
finish(double now)
{
    unsigned  i;

    for (i = 0; i < up.n; /* void */) {

        if (up.end[i] > now) {
            i++;
            continue;
        }

        ngx_smart_load_end(&up.load, up.more[i],
                           (uint64_t) (up.end[i] - up.begin[i]));

        up.n--;
        up.begin[i] = up.begin[up.n];
        up.end[i] = up.end[up.n];
        up.more[i] = up.more[up.n];
    }
}


static double
mean(void)
{
    return up.sum / up.requests;
}


/* above 0 and below 1: splitmix64 */
static double
uniform(void)
{
    uint64_t  z;

    state += UINT64_C(0x9e3779b97f4a7c15);
    z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;

    return ((double) (z >> 11) + 0.5) / 9007199254740992.0;
}
