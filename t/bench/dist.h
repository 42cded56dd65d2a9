
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Seeded distributions of times, for the simulated upstream and the oracles.
 *
 *     constant:MS
 *     lognormal:MEAN,SIGMA
 *     exponential:MEAN
 *     table:P=MS,P=MS,..     quantiles (P in percent, from 0 to 100), straight
 *                            lines between them
 *
 * each with any of these behind it:
 *
 *     +slow:SHARE,FACTOR     that share takes so many times longer
 *     +stall:SHARE,MIN,MAX   that share takes MIN to MAX instead
 *
 * A draw depends on the seed and on which one it is, on nothing else: the same
 * request finds the same times in two runs, whatever else happens in them.
 */

#ifndef _DIST_H_INCLUDED_
#define _DIST_H_INCLUDED_


#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define DIST_POINTS  32


typedef struct {
    enum {
        DIST_CONSTANT = 0,
        DIST_LOGNORMAL,
        DIST_EXPONENTIAL,
        DIST_TABLE
    }            kind;

    double       mean;                   /* ms */
    double       sigma;
    unsigned     n;
    double       p[DIST_POINTS];         /* 0 to 1 */
    double       at[DIST_POINTS];        /* ms */

    double       slow, factor;
    double       stall, min, max;
} dist_t;


/* splitmix64: each seed is another sequence, any place of which is at hand */
static inline uint64_t
dist_hash(uint64_t seed, uint64_t n)
{
    uint64_t  z;

    z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);

    return z ^ (z >> 31);
}


/* from 0 to 1, neither of them */
static inline double
dist_uniform(uint64_t seed, uint64_t n)
{
    return ((double) (dist_hash(seed, n) >> 11) + 0.5) / 9007199254740992.0;
}


static inline int
dist_parse_table(dist_t *d, const char *s)
{
    int  len;

    for (d->n = 0; d->n < DIST_POINTS; s += len) {

        len = 0;

        if (sscanf(s, "%lf=%lf%n", &d->p[d->n], &d->at[d->n], &len) != 2) {
            return -1;
        }

        d->p[d->n] /= 100;

        if (d->n ? d->p[d->n] <= d->p[d->n - 1] || d->at[d->n] < d->at[d->n - 1]
                 : d->p[0] != 0)
        {
            return -1;
        }

        d->n++;
        s += len;
        len = 1;

        if (*s != ',') {
            return d->n > 1 && d->p[d->n - 1] == 1 ? 0 : -1;
        }
    }

    return -1;
}


/* 0, or -1 for a text that describes none */
static inline int
dist_parse(dist_t *d, const char *text)
{
    const char  *s;

    memset(d, 0, sizeof(dist_t));

    if (sscanf(text, "constant:%lf", &d->mean) == 1) {
        d->kind = DIST_CONSTANT;

    } else if (sscanf(text, "lognormal:%lf,%lf", &d->mean, &d->sigma) == 2) {
        d->kind = DIST_LOGNORMAL;

    } else if (sscanf(text, "exponential:%lf", &d->mean) == 1) {
        d->kind = DIST_EXPONENTIAL;

    } else if (strncmp(text, "table:", 6) == 0) {
        d->kind = DIST_TABLE;

        if (dist_parse_table(d, text + 6) == -1) {
            return -1;
        }

    } else {
        return -1;
    }

    for (s = strchr(text, '+'); s; s = strchr(s + 1, '+')) {

        if (sscanf(s, "+slow:%lf,%lf", &d->slow, &d->factor) != 2
            && sscanf(s, "+stall:%lf,%lf,%lf", &d->stall, &d->min, &d->max)
               != 3)
        {
            return -1;
        }
    }

    return 0;
}


/* draw number n, ms */
static inline double
dist_draw(const dist_t *d, uint64_t seed, uint64_t n)
{
    double    u, v, t;
    unsigned  i;

    seed = dist_hash(seed, n);

    if (d->stall > 0 && dist_uniform(seed, 0) < d->stall) {
        return d->min + (d->max - d->min) * dist_uniform(seed, 1);
    }

    u = dist_uniform(seed, 2);

    switch (d->kind) {

    case DIST_LOGNORMAL:
        v = dist_uniform(seed, 3);
        t = sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
        t = d->mean * exp(d->sigma * t - d->sigma * d->sigma / 2);
        break;

    case DIST_EXPONENTIAL:
        t = -d->mean * log(u);
        break;

    case DIST_TABLE:
        for (i = 1; u > d->p[i]; i++) { /* void */ }

        t = d->at[i - 1] + (d->at[i] - d->at[i - 1])
                           * (u - d->p[i - 1]) / (d->p[i] - d->p[i - 1]);
        break;

    default:
        t = d->mean;
        break;
    }

    if (d->slow > 0 && dist_uniform(seed, 4) < d->slow) {
        t *= d->factor;
    }

    return t;
}


static inline double
dist_base_cdf(const dist_t *d, double t)
{
    unsigned  i;

    if (t <= 0) {
        return 0;
    }

    switch (d->kind) {

    case DIST_LOGNORMAL:
        return 0.5 * erfc(-(log(t / d->mean) + d->sigma * d->sigma / 2)
                          / d->sigma / sqrt(2));

    case DIST_EXPONENTIAL:
        return 1 - exp(-t / d->mean);

    case DIST_TABLE:
        if (t <= d->at[0]) {
            return 0;
        }

        for (i = 1; i < d->n; i++) {
            if (t < d->at[i]) {
                return d->p[i - 1] + (d->p[i] - d->p[i - 1])
                                     * (t - d->at[i - 1])
                                     / (d->at[i] - d->at[i - 1]);
            }
        }

        return 1;

    default:
        return t >= d->mean;
    }
}


/* the share of draws that are at most t */
static inline double
dist_cdf(const dist_t *d, double t)
{
    double  p, stalled;

    p = (1 - d->slow) * dist_base_cdf(d, t);

    if (d->slow > 0) {
        p += d->slow * dist_base_cdf(d, t / d->factor);
    }

    if (d->stall > 0) {
        stalled = d->max > d->min ? (t - d->min) / (d->max - d->min)
                                  : t >= d->min;
        stalled = stalled < 0 ? 0 : stalled > 1 ? 1 : stalled;
        p = (1 - d->stall) * p + d->stall * stalled;
    }

    return p;
}


static inline double
dist_quantile(const dist_t *d, double p)
{
    double    low = 0, high = 1e9, t;
    unsigned  i;

    for (i = 0; i < 100; i++) {
        t = (low + high) / 2;

        if (dist_cdf(d, t) < p) {
            low = t;

        } else {
            high = t;
        }
    }

    return high;
}


/* ms */
static inline double
dist_mean(const dist_t *d)
{
    double    mean;
    unsigned  i;

    mean = d->mean;

    if (d->kind == DIST_TABLE) {
        for (i = 1; i < d->n; i++) {
            mean += (d->p[i] - d->p[i - 1]) * (d->at[i] + d->at[i - 1]) / 2;
        }
    }

    if (d->slow > 0) {
        mean *= 1 - d->slow + d->slow * d->factor;
    }

    return (1 - d->stall) * mean + d->stall * (d->min + d->max) / 2;
}


#endif /* _DIST_H_INCLUDED_ */
