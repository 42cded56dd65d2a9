
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A writer of the Prometheus text format 0.0.4 and of OpenMetrics 1.0.0 into
 * memory of the caller.  The caller writes all samples of a family after its
 * header, before the next one.  The same samples can be written as members of
 * a JSON object: ,"name_total/value of a label":1 with a comma before each.
 */

#ifndef _NGX_SMART_PROM_H_INCLUDED_
#define _NGX_SMART_PROM_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* bounds of all histograms, in ms where the text has seconds */
#define NGX_SMART_PROM_BUCKETS     20

/* a value that fits no label of this length is cut */
#define NGX_SMART_PROM_MAX_LABEL   256


typedef enum {
    NGX_SMART_PROM_COUNTER = 0,
    NGX_SMART_PROM_GAUGE,
    NGX_SMART_PROM_HISTOGRAM
} ngx_smart_prom_type_e;


/* "name" has no suffix: that of counters, "_total", is the writer's */
typedef struct {
    const char             *name;
    const char             *help;
    ngx_smart_prom_type_e   type;
} ngx_smart_prom_family_t;


typedef struct {
    const char  *name;
    const char  *value;
    size_t       len;
} ngx_smart_prom_label_t;


/*
 * What does not fit is dropped and "overflow" is set; the caller makes room
 * first: NGX_SMART_PROM_MAX_SAMPLE holds any sample.
 */
typedef struct {
    char     *pos;
    char     *end;
    uint8_t   openmetrics;
    uint8_t   json;
    uint8_t   skip;                /* in JSON: leading labels left out */
    uint8_t   overflow;
} ngx_smart_prom_t;


/* each byte of a label may become three; at most four labels, and "le" */
#define NGX_SMART_PROM_MAX_SAMPLE                                             \
    (4 * (3 * NGX_SMART_PROM_MAX_LABEL + 32) + 256)

#define NGX_SMART_PROM_MAX_HISTOGRAM                                          \
    ((NGX_SMART_PROM_BUCKETS + 3) * NGX_SMART_PROM_MAX_SAMPLE)


/* which bucket a duration in ms is counted in; NGX_SMART_PROM_BUCKETS is the
 * one above the last bound */
unsigned ngx_smart_prom_bucket(uint64_t ms);

/* the upper bound of a bucket in seconds, as it is written */
const char *ngx_smart_prom_bound(unsigned bucket);

void ngx_smart_prom_header(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family);

/* a counter or a gauge with a whole number */
void ngx_smart_prom_number(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n, uint64_t value);

/* a gauge that is infinite */
void ngx_smart_prom_infinite(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n);

/* the same in seconds, from ms, or in anything else from its thousandths */
void ngx_smart_prom_seconds(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n, uint64_t ms);

/* "counts" are not cumulative, there are NGX_SMART_PROM_BUCKETS + 1 */
void ngx_smart_prom_histogram(ngx_smart_prom_t *prom,
    const ngx_smart_prom_family_t *family,
    const ngx_smart_prom_label_t *labels, unsigned n,
    const uint64_t *counts, uint64_t sum_ms);

/* what ends a text: the end mark of OpenMetrics */
void ngx_smart_prom_end(ngx_smart_prom_t *prom);


#endif /* _NGX_SMART_PROM_H_INCLUDED_ */
