
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_openapi.h"


/* a path that is longer is left out */
#define NGX_HTTP_SMART_OPENAPI_PATH  2048


typedef struct {
    json_t                       *paths;
    json_t                       *ids;        /* of operations */
    ngx_uint_t                    failed;     /* unsigned  failed:1; */
    ngx_uint_t                    requests;   /* unsigned  requests:1; */
    ngx_uint_t                    service;    /* unsigned  service:1; */
    ngx_uint_t                    problem;    /* unsigned  problem:1; */
} ngx_http_smart_openapi_t;


typedef struct {
    const char                   *name;
    ngx_uint_t                    mask;
} ngx_http_smart_openapi_method_t;


static json_t *ngx_http_smart_openapi_info(ngx_http_core_srv_conf_t *cscf);
static json_t *ngx_http_smart_openapi_tags(ngx_http_smart_openapi_t *o);
static void ngx_http_smart_openapi_tag(json_t *tags, const char *name,
    const char *description);
static void ngx_http_smart_openapi_tree(ngx_http_smart_openapi_t *o,
    ngx_http_location_tree_node_t *node);
static void ngx_http_smart_openapi_location(ngx_http_smart_openapi_t *o,
    ngx_http_core_loc_conf_t *clcf, ngx_uint_t exact);
static ngx_uint_t ngx_http_smart_openapi_path(char *path, size_t size,
    ngx_str_t *name);
static json_t *ngx_http_smart_openapi_item(ngx_http_smart_openapi_t *o,
    ngx_http_core_loc_conf_t *clcf, const char *path, ngx_uint_t rest);
static json_t *ngx_http_smart_openapi_id(ngx_http_smart_openapi_t *o,
    const char *method, const char *path);


static const ngx_http_smart_openapi_method_t
    ngx_http_smart_openapi_methods[] =
{
    { "get", NGX_HTTP_GET },
    { "head", NGX_HTTP_HEAD },
    { "post", NGX_HTTP_POST },
    { "put", NGX_HTTP_PUT },
    { "patch", NGX_HTTP_PATCH },
    { "delete", NGX_HTTP_DELETE },
    { "options", NGX_HTTP_OPTIONS },
    { NULL, 0 }
};


json_t *
ngx_http_smart_openapi_create(ngx_http_core_srv_conf_t *cscf)
{
    json_t                    *doc;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_smart_openapi_t   o;

    ngx_memzero(&o, sizeof(ngx_http_smart_openapi_t));

    o.paths = json_object();
    o.ids = json_object();

    clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];

    ngx_http_smart_openapi_tree(&o, clcf->static_locations);

    json_decref(o.ids);

    /* "o" takes what it is given also where it fails */

    doc = json_pack("{s:s, s:o, s:[{s:s}], s:[], s:o, s:o}",
                    "openapi", "3.1.0",
                    "info", ngx_http_smart_openapi_info(cscf),
                    "servers", "url", "/",
                    "security",
                    "tags", ngx_http_smart_openapi_tags(&o),
                    "paths", o.paths);

    if (doc && o.problem
        && json_object_set_new(doc, "components",
               json_pack("{s:{s:o}}", "schemas", "Problem",
                         ngx_http_smart_operation_problem()))
           != 0)
    {
        o.failed = 1;
    }

    if (o.failed) {
        json_decref(doc);
        return NULL;
    }

    return doc;
}


static json_t *
ngx_http_smart_openapi_info(ngx_http_core_srv_conf_t *cscf)
{
    json_t  *title;

    title = json_stringn((char *) cscf->server_name.data,
                         cscf->server_name.len);

    if (cscf->server_name.len == 0 || title == NULL) {
        json_decref(title);
        title = json_string("nginx");
    }

    return json_pack("{s:o, s:s, s:s}",
                     "title", title,
                     "version", NGX_HTTP_SMART_VERSION,
                     "description",
                     "What this server offers, as it is configured.");
}


static json_t *
ngx_http_smart_openapi_tags(ngx_http_smart_openapi_t *o)
{
    json_t  *tags;

    tags = json_array();

    if (o->requests) {
        ngx_http_smart_openapi_tag(tags, "requests",
                                   "Requests that are passed on");
    }

    if (o->service) {
        ngx_http_smart_openapi_tag(tags, "service",
                                   "What the server tells of itself");
    }

    return tags;
}


static void
ngx_http_smart_openapi_tag(json_t *tags, const char *name,
    const char *description)
{
    (void) json_array_append_new(tags, json_pack("{s:s, s:s}", "name", name,
                                                 "description", description));
}


/* by name */
static void
ngx_http_smart_openapi_tree(ngx_http_smart_openapi_t *o,
    ngx_http_location_tree_node_t *node)
{
    if (node == NULL || o->failed) {
        return;
    }

    ngx_http_smart_openapi_tree(o, node->left);

    if (node->exact) {
        ngx_http_smart_openapi_location(o, node->exact, 1);
    }

    if (node->inclusive) {
        ngx_http_smart_openapi_location(o, node->inclusive, 0);
    }

    ngx_http_smart_openapi_tree(o, node->tree);
    ngx_http_smart_openapi_tree(o, node->right);
}


static void
ngx_http_smart_openapi_location(ngx_http_smart_openapi_t *o,
    ngx_http_core_loc_conf_t *clcf, ngx_uint_t exact)
{
    char         path[NGX_HTTP_SMART_OPENAPI_PATH + sizeof("{rest}")];
    json_t      *item;
    ngx_uint_t   len, rest;

    rest = 0;

    len = ngx_http_smart_openapi_path(path, NGX_HTTP_SMART_OPENAPI_PATH,
                                      &clcf->name);

    if (len && !exact
        && (path[len - 1] == '/' || json_object_get(o->paths, path)))
    {
        rest = 1;
        ngx_memcpy(path + len, "{rest}", sizeof("{rest}"));
    }

    if (len && !clcf->internal && json_object_get(o->paths, path) == NULL) {

        item = ngx_http_smart_openapi_item(o, clcf, path, rest);

        if (item == NULL
            || (json_object_size(item)
                && json_object_set(o->paths, path, item) != 0))
        {
            o->failed = 1;
        }

        json_decref(item);
    }

    if (!exact) {
        ngx_http_smart_openapi_tree(o, clcf->static_locations);
    }
}


/* a location's name as it is in a URL; its length, 0 if it is too long */
static ngx_uint_t
ngx_http_smart_openapi_path(char *path, size_t size, ngx_str_t *name)
{
    char        *p, *last;
    u_char       c;
    ngx_uint_t   i;

    static const char  plain[] = "-._~!$&'()*+,;=:@/";
    static const char  hex[] = "0123456789ABCDEF";

    p = path;
    last = path + size - sizeof("%XX");

    for (i = 0; i < name->len; i++) {

        if (p > last) {
            return 0;
        }

        c = name->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || (c && ngx_strchr(plain, c)))
        {
            *p++ = (char) c;
            continue;
        }

        *p++ = '%';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 0xf];
    }

    *p = '\0';

    return path[0] == '/' ? (ngx_uint_t) (p - path) : 0;
}


/* the operations of a location: an empty object if it has none */
static json_t *
ngx_http_smart_openapi_item(ngx_http_smart_openapi_t *o,
    ngx_http_core_loc_conf_t *clcf, const char *path, ngx_uint_t rest)
{
    json_t                                 *item, *operation, *parameters;
    ngx_uint_t                              allowed;
    ngx_http_smart_loc_conf_t              *slcf;
    const ngx_http_smart_openapi_method_t  *m;

    item = json_object();
    slcf = clcf->loc_conf[ngx_http_smart_module.ctx_index];

    if (slcf->content == NGX_HTTP_SMART_CONTENT_METRICS
        || slcf->content == NGX_HTTP_SMART_CONTENT_SCHEMA)
    {
        allowed = NGX_HTTP_GET|NGX_HTTP_HEAD;

    } else if (slcf->timers && slcf->content == NGX_HTTP_SMART_CONTENT_NONE
               && clcf->handler)
    {
        allowed = slcf->methods;

    } else {
        return item;
    }

    allowed &= ~clcf->limit_except;

    for (m = ngx_http_smart_openapi_methods; m->name && item; m++) {

        if (!(allowed & m->mask)) {
            continue;
        }

        if (slcf->content != NGX_HTTP_SMART_CONTENT_NONE) {
            operation = ngx_http_smart_operation_service(m->name,
                                                         slcf->content);
            o->service = 1;

        } else {
            operation = ngx_http_smart_operation_create(m->name, path,
                                                        &clcf->name, slcf);
            o->requests = 1;

            if (slcf->errors == NGX_HTTP_SMART_ERRORS_JSON) {
                o->problem = 1;
            }
        }

        if (json_object_set_new(operation, "operationId",
                                ngx_http_smart_openapi_id(o, m->name, path))
            != 0
            || json_object_set(item, m->name, operation) != 0)
        {
            json_decref(item);
            item = NULL;
        }

        json_decref(operation);
    }

    if (item == NULL || json_object_size(item) == 0) {
        return item;
    }

    parameters = ngx_http_smart_operation_parameters(slcf, rest);

    if (json_array_size(parameters)) {
        (void) json_object_set(item, "parameters", parameters);
    }

    json_decref(parameters);

    return item;
}


/* the method and the letters of the path, and a number where that is taken */
static json_t *
ngx_http_smart_openapi_id(ngx_http_smart_openapi_t *o, const char *method,
    const char *path)
{
    u_char      *p, *end;
    u_char       id[NGX_HTTP_SMART_OPENAPI_PATH + 64];
    ngx_uint_t   n;

    p = ngx_cpymem(id, method, ngx_strlen(method));

    for ( /* void */ ; *path; path++) {

        if ((*path >= 'a' && *path <= 'z') || (*path >= 'A' && *path <= 'Z')
            || (*path >= '0' && *path <= '9'))
        {
            *p++ = *path;

        } else if (p[-1] != '_' && path[1] && path[1] != '}') {
            *p++ = '_';
        }
    }

    *p = '\0';
    end = p;

    for (n = 2; json_object_get(o->ids, (char *) id); n++) {
        p = ngx_sprintf(end, "_%ui", n);
        *p = '\0';
    }

    (void) json_object_set_new(o->ids, (char *) id, json_true());

    return json_string((char *) id);
}


int
ngx_http_smart_openapi_merge(json_t *doc, json_t *other)
{
    size_t       i;
    json_t      *value, *mine, *section;
    const char  *key;

    section = json_object_get(other, "paths");

    if (json_is_object(section)
        && json_object_update_missing(json_object_get(doc, "paths"), section)
           != 0)
    {
        return -1;
    }

    json_array_foreach(json_object_get(other, "tags"), i, value) {
        if (json_array_append(json_object_get(doc, "tags"), value) != 0) {
            return -1;
        }
    }

    json_object_foreach(json_object_get(other, "components"), key, value) {

        mine = json_object_get(doc, "components");

        if (mine == NULL) {
            mine = json_object();
            if (json_object_set_new(doc, "components", mine) != 0) {
                return -1;
            }
        }

        section = json_object_get(mine, key);

        if (section == NULL) {
            if (json_object_set(mine, key, value) != 0) {
                return -1;
            }

            continue;
        }

        if (json_is_object(value)
            && json_object_update_missing(section, value) != 0)
        {
            return -1;
        }
    }

    return 0;
}
