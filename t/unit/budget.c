
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "tap.h"

#include "ngx_smart_budget.h"


static void empties(void);
static void partly(void);
static void refills(void);
static void zero(void);
static void reloads(void);
static void wraps(void);
static void any_run(void);
static void workers(void);
static unsigned take(ngx_smart_budget_t *state, uint32_t share,
    uint32_t burst, uint32_t requests, unsigned wanted);
static uint32_t number(void);


static uint64_t  random_state = 7;


int
main(void)
{
    empties();
    partly();
    refills();
    zero();
    reloads();
    wraps();
    any_run();
    workers();

    return tap_done();
}


static void
empties(void)
{
    unsigned            i, n;
    ngx_smart_budget_t  s;

    s = 0;
    n = 0;

    for (i = 0; i < 100; i++) {
        n += take(&s, 500, 10, 0, 1);
    }

    is_uint(n, 10, "a new bucket is full, and empties");

    s = 0;
    n = 0;

    for (i = 0; i < 1000; i++) {
        n += take(&s, 500, 10, i + 1, 1);
    }

    is_uint(n, 10 + 1000 / 20 - 1, "5 %% of requests and the burst");
}


static void
partly(void)
{
    ngx_smart_budget_t  s;

    s = 0;

    is_uint(take(&s, 500, 10, 0, 7), 7, "seven of ten");
    is_uint(take(&s, 500, 10, 0, 7), 3, "three of seven");
    is_uint(take(&s, 500, 10, 0, 7), 0, "none of seven");
    is_uint(take(&s, 500, 10, 39, 7), 1, "one after 39 requests");
    is_uint(take(&s, 500, 10, 40, 7), 1, "the rest is kept");
    is_uint(take(&s, 500, 10, 40, 0), 0, "none wanted");
}


static void
refills(void)
{
    ngx_smart_budget_t       s;
    ngx_smart_budget_conf_t  c;

    c.share = 500;
    c.burst = 10;
    s = 0;

    is_uint(ngx_smart_budget_left(s, &c, 0), 100000, "ten tokens");
    (void) take(&s, 500, 10, 0, 7);
    is_uint(ngx_smart_budget_left(s, &c, 0), 30000, "three are left");
    is_uint(ngx_smart_budget_left(s, &c, 1), 30500, "a request brings 5 %%");
    is_uint(ngx_smart_budget_left(s, &c, 140), 100000, "140 bring seven");
    is_uint(ngx_smart_budget_left(s, &c, 1000000), 100000,
            "a million no more");
    is_uint(take(&s, 500, 10, 1000000, 7), 7, "seven again");
    is_uint(take(&s, 500, 10, 1000000, 7), 3, "and three");
}


static void
zero(void)
{
    unsigned            i, n;
    ngx_smart_budget_t  s;

    s = 0;
    n = 0;

    for (i = 0; i < 10000; i++) {
        n += take(&s, 0, 3, i, 1);
    }

    is_uint(n, 3, "0 %%: the burst alone");

    s = 0;
    is_uint(take(&s, 0, 0, 1000, 1), 0, "0 %% and no burst: nothing");

    s = 0;
    n = 0;

    for (i = 1; i <= 1000; i++) {
        n += take(&s, 500, 0, i, 1);
    }

    is_uint(n, 50, "no burst: the share alone");

    s = 0;
    n = 0;

    for (i = 1; i <= 1000000; i++) {
        n += take(&s, 1, 10, i, 1);
    }

    is_uint(n, 109, "a hundredth of a percent");

    s = 0;
    n = 0;

    for (i = 1; i <= 1000; i++) {
        n += take(&s, 10000, 1, i, 7);
    }

    is_uint(n, 1000, "100 %%");

    s = 0;
    is_uint(take(&s, 500, NGX_SMART_BUDGET_MAX_BURST, 0, 2000000), 1000000,
            "the largest burst");
    is_uint(take(&s, 500, NGX_SMART_BUDGET_MAX_BURST, 0, 1), 0, "is taken");
}


/* the same state under another configuration */

static void
reloads(void)
{
    ngx_smart_budget_t  s;

    s = 0;
    is_uint(take(&s, 500, 1000, 0, 1000), 1000, "a large bucket is emptied");
    is_uint(take(&s, 500, 10, 0, 1), 0, "a smaller one is empty, too");
    is_uint(take(&s, 500, 10, 20, 10), 1, "and fills from then on");
    is_uint(take(&s, 500, 1000, 20, 1), 1, "a larger one is not empty");
}


static void
wraps(void)
{
    unsigned            n;
    uint32_t            i;
    ngx_smart_budget_t  s;

    /* over the end of 32 bits, and over each of the 28 */

    s = 0;
    n = take(&s, 500, 10, UINT32_MAX - 10000, 100);
    is_uint(n, 10, "full before the wrap");
    (void) take(&s, 500, 10, UINT32_MAX - 1000, 100);

    n = 0;

    for (i = UINT32_MAX - 1000; i != 1000; i++) {
        n += take(&s, 500, 10, i, 1);
    }

    is_uint(n, 100, "5 %% of 2000 over a wrap at 32 bits");

    n = 0;
    (void) take(&s, 500, 10, (1u << 28) - 100000, 100);
    (void) take(&s, 500, 10, (1u << 28) - 1000, 100);

    for (i = (1u << 28) - 1000; i != (1u << 28) + 1000; i++) {
        n += take(&s, 500, 10, i, 1);
    }

    ok(n >= 99 && n <= 110, "5 %% of 2000 over a wrap at 28 bits: %u", n);

    n = 0;

    for (i = 0; i < 1000; i++) {
        n += take(&s, 500, 10, i << 28, 1);
    }

    ok(n <= 10, "as many requests as wrap bring nothing, and do no harm: %u",
       n);
}


/* any n requests in a row: at most their share and the burst */

static void
any_run(void)
{
    unsigned            round, i, n, k, bad, sent;
    uint32_t            requests, share, burst;
    ngx_smart_budget_t  s;
    static unsigned     at[5000];

    bad = 0;

    for (round = 0; round < 300; round++) {

        share = number() % 2000;
        burst = number() % 30;
        requests = number();
        s = 0;
        sent = 0;

        for (i = 0; i < 5000; i++) {

            at[i] = 0;
            requests++;

            /* quiet, busy, all at once */

            if (number() % 1000 < (i / 500 % 3) * 400) {
                at[i] = take(&s, share, burst, requests, number() % 8);
                sent += at[i];
            }
        }

        n = (unsigned) ((uint64_t) 5000 * share / 10000) + burst + 1;

        if (sent > n) {
            bad++;
        }

        for (i = 0; i < 4000; i += 7) {

            n = 0;

            for (k = i; k < i + 1000; k++) {
                n += at[k];
            }

            if (n > (uint64_t) 1000 * share / 10000 + (burst ? burst : 1) + 1)
            {
                bad++;
            }
        }
    }

    is_uint(bad, 0, "no run of requests has more");
}


/* four that replace the word, each seldom from an old number of requests */

static void
workers(void)
{
    unsigned            i, w, n;
    uint32_t            requests, seen[4];
    ngx_smart_budget_t  s;

    s = 0;
    n = 0;
    requests = 0;

    for (w = 0; w < 4; w++) {
        seen[w] = 0;
    }

    for (i = 0; i < 100000; i++) {

        requests++;
        w = number() % 4;

        if (number() % 10) {
            seen[w] = requests;
        }

        n += take(&s, 500, 10, seen[w], 1);
    }

    ok(n <= 5010, "four workers: %u of 100000", n);
    ok(n >= 4990, "four workers: %u of 100000 are no less", n);
}


static unsigned
take(ngx_smart_budget_t *state, uint32_t share, uint32_t burst,
    uint32_t requests, unsigned wanted)
{
    unsigned                 granted;
    ngx_smart_budget_conf_t  conf;

    conf.share = share;
    conf.burst = burst;

    *state = ngx_smart_budget_take(*state, &conf, requests, wanted, &granted);

    return granted;
}


static uint32_t
number(void)
{
    random_state = random_state * UINT64_C(6364136223846793005)
                   + UINT64_C(1442695040888963407);

    return (uint32_t) (random_state >> 33);
}
