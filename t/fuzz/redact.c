
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "fuzz.h"

#include "ngx_smart_redact.h"
#include "ngx_smart_site.h"
#include "ngx_smart_utf8.h"


#define NAMES  ngx_smart_redact_names, ngx_smart_redact_names_n


static void behind_site(const char *url, size_t size,
    const ngx_smart_redact_parts_t *parts);


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

    if (ngx_smart_redact_split(url, size, &parts) == 0) {
        behind_site(url, size, &parts);
    }

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


/* what is put together from its site is the url that was redacted whole */

static void
behind_site(const char *url, size_t size,
    const ngx_smart_redact_parts_t *parts)
{
    char                     *whole, *joined;
    size_t                    head, max, n;
    static ngx_smart_site_t   site;

    if (parts->scheme_len == 0 || parts->rest_len == 0 || *parts->rest != '/')
    {
        return;
    }

    head = (size_t) (parts->rest - url);

    if (!ngx_smart_site(&site, parts->scheme, parts->scheme_len,
                        url + parts->scheme_len + 3,
                        head - parts->scheme_len - 3))
    {
        return;
    }

    fuzz_check(site.len == head && memcmp(site.text, url, head) == 0);

    max = head + 3 + (unsigned char) url[size - 1] % 64;
    whole = malloc(max);
    joined = malloc(max);
    fuzz_check(whole != NULL && joined != NULL);

    memcpy(joined, site.text, head);

    n = ngx_smart_redact_url(whole, max, url, size, NAMES);

    fuzz_check(ngx_smart_redact_rest(joined, max, head, parts->rest,
                                     parts->rest_len, NAMES) == n);
    fuzz_check(memcmp(whole, joined, n) == 0);

    free(whole);
    free(joined);
}
