
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_redact.h"
#include "ngx_smart_utf8.h"


#define DEFAULTS  ngx_smart_redact_names, ngx_smart_redact_names_n


static void urls(const char *path);
static void own_names(void);
static void every_cut(void);
static void splits(const char *path);
static void websites(void);


int
main(void)
{
    urls("t/data/redact.txt");
    own_names();
    every_cut();
    splits("t/data/split.txt");
    websites();

    return tap_done();
}


static void
urls(const char *path)
{
    char            *p, *block, text[NGX_SMART_REDACT_MAX + 1];
    size_t           n;
    static table_t   t;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        n = ngx_smart_redact_url(text, NGX_SMART_REDACT_MAX, p,
                                 t.cells[0].len, DEFAULTS);
        text[n] = '\0';
        free(block);

        tap_is_str(path, t.line, text, t.cells[1].data, "%s", t.cells[0].raw);
    }
}


static void
own_names(void)
{
    char    text[256];
    size_t  n;

    static const char                     url[] = "http://a/?token=x&Foo=y";
    static const ngx_smart_redact_name_t  names[] = { { "foo", 3 } };

    n = ngx_smart_redact_url(text, 255, url, sizeof(url) - 1, names, 1);
    text[n] = '\0';
    is_str(text, "http://a/?token=x&Foo=REDACTED", "a list of its own");

    n = ngx_smart_redact_url(text, 255, url, sizeof(url) - 1, NULL, 0);
    text[n] = '\0';
    is_str(text, url, "an empty list");
}


/* cut at each length: well-formed, marked, and never a part of the secret */

static void
every_cut(void)
{
    char     text[128], full[128];
    int      good;
    size_t   size, n, i, len, step;

    static const char  url[] =
        "http://u:p@a/\xc3\xa4%C3%A4\xe2\x82\xac\xf0\x9f\x98\x80?token=SECRET"
        "&q=\xc3\xa4\xff&x=1";

    n = ngx_smart_redact_url(full, sizeof(full), url, sizeof(url) - 1,
                             DEFAULTS);

    for (size = 3; size <= n + 2; size++) {

        memset(text, 'S', sizeof(text));
        len = ngx_smart_redact_url(text, size, url, sizeof(url) - 1,
                                   DEFAULTS);

        ok(len <= size && text[size] == 'S', "no more than %zu bytes", size);

        if (size >= n) {
            ok(len == n && memcmp(text, full, n) == 0, "whole in %zu", size);
            continue;
        }

        good = len >= 3 && memcmp(text + len - 3, "\xe2\x80\xa6", 3) == 0
               && memcmp(text, full, len - 3) == 0;

        for (i = 0; i < len; i += step) {
            step = ngx_smart_utf8_length((unsigned char *) text + i, len - i);

            if (step == 0) {
                good = 0;
                break;
            }

            if (text[i] == '%' && i + 3 > len - 3) {
                good = 0;
            }
        }

        ok(good, "cut at %zu: [%s]", size, table_print(text, len));
        ok(len + 6 >= size, "no more is cut than a character at %zu", size);
    }
}


static void
splits(const char *path)
{
    int                        rc;
    char                      *p, *block, text[TABLE_CELL];
    static table_t             t;
    ngx_smart_redact_parts_t   s;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        rc = ngx_smart_redact_split(p, t.cells[0].len, &s);

        if (rc != 0) {
            snprintf(text, sizeof(text), "invalid");

        } else {
            snprintf(text, sizeof(text), "[%.*s] [%.*s] [%.*s] [%.*s] [%.*s]",
                     (int) s.scheme_len, s.scheme ? s.scheme : "",
                     (int) s.userinfo_len, s.userinfo ? s.userinfo : "",
                     (int) s.host_len, s.host,
                     (int) s.port_len, s.port ? s.port : "",
                     (int) s.rest_len, s.rest);
        }

        tap_is_str(path, t.line, text, t.cells[1].data, "%s", t.cells[0].raw);
        free(block);
    }
}


static void
websites(void)
{
    char                      text[64];
    size_t                    i, n, host, len, size;
    ngx_smart_redact_parts_t  parts;

    static const struct {
        const char  *url;
        const char  *website;
        const char  *host;
    } cases[] = {
        { "http://a.example/x?y", "http://a.example", "a.example" },
        { "HTTPS://u:p@A.Example:8443/X", "https://a.example:8443",
          "a.example" },
        { "http://[::A]:80", "http://[::a]:80", "[::a]" },
        { "http://a:/", "http://a", "a" },
        { "b.example:443", "b.example:443", "b.example" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        (void) ngx_smart_redact_split(cases[i].url, strlen(cases[i].url),
                                      &parts);

        for (size = 0; size < sizeof(text); size++) {
            memset(text, '#', sizeof(text));
            n = ngx_smart_redact_website(text, size, &parts, &host, &len);

            if (n > size || host + len > n || text[size] != '#'
                || memcmp(text, cases[i].website, n) != 0)
            {
                ok(0, "%s in %zu bytes", cases[i].url, size);
            }
        }

        ok(n == strlen(cases[i].website) && len == strlen(cases[i].host)
           && memcmp(text + host, cases[i].host, len) == 0,
           "the website of %s", cases[i].url);
    }
}
