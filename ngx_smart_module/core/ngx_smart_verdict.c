
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_verdict.h"


static void ngx_smart_verdict_set(ngx_smart_verdict_statuses_t *statuses,
    unsigned first, unsigned last);
static int ngx_smart_verdict_token(char c);
static char ngx_smart_verdict_lower(char c);


void
ngx_smart_verdict_default(ngx_smart_verdict_statuses_t *statuses)
{
    memset(statuses, 0, sizeof(ngx_smart_verdict_statuses_t));

    ngx_smart_verdict_set(statuses, 200, 428);
    ngx_smart_verdict_set(statuses, 430, 499);
}


int
ngx_smart_verdict_add(ngx_smart_verdict_statuses_t *statuses, const char *p,
    size_t len)
{
    unsigned  first;

    if (len != 3 || p[0] < '2' || p[0] > '5') {
        return -1;
    }

    first = (unsigned) (p[0] - '0') * 100;

    if (p[1] == 'x' && p[2] == 'x') {
        ngx_smart_verdict_set(statuses, first, first + 99);
        return 0;
    }

    if (p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9') {
        return -1;
    }

    first += (unsigned) (p[1] - '0') * 10 + (unsigned) (p[2] - '0');
    ngx_smart_verdict_set(statuses, first, first);

    return 0;
}


int
ngx_smart_verdict_type_valid(const char *p, size_t len)
{
    size_t  i, slash;

    slash = 0;

    for (i = 0; i < len; i++) {

        if (p[i] == '/' && slash == 0 && i > 0) {
            slash = i;
            continue;
        }

        if (p[i] == '*' && slash && i == slash + 1 && i + 1 == len) {
            return 1;
        }

        if (!ngx_smart_verdict_token(p[i])) {
            return 0;
        }
    }

    return slash && slash + 1 < len;
}


int
ngx_smart_verdict_type(const char *type, size_t type_len, const char *value,
    size_t len)
{
    size_t  i, n;

    n = 0;

    while (n < len && value[n] != ';' && value[n] != ' ' && value[n] != '\t') {
        n++;
    }

    for (i = 0; i < type_len; i++) {

        if (type[i] == '*') {
            return n > i;
        }

        if (i == n || ngx_smart_verdict_lower(type[i])
                      != ngx_smart_verdict_lower(value[i]))
        {
            return 0;
        }
    }

    return i == n;
}


static void
ngx_smart_verdict_set(ngx_smart_verdict_statuses_t *statuses, unsigned first,
    unsigned last)
{
    unsigned  i;

    for (i = first; i <= last; i++) {
        statuses->bits[i / 64] |= (uint64_t) 1 << (i % 64);
    }
}


/* RFC 9110, section 5.6.2, without the "*", which is our wildcard */
static int
ngx_smart_verdict_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || (c != '\0' && strchr("!#$%&'+-.^_`|~", c) != NULL);
}


static char
ngx_smart_verdict_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char) (c | 0x20) : c;
}
