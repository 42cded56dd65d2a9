
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The OpenAPI document of a server, made from its configuration.
 */

#ifndef _NGX_HTTP_SMART_OPENAPI_H_INCLUDED_
#define _NGX_HTTP_SMART_OPENAPI_H_INCLUDED_


#include "ngx_http_smart_module.h"

#include <jansson.h>


/*
 * When all locations of the server are known and merged; NULL means that
 * there is no memory.  The caller owns the result.
 */
json_t *ngx_http_smart_openapi_create(ngx_http_core_srv_conf_t *cscf);

/*
 * Adds the paths, components and tags of another document, where the first
 * has none of that name; -1 means that there is no memory.
 */
int ngx_http_smart_openapi_merge(json_t *doc, json_t *other);

/*
 * The operations of a location below the path, "exact" or a prefix; part of
 * what ngx_http_smart_openapi_create() does.
 */
json_t *ngx_http_smart_operation_create(const char *method,
    const char *path, ngx_str_t *name, ngx_http_smart_loc_conf_t *slcf);

/* parameters that all operations of a location share, an array */
json_t *ngx_http_smart_operation_parameters(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t rest);

/* the operations of smart_metrics and smart_schema */
json_t *ngx_http_smart_operation_service(const char *method,
    ngx_uint_t content);

/* the schema of the errors that smart_errors makes */
json_t *ngx_http_smart_operation_problem(void);


/* ngx_http_smart_yaml.c */

/* block style, strings in quotes; NULL means that there is no memory */
ngx_int_t ngx_http_smart_yaml(ngx_pool_t *pool, json_t *value,
    ngx_str_t *text);


#endif /* _NGX_HTTP_SMART_OPENAPI_H_INCLUDED_ */
