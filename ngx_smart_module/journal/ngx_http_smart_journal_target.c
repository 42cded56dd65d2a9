
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Where a request goes to: url, website and host of its record.
 */


#include "ngx_http_smart_journal_module.h"
#include "../core/ngx_smart_redact.h"
#include "../core/ngx_smart_site.h"


/* where they are put together, one request at a time */
typedef struct {
    char    raw[NGX_SMART_RECORD_MAX_URL];   /* as the client sent it */
    char    url[NGX_SMART_RECORD_MAX_URL];
    char    website[NGX_SMART_RECORD_MAX_WEBSITE];
} ngx_http_smart_journal_texts_t;


static ngx_int_t ngx_http_smart_journal_target_join(ngx_http_request_t *r,
    ngx_str_t *scheme, ngx_str_t *authority, ngx_str_t *url);
static void ngx_http_smart_journal_target_scheme(ngx_http_request_t *r,
    ngx_str_t *scheme);
static void ngx_http_smart_journal_target_authority(ngx_http_request_t *r,
    ngx_str_t *authority);


static ngx_smart_site_t                ngx_http_smart_journal_site;
static ngx_http_smart_journal_texts_t  ngx_http_smart_journal_texts;


ngx_int_t
ngx_http_smart_journal_target(ngx_http_request_t *r,
    ngx_http_smart_journal_loc_conf_t *jlcf, ngx_smart_record_t *record)
{
    size_t                           host;
    unsigned                         n;
    ngx_str_t                        url, scheme, authority;
    ngx_smart_site_t                *site;
    ngx_smart_redact_parts_t         parts;
    const ngx_smart_redact_name_t   *names;
    ngx_http_smart_journal_texts_t  *texts;

    texts = &ngx_http_smart_journal_texts;
    site = &ngx_http_smart_journal_site;

    record->url.data = texts->url;

    names = ngx_smart_redact_names;
    n = ngx_smart_redact_names_n;

    if (jlcf->redact) {
        names = jlcf->redact->elts;
        n = jlcf->redact->nelts;
    }

    if (jlcf->url) {
        if (ngx_http_complex_value(r, jlcf->url, &url) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        ngx_http_smart_journal_target_scheme(r, &scheme);
        ngx_http_smart_journal_target_authority(r, &authority);

        /* CONNECT has nothing but the authority */

        if (r->method_name.len == 7
            && ngx_memcmp(r->method_name.data, "CONNECT", 7) == 0)
        {
            url = authority;

        } else if (r->unparsed_uri.len && r->unparsed_uri.data[0] == '/'
                   && ngx_smart_site(site, (char *) scheme.data, scheme.len,
                                     (char *) authority.data, authority.len))
        {
            ngx_memcpy(texts->url, site->text, site->len);

            record->url.len = ngx_smart_redact_rest(texts->url,
                                               sizeof(texts->url), site->len,
                                               (char *) r->unparsed_uri.data,
                                               r->unparsed_uri.len, names, n);
            record->website.data = texts->url;
            record->website.len = site->len;
            record->host.data = texts->url + site->host;
            record->host.len = site->host_len;

            return NGX_OK;

        } else if (ngx_http_smart_journal_target_join(r, &scheme, &authority,
                                                      &url)
                   != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    record->url.len = ngx_smart_redact_url(texts->url, sizeof(texts->url),
                                           (char *) url.data, url.len,
                                           names, n);

    if (ngx_smart_redact_split(texts->url, record->url.len, &parts) == 0) {

        record->website.data = texts->website;
        record->website.len = ngx_smart_redact_website(texts->website,
                                                       sizeof(texts->website),
                                                       &parts, &host,
                                                       &record->host.len);
        record->host.data = texts->website + host;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_journal_target_join(ngx_http_request_t *r, ngx_str_t *scheme,
    ngx_str_t *authority, ngx_str_t *url)
{
    u_char  *p;

    url->len = scheme->len + 3 + authority->len + r->unparsed_uri.len;

    url->data = (u_char *) ngx_http_smart_journal_texts.raw;

    if (url->len > sizeof(ngx_http_smart_journal_texts.raw)) {
        url->data = ngx_pnalloc(r->pool, url->len);
        if (url->data == NULL) {
            return NGX_ERROR;
        }
    }

    p = ngx_cpymem(url->data, scheme->data, scheme->len);
    p = ngx_cpymem(p, "://", 3);
    p = ngx_cpymem(p, authority->data, authority->len);
    ngx_memcpy(p, r->unparsed_uri.data, r->unparsed_uri.len);

    return NGX_OK;
}


static void
ngx_http_smart_journal_target_scheme(ngx_http_request_t *r, ngx_str_t *scheme)
{
    if (r->schema.len) {
        *scheme = r->schema;
        return;
    }

#if (NGX_HTTP_SSL)

    if (r->connection->ssl) {
        ngx_str_set(scheme, "https");
        return;
    }

#endif

    ngx_str_set(scheme, "http");
}


/* with the port, as the client sent it */
static void
ngx_http_smart_journal_target_authority(ngx_http_request_t *r,
    ngx_str_t *authority)
{
    u_char                    *p, *last;
    ngx_http_core_srv_conf_t  *cscf;

    if (r->http_version >= NGX_HTTP_VERSION_20) {

        if (r->host_start && r->host_end) {
            authority->data = r->host_start;
            authority->len = r->host_end - r->host_start;
            return;
        }

    } else if (r->schema.len) {

        /* the absolute form: behind the scheme and "://" */

        last = r->request_line.data + r->request_line.len;
        p = r->schema.data + r->schema.len + 3;

        authority->data = p;

        while (p < last && *p != '/' && *p != '?' && *p != '#' && *p != ' ') {
            p++;
        }

        if (p > authority->data) {
            authority->len = p - authority->data;
            return;
        }
    }

    if (r->headers_in.host && r->headers_in.host->value.len) {
        *authority = r->headers_in.host->value;
        return;
    }

    if (r->headers_in.server.len) {
        *authority = r->headers_in.server;
        return;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    *authority = cscf->server_name;
}
