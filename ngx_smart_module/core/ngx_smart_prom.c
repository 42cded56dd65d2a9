
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ngx_smart_prom.h"
#include "ngx_smart_utf8.h"


typedef struct {
    uint64_t     us;
    const char  *text;
} ngx_smart_prom_bound_t;


/* for Prometheus 2, "1" and "1.0" are two series */
static const ngx_smart_prom_bound_t
    ngx_smart_prom_bounds[NGX_SMART_PROM_BUCKETS + 1] =
{
    { 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" },
    { 10000, "0.01" }, { 25000, "0.025" }, { 50000, "0.05" },
    { 75000, "0.075" }, { 100000, "0.1" }, { 150000, "0.15" },
    { 200000, "0.2" }, { 250000, "0.25" }, { 300000, "0.3" },
    { 350000, "0.35" }, { 400000, "0.4" }, { 500000, "0.5" },
    { 750000, "0.75" }, { 1000000, "1.0" }, { 2500000, "2.5" },
    { 5000000, "5.0" }, { 10000000, "10.0" }, { UINT64_MAX, "+Inf" }
};


/* durations of 2^14 ms and more exceed all bounds */
#define NGX_SMART_PROM_BITS  15

/* by the number of bits of a duration in ms: the first bucket that may hold it,
 * of which the others are few steps away */
static const uint8_t  ngx_smart_prom_first[NGX_SMART_PROM_BITS] =
    { 0, 0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 17, 17, 18, 19 };


static void ngx_smart_prom_sample(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family, const char *suffix,
    const ngx_smart_prom_label_t *labels, unsigned n, const char *le);
static void ngx_smart_prom_json_key(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family, const char *suffix,
    const ngx_smart_prom_label_t *labels, unsigned n);
static void ngx_smart_prom_json_histogram(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n,
    const uint64_t *counts, uint64_t sum_ms);
static void ngx_smart_prom_value(ngx_smart_prom_t *prom, uint64_t value);
static void ngx_smart_prom_value_ms(ngx_smart_prom_t *prom, uint64_t ms);
static void ngx_smart_prom_label(ngx_smart_prom_t *prom,
    const ngx_smart_prom_label_t *label);
static void ngx_smart_prom_escape(ngx_smart_prom_t *prom,
    const ngx_smart_prom_label_t *label);
static void ngx_smart_prom_text(ngx_smart_prom_t *prom, const char *text);
static void ngx_smart_prom_write(ngx_smart_prom_t *prom, const char *p,
    size_t len);


unsigned
ngx_smart_prom_bucket(uint64_t ms)
{
    unsigned  i, bits;

    if (ms >> (NGX_SMART_PROM_BITS - 1)) {
        return NGX_SMART_PROM_BUCKETS;
    }

#if defined(__GNUC__)

    /* of 0 as of 1 */

    bits = 64 - (unsigned) __builtin_clzll(ms | 1);

#else

    for (bits = 0; ms >> bits; bits++) { /* void */ }

#endif

    i = ngx_smart_prom_first[bits];

    while (ms * 1000 > ngx_smart_prom_bounds[i].us) {
        i++;
    }

    return i;
}


const char *
ngx_smart_prom_bound(unsigned bucket)
{
    return ngx_smart_prom_bounds[bucket].text;
}


void
ngx_smart_prom_header(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family)
{
    const char  *suffix;

    static const char  *types[] = { "counter", "gauge", "histogram" };

    if (prom->json) {
        return;
    }

    suffix = (family->type == NGX_SMART_PROM_COUNTER && !prom->openmetrics)
             ? "_total" : "";

    ngx_smart_prom_text(prom, "# HELP ");
    ngx_smart_prom_text(prom, family->name);
    ngx_smart_prom_text(prom, suffix);
    ngx_smart_prom_text(prom, " ");
    ngx_smart_prom_text(prom, family->help);
    ngx_smart_prom_text(prom, "\n# TYPE ");
    ngx_smart_prom_text(prom, family->name);
    ngx_smart_prom_text(prom, suffix);
    ngx_smart_prom_text(prom, " ");
    ngx_smart_prom_text(prom, types[family->type]);
    ngx_smart_prom_text(prom, "\n");
}


void
ngx_smart_prom_number(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n, uint64_t value)
{
    ngx_smart_prom_sample(prom, family,
                          family->type == NGX_SMART_PROM_COUNTER ? "_total"
                                                                 : "",
                          labels, n, NULL);
    ngx_smart_prom_value(prom, value);
}


void
ngx_smart_prom_infinite(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n)
{
    ngx_smart_prom_sample(prom, family, "", labels, n, NULL);
    ngx_smart_prom_text(prom, prom->json ? "null\n" : "+Inf\n");
}


void
ngx_smart_prom_seconds(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n, uint64_t ms)
{
    ngx_smart_prom_sample(prom, family,
                          family->type == NGX_SMART_PROM_COUNTER ? "_total"
                                                                 : "",
                          labels, n, NULL);
    ngx_smart_prom_value_ms(prom, ms);
}


void
ngx_smart_prom_histogram(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n,
    const uint64_t *counts, uint64_t sum_ms)
{
    unsigned  i;
    uint64_t  total;

    if (prom->json) {
        ngx_smart_prom_json_histogram(prom, family, labels, n, counts,
                                      sum_ms);
        return;
    }

    total = 0;

    for (i = 0; i <= NGX_SMART_PROM_BUCKETS; i++) {

        total += counts[i];

        ngx_smart_prom_sample(prom, family, "_bucket", labels, n,
                              ngx_smart_prom_bounds[i].text);
        ngx_smart_prom_value(prom, total);
    }

    ngx_smart_prom_sample(prom, family, "_sum", labels, n, NULL);
    ngx_smart_prom_value_ms(prom, sum_ms);

    ngx_smart_prom_sample(prom, family, "_count", labels, n, NULL);
    ngx_smart_prom_value(prom, total);
}


void
ngx_smart_prom_end(ngx_smart_prom_t *prom)
{
    if (prom->openmetrics) {
        ngx_smart_prom_text(prom, "# EOF\n");
    }
}


/* all of a line but its value */
static void
ngx_smart_prom_sample(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family, const char *suffix,
    const ngx_smart_prom_label_t *labels, unsigned n, const char *le)
{
    unsigned  i;

    if (prom->json) {
        ngx_smart_prom_json_key(prom, family, suffix, labels, n);
        return;
    }

    ngx_smart_prom_text(prom, family->name);
    ngx_smart_prom_text(prom, suffix);

    if (n || le) {

        ngx_smart_prom_text(prom, "{");

        for (i = 0; i < n; i++) {
            ngx_smart_prom_text(prom, i ? "," : "");
            ngx_smart_prom_label(prom, &labels[i]);
        }

        if (le) {
            ngx_smart_prom_text(prom, n ? ",le=\"" : "le=\"");
            ngx_smart_prom_text(prom, le);
            ngx_smart_prom_text(prom, "\"");
        }

        ngx_smart_prom_text(prom, "}");
    }

    ngx_smart_prom_text(prom, " ");
}


static void
ngx_smart_prom_json_key(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family, const char *suffix,
    const ngx_smart_prom_label_t *labels, unsigned n)
{
    unsigned  i;

    ngx_smart_prom_text(prom, ",\"");
    ngx_smart_prom_text(prom, family->name);
    ngx_smart_prom_text(prom, suffix);

    for (i = prom->skip; i < n; i++) {
        ngx_smart_prom_text(prom, "/");
        ngx_smart_prom_escape(prom, &labels[i]);
    }

    ngx_smart_prom_text(prom, "\":");
}


static void
ngx_smart_prom_json_histogram(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n,
    const uint64_t *counts, uint64_t sum_ms)
{
    unsigned  i;
    uint64_t  total;

    ngx_smart_prom_json_key(prom, family, "", labels, n);
    ngx_smart_prom_text(prom, "{\"sum\":");
    ngx_smart_prom_value_ms(prom, sum_ms);
    ngx_smart_prom_text(prom, ",\"buckets\":[");

    total = 0;

    for (i = 0; i <= NGX_SMART_PROM_BUCKETS; i++) {
        total += counts[i];

        ngx_smart_prom_text(prom, i ? "," : "");
        ngx_smart_prom_value(prom, total);
    }

    ngx_smart_prom_text(prom, "]}\n");
}


static void
ngx_smart_prom_value(ngx_smart_prom_t *prom, uint64_t value)
{
    int   n;
    char  text[24];

    n = snprintf(text, sizeof(text), "%" PRIu64 "\n", value);

    ngx_smart_prom_write(prom, text, (size_t) n);
}


static void
ngx_smart_prom_value_ms(ngx_smart_prom_t *prom, uint64_t ms)
{
    int   n;
    char  text[32];

    n = snprintf(text, sizeof(text), "%" PRIu64 ".%03u\n", ms / 1000,
                 (unsigned) (ms % 1000));

    ngx_smart_prom_write(prom, text, (size_t) n);
}


static void
ngx_smart_prom_label(ngx_smart_prom_t *prom,
    const ngx_smart_prom_label_t *label)
{
    ngx_smart_prom_text(prom, label->name);
    ngx_smart_prom_text(prom, "=\"");
    ngx_smart_prom_escape(prom, label);
    ngx_smart_prom_text(prom, "\"");
}


static void
ngx_smart_prom_escape(ngx_smart_prom_t *prom,
    const ngx_smart_prom_label_t *label)
{
    char                  text[8];
    size_t                n;
    const unsigned char  *p, *end;

    p = (const unsigned char *) label->value;
    end = p + (label->len < NGX_SMART_PROM_MAX_LABEL
               ? label->len : NGX_SMART_PROM_MAX_LABEL);

    while (p < end) {

        n = ngx_smart_utf8_length(p, (size_t) (end - p));

        if (n == 0) {
            ngx_smart_prom_text(prom, "\xef\xbf\xbd");
            n = 1;

        } else if (*p == '\n') {
            ngx_smart_prom_text(prom, "\\n");

        } else if (prom->json && *p < 0x20) {
            (void) snprintf(text, sizeof(text), "\\u%04x", *p);
            ngx_smart_prom_text(prom, text);

        } else {

            if (*p == '\\' || *p == '"') {
                ngx_smart_prom_text(prom, "\\");
            }

            ngx_smart_prom_write(prom, (const char *) p, n);
        }

        p += n;
    }
}


static void
ngx_smart_prom_text(ngx_smart_prom_t *prom, const char *text)
{
    ngx_smart_prom_write(prom, text, strlen(text));
}


static void
ngx_smart_prom_write(ngx_smart_prom_t *prom, const char *p, size_t len)
{
    if (len > (size_t) (prom->end - prom->pos)) {
        prom->overflow = 1;
        return;
    }

    memcpy(prom->pos, p, len);
    prom->pos += len;
}
