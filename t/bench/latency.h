
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Latencies by the number of their request, and what is said of them.
 */

#ifndef _LATENCY_H_INCLUDED_
#define _LATENCY_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>


#define LATENCY_NONE  UINT32_MAX


/* us; for n requests, each without an answer so far */
static inline uint32_t *
latency_create(uint64_t n)
{
    uint64_t   i;
    uint32_t  *us;

    us = calloc(n, sizeof(uint32_t));

    for (i = 0; us && i < n; i++) {
        us[i] = LATENCY_NONE;
    }

    return us;
}


/* the raw array, for other programs; -1 if that fails */
static inline int
latency_write(const uint32_t *us, uint64_t n, const char *name)
{
    FILE  *f;

    f = fopen(name, "w");

    if (f == NULL) {
        return -1;
    }

    if (fwrite(us, sizeof(uint32_t), n, f) != n) {
        fclose(f);
        return -1;
    }

    return fclose(f);
}


static inline int
latency_by_value(const void *a, const void *b)
{
    uint32_t  x, y;

    x = *(const uint32_t *) a;
    y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}


/* sorts; prints an object of mean and quantiles (by the nearest rank) in ms */
static inline void
latency_print(uint32_t *us, uint64_t n)
{
    double               sum;
    uint64_t             i, rank;
    static const double  points[] = { 50, 90, 95, 99, 99.9, 100 };

    qsort(us, n, sizeof(uint32_t), latency_by_value);

    /* those without an answer are at the end */

    for (sum = 0, i = 0; i < n && us[i] != LATENCY_NONE; i++) {
        sum += us[i] / 1e3;
    }

    n = i;

    printf("{\"mean\":%.3f", n ? sum / (double) n : 0);

    for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {

        rank = (uint64_t) (points[i] / 100 * (double) n + 0.999999);
        rank = rank > n ? n : rank;

        printf(",\"p%g\":%.3f", points[i], rank ? us[rank - 1] / 1e3 : 0);
    }

    printf("}");
}


#endif /* _LATENCY_H_INCLUDED_ */
