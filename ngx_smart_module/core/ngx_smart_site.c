
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_redact.h"
#include "ngx_smart_site.h"


static unsigned ngx_smart_site_plain(ngx_smart_site_t *site);


unsigned
ngx_smart_site(ngx_smart_site_t *site, const char *scheme, size_t scheme_len,
    const char *authority, size_t len)
{
    size_t  all;

    all = scheme_len + 3 + len;

    if (site->len == all && site->scheme_len == scheme_len
        && memcmp(site->text + scheme_len + 3, authority, len) == 0
        && memcmp(site->text, scheme, scheme_len) == 0)
    {
        return site->plain;
    }

    if (len == 0 || all > sizeof(site->text)) {
        return 0;
    }

    memcpy(site->text, scheme, scheme_len);
    memcpy(site->text + scheme_len, "://", 3);
    memcpy(site->text + scheme_len + 3, authority, len);

    site->len = all;
    site->scheme_len = scheme_len;
    site->plain = ngx_smart_site_plain(site);

    return site->plain;
}


static unsigned
ngx_smart_site_plain(ngx_smart_site_t *site)
{
    char                      text[NGX_SMART_RECORD_MAX_WEBSITE];
    size_t                    len;
    ngx_smart_redact_parts_t  parts;

    len = ngx_smart_redact_url(text, sizeof(text), site->text, site->len,
                               NULL, 0);

    if (len != site->len || memcmp(text, site->text, len) != 0
        || ngx_smart_redact_split(site->text, len, &parts) != 0)
    {
        return 0;
    }

    len = ngx_smart_redact_website(text, sizeof(text), &parts, &site->host,
                                   &site->host_len);

    return len == site->len && memcmp(text, site->text, len) == 0;
}
