
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_dashboard: the live page below a prefix.
 */


#include "ngx_http_smart_dashboard.h"
#include "../common/ngx_http_smart_document.h"


/* what all locations with smart_dashboard share */
struct ngx_http_smart_dashboard_s {
    ngx_uint_t                    n;
    ngx_http_smart_document_t    *documents;  /* as in ngx_http_smart_pages */
    ngx_str_t                     id;
};


static ngx_int_t ngx_http_smart_dashboard_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_dashboard_redirect(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_http_smart_dashboard_t *ngx_http_smart_dashboard_create(
    ngx_conf_t *cf);


/*
 * nothing from elsewhere, nothing inline: what a label says is never more
 * than text
 */
static const ngx_keyval_t  ngx_http_smart_dashboard_headers[] = {

    { ngx_string("Content-Security-Policy"),
      ngx_string("default-src 'none'; script-src 'self'; style-src 'self'; "
                 "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                 "form-action 'none'; frame-ancestors 'none'; "
                 "require-trusted-types-for 'script'") },

    { ngx_string("X-Content-Type-Options"), ngx_string("nosniff") },
    { ngx_string("Referrer-Policy"), ngx_string("no-referrer") },
    { ngx_string("Cross-Origin-Opener-Policy"), ngx_string("same-origin") },
    { ngx_string("Cross-Origin-Resource-Policy"), ngx_string("same-origin") },

    { ngx_null_string, ngx_null_string }
};


static ngx_int_t
ngx_http_smart_dashboard_handler(ngx_http_request_t *r)
{
    ngx_str_t                    name;
    ngx_uint_t                   i;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_smart_dashboard_t  *d;
    ngx_http_smart_main_conf_t  *smcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    smcf = ngx_http_get_module_main_conf(r, ngx_http_smart_module);
    d = smcf->dashboard;

    name.data = r->uri.data + clcf->name.len;
    name.len = r->uri.len - clcf->name.len;

    if (clcf->name.data[clcf->name.len - 1] != '/') {

        if (name.len == 0) {
            return ngx_http_smart_dashboard_redirect(r, &clcf->name);
        }

        if (name.data[0] != '/') {
            return NGX_HTTP_NOT_FOUND;
        }

        name.data++;
        name.len--;
    }

    if (name.len == sizeof("data.json") - 1
        && ngx_strncmp(name.data, "data.json", name.len) == 0)
    {
        return ngx_http_smart_data(r, &d->id);
    }

    for (i = 0; i < d->n; i++) {

        if (ngx_strlen(ngx_http_smart_pages[i].name) == name.len
            && ngx_strncmp(ngx_http_smart_pages[i].name, name.data, name.len)
               == 0)
        {
            return ngx_http_smart_document_send(r, &d->documents[i]);
        }
    }

    return NGX_HTTP_NOT_FOUND;
}


/* files of the page are named relative to it */
static ngx_int_t
ngx_http_smart_dashboard_redirect(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char           *p;
    size_t            len;
    ngx_table_elt_t  *h;

    len = name->len + 2 * ngx_escape_uri(NULL, name->data, name->len,
                                         NGX_ESCAPE_URI);

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "Location");
    h->value.data = p;
    h->value.len = len + 1;
    ngx_http_smart_header_unlink(h);

    (void) ngx_escape_uri(p, name->data, name->len, NGX_ESCAPE_URI);
    p[len] = '/';

    ngx_http_clear_location(r);
    r->headers_out.location = h;

    return NGX_HTTP_MOVED_PERMANENTLY;
}


char *
ngx_http_smart_dashboard(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_smart_main_conf_t  *smcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_smart_dashboard_handler) {
        return "is duplicate";
    }

    if (ngx_http_smart_pages[0].name == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"smart_dashboard\" is not available: this module "
                           "was built without uPlot, see ./build.sh help");
        return NGX_CONF_ERROR;
    }

    if (clcf->exact_match || clcf->named || clcf->noname || clcf->name.len == 0
#if (NGX_PCRE)
        || clcf->regex
#endif
        )
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"smart_dashboard\" needs a prefix location, such "
                           "as \"location /smart/\", not \"%V\"",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    if (smcf->dashboard == NULL) {

        smcf->dashboard = ngx_http_smart_dashboard_create(cf);
        if (smcf->dashboard == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    clcf->handler = ngx_http_smart_dashboard_handler;

    if (clcf->name.data[clcf->name.len - 1] == '/') {
        clcf->auto_redirect = 1;
    }

    slcf->content = NGX_HTTP_SMART_CONTENT_DASHBOARD;

    /* the data is that of the zone */
    smcf->metrics = 1;

    return NGX_CONF_OK;
}


static ngx_http_smart_dashboard_t *
ngx_http_smart_dashboard_create(ngx_conf_t *cf)
{
    u_char                       *p;
    uint32_t                      crc;
    ngx_uint_t                    i;
    ngx_http_smart_document_t    *doc;
    ngx_http_smart_dashboard_t   *d;
    const ngx_http_smart_page_t  *page;

    d = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_dashboard_t));
    if (d == NULL) {
        return NULL;
    }

    while (ngx_http_smart_pages[d->n].name) {
        d->n++;
    }

    d->documents = ngx_pcalloc(cf->pool,
                               d->n * sizeof(ngx_http_smart_document_t));
    if (d->documents == NULL) {
        return NULL;
    }

    ngx_crc32_init(crc);

    for (i = 0; i < d->n; i++) {

        page = &ngx_http_smart_pages[i];
        doc = &d->documents[i];

        doc->type.data = (u_char *) page->type;
        doc->type.len = ngx_strlen(page->type);
        doc->text.data = (u_char *) page->data;
        doc->text.len = page->len;
        doc->headers = ngx_http_smart_dashboard_headers;

        if (ngx_http_smart_document_etag(cf->pool, doc) != NGX_OK) {
            return NULL;
        }

        ngx_crc32_update(&crc, (u_char *) page->data, page->len);
    }

    ngx_crc32_final(crc);

    p = ngx_pnalloc(cf->pool, 8);
    if (p == NULL) {
        return NULL;
    }

    d->id.data = p;
    d->id.len = ngx_sprintf(p, "%08xD", crc) - p;

    return d;
}
