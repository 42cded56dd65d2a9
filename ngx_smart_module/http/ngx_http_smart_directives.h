
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Setters of directives, ngx_command_t.set: NGX_CONF_OK, or after an error
 * that names the directive, the value and what is allowed, NGX_CONF_ERROR.
 */

#ifndef _NGX_HTTP_SMART_DIRECTIVES_H_INCLUDED_
#define _NGX_HTTP_SMART_DIRECTIVES_H_INCLUDED_


#include "ngx_http_smart_module.h"


char *ngx_http_smart_set_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_name(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_hedge(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_methods(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_body_size(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_budget(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_statuses(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_types(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_json(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_success_buffer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_timeout(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_smart_set_word(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_SMART_DIRECTIVES_H_INCLUDED_ */
