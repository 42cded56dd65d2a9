
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_parse.h"


/* what an event timer of nginx can hold on every platform */
#define NGX_SMART_PARSE_MAX_TIME    INT32_MAX

#define NGX_SMART_PARSE_WARMUP      100
#define NGX_SMART_PARSE_MAX_WARMUP  1000000


typedef struct {
    const char  *name;
    uint64_t     ms;
} ngx_smart_parse_unit_t;


/* in the order in which they may follow each other */
static const ngx_smart_parse_unit_t  ngx_smart_parse_units[] = {
    { "w",  7 * 24 * 60 * 60 * 1000u },
    { "d",  24 * 60 * 60 * 1000u },
    { "h",  60 * 60 * 1000u },
    { "m",  60 * 1000u },
    { "s",  1000 },
    { "ms", 1 },
    { NULL, 0 }
};


static const char  ngx_smart_parse_delay_allowed[] =
    "\"off\", a time such as \"300ms\", or a percentile from \"p50\" to "
    "\"p99.9\"";
static const char  ngx_smart_parse_extra_allowed[] = "a number from 1 to 7";
static const char  ngx_smart_parse_step_allowed[] =
    "a time such as \"50ms\"";
static const char  ngx_smart_parse_bound_allowed[] =
    "a time such as \"50ms\", \"min\" not above \"max\"";
static const char  ngx_smart_parse_warmup_allowed[] =
    "a number from 0 to 1000000";
static const char  ngx_smart_parse_fixed_allowed[] =
    "\"extra=N\" or \"step=time\", each once";
static const char  ngx_smart_parse_param_allowed[] =
    "\"extra=N\", \"step=time\", \"min=time\", \"max=time\" or "
    "\"warmup=N\", each once";


static size_t ngx_smart_parse_unit(const char *p, size_t len, size_t *unit);
static ngx_smart_parse_e ngx_smart_parse_percentile(const char *p, size_t len,
    uint16_t *percentile);
static const char *ngx_smart_parse_param(const char *p, size_t len,
    ngx_smart_hedge_plan_t *plan, unsigned *seen);
static const char *ngx_smart_parse_bound(const char *p, size_t len,
    ngx_smart_hedge_plan_t *plan, uint32_t *bound);
static const char *ngx_smart_parse_warmup(const char *p, size_t len,
    uint32_t *warmup);
static unsigned ngx_smart_parse_is(const char *p, size_t len,
    const char *name, unsigned bit, unsigned *seen);
static size_t ngx_smart_parse_word(const char **p, const char *end);


ngx_smart_parse_e
ngx_smart_parse_time(const char *p, size_t len, uint64_t *ms)
{
    size_t       next, unit, n;
    uint64_t     value, total;
    const char  *end;

    if (len == 0) {
        return NGX_SMART_PARSE_INVALID;
    }

    end = p + len;
    total = 0;
    next = 0;

    while (p < end) {

        if (*p < '0' || *p > '9') {
            return NGX_SMART_PARSE_INVALID;
        }

        value = 0;

        while (p < end && *p >= '0' && *p <= '9') {
            value = value * 10 + (uint64_t) (*p++ - '0');

            if (value > NGX_SMART_PARSE_MAX_TIME) {
                return NGX_SMART_PARSE_INVALID;
            }
        }

        n = ngx_smart_parse_unit(p, (size_t) (end - p), &unit);

        if (n == 0 && p != end) {
            return NGX_SMART_PARSE_INVALID;
        }

        if (unit < next) {
            return NGX_SMART_PARSE_INVALID;
        }

        total += value * ngx_smart_parse_units[unit].ms;

        if (total > NGX_SMART_PARSE_MAX_TIME) {
            return NGX_SMART_PARSE_INVALID;
        }

        next = unit + 1;
        p += n;
    }

    *ms = total;

    return NGX_SMART_PARSE_OK;
}


static size_t
ngx_smart_parse_unit(const char *p, size_t len, size_t *unit)
{
    size_t  i, n;

    n = 0;

    while (n < len && (p[n] < '0' || p[n] > '9')) {
        n++;
    }

    for (i = 0; ngx_smart_parse_units[i].name; i++) {

        if (n == 0 && ngx_smart_parse_units[i].ms == 1000) {
            *unit = i;
            return 0;
        }

        if (n && strlen(ngx_smart_parse_units[i].name) == n
            && memcmp(ngx_smart_parse_units[i].name, p, n) == 0)
        {
            *unit = i;
            return n;
        }
    }

    *unit = 0;

    return 0;
}


ngx_smart_parse_e
ngx_smart_parse_timeout(const char *p, size_t len, uint64_t *ms)
{
    size_t    i;
    uint64_t  value, digit;

    if (len == 0) {
        return NGX_SMART_PARSE_INVALID;
    }

    value = 0;

    for (i = 0; i < len; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return NGX_SMART_PARSE_INVALID;
        }

        digit = (uint64_t) (p[i] - '0');

        if (value > (UINT64_MAX - digit) / 10) {
            value = UINT64_MAX;

        } else {
            value = value * 10 + digit;
        }
    }

    *ms = value;

    return NGX_SMART_PARSE_OK;
}


ngx_smart_parse_e
ngx_smart_parse_hedge(const char *p, size_t len, ngx_smart_hedge_plan_t *plan,
    ngx_smart_parse_error_t *error)
{
    size_t       n;
    unsigned     seen;
    const char  *end;

    end = p + len;
    n = ngx_smart_parse_word(&p, end);

    plan->delay = 0;
    plan->step = 0;
    plan->extra = 0;
    plan->percentile = 0;
    plan->warmup = NGX_SMART_PARSE_WARMUP;
    plan->min = 0;
    plan->max = NGX_SMART_PARSE_MAX_TIME;

    if (n == 3 && memcmp(p, "off", 3) == 0) {
        p += n;
        n = ngx_smart_parse_word(&p, end);

        if (n == 0) {
            return NGX_SMART_PARSE_OFF;
        }

        error->allowed = "nothing after \"off\"";
        goto invalid;
    }

    if (ngx_smart_parse_percentile(p, n, &plan->percentile)
        != NGX_SMART_PARSE_OK
        && ngx_smart_parse_time(p, n, &plan->delay) != NGX_SMART_PARSE_OK)
    {
        error->allowed = ngx_smart_parse_delay_allowed;
        goto invalid;
    }

    plan->extra = 1;
    seen = 0;

    for (p += n; /* void */; p += n) {

        n = ngx_smart_parse_word(&p, end);

        if (n == 0) {
            return NGX_SMART_PARSE_OK;
        }

        error->allowed = ngx_smart_parse_param(p, n, plan, &seen);

        if (error->allowed) {
            goto invalid;
        }
    }

invalid:

    error->data = p;
    error->len = n;
    plan->extra = 0;

    return NGX_SMART_PARSE_INVALID;
}


/* "p50" to "p99.9", with a decimal at most */
static ngx_smart_parse_e
ngx_smart_parse_percentile(const char *p, size_t len, uint16_t *percentile)
{
    if ((len != 3 && len != 5) || p[0] != 'p'
        || p[1] < '5' || p[1] > '9' || p[2] < '0' || p[2] > '9')
    {
        return NGX_SMART_PARSE_INVALID;
    }

    if (len == 5 && (p[3] != '.' || p[4] < '0' || p[4] > '9')) {
        return NGX_SMART_PARSE_INVALID;
    }

    *percentile = (uint16_t) ((p[1] - '0') * 100 + (p[2] - '0') * 10
                              + (len == 5 ? p[4] - '0' : 0));

    return NGX_SMART_PARSE_OK;
}


/* NULL, or what is allowed */
static const char *
ngx_smart_parse_param(const char *p, size_t len, ngx_smart_hedge_plan_t *plan,
    unsigned *seen)
{
    if (ngx_smart_parse_is(p, len, "extra=", 0x01, seen)) {

        if (len != 7 || p[6] < '1' || p[6] > '0' + NGX_SMART_HEDGE_MAX_EXTRA) {
            return ngx_smart_parse_extra_allowed;
        }

        plan->extra = (uint8_t) (p[6] - '0');

        return NULL;
    }

    if (ngx_smart_parse_is(p, len, "step=", 0x02, seen)) {

        return ngx_smart_parse_time(p + 5, len - 5, &plan->step)
               != NGX_SMART_PARSE_OK ? ngx_smart_parse_step_allowed : NULL;
    }

    if (plan->percentile == 0) {
        return ngx_smart_parse_fixed_allowed;
    }

    if (ngx_smart_parse_is(p, len, "min=", 0x04, seen)) {
        return ngx_smart_parse_bound(p + 4, len - 4, plan, &plan->min);
    }

    if (ngx_smart_parse_is(p, len, "max=", 0x08, seen)) {
        return ngx_smart_parse_bound(p + 4, len - 4, plan, &plan->max);
    }

    if (ngx_smart_parse_is(p, len, "warmup=", 0x10, seen)) {
        return ngx_smart_parse_warmup(p + 7, len - 7, &plan->warmup);
    }

    return ngx_smart_parse_param_allowed;
}


static const char *
ngx_smart_parse_bound(const char *p, size_t len, ngx_smart_hedge_plan_t *plan,
    uint32_t *bound)
{
    uint64_t  ms;

    if (ngx_smart_parse_time(p, len, &ms) != NGX_SMART_PARSE_OK) {
        return ngx_smart_parse_bound_allowed;
    }

    *bound = (uint32_t) ms;

    return plan->min > plan->max ? ngx_smart_parse_bound_allowed : NULL;
}


static const char *
ngx_smart_parse_warmup(const char *p, size_t len, uint32_t *warmup)
{
    uint64_t  n;

    if (ngx_smart_parse_timeout(p, len, &n) != NGX_SMART_PARSE_OK
        || n > NGX_SMART_PARSE_MAX_WARMUP)
    {
        return ngx_smart_parse_warmup_allowed;
    }

    *warmup = (uint32_t) n;

    return NULL;
}


/* whether it is that parameter, with a value, and for the first time */
static unsigned
ngx_smart_parse_is(const char *p, size_t len, const char *name, unsigned bit,
    unsigned *seen)
{
    size_t  n;

    n = strlen(name);

    if (len <= n || memcmp(p, name, n) != 0 || (*seen & bit)) {
        return 0;
    }

    *seen |= bit;

    return 1;
}


/* skips blanks and returns the length of the word that follows */
static size_t
ngx_smart_parse_word(const char **p, const char *end)
{
    size_t  n;

    while (*p < end && (**p == ' ' || **p == '\t')) {
        (*p)++;
    }

    n = 0;

    while (*p + n < end && (*p)[n] != ' ' && (*p)[n] != '\t') {
        n++;
    }

    return n;
}
