
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_smart_query.h"
#include "ngx_smart_uuid.h"


static int ngx_smart_uuid_dash(size_t i);


int
ngx_smart_uuid_parse(const char *p, size_t len, unsigned char *uuid)
{
    int     high, low;
    size_t  i, n;

    if (len != NGX_SMART_UUID_LEN) {
        return -1;
    }

    n = 0;

    for (i = 0; i < NGX_SMART_UUID_LEN; i += 2) {

        if (ngx_smart_uuid_dash(i)) {
            if (p[i++] != '-') {
                return -1;
            }
        }

        high = ngx_smart_query_hex(p[i]);
        low = ngx_smart_query_hex(p[i + 1]);

        if (high < 0 || low < 0) {
            return -1;
        }

        uuid[n++] = (unsigned char) (high << 4 | low);
    }

    return 0;
}


void
ngx_smart_uuid_format(char *p, const unsigned char *uuid)
{
    size_t  i, n;

    static const char  digits[] = "0123456789abcdef";

    i = 0;

    for (n = 0; n < NGX_SMART_UUID_SIZE; n++) {

        if (ngx_smart_uuid_dash(i)) {
            p[i++] = '-';
        }

        p[i++] = digits[uuid[n] >> 4];
        p[i++] = digits[uuid[n] & 15];
    }
}


static int
ngx_smart_uuid_dash(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}
