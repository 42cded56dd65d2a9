
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_redact.h"
#include "ngx_smart_site.h"


#define DEFAULTS  ngx_smart_redact_names, ngx_smart_redact_names_n


static void plain_or_not(void);
static void remembered(void);
static void too_long(void);
static void same_urls(const char *path);


int
main(void)
{
    plain_or_not();
    remembered();
    too_long();
    same_urls("t/data/redact.txt");

    return tap_done();
}


static void
plain_or_not(void)
{
    size_t            i;
    unsigned          plain;
    ngx_smart_site_t  site;

    static const struct {
        const char  *scheme;
        const char  *authority;
        const char  *host;          /* NULL: not plain */
    } cases[] = {
        { "http", "a", "a" },
        { "https", "example.com", "example.com" },
        { "http", "example.com:8080", "example.com" },
        { "http", "127.0.0.1:80", "127.0.0.1" },
        { "http", "[::1]", "[::1]" },
        { "http", "[::1]:8080", "[::1]" },
        { "x-a+b.c", "a_b~c", "a_b~c" },
        { "http", "", NULL },
        { "", "a", NULL },
        { "1a", "a", NULL },
        { "HTTP", "a", NULL },
        { "http", "Example.com", NULL },
        { "http", "u@a", NULL },
        { "http", "u:p@a", NULL },
        { "http", "@a", NULL },
        { "http", "a:", NULL },
        { "http", ":80", NULL },
        { "http", "[::1", NULL },
        { "http", "[::1]x", NULL },
        { "http", "a b", NULL },
        { "http", "a/b", NULL },
        { "http", "a?b", NULL },
        { "http", "a#b", NULL },
        { "http", "a\xff", NULL },
        { "http", "a\x7f", NULL }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        memset(&site, 0, sizeof(site));

        plain = ngx_smart_site(&site, cases[i].scheme,
                               strlen(cases[i].scheme), cases[i].authority,
                               strlen(cases[i].authority));

        if (cases[i].host == NULL) {
            ok(!plain, "%s, %s", cases[i].scheme, cases[i].authority);
            continue;
        }

        ok(plain && site.host_len == strlen(cases[i].host)
           && memcmp(site.text + site.host, cases[i].host, site.host_len) == 0
           && site.len == strlen(cases[i].scheme) + 3
                          + strlen(cases[i].authority)
           && memcmp(site.text + site.len - strlen(cases[i].authority),
                     cases[i].authority, strlen(cases[i].authority)) == 0,
           "%s, %s: host %s", cases[i].scheme, cases[i].authority,
           cases[i].host);
    }
}


/* what was said once is said again, and nothing of one is left in another */

static void
remembered(void)
{
    size_t            i;
    ngx_smart_site_t  site;

    static const struct {
        const char  *scheme;
        const char  *authority;
        unsigned     plain;
        size_t       host_len;
    } calls[] = {
        { "http", "aa", 1, 2 },
        { "http", "aa", 1, 2 },
        { "http", "Aa", 0, 0 },
        { "http", "Aa", 0, 0 },
        { "http", "aa", 1, 2 },
        { "http", "ab", 1, 2 },
        { "itto", "ab", 1, 2 },
        { "http", "abcd", 1, 4 },
        { "htt", "/abcd", 0, 0 },
        { "http", "ab:1", 1, 2 },
        { "https", "b:1", 1, 1 },
        { "http", "", 0, 0 },
        { "https", "b:1", 1, 1 }
    };

    memset(&site, 0, sizeof(site));

    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        is_uint(ngx_smart_site(&site, calls[i].scheme,
                               strlen(calls[i].scheme), calls[i].authority,
                               strlen(calls[i].authority)),
                calls[i].plain, "call %zu, %s", i, calls[i].authority);

        if (calls[i].plain) {
            is_uint(site.host_len, calls[i].host_len, "call %zu, host", i);
            ok(memcmp(site.text, calls[i].scheme, strlen(calls[i].scheme))
               == 0, "call %zu, scheme", i);
        }
    }
}


static void
too_long(void)
{
    char              host[NGX_SMART_RECORD_MAX_WEBSITE];
    size_t            max;
    ngx_smart_site_t  site;

    memset(&site, 0, sizeof(site));
    memset(host, 'h', sizeof(host));

    max = NGX_SMART_RECORD_MAX_WEBSITE - 7;

    is_uint(ngx_smart_site(&site, "http", 4, host, max + 1), 0,
            "a byte too long");
    is_uint(ngx_smart_site(&site, "http", 4, host, max), 1,
            "as long as can be");
    is_uint(site.len, NGX_SMART_RECORD_MAX_WEBSITE, "its length");
}


/* the rest behind a plain site makes the url that redacting the whole makes */

static void
same_urls(const char *path)
{
    char                      *p, *block, text[256];
    char                       whole[NGX_SMART_REDACT_MAX];
    char                       parts[NGX_SMART_REDACT_MAX];
    size_t                     n, len, size, head;
    unsigned                   seen;
    ngx_smart_site_t           site;
    ngx_smart_redact_parts_t   s;
    static table_t             t;

    memset(&site, 0, sizeof(site));
    table_open(&t, path, 2);
    seen = 0;

    while (table_next(&t)) {

        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        len = t.cells[0].len;

        if (ngx_smart_redact_split(p, len, &s) != 0 || s.rest_len == 0
            || *s.rest != '/')
        {
            free(block);
            continue;
        }

        head = (size_t) (s.rest - p);

        if (s.scheme_len == 0 || head >= sizeof(text)) {
            free(block);
            continue;
        }

        if (ngx_smart_site(&site, s.scheme, s.scheme_len,
                           p + s.scheme_len + 3, head - s.scheme_len - 3))
        {
            for (size = head + 3; size <= NGX_SMART_REDACT_MAX;
                 size += (size < head + 40) ? 1 : 400)
            {
                n = ngx_smart_redact_url(whole, size, p, len, DEFAULTS);

                memcpy(parts, site.text, site.len);
                ok(ngx_smart_redact_rest(parts, size, site.len, s.rest,
                                         s.rest_len, DEFAULTS) == n
                   && memcmp(whole, parts, n) == 0,
                   "%s, in %zu bytes", t.cells[0].raw, size);
            }

            seen++;
        }

        free(block);
    }

    ok(seen > 20, "%u urls with a plain site", seen);
}
