
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_schema: the OpenAPI document of the server that it stands in.
 */


#include "ngx_http_smart_openapi.h"
#include "../common/ngx_http_smart_document.h"
#include "../common/ngx_http_smart_reply.h"


struct ngx_http_smart_schema_s {
    ngx_http_core_srv_conf_t     *cscf;
    ngx_http_smart_document_t     json;
    ngx_http_smart_document_t     yaml;
};


static ngx_int_t ngx_http_smart_schema_handler(ngx_http_request_t *r);
static const char *ngx_http_smart_schema_yaml_type(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_schema_merged(ngx_http_request_t *r,
    ngx_http_smart_document_t *doc, ngx_str_t *base, ngx_uint_t yaml);
static ngx_int_t ngx_http_smart_schema_fragment(ngx_http_request_t *r,
    ngx_str_t *fragment);
static ngx_int_t ngx_http_smart_schema_text(ngx_pool_t *pool,
    ngx_http_smart_document_t *doc, json_t *value, ngx_uint_t yaml);


static const ngx_keyval_t  ngx_http_smart_schema_headers[] = {
    { ngx_string("Vary"), ngx_string("Accept") },
    { ngx_string("X-Content-Type-Options"), ngx_string("nosniff") },
    { ngx_null_string, ngx_null_string }
};


static ngx_int_t
ngx_http_smart_schema_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    const char                 *type;
    ngx_http_smart_schema_t    *schema;
    ngx_http_smart_document_t  *doc;
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_module);
    schema = slcf->schema;

    doc = ngx_palloc(r->pool, sizeof(ngx_http_smart_document_t));
    if (doc == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    type = ngx_http_smart_schema_yaml_type(r);

    *doc = type ? schema->yaml : schema->json;

    if (type) {
        doc->type.data = (u_char *) type;
        doc->type.len = ngx_strlen(type);
    }

    rc = ngx_http_smart_schema_merged(r, doc, &schema->json.text,
                                      type != NULL);

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_smart_document_send(r, doc);
}


/* the type of YAML that the client would rather have than JSON; or NULL */
static const char *
ngx_http_smart_schema_yaml_type(ngx_http_request_t *r)
{
    ngx_int_t    json, yaml, weight;
    ngx_uint_t   i;
    const char  *type;

    static const char *const  types[][2] = {
        { "application/yaml", "application/yaml" },
        { "application/openapi+yaml", "application/openapi+yaml" },
        { "application/x-yaml", "application/yaml" },
        { "text/yaml", "application/yaml" },
        { "text/x-yaml", "application/yaml" }
    };

    type = NULL;
    yaml = 0;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {

        weight = ngx_http_smart_weight(r, types[i][0]);

        if (weight > yaml) {
            yaml = weight;
            type = types[i][1];
        }
    }

    json = ngx_http_smart_weight(r, "application/json");

    if (json >= 0) {
        return yaml > json ? type : NULL;
    }

    json = ngx_http_smart_weight(r, "*/*");

    return yaml >= json ? type : NULL;
}


/* puts what the journal adds, if anything, into the document */
static ngx_int_t
ngx_http_smart_schema_merged(ngx_http_request_t *r,
    ngx_http_smart_document_t *doc, ngx_str_t *base, ngx_uint_t yaml)
{
    json_t        *all, *journal;
    ngx_int_t      rc;
    ngx_str_t      fragment;
    json_error_t   error;

    rc = ngx_http_smart_schema_fragment(r, &fragment);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    journal = json_loadb((char *) fragment.data, fragment.len, 0, &error);

    if (journal == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "smart: $smart_journal_schema is no JSON: %s at %d",
                      error.text, error.position);
        return NGX_OK;
    }

    all = json_loadb((char *) base->data, base->len, 0, &error);

    rc = NGX_ERROR;

    if (all && ngx_http_smart_openapi_merge(all, journal) == 0
        && ngx_http_smart_schema_text(r->pool, doc, all, yaml) == NGX_OK)
    {
        rc = NGX_OK;
    }

    json_decref(all);
    json_decref(journal);

    return rc;
}


/* NGX_DECLINED if there is none; the journal is a module of its own */
static ngx_int_t
ngx_http_smart_schema_fragment(ngx_http_request_t *r, ngx_str_t *fragment)
{
    ngx_str_t                   name = ngx_string("smart_journal_schema");
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    key = ngx_hash_key(name.data, name.len);

    v = ngx_http_get_variable(r, &name, key);

    if (v == NULL) {
        return NGX_ERROR;
    }

    if (v->not_found || v->len == 0) {
        return NGX_DECLINED;
    }

    fragment->data = v->data;
    fragment->len = v->len;

    return NGX_OK;
}


/* sets text and ETag */
static ngx_int_t
ngx_http_smart_schema_text(ngx_pool_t *pool, ngx_http_smart_document_t *doc,
    json_t *value, ngx_uint_t yaml)
{
    size_t      size;
    ngx_str_t  *text;

    text = &doc->text;

    if (yaml) {
        if (ngx_http_smart_yaml(pool, value, text) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_http_smart_document_etag(pool, doc);
    }

    size = json_dumpb(value, NULL, 0, JSON_INDENT(2));

    if (size == 0) {
        return NGX_ERROR;
    }

    text->data = ngx_pnalloc(pool, size + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    text->len = json_dumpb(value, (char *) text->data, size, JSON_INDENT(2));

    if (text->len != size) {
        return NGX_ERROR;
    }

    text->data[text->len++] = '\n';

    return ngx_http_smart_document_etag(pool, doc);
}


char *
ngx_http_smart_schema(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_http_smart_schema_t     *schema, **s;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_smart_main_conf_t  *smcf;

    if (slcf->schema) {
        return "is duplicate";
    }

    schema = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_schema_t));
    if (schema == NULL) {
        return NGX_CONF_ERROR;
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    s = ngx_array_push(&smcf->schemas);
    if (s == NULL) {
        return NGX_CONF_ERROR;
    }

    *s = schema;

    schema->cscf = ngx_http_conf_get_module_srv_conf(cf,
                                                     ngx_http_core_module);

    slcf->schema = schema;
    slcf->content = NGX_HTTP_SMART_CONTENT_SCHEMA;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_smart_schema_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_smart_schema_init(ngx_conf_t *cf)
{
    json_t                       *value;
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_smart_schema_t     **schemas;
    ngx_http_smart_main_conf_t   *smcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);

    schemas = smcf->schemas.elts;

    for (i = 0; i < smcf->schemas.nelts; i++) {

        ngx_str_set(&schemas[i]->json.type, "application/json");
        ngx_str_set(&schemas[i]->yaml.type, "application/yaml");

        schemas[i]->json.headers = ngx_http_smart_schema_headers;
        schemas[i]->yaml.headers = ngx_http_smart_schema_headers;

        value = ngx_http_smart_openapi_create(schemas[i]->cscf);

        rc = NGX_ERROR;

        if (value
            && ngx_http_smart_schema_text(cf->pool, &schemas[i]->json, value,
                                          0) == NGX_OK
            && ngx_http_smart_schema_text(cf->pool, &schemas[i]->yaml, value,
                                          1) == NGX_OK)
        {
            rc = NGX_OK;
        }

        json_decref(value);

        if (rc != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"smart_schema\" cannot be made");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
