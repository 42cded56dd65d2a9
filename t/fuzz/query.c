
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "fuzz.h"

#include "ngx_smart_query.h"
#include "ngx_smart_uuid.h"


const char *const  fuzz_seeds[] = {
    "t/data/query.txt", "t/data/uuid.txt", NULL
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                     *to, text[NGX_SMART_UUID_LEN];
    size_t                    len;
    const char               *p, *end;
    unsigned char             uuid[NGX_SMART_UUID_SIZE];
    ngx_smart_query_param_t   param;

    p = (const char *) data;
    end = p + size;

    while (ngx_smart_query_next(&p, end, &param)) {

        fuzz_check(memchr(param.name, '&', param.name_len) == NULL);
        fuzz_check(memchr(param.name, '=', param.name_len) == NULL);

        if (param.value == NULL) {
            continue;
        }

        fuzz_check(memchr(param.value, '&', param.value_len) == NULL);

        to = malloc(param.value_len + 1);
        fuzz_check(to != NULL);

        if (ngx_smart_query_decode(param.value, param.value_len, to, &len)
            == 0)
        {
            fuzz_check(len <= param.value_len);
            fuzz_check(memchr(to, '\0', len) == NULL);
        }

        free(to);
    }

    fuzz_check(p == end);

    if (ngx_smart_uuid_parse((const char *) data, size, uuid) == 0) {
        ngx_smart_uuid_format(text, uuid);

        for (len = 0; len < sizeof(text); len++) {
            fuzz_check((text[len] | 0x20) == (data[len] | 0x20));
        }
    }

    return 0;
}
