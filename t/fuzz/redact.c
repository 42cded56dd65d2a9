
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "fuzz.h"

#include "ngx_smart_redact.h"
#include "ngx_smart_utf8.h"


#define NAMES  ngx_smart_redact_names, ngx_smart_redact_names_n


const char *const  fuzz_seeds[] = {
    "t/data/redact.txt", "t/data/split.txt", NULL
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                     *text, again[64];
    size_t                    max, len, n, i;
    const char               *url;
    ngx_smart_redact_parts_t  parts;

    url = (const char *) data;
    (void) ngx_smart_redact_split(url, size, &parts);

    /* the first byte says how much room there is */

    max = 3 + (size ? data[0] % 64 : 0);
    text = malloc(max);
    fuzz_check(text != NULL);

    len = ngx_smart_redact_url(text, max, url, size, NAMES);

    fuzz_check(len <= max);
    fuzz_check(len == 0 || memchr(text, '#', len) == NULL);

    for (i = 0; i < len; i += n) {
        n = ngx_smart_utf8_length((unsigned char *) text + i, len - i);
        fuzz_check(n != 0);
        fuzz_check((unsigned char) text[i] > ' ' && text[i] != 0x7f);
    }

    /* what is whole stays as it is */

    if (len < 64 && (len < 3 || memcmp(text + len - 3, "\xe2\x80\xa6", 3))) {
        n = ngx_smart_redact_url(again, sizeof(again), text, len, NAMES);
        fuzz_check(n == len && memcmp(again, text, len) == 0);
    }

    free(text);

    return 0;
}
