
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_parse.h"


/* what an event timer of nginx can hold on every platform */
#define NGX_SMART_PARSE_MAX_TIME  INT32_MAX


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
    "\"off\" or a time such as \"300ms\"";
static const char  ngx_smart_parse_extra_allowed[] = "a number from 1 to 7";
static const char  ngx_smart_parse_step_allowed[] =
    "a time such as \"50ms\"";
static const char  ngx_smart_parse_param_allowed[] =
    "\"extra=N\" or \"step=time\", each once";


static size_t ngx_smart_parse_unit(const char *p, size_t len, size_t *unit);
static const char *ngx_smart_parse_param(const char *p, size_t len,
    ngx_smart_hedge_plan_t *plan, unsigned *seen);
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

    if (n == 3 && memcmp(p, "off", 3) == 0) {
        p += n;
        n = ngx_smart_parse_word(&p, end);

        if (n == 0) {
            return NGX_SMART_PARSE_OFF;
        }

        error->allowed = "nothing after \"off\"";
        goto invalid;
    }

    if (ngx_smart_parse_time(p, n, &plan->delay) != NGX_SMART_PARSE_OK) {
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


/* NULL, or what is allowed */
static const char *
ngx_smart_parse_param(const char *p, size_t len, ngx_smart_hedge_plan_t *plan,
    unsigned *seen)
{
    if (len > 6 && memcmp(p, "extra=", 6) == 0 && !(*seen & 1)) {
        *seen |= 1;

        if (len != 7 || p[6] < '1' || p[6] > '0' + NGX_SMART_HEDGE_MAX_EXTRA) {
            return ngx_smart_parse_extra_allowed;
        }

        plan->extra = (uint8_t) (p[6] - '0');

        return NULL;
    }

    if (len > 5 && memcmp(p, "step=", 5) == 0 && !(*seen & 2)) {
        *seen |= 2;

        if (ngx_smart_parse_time(p + 5, len - 5, &plan->step)
            != NGX_SMART_PARSE_OK)
        {
            return ngx_smart_parse_step_allowed;
        }

        return NULL;
    }

    return ngx_smart_parse_param_allowed;
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
