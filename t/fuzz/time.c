
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "fuzz.h"

#include "ngx_smart_time.h"


const char *const  fuzz_seeds[] = { "t/data/time_iso.txt", NULL };


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char     text[NGX_SMART_TIME_LEN];
    double   seconds;
    int64_t  us, again;

    if (size == sizeof(double)) {
        memcpy(&seconds, data, sizeof(double));

        if (ngx_smart_time_seconds(seconds, &us) == 0) {
            fuzz_check(us >= NGX_SMART_TIME_MIN && us <= NGX_SMART_TIME_MAX);
        }
    }

    if (ngx_smart_time_parse((const char *) data, size, &us) != 0) {
        return 0;
    }

    fuzz_check(us >= NGX_SMART_TIME_MIN && us <= NGX_SMART_TIME_MAX);

    ngx_smart_time_format(text, us);
    fuzz_check(ngx_smart_time_parse(text, sizeof(text), &again) == 0);
    fuzz_check(again == us);

    return 0;
}
