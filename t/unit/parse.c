
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_parse.h"


typedef ngx_smart_parse_e (*number_pt)(const char *p, size_t len,
    uint64_t *ms);


static void numbers(const char *path, number_pt parse);
static void hedges(const char *path);
static void single_bytes(void);
static void unit_orders(void);
static void timeout_edges(void);
static ngx_smart_parse_e parse_copy(number_pt parse, const char *p,
    size_t len, uint64_t *ms);


int
main(void)
{
    numbers("t/data/time.txt", ngx_smart_parse_time);
    numbers("t/data/timeout.txt", ngx_smart_parse_timeout);
    hedges("t/data/hedge.txt");

    single_bytes();
    unit_orders();
    timeout_edges();

    return tap_done();
}


static void
numbers(const char *path, number_pt parse)
{
    char               text[32];
    uint64_t           ms;
    ngx_smart_parse_e  rc;
    static table_t     t;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        ms = 12345;
        rc = parse_copy(parse, t.cells[0].data, t.cells[0].len, &ms);

        if (rc != NGX_SMART_PARSE_OK) {
            snprintf(text, sizeof(text), "%s",
                     rc == NGX_SMART_PARSE_INVALID ? "invalid" : "off");

        } else if (ms == NGX_SMART_PARSE_INFINITE) {
            snprintf(text, sizeof(text), "infinite");

        } else {
            snprintf(text, sizeof(text), "%" PRIu64, ms);
        }

        tap_is_str(path, t.line, text, t.cells[1].data, "%s",
                   t.cells[0].raw);
    }
}


static void
hedges(const char *path)
{
    char                    *p, *block;
    char                     text[TABLE_CELL + 64];
    const char              *allowed;
    ngx_smart_parse_e        rc;
    ngx_smart_hedge_plan_t   plan;
    ngx_smart_parse_error_t  error;
    static table_t           t;

    table_open(&t, path, 3);

    while (table_next(&t)) {
        memset(&plan, 0x55, sizeof(plan));
        memset(&error, 0, sizeof(error));
        allowed = "";

        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        rc = ngx_smart_parse_hedge(p, t.cells[0].len, &plan, &error);

        switch (rc) {

        case NGX_SMART_PARSE_OK:
            if (plan.percentile) {
                snprintf(text, sizeof(text), "p=%u min=%u max=%u warmup=%u "
                         "step=%" PRIu64 " extra=%u%s", plan.percentile,
                         plan.min, plan.max, plan.warmup, plan.step,
                         plan.extra, plan.delay ? ", delay" : "");
                break;
            }

            snprintf(text, sizeof(text), "delay=%" PRIu64 " step=%" PRIu64
                     " extra=%u", plan.delay, plan.step, plan.extra);
            break;

        case NGX_SMART_PARSE_OFF:
            snprintf(text, sizeof(text), "off%s", plan.extra ? ", extra" : "");
            break;

        case NGX_SMART_PARSE_INVALID:
            snprintf(text, sizeof(text), "invalid @%d [%s]%s",
                     (int) (error.data - p),
                     table_print(error.data, error.len),
                     plan.extra ? ", extra" : "");
            allowed = error.allowed;
            break;
        }

        tap_is_str(path, t.line, text, t.cells[1].raw, "%s", t.cells[0].raw);
        tap_is_str(path, t.line, allowed, t.cells[2].raw, "%s: allowed",
                   t.cells[0].raw);
        tap_ok(path, t.line, plan.own_failure == 0x55,
               "%s: nothing else is set", t.cells[0].raw);

        free(block);
    }
}


/* each byte alone and after a digit */

static void
single_bytes(void)
{
    int       c;
    char      text[2];
    uint64_t  ms;
    unsigned  digit, unit;

    text[0] = '1';

    for (c = 0; c < 256; c++) {
        text[1] = (char) c;
        digit = c >= '0' && c <= '9';
        unit = c != 0 && strchr("wdhms", c) != NULL;

        ok((parse_copy(ngx_smart_parse_time, text + 1, 1, &ms)
            == NGX_SMART_PARSE_OK) == digit,
           "byte 0x%02x as a time", (unsigned) c);

        ok((parse_copy(ngx_smart_parse_time, text, 2, &ms)
            == NGX_SMART_PARSE_OK) == (digit || unit),
           "byte 0x%02x in a time", (unsigned) c);

        ok((parse_copy(ngx_smart_parse_timeout, text + 1, 1, &ms)
            == NGX_SMART_PARSE_OK) == digit,
           "byte 0x%02x as a timeout", (unsigned) c);

        ok((parse_copy(ngx_smart_parse_timeout, text, 2, &ms)
            == NGX_SMART_PARSE_OK) == digit,
           "byte 0x%02x in a timeout", (unsigned) c);
    }
}


/* each unit after each; the last may be missing and then is seconds */

static void
unit_orders(void)
{
    int                n;
    char               text[16];
    size_t             i, j;
    uint64_t           ms, total;
    ngx_smart_parse_e  rc, expected;

    static const char *const  names[] = { "w", "d", "h", "m", "s", "ms", "" };
    static const uint64_t     units[] = {
        604800000, 86400000, 3600000, 60000, 1000, 1, 1000
    };

    for (i = 0; i < 6; i++) {
        for (j = 0; j < 7; j++) {
            n = snprintf(text, sizeof(text), "1%s2%s", names[i], names[j]);
            total = units[i] + 2 * units[j];

            expected = units[i] > units[j] ? NGX_SMART_PARSE_OK
                                           : NGX_SMART_PARSE_INVALID;
            ms = 0;
            rc = parse_copy(ngx_smart_parse_time, text, (size_t) n, &ms);

            is_uint(rc, expected, "the order of %s", text);

            if (rc == NGX_SMART_PARSE_OK) {
                is_uint(ms, total, "the sum of %s", text);
            }
        }
    }
}


/* digits counted up around 2^64, and one after the other to 400 of them */

static void
timeout_edges(void)
{
    char      text[400];
    uint64_t  ms, expected;
    unsigned  i, n;

    for (i = 0; i < 100; i++) {
        n = (unsigned) snprintf(text, sizeof(text), "184467440737095515%02u",
                                i);
        parse_copy(ngx_smart_parse_timeout, text, n, &ms);
        is_uint(ms, UINT64_C(18446744073709551500) + i, "%s", text);

        n = (unsigned) snprintf(text, sizeof(text), "184467440737095516%02u",
                                i);
        expected = i < 15 ? UINT64_C(18446744073709551600) + i
                          : NGX_SMART_PARSE_INFINITE;
        parse_copy(ngx_smart_parse_timeout, text, n, &ms);
        is_uint(ms, expected, "%s", text);
    }

    memset(text, '1', sizeof(text));
    expected = 0;

    for (i = 1; i <= sizeof(text); i++) {
        expected = i > 20 ? NGX_SMART_PARSE_INFINITE : expected * 10 + 1;

        parse_copy(ngx_smart_parse_timeout, text, i, &ms);
        is_uint(ms, expected, "%u digits", i);
    }
}


static ngx_smart_parse_e
parse_copy(number_pt parse, const char *p, size_t len, uint64_t *ms)
{
    char               *copy, *block;
    ngx_smart_parse_e   rc;

    copy = table_copy(p, len, &block);
    rc = parse(copy, len, ms);
    free(block);

    return rc;
}
