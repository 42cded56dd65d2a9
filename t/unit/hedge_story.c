
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Single stories of the decision machine: as many hedges as there may be, and
 * attempts that there are not.
 */


#include <string.h>

#include "hedge_print.h"


#define DELAY  300


static void start(unsigned extra, uint64_t step);
static const char *feed(ngx_smart_hedge_event_e event, unsigned attempt,
    unsigned allowed);
static void seven(void);
static void times(void);
static void out_of_range(void);
static void shortcuts(void);


static ngx_smart_hedge_t       h;
static ngx_smart_hedge_plan_t  plan;
static uint64_t                now;


int
main(void)
{
    seven();
    times();
    out_of_range();
    shortcuts();

    return tap_done();
}


static void
start(unsigned extra, uint64_t step)
{
    plan.delay = DELAY;
    plan.step = step;
    plan.extra = (uint8_t) extra;
    plan.own_failure = 0;
    now = 0;

    ngx_smart_hedge_init(&h);
}


static const char *
feed(ngx_smart_hedge_event_e event, unsigned attempt, unsigned allowed)
{
    size_t                     n;
    ngx_smart_hedge_action_t   actions[NGX_SMART_HEDGE_MAX_ACTIONS];
    static char                text[512];

    now += 1000;

    n = ngx_smart_hedge_feed(&h, &plan, event, attempt, now, allowed,
                             actions);
    hedge_print(text, sizeof(text), actions, n);

    return text;
}


static void
seven(void)
{
    unsigned  i;
    char      text[64];

    start(7, 0);
    is_str(feed(NGX_SMART_HEDGE_BEGIN, 0, 0), "arm 1300", "seven hedges");
    is_uint(ngx_smart_hedge_wanted(&h, &plan, NGX_SMART_HEDGE_DUE, 0), 7,
            "seven are wanted");
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 100), "launch 1, launch 2, launch 3, "
           "launch 4, launch 5, launch 6, launch 7", "all together");
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 100), "nothing", "and no more");
    is_str(feed(NGX_SMART_HEDGE_FAILURE, 3, 100), "drop 3", "one fails");
    is_str(feed(NGX_SMART_HEDGE_FAILURE, 0, 100), "park 0", "the primary too");
    is_str(feed(NGX_SMART_HEDGE_SUCCESS, 3, 0), "nothing", "a late answer");
    is_str(feed(NGX_SMART_HEDGE_SUCCESS, 7, 0), "cancel 1, cancel 2, "
           "cancel 4, cancel 5, cancel 6, promote 7", "the seventh wins");
    is_uint(h.winner, 7, "the winner is known");

    start(7, 0);
    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);
    is_str(feed(NGX_SMART_HEDGE_FAILURE, 0, 100), "park 0, launch 1, "
           "launch 2, launch 3, launch 4, launch 5, launch 6, launch 7",
           "the primary fails at once");

    for (i = 7; i > 1; i--) {
        snprintf(text, sizeof(text), "drop %u", i);
        is_str(feed(NGX_SMART_HEDGE_FAILURE, i, 100), text, "%s", text);
    }

    is_str(feed(NGX_SMART_HEDGE_FAILURE, 1, 100), "pass 1", "the last one");
    is_uint(h.winner, NGX_SMART_HEDGE_NO_WINNER, "nobody wins");
    is_str(feed(NGX_SMART_HEDGE_EXPIRE, 0, 0), "nothing", "no timeout after");

    start(7, 0);
    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);
    feed(NGX_SMART_HEDGE_DUE, 0, 7);
    is_str(feed(NGX_SMART_HEDGE_EXPIRE, 0, 0), "cancel 0, cancel 1, "
           "cancel 2, cancel 3, cancel 4, cancel 5, cancel 6, cancel 7, "
           "timeout", "the most that one event may cause");

    start(7, 10);
    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 7), "launch 1, arm 2010", "stepwise");
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 7), "launch 2, arm 3010", "2");
    is_str(feed(NGX_SMART_HEDGE_FAILURE, 0, 3),
           "park 0, launch 3, launch 4, launch 5", "the budget cuts");
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 7), "nothing",
           "a due time without a primary");
    is_str(feed(NGX_SMART_HEDGE_ABORT, 0, 0), "cancel 1, cancel 2, cancel 3, "
           "cancel 4, cancel 5", "an abort");
    is_str(feed(NGX_SMART_HEDGE_SUCCESS, 1, 0), "nothing", "is the end");

    start(7, 10);
    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);

    for (i = 1; i < 7; i++) {
        snprintf(text, sizeof(text), "launch %u, arm %u", i, i * 1000 + 1010);
        is_str(feed(NGX_SMART_HEDGE_DUE, 0, 1), text, "%s", text);
    }

    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 1), "launch 7",
           "nothing is armed after the last");
}


static void
times(void)
{
    start(2, UINT64_C(0x100000000));
    plan.delay = 0;
    is_str(feed(NGX_SMART_HEDGE_BEGIN, 0, 0), "arm 1000", "no delay");
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 2), "launch 1, arm 4294969296",
           "a step of more than 32 bits");

    start(1, 0);
    plan.delay = UINT64_C(0x100000000);
    is_str(feed(NGX_SMART_HEDGE_BEGIN, 0, 0), "arm 4294968296",
           "a delay of more than 32 bits");

    start(0, 0);
    is_str(feed(NGX_SMART_HEDGE_BEGIN, 0, 0), "nothing", "hedging is off");
    is_str(feed(NGX_SMART_HEDGE_DUE, 0, 7), "nothing", "nothing is due then");
    is_str(feed(NGX_SMART_HEDGE_FAILURE, 0, 7), "pass 0", "nor to rescue");
}


static void
out_of_range(void)
{
    unsigned               i;

    static const unsigned  out[] = {
        7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 255, 256, 257, 0x80000000u,
        0xffffffffu
    };

    start(2, 0);
    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);
    feed(NGX_SMART_HEDGE_DUE, 0, 2);

    for (i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        is_str(feed(NGX_SMART_HEDGE_SUCCESS, out[i], 2), "nothing",
               "success of attempt %u", out[i]);
        is_str(feed(NGX_SMART_HEDGE_FAILURE, out[i], 2), "nothing",
               "failure of attempt %u", out[i]);
        is_uint(ngx_smart_hedge_wanted(&h, &plan, NGX_SMART_HEDGE_FAILURE,
                                       out[i]), 0,
                "nothing is wanted for attempt %u", out[i]);
    }

    is_str(feed(NGX_SMART_HEDGE_SUCCESS, 0, 0), "cancel 1, cancel 2, "
           "promote 0", "none of which changed anything");
}


/* they leave the state that the events leave */
static void
shortcuts(void)
{
    ngx_smart_hedge_t  other;

    start(2, 0);
    ngx_smart_hedge_init(&other);

    is_uint(ngx_smart_hedge_alone(&other), 0, "nobody is alone before");

    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);
    ngx_smart_hedge_begin(&other);
    is_uint(memcmp(&h, &other, sizeof(h)), 0, "begin is BEGIN");

    feed(NGX_SMART_HEDGE_SUCCESS, 0, 0);
    is_uint(ngx_smart_hedge_alone(&other), 1, "the primary is alone");
    is_uint(memcmp(&h, &other, sizeof(h)), 0, "and wins as by SUCCESS");
    is_uint(ngx_smart_hedge_alone(&other), 0, "once");

    start(1, 0);
    feed(NGX_SMART_HEDGE_BEGIN, 0, 0);
    feed(NGX_SMART_HEDGE_DUE, 0, 1);
    is_uint(ngx_smart_hedge_alone(&h), 0, "not alone with a hedge");
    is_str(feed(NGX_SMART_HEDGE_FAILURE, 0, 0), "park 0", "nor when parked");
    is_uint(ngx_smart_hedge_alone(&h), 0, "with only a hedge alive");
    is_str(feed(NGX_SMART_HEDGE_SUCCESS, 1, 0), "promote 1",
           "none of which changed anything");
}
