
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_prom.h"


typedef struct {
    unsigned     us;
    const char  *text;
} bound_t;


/* writes something; the same each time */
typedef void (*writer_pt)(ngx_smart_prom_t *prom);


static void buckets(const char *path);
static void bucket_sweep(void);
static void labels(const char *path);
static void label_bytes(void);
static void texts(void);
static void numbers(void);
static void histogram_text(void);
static void sizes(void);
static void sizes_of(const char *name, writer_pt writer, uint8_t openmetrics);
static void worst_case(void);
static void sticky(void);

static void write_header(ngx_smart_prom_t *prom);
static void write_number(ngx_smart_prom_t *prom);
static void write_bare(ngx_smart_prom_t *prom);
static void write_seconds(ngx_smart_prom_t *prom);
static void write_histogram(ngx_smart_prom_t *prom);
static void write_end(ngx_smart_prom_t *prom);
static void write_all(ngx_smart_prom_t *prom);
static const char *written(writer_pt writer, uint8_t openmetrics);


static const bound_t  bounds[] = {
    { 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" },
    { 10000, "0.01" }, { 25000, "0.025" }, { 50000, "0.05" },
    { 75000, "0.075" }, { 100000, "0.1" }, { 150000, "0.15" },
    { 200000, "0.2" }, { 250000, "0.25" }, { 300000, "0.3" },
    { 350000, "0.35" }, { 400000, "0.4" }, { 500000, "0.5" },
    { 750000, "0.75" }, { 1000000, "1.0" }, { 2500000, "2.5" },
    { 5000000, "5.0" }, { 10000000, "10.0" }
};

#define BOUNDS  (sizeof(bounds) / sizeof(bounds[0]))


static const ngx_smart_prom_family_t  counter = {
    "x_requests", "Requests, by code", NGX_SMART_PROM_COUNTER
};

static const ngx_smart_prom_family_t  gauge = {
    "x_delay_seconds", "The delay", NGX_SMART_PROM_GAUGE
};

static const ngx_smart_prom_family_t  histogram = {
    "x_duration_seconds", "How long", NGX_SMART_PROM_HISTOGRAM
};

static const ngx_smart_prom_label_t  two[] = {
    { "server", "a.example", 9 }, { "location", "~ \\d\"\n", 6 }
};

static uint64_t  counts[NGX_SMART_PROM_BUCKETS + 1];


int
main(void)
{
    size_t  i;

    is_uint(NGX_SMART_PROM_BUCKETS, BOUNDS, "as many bounds");

    for (i = 0; i <= BOUNDS; i++) {
        counts[i] = 1 << i;
    }

    buckets("t/data/bucket.txt");
    bucket_sweep();
    labels("t/data/label.txt");
    label_bytes();
    texts();
    numbers();
    histogram_text();
    sizes();
    worst_case();
    sticky();

    return tap_done();
}


static void
buckets(const char *path)
{
    unsigned        n;
    uint64_t        ms;
    const char     *text;
    static table_t  t;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        ms = strtoull(t.cells[0].data, NULL, 10);
        n = ngx_smart_prom_bucket(ms);
        text = n < BOUNDS ? bounds[n].text : n == BOUNDS ? "+Inf" : "none";

        tap_is_str(path, t.line, text, t.cells[1].data, "%" PRIu64 " ms", ms);
    }
}


/* a duration is in the first bucket whose bound is not below it */

static void
bucket_sweep(void)
{
    unsigned  n, wrong;
    uint64_t  ms;

    wrong = 0;

    for (ms = 0; ms < 20000; ms++) {

        for (n = 0; n < BOUNDS && bounds[n].us < ms * 1000; n++) { /* void */ }

        wrong += ngx_smart_prom_bucket(ms) != n;
    }

    is_uint(wrong, 0, "durations in other buckets than by a plain search");
}


static void
labels(const char *path)
{
    char                    *p, *block;
    size_t                   len;
    static char              text[4096], expected[4096];
    static table_t           t;
    ngx_smart_prom_t         prom;
    ngx_smart_prom_label_t   label;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);

        label.name = "l";
        label.value = p;
        label.len = t.cells[0].len;

        memset(&prom, 0, sizeof(prom));
        prom.pos = text;
        prom.end = text + sizeof(text);

        ngx_smart_prom_number(&prom, &gauge, &label, 1, 0);
        free(block);

        len = (size_t) snprintf(expected, sizeof(expected),
                                "x_delay_seconds{l=\"");
        memcpy(expected + len, t.cells[1].data, t.cells[1].len);
        len += t.cells[1].len;
        len += (size_t) snprintf(expected + len, sizeof(expected) - len,
                                 "\"} 0\n");

        tap_ok(path, t.line,
               !prom.overflow && (size_t) (prom.pos - text) == len
               && memcmp(text, expected, len) == 0,
               "%s", t.cells[0].raw);
    }
}


/* each byte alone: itself, escaped, or U+FFFD */

static void
label_bytes(void)
{
    char                    *block, *p, byte;
    char                     text[64], expected[64];
    unsigned                 i, wrong;
    ngx_smart_prom_t         prom;
    ngx_smart_prom_label_t   label;

    wrong = 0;

    for (i = 1; i < 256; i++) {
        byte = (char) i;
        p = table_copy(&byte, 1, &block);

        label.name = "l";
        label.value = p;
        label.len = 1;

        memset(&prom, 0, sizeof(prom));
        prom.pos = text;
        prom.end = text + sizeof(text) - 1;

        ngx_smart_prom_number(&prom, &gauge, &label, 1, 0);
        free(block);
        *prom.pos = '\0';

        if (i >= 0x80) {
            snprintf(expected, sizeof(expected),
                     "x_delay_seconds{l=\"\xef\xbf\xbd\"} 0\n");

        } else {
            snprintf(expected, sizeof(expected),
                     "x_delay_seconds{l=\"%s%c\"} 0\n",
                     i == '\\' || i == '"' || i == '\n' ? "\\" : "",
                     i == '\n' ? 'n' : (char) i);
        }

        wrong += strcmp(text, expected) != 0;
    }

    is_uint(wrong, 0, "bytes that are written as they should not be");
}


static void
texts(void)
{
    is_str(written(write_header, 0),
           "# HELP x_requests_total Requests, by code\n"
           "# TYPE x_requests_total counter\n"
           "# HELP x_delay_seconds The delay\n"
           "# TYPE x_delay_seconds gauge\n"
           "# HELP x_duration_seconds How long\n"
           "# TYPE x_duration_seconds histogram\n",
           "headers of families");

    is_str(written(write_header, 1),
           "# HELP x_requests Requests, by code\n"
           "# TYPE x_requests counter\n"
           "# HELP x_delay_seconds The delay\n"
           "# TYPE x_delay_seconds gauge\n"
           "# HELP x_duration_seconds How long\n"
           "# TYPE x_duration_seconds histogram\n",
           "headers of families, OpenMetrics");

    is_str(written(write_number, 0),
           "x_requests_total{server=\"a.example\","
           "location=\"~ \\\\d\\\"\\n\"} 7\n"
           "x_delay_seconds{server=\"a.example\"} 7\n", "samples");

    is_str(written(write_number, 1), written(write_number, 0),
           "samples are the same in OpenMetrics");

    is_str(written(write_bare, 0), "x_requests_total 0\nx_delay_seconds 0\n",
           "samples without labels");

    is_str(written(write_seconds, 0),
           "x_requests_total{server=\"a.example\"} 61.005\n"
           "x_delay_seconds{server=\"a.example\"} 0.300\n", "seconds");

    is_str(written(write_end, 0), "", "nothing ends a text");
    is_str(written(write_end, 1), "# EOF\n", "what ends an OpenMetrics text");
}


static void
numbers(void)
{
    char              text[64];
    size_t            i;
    ngx_smart_prom_t  prom;

    static const struct {
        uint64_t     value;
        const char  *number;
        const char  *seconds;
    } values[] = {
        { 0, "0", "0.000" },
        { 1, "1", "0.001" },
        { 10, "10", "0.010" },
        { 999, "999", "0.999" },
        { 1000, "1000", "1.000" },
        { 1001, "1001", "1.001" },
        { 4294967295u, "4294967295", "4294967.295" },
        { 4294967296u, "4294967296", "4294967.296" },
        { INT64_MAX, "9223372036854775807", "9223372036854775.807" },
        { UINT64_MAX, "18446744073709551615", "18446744073709551.615" }
    };

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {

        memset(&prom, 0, sizeof(prom));
        prom.pos = text;
        prom.end = text + sizeof(text) - 1;

        ngx_smart_prom_number(&prom, &gauge, NULL, 0, values[i].value);
        prom.pos[-1] = '\0';
        is_str(text + strlen("x_delay_seconds "), values[i].number,
               "%s as a number", values[i].number);

        prom.pos = text;
        ngx_smart_prom_seconds(&prom, &gauge, NULL, 0, values[i].value);
        prom.pos[-1] = '\0';
        is_str(text + strlen("x_delay_seconds "), values[i].seconds,
               "%s ms in seconds", values[i].number);

        ok(!prom.overflow, "%s fits", values[i].number);
    }

    prom.pos = text;
    ngx_smart_prom_infinite(&prom, &gauge, NULL, 0);
    *prom.pos = '\0';
    is_str(text, "x_delay_seconds +Inf\n", "an infinite gauge");
}


static void
histogram_text(void)
{
    char       *p;
    size_t      i;
    uint64_t    total;
    static char expected[4096];

    p = expected;
    total = 0;

    for (i = 0; i <= BOUNDS; i++) {
        total += counts[i];
        p += sprintf(p, "x_duration_seconds_bucket{server=\"a.example\","
                     "le=\"%s\"} %" PRIu64 "\n",
                     i < BOUNDS ? bounds[i].text : "+Inf", total);
    }

    p += sprintf(p, "x_duration_seconds_sum{server=\"a.example\"} 12.345\n");
    p += sprintf(p, "x_duration_seconds_count{server=\"a.example\"} "
                 "%" PRIu64 "\n", total);

    for (i = 0; i <= BOUNDS; i++) {
        p += sprintf(p, "x_duration_seconds_bucket{le=\"%s\"} %" PRIu64 "\n",
                     i < BOUNDS ? bounds[i].text : "+Inf",
                     (uint64_t) (2 << i) - 1);
    }

    sprintf(p, "x_duration_seconds_sum 0.000\nx_duration_seconds_count "
            "%" PRIu64 "\n", total);

    is_str(written(write_histogram, 0), expected,
           "histograms, with and without labels");
}


/* whatever the room, nothing is written behind it, and the lack is told */

static void
sizes(void)
{
    uint8_t  openmetrics;

    for (openmetrics = 0; openmetrics < 2; openmetrics++) {
        sizes_of("headers", write_header, openmetrics);
        sizes_of("samples", write_number, openmetrics);
        sizes_of("samples without labels", write_bare, openmetrics);
        sizes_of("seconds", write_seconds, openmetrics);
        sizes_of("histograms", write_histogram, openmetrics);
        sizes_of("the end", write_end, openmetrics);
        sizes_of("all of it", write_all, openmetrics);
    }
}


static void
sizes_of(const char *name, writer_pt writer, uint8_t openmetrics)
{
    char              *block;
    size_t             size, need;
    unsigned           untold, outside, wrong;
    const char        *expected;
    ngx_smart_prom_t   prom;

    expected = written(writer, openmetrics);
    need = strlen(expected);
    untold = 0;
    outside = 0;
    wrong = 0;

    for (size = 0; size < need + 8; size++) {

        /* the sanitizer watches the end of the block, and we its begin */

        block = malloc(size + 1);

        if (block == NULL) {
            tap_die("malloc()", "out of memory");
        }

        block[0] = 'x';

        memset(&prom, 0, sizeof(prom));
        prom.pos = block + 1;
        prom.end = block + 1 + size;
        prom.openmetrics = openmetrics;

        writer(&prom);

        untold += prom.overflow != (size < need);
        outside += block[0] != 'x' || prom.pos < block + 1
                   || prom.pos > block + 1 + size
                   || prom.end != block + 1 + size;
        wrong += size >= need
                 && ((size_t) (prom.pos - block - 1) != need
                     || memcmp(block + 1, expected, need) != 0);

        free(block);
    }

    is_uint(untold, 0, "%s (%u): overflow is told at every size of %u", name,
            openmetrics, (unsigned) need + 8);
    is_uint(outside, 0, "%s (%u): nothing outside", name, openmetrics);
    is_uint(wrong, 0, "%s (%u): all of it where it fits", name, openmetrics);
}


/* what the header promises to callers who make room */

static void
worst_case(void)
{
    char                     *text;
    size_t                    i;
    static char               value[NGX_SMART_PROM_MAX_LABEL + 100];
    ngx_smart_prom_t          prom;
    ngx_smart_prom_label_t    worst[4];

    static const ngx_smart_prom_family_t  longest = {
        "nginx_smart_journal_last_write_timestamp_seconds_and_more", "",
        NGX_SMART_PROM_HISTOGRAM
    };

    memset(value, 0xff, sizeof(value));

    for (i = 0; i < 4; i++) {
        worst[i].name = "a_name_of_twenty_six_bytes";
        worst[i].value = value;
        worst[i].len = sizeof(value);
        counts[i] = (uint64_t) 1 << 62;
    }

    text = malloc(NGX_SMART_PROM_MAX_HISTOGRAM);

    if (text == NULL) {
        tap_die("malloc()", "out of memory");
    }

    memset(&prom, 0, sizeof(prom));
    prom.pos = text;
    prom.end = text + NGX_SMART_PROM_MAX_SAMPLE;

    ngx_smart_prom_seconds(&prom, &longest, worst, 4, UINT64_MAX);

    ok(!prom.overflow, "the longest sample fits into %u bytes, it takes %u",
       (unsigned) NGX_SMART_PROM_MAX_SAMPLE, (unsigned) (prom.pos - text));

    prom.pos = text;
    prom.end = text + NGX_SMART_PROM_MAX_HISTOGRAM;
    prom.overflow = 0;

    ngx_smart_prom_histogram(&prom, &longest, worst, 4, counts, UINT64_MAX);

    ok(!prom.overflow, "the longest histogram fits into %u bytes, it takes "
       "%u", (unsigned) NGX_SMART_PROM_MAX_HISTOGRAM,
       (unsigned) (prom.pos - text));

    free(text);

    for (i = 0; i < 4; i++) {
        counts[i] = 1 << i;
    }
}


static void
sticky(void)
{
    char              text[256];
    ngx_smart_prom_t  prom;

    memset(&prom, 0, sizeof(prom));
    prom.pos = text;
    prom.end = text + 4;

    write_number(&prom);
    ok(prom.overflow, "too little room");

    prom.end = text + sizeof(text);

    write_bare(&prom);
    ok(prom.overflow, "what was lost stays told when there is room again");
}


static void
write_header(ngx_smart_prom_t *prom)
{
    ngx_smart_prom_header(prom, &counter);
    ngx_smart_prom_header(prom, &gauge);
    ngx_smart_prom_header(prom, &histogram);
}


static void
write_number(ngx_smart_prom_t *prom)
{
    ngx_smart_prom_number(prom, &counter, two, 2, 7);
    ngx_smart_prom_number(prom, &gauge, two, 1, 7);
}


static void
write_bare(ngx_smart_prom_t *prom)
{
    ngx_smart_prom_number(prom, &counter, NULL, 0, 0);
    ngx_smart_prom_number(prom, &gauge, NULL, 0, 0);
}


static void
write_seconds(ngx_smart_prom_t *prom)
{
    ngx_smart_prom_seconds(prom, &counter, two, 1, 61005);
    ngx_smart_prom_seconds(prom, &gauge, two, 1, 300);
}


static void
write_histogram(ngx_smart_prom_t *prom)
{
    ngx_smart_prom_histogram(prom, &histogram, two, 1, counts, 12345);
    ngx_smart_prom_histogram(prom, &histogram, NULL, 0, counts, 0);
}


static void
write_end(ngx_smart_prom_t *prom)
{
    ngx_smart_prom_end(prom);
}


static void
write_all(ngx_smart_prom_t *prom)
{
    write_header(prom);
    write_number(prom);
    write_seconds(prom);
    write_histogram(prom);
    write_end(prom);
}


/* with room enough, in memory that the call after the next one reuses */
static const char *
written(writer_pt writer, uint8_t openmetrics)
{
    static char        text[2][16384];
    static unsigned    n;
    ngx_smart_prom_t   prom;

    n = !n;

    memset(&prom, 0, sizeof(prom));
    prom.pos = text[n];
    prom.end = text[n] + sizeof(text[n]) - 1;
    prom.openmetrics = openmetrics;

    writer(&prom);

    *prom.pos = '\0';

    return text[n];
}
