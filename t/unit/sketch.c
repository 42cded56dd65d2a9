
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The sketch against the sorted latencies themselves.
 */


#include "sketch_draw.h"


#define SAMPLES  20000


typedef double (*draw_pt)(void);


static double uniform(void);
static double normal(void);
static double exponential(void);
static double pareto(void);
static double bimodal(void);
static double constant(void);
static double narrow(void);
static double wide(void);
static double tiny(void);

static void buckets(void);
static void quantiles(const char *name, draw_pt draw);
static void ranges(void);
static void small(void);
static void rest(void);
static void gain(void);
static int compare(const void *a, const void *b);


int
main(void)
{
    ok(sizeof(ngx_smart_sketch_t) <= 11 * 1024, "its size: %u bytes",
       (unsigned) sizeof(ngx_smart_sketch_t));

    buckets();

    quantiles("uniform", uniform);
    quantiles("normal", normal);
    quantiles("lognormal", lognormal);
    quantiles("exponential", exponential);
    quantiles("pareto", pareto);
    quantiles("bimodal", bimodal);
    quantiles("constant", constant);
    quantiles("narrow", narrow);
    quantiles("wide", wide);
    quantiles("tiny", tiny);

    ranges();
    small();
    rest();
    gain();

    return tap_done();
}


/* every bucket begins where the one before it ends, and stands for all of it */

static void
buckets(void)
{
    double    error, above, below;
    uint64_t  us;
    unsigned  b, last, gaps;

    last = 0;
    gaps = 0;
    above = 0;
    below = 0;

    for (us = 0; us < 100000000; us += us / 3000 + 1) {

        b = ngx_smart_sketch_bucket(us);

        if (b != last && b != last + 1) {
            gaps++;
        }

        last = b;

        if (us < 100 || us > 60000000) {
            continue;
        }

        error = (double) ngx_smart_sketch_value(b, 1, 1) / (double) us - 1;
        above = error > above ? error : above;

        error = (double) ngx_smart_sketch_value(b, 1, 1000000000)
                / (double) us - 1;
        below = error < below ? error : below;
    }

    is_uint(gaps, 0, "buckets follow each other");
    is_uint(last, NGX_SMART_SKETCH_BUCKETS - 1, "up to the last one");
    ok(above < 0.05001, "a value is at most 5 %% above: %.4f", above);
    ok(below > -0.05, "and at most 5 %% below: %.4f", below);

    is_uint(ngx_smart_sketch_bucket(0), 0, "no time at all");
    is_uint(ngx_smart_sketch_bucket(63), 0, "below the range");
    is_uint(ngx_smart_sketch_bucket(64), 1, "at its begin");
    is_uint(ngx_smart_sketch_bucket(67108863), NGX_SMART_SKETCH_BUCKETS - 2,
            "at its end");
    is_uint(ngx_smart_sketch_bucket(67108864), NGX_SMART_SKETCH_BUCKETS - 1,
            "above the range");
    is_uint(ngx_smart_sketch_bucket(UINT64_MAX), NGX_SMART_SKETCH_BUCKETS - 1,
            "the longest");
    is_uint(ngx_smart_sketch_value(0, 1, 1), 64, "the value below the range");
    is_uint(ngx_smart_sketch_value(NGX_SMART_SKETCH_BUCKETS - 1, 1, 1),
            67108864, "the value above the range");
}


static void
quantiles(const char *name, draw_pt draw)
{
    double                     exact, error, worst;
    unsigned                   q, i, worst_q;
    static uint64_t            sorted[SAMPLES];
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);

    for (i = 0; i < SAMPLES; i++) {
        sorted[i] = (uint64_t) draw();
        fill(&s, sorted[i], 1);
    }

    qsort(sorted, SAMPLES, sizeof(uint64_t), compare);

    worst = 0;
    worst_q = 0;

    for (q = 500; q <= 999; q++) {

        exact = (double) sorted[(SAMPLES * q + 999) / 1000 - 1];

        if (exact < 100) {
            exact = 100;
        }

        error = fabs((double) quantile(&s, 1000, q) / exact - 1);

        if (error > worst) {
            worst = error;
            worst_q = q;
        }
    }

    ok(worst <= 0.05, "%s: p50 to p99.9 within 5 %%, worst %.4f at p%.1f",
       name, worst, worst_q / 10.0);
}


/* one value alone, all over the range */

static void
ranges(void)
{
    double                     worst, error;
    uint64_t                   us;
    static ngx_smart_sketch_t  s;

    worst = 0;

    for (us = 100; us <= 60000000; us += us / 50 + 1) {
        memset(&s, 0, sizeof(s));
        ngx_smart_sketch_turn(&s, 1000);
        fill(&s, us, 3);

        error = fabs((double) quantile(&s, 1000, 950) / (double) us - 1);
        worst = error > worst ? error : worst;
    }

    ok(worst <= 0.05, "100 us to 60 s within 5 %%, worst %.4f", worst);
}


static void
small(void)
{
    ngx_smart_sketch_view_t    view;
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));

    is_uint(quantile(&s, 1000, 950), 0, "nothing is known of nothing");
    is_uint(samples(&s, 1000), 0, "no latencies");

    ngx_smart_sketch_turn(&s, 1000);
    is_uint(quantile(&s, 1000, 950), 0, "nor after a turn");

    fill(&s, 1000, 1);
    is_uint(quantile(&s, 1000, 500),
            ngx_smart_sketch_value(ngx_smart_sketch_bucket(1000), 1, 1),
            "one latency is its median");
    is_uint(quantile(&s, 1000, 999), quantile(&s, 1000, 500),
            "and all else");

    fill(&s, 100000, 1);
    is_uint(quantile(&s, 1000, 500), ngx_smart_sketch_value(
                ngx_smart_sketch_bucket(1000), 1, 1), "the median of two");
    is_uint(quantile(&s, 1000, 501), ngx_smart_sketch_value(
                ngx_smart_sketch_bucket(100000), 1, 1), "just above it");

    /* 95 short ones of 100: the rank is that of the last short one */

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);
    fill(&s, 1000, 95);
    fill(&s, 100000, 5);

    ok(quantile(&s, 1000, 950) < 1100, "p95 of 95 and 5");
    ok(quantile(&s, 1000, 951) > 90000, "p95.1 of 95 and 5");

    ngx_smart_sketch_view(&s, 1000, NGX_SMART_SKETCH_ALL, &view);
    is_uint(view.samples, 100, "all of them");
    is_uint(view.total, 100, "and in total");

    fill(&s, UINT64_MAX, 1000000);
    is_uint(quantile(&s, 1000, 950), 67108864, "longer than all");
}


static void
rest(void)
{
    double                     mean;
    unsigned                   i, n;
    uint64_t                   us;
    ngx_smart_sketch_view_t    view;
    static ngx_smart_sketch_t  s;

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);

    ngx_smart_sketch_view(&s, 1000, NGX_SMART_SKETCH_ALL, &view);
    is_uint(ngx_smart_sketch_rest(&view, 0), 0, "no rest of nothing");

    mean = 0;
    n = 0;

    for (i = 0; i < SAMPLES; i++) {
        us = (uint64_t) lognormal();
        fill(&s, us, 1);

        if (us > 20000) {
            mean += (double) us - 20000;
            n++;
        }
    }

    mean /= n;

    ngx_smart_sketch_view(&s, 1000, NGX_SMART_SKETCH_ALL, &view);
    us = ngx_smart_sketch_rest(&view, 20000);

    ok(fabs((double) us / mean - 1) < 0.1, "the rest of %u: %.0f of %.0f", n,
       (double) us, mean);
    is_uint(ngx_smart_sketch_rest(&view, 100000000), 0,
            "no rest beyond the range");
}


/* against hedges that are drawn */

static void
gain(void)
{
    double                     sum, got, first, y;
    unsigned                   i, n, k, round;
    uint64_t                   starts[7], end;
    ngx_smart_sketch_view_t    view;
    static ngx_smart_sketch_t  s;

    static const struct {
        unsigned   n;
        uint64_t   start;
        uint64_t   step;
        uint64_t   end;
    } cases[] = {
        { 1, 0, 0, 10000 }, { 1, 10000, 0, 50000 }, { 1, 10000, 0, 12000 },
        { 2, 10000, 0, 50000 }, { 7, 10000, 0, 20000 },
        { 3, 10000, 2000, 50000 }, { 3, 10000, 20000, 25000 },
        { 2, 5000000, 1000, 9000000 }
    };

    memset(&s, 0, sizeof(s));
    ngx_smart_sketch_turn(&s, 1000);

    ngx_smart_sketch_view(&s, 1000, NGX_SMART_SKETCH_ALL, &view);
    starts[0] = 0;
    is_uint(ngx_smart_sketch_gain(&view, starts, 1, 1000), 0,
            "nothing is gained by the unknown");

    for (i = 0; i < SAMPLES; i++) {
        fill(&s, (uint64_t) lognormal(), 1);
    }

    ngx_smart_sketch_view(&s, 1000, NGX_SMART_SKETCH_ALL, &view);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        n = cases[i].n;
        end = cases[i].end;

        for (k = 0; k < n; k++) {
            starts[k] = cases[i].start + k * cases[i].step;
        }

        sum = 0;

        for (round = 0; round < 100000; round++) {

            first = (double) end;

            for (k = 0; k < n; k++) {
                y = (double) starts[k] + lognormal();
                first = y < first ? y : first;
            }

            sum += (double) end - first;
        }

        sum /= round;
        got = (double) ngx_smart_sketch_gain(&view, starts, n, end);

        ok(fabs(got / sum - 1) < 0.08, "the gain of %u from %.0f to %.0f: "
           "%.0f of %.0f", n, (double) starts[0], (double) end, got, sum);
    }

    is_uint(ngx_smart_sketch_gain(&view, starts, 0, 1000), 0,
            "nothing is gained by none");
    starts[0] = 1000;
    is_uint(ngx_smart_sketch_gain(&view, starts, 1, 1000), 0,
            "nothing is gained in no time");
}


static double
uniform(void)
{
    return 100 + real() * 200000;
}


static double
normal(void)
{
    double  us;

    us = 50000 + 10000 * gauss();

    return us < 100 ? 100 : us;
}


static double
exponential(void)
{
    return 100 - 30000 * log(real());
}


static double
pareto(void)
{
    return 1000 / pow(real(), 0.8);
}


static double
bimodal(void)
{
    return real() < 0.95 ? 2000 + 100 * real() : 500000 + 2000000 * real();
}


static double
constant(void)
{
    return 10000;
}


static double
narrow(void)
{
    return 100000 + 500 * gauss();
}


static double
wide(void)
{
    return 100 * pow(600000, real());
}


static double
tiny(void)
{
    return 100 + 50 * real();
}


static int
compare(const void *a, const void *b)
{
    uint64_t  x, y;

    x = *(const uint64_t *) a;
    y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}
