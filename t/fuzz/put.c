
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "fuzz.h"

#include "ngx_http_smart_journal_body.h"
#include "ngx_smart_time.h"
#include "ngx_smart_utf8.h"


const char *const  fuzz_seeds[] = { "t/data/put.txt", NULL };


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                                i, n;
    const ngx_smart_record_t             *record;
    ngx_http_smart_journal_body_e         rc;
    static ngx_http_smart_journal_body_t  body;

    rc = ngx_http_smart_journal_body((const char *) data, size,
                                     ngx_smart_redact_names,
                                     ngx_smart_redact_names_n, &body);

    fuzz_check((rc == NGX_HTTP_SMART_JOURNAL_BODY_OK)
               == (body.wrong[0] == '\0'));

    if (rc != NGX_HTTP_SMART_JOURNAL_BODY_OK) {
        return 0;
    }

    record = &body.record;

    fuzz_check(record->timestamp >= NGX_SMART_TIME_MIN
               && record->timestamp <= NGX_SMART_TIME_MAX);
    fuzz_check(record->duration >= 0);
    fuzz_check(record->code == 0 || (record->code >= 100
                                     && record->code <= 599));
    fuzz_check((record->code == 0)
               == (record->state == NGX_SMART_RECORD_ABORTED));
    fuzz_check(record->method.len > 0
               && record->method.len <= NGX_SMART_RECORD_MAX_METHOD);
    fuzz_check(record->url.data == body.url && record->url.len > 0
               && record->url.len <= NGX_SMART_RECORD_MAX_URL);

    for (i = 0; i < record->url.len; i += n) {
        n = ngx_smart_utf8_length((const unsigned char *) body.url + i,
                                  record->url.len - i);
        fuzz_check(n != 0);
    }

    return 0;
}
