
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_query.h"


int
ngx_smart_query_next(const char **p, const char *end,
    ngx_smart_query_param_t *param)
{
    const char  *last, *equal;

    while (*p < end && **p == '&') {
        (*p)++;
    }

    if (*p == end) {
        return 0;
    }

    last = memchr(*p, '&', (size_t) (end - *p));

    if (last == NULL) {
        last = end;
    }

    equal = memchr(*p, '=', (size_t) (last - *p));

    param->name = *p;
    param->name_len = (size_t) ((equal ? equal : last) - *p);
    param->value = equal ? equal + 1 : NULL;
    param->value_len = equal ? (size_t) (last - equal - 1) : 0;

    *p = last;

    return 1;
}


int
ngx_smart_query_decode(const char *p, size_t len, char *to, size_t *to_len)
{
    int          high, low;
    char         c;
    size_t       n;
    const char  *end;

    end = p + len;
    n = 0;

    while (p < end) {
        c = *p++;

        if (c == '+') {
            c = ' ';

        } else if (c == '%') {

            if (end - p < 2) {
                return -1;
            }

            high = ngx_smart_query_hex(p[0]);
            low = ngx_smart_query_hex(p[1]);

            if (high < 0 || low < 0) {
                return -1;
            }

            c = (char) (high << 4 | low);
            p += 2;
        }

        if (c == '\0') {
            return -1;
        }

        to[n++] = c;
    }

    *to_len = n;

    return 0;
}


int
ngx_smart_query_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c = (char) (c | 0x20);

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}
