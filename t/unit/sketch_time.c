
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What a sketch remembers, and for how long.
 */


#include "sketch_draw.h"


static void windows(void);
static void low_traffic(void);
static void silence(void);
static void follows(void);
static void clocks(void);
static void racing(void);


int
main(void)
{
    windows();
    low_traffic();
    silence();
    follows();
    clocks();
    racing();

    return tap_done();
}


/* what is older than 30 s is forgotten */

static void
windows(void)
{
    unsigned                   now;
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));

    for (now = 1000; now < 1010; now++) {
        ngx_smart_sketch_turn(&s, now);
        fill(&s, 900000, 20);
    }

    for ( /* void */ ; now < 1100; now++) {

        ngx_smart_sketch_turn(&s, now);
        fill(&s, 1000, 20);

        if (now == 1037) {
            ok(quantile(&s, now, 999) > 800000, "27 s are remembered");
        }

        if (now == 1047) {
            ok(quantile(&s, now, 999) < 2000, "37 s are not");
            is_uint(total(&s, now), 48 * 20, "all are counted");
            ok(samples(&s, now) >= 30 * 20, "at least 30 s: %u",
               samples(&s, now));
            ok(samples(&s, now) <= 36 * 20, "at most 36 s: %u",
               samples(&s, now));
        }
    }
}


/* a request every two seconds: the last 100 are known, not the last 15 */

static void
low_traffic(void)
{
    unsigned                   now, least, most;
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));

    least = UINT32_MAX;
    most = 0;

    for (now = 1000; now < 3000; now += 2) {

        ngx_smart_sketch_turn(&s, now);
        fill(&s, 1000, 1);

        if (now > 1400) {
            least = samples(&s, now) < least ? samples(&s, now) : least;
            most = samples(&s, now) > most ? samples(&s, now) : most;
        }
    }

    ok(least >= 96, "few requests: at least %u are known", least);
    ok(most <= 130, "few requests: at most %u are known", most);
    is_uint(total(&s, now), 1000, "all are counted");
}


static void
silence(void)
{
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);
    fill(&s, 1000, 500);

    ngx_smart_sketch_turn(&s, 1290);
    is_uint(total(&s, 1290), 500, "290 s of silence");
    ok(samples(&s, 1290) == 500, "what was known is known");

    ngx_smart_sketch_turn(&s, 1591);
    is_uint(total(&s, 1591), 0, "301 s of silence");
    is_uint(quantile(&s, 1591, 950), 0, "nothing is known");

    fill(&s, 2000, 7);
    is_uint(total(&s, 1591), 7, "it begins anew");
}


/* with many requests a change is seen within 10 s, with few within 40 */

static void
follows(void)
{
    unsigned                   rate, now, seen;
    static ngx_smart_sketch_t  s;

    static const unsigned  rates[] = { 10, 20, 200, 1000, 10000 };
    static const unsigned  bounds[] = { 40, 40, 11, 10, 10 };

    for (rate = 0; rate < 5; rate++) {

        memset(&s, 0, sizeof(s));
        seen = 0;

        for (now = 1000; now < 1120 && !seen; now++) {

            ngx_smart_sketch_turn(&s, now);

            fill(&s, now < 1060 ? 10000 : 30000, rates[rate] * 9 / 10 + 1);
            fill(&s, now < 1060 ? 20000 : 60000, rates[rate] / 10);

            if (now >= 1060 && quantile(&s, now, 950) > 55000) {
                seen = now - 1060 + 1;
            }

            if (now == 1059) {
                ok(quantile(&s, now, 950) < 21500, "%u/s: p95 before",
                   rates[rate]);
            }
        }

        ok(seen && seen <= bounds[rate], "%u/s: p95 follows within %u s",
           rates[rate], seen);
    }
}


/* a clock that jumps or wraps may cost what is known, no more */

static void
clocks(void)
{
    unsigned                   i, bad;
    uint32_t                   now;
    static ngx_smart_sketch_t  s;

    static const uint32_t  jumps[] = {
        0, 1, 4, 5, 6, 29, 31, 299, 301, 100000, 0x7fffffff, 0x80000000,
        0xfffffe00, 0xffffff00, 0xfffffff0, 0xfffffffb, 0xffffffff
    };

    bad = 0;

    for (i = 0; i < 100000; i++) {

        now = (uint32_t) (real() * 4294967295.0);

        memset(&s, 0, sizeof(s));
        ngx_smart_sketch_turn(&s, now);
        fill(&s, 5000, 50);

        now += jumps[i % (sizeof(jumps) / sizeof(jumps[0]))];
        ngx_smart_sketch_turn(&s, now);
        fill(&s, 5000, 50);

        now += jumps[i / 17 % (sizeof(jumps) / sizeof(jumps[0]))];
        ngx_smart_sketch_turn(&s, now);
        fill(&s, 5000, 50);

        if (samples(&s, now) < 50 || samples(&s, now) > 150
            || total(&s, now) < 50 || total(&s, now) > 150
            || quantile(&s, now, 500) < 4900
            || quantile(&s, now, 500) > 5250)
        {
            bad++;
        }

        if (i % 997) {
            i += 30;
        }
    }

    is_uint(bad, 0, "jumps of the clock");

    memset(&s, 0, sizeof(s));

    for (now = 0xffffffff - 100; now != 100; now++) {
        ngx_smart_sketch_turn(&s, now);
        fill(&s, 5000, 10);
    }

    is_uint(total(&s, now), 2010, "a wrap of the clock loses nothing");

    /* two processes, one a second ahead */

    for (i = 0; i < 1000; i++) {
        ngx_smart_sketch_turn(&s, now + i + 1);
        fill(&s, 5000, 5);
        ngx_smart_sketch_turn(&s, now + i);
        fill(&s, 5000, 5);
    }

    is_uint(total(&s, now + i), 12010, "clocks that differ lose nothing");

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);
    s.windows[s.head % NGX_SMART_SKETCH_WINDOWS].before = UINT32_MAX - 5;
    fill(&s, 1000, 20);
    is_uint(total(&s, 1000), UINT32_MAX, "the total stays at its end");
    ngx_smart_sketch_turn(&s, 1006);
    is_uint(total(&s, 1006), UINT32_MAX, "also in the next window");

    s.head = UINT32_MAX;
    memset(s.windows, 0, sizeof(s.windows));

    for (now = 1006; now < 1100; now++) {
        ngx_smart_sketch_turn(&s, now);
        fill(&s, 5000, 20);
    }

    ok(samples(&s, now) >= 600 && samples(&s, now) <= 720,
       "the head may wrap: %u", samples(&s, now));
}


/* what a process that died, or came too late, leaves behind */

static void
racing(void)
{
    uint32_t                  *counter;
    ngx_smart_sketch_t         before;
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);
    fill(&s, 1000, 100);

    /* killed while it cleared the next window */

    before = s;
    memset(s.windows[(s.head + 1) % NGX_SMART_SKETCH_WINDOWS].counts, 0xff,
           100);
    ngx_smart_sketch_turn(&s, 1005);
    is_uint(samples(&s, 1005), 100, "a half cleared window is cleared again");

    /* two that turn at once: the second has seen the old head */

    s = before;
    ngx_smart_sketch_turn(&s, 1005);
    s.head = before.head;
    ngx_smart_sketch_turn(&s, 1005);
    is_uint(s.head, before.head + 1, "two turns at once are one");
    is_uint(total(&s, 1005), 100, "and count once");

    /* one that adds to a window that is full by now */

    s = before;
    counter = ngx_smart_sketch_counter(&s, 1000);
    ngx_smart_sketch_turn(&s, 1005);
    (*counter)++;
    is_uint(samples(&s, 1005), 101, "a late one is counted");
}
