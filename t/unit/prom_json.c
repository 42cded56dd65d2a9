
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "tap.h"

#include "ngx_smart_prom.h"


static void begin(uint8_t skip);
static void samples(void);
static void histogram_text(void);
static void label_text(void);
static void sizes(void);
static size_t write_all(ngx_smart_prom_t *p);


static const ngx_smart_prom_family_t  counter = {
    "x_requests", "Requests, by code", NGX_SMART_PROM_COUNTER
};

static const ngx_smart_prom_family_t  gauge = {
    "x_delay_seconds", "The delay", NGX_SMART_PROM_GAUGE
};

static const ngx_smart_prom_family_t  histogram = {
    "x_duration_seconds", "How long", NGX_SMART_PROM_HISTOGRAM
};

static const ngx_smart_prom_label_t  labels[] = {
    { "server", "a.example", 9 }, { "location", "/", 1 },
    { "attempt", "hedge", 5 }, { "result", "won", 3 }
};

static char              text[8192];
static ngx_smart_prom_t  prom;


int
main(void)
{
    is_str(ngx_smart_prom_bound(0), "0.001", "the first bound");
    is_str(ngx_smart_prom_bound(16), "1.0", "a whole second");
    is_str(ngx_smart_prom_bound(NGX_SMART_PROM_BUCKETS), "+Inf", "no bound");

    samples();
    histogram_text();
    label_text();
    sizes();

    return tap_done();
}


static void
begin(uint8_t skip)
{
    memset(text, 0, sizeof(text));
    memset(&prom, 0, sizeof(prom));

    prom.pos = text;
    prom.end = text + sizeof(text) - 1;
    prom.json = 1;
    prom.skip = skip;
}


static void
samples(void)
{
    begin(2);
    ngx_smart_prom_header(&prom, &counter);
    is_str(text, "", "no header");

    ngx_smart_prom_number(&prom, &counter, labels, 4, 7);
    is_str(text, ",\"x_requests_total/hedge/won\":7\n", "a counter");

    begin(2);
    ngx_smart_prom_number(&prom, &gauge, labels, 2, 7);
    is_str(text, ",\"x_delay_seconds\":7\n", "no label is left");

    begin(0);
    ngx_smart_prom_seconds(&prom, &gauge, labels, 2, 1500);
    is_str(text, ",\"x_delay_seconds/a.example//\":1.500\n", "all labels");

    begin(2);
    ngx_smart_prom_infinite(&prom, &gauge, labels, 2);
    is_str(text, ",\"x_delay_seconds\":null\n", "no number is without end");

    begin(0);
    ngx_smart_prom_number(&prom, &gauge, NULL, 0, 0);
    is_str(text, ",\"x_delay_seconds\":0\n", "no label");

    ngx_smart_prom_end(&prom);
    is_str(text, ",\"x_delay_seconds\":0\n", "no end mark");
}


static void
histogram_text(void)
{
    char      *p;
    char       expected[1024];
    unsigned   i;
    uint64_t   counts[NGX_SMART_PROM_BUCKETS + 1];

    p = expected + sprintf(expected, ",\"x_duration_seconds/hedge\":"
                           "{\"sum\":12.345\n,\"buckets\":[");

    for (i = 0; i <= NGX_SMART_PROM_BUCKETS; i++) {
        counts[i] = 1u << i;
        p += sprintf(p, "%s%" PRIu64 "\n", i ? "," : "",
                     ((uint64_t) 2 << i) - 1);
    }

    sprintf(p, "]}\n");

    begin(2);
    ngx_smart_prom_histogram(&prom, &histogram, labels, 3, counts, 12345);
    is_str(text, expected, "a histogram, cumulative");
}


static void
label_text(void)
{
    static const ngx_smart_prom_label_t  label = {
        "x", "\"\\\n\t\x01\xff\xc3\xa9", 8
    };

    begin(0);
    ngx_smart_prom_number(&prom, &gauge, &label, 1, 1);
    is_str(text, ",\"x_delay_seconds/\\\"\\\\\\n\\u0009\\u0001"
                 "\xef\xbf\xbd\xc3\xa9\":1\n", "what JSON escapes");
}


/* whatever the room, nothing is written behind it, and the lack is told */
static void
sizes(void)
{
    char    *block;
    size_t   size, need;
    size_t   untold;

    begin(1);
    need = write_all(&prom);
    untold = 0;

    for (size = 0; size < need + 4; size++) {

        block = malloc(size + 1);

        if (block == NULL) {
            return;
        }

        memset(&prom, 0, sizeof(prom));
        prom.pos = block;
        prom.end = block + size;
        prom.json = 1;
        prom.skip = 1;

        (void) write_all(&prom);

        untold += prom.overflow != (size < need);

        free(block);
    }

    is_uint(untold, 0, "overflow is told at every size up to %u",
            (unsigned) need + 4);
}


static size_t
write_all(ngx_smart_prom_t *p)
{
    char            *start;
    static uint64_t  counts[NGX_SMART_PROM_BUCKETS + 1];

    start = p->pos;

    ngx_smart_prom_number(p, &counter, labels, 4, 7);
    ngx_smart_prom_seconds(p, &gauge, labels, 3, 7);
    ngx_smart_prom_histogram(p, &histogram, labels, 3, counts, 12345);

    return (size_t) (p->pos - start);
}
