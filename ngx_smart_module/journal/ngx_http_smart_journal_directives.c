
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The table of directives, their setters, and how they are inherited.
 */


#include "ngx_http_smart_journal_module.h"


#define NGX_HTTP_SMART_JOURNAL_ANY                                            \
    (NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF)


typedef struct ngx_http_smart_journal_parameter_s
    ngx_http_smart_journal_parameter_t;


/* a parameter of smart_journal_store; "set" is 0 where the value is wrong */
struct ngx_http_smart_journal_parameter_s {
    ngx_str_t                name;           /* with the "=" */
    ngx_uint_t             (*set)(ngx_http_smart_journal_main_conf_t *jmcf,
                                  ngx_http_smart_journal_parameter_t *p,
                                  ngx_str_t *value);
    const char              *allowed;

    /* of a number */
    ngx_uint_t               time;           /* in ms */
    ngx_int_t                min;
    ngx_int_t                max;
    size_t                   offset;         /* of an ngx_uint_t */
};


static char *ngx_http_smart_journal_set_store(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_smart_journal_set_place(ngx_conf_t *cf,
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_str_t *value);
static ngx_uint_t ngx_http_smart_journal_set_number(
    ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value);
static ngx_uint_t ngx_http_smart_journal_set_retain(
    ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value);
static ngx_uint_t ngx_http_smart_journal_set_node(
    ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value);
static ngx_uint_t ngx_http_smart_journal_set_sync(
    ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value);
static char *ngx_http_smart_journal_set_redact(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);


ngx_command_t  ngx_http_smart_journal_commands[] = {

    { ngx_string("smart_journal_store"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_smart_journal_set_store,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_journal"),
      NGX_HTTP_SMART_JOURNAL_ANY|NGX_HTTP_LIF_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_smart_journal_loc_conf_t, enable),
      NULL },

    { ngx_string("smart_journal_url"),
      NGX_HTTP_SMART_JOURNAL_ANY|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_smart_journal_loc_conf_t, url),
      NULL },

    { ngx_string("smart_journal_redact"),
      NGX_HTTP_SMART_JOURNAL_ANY|NGX_CONF_1MORE,
      ngx_http_smart_journal_set_redact,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_journal_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_smart_journal_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_journal_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_smart_journal_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_smart_journal_parameter_t
    ngx_http_smart_journal_parameters[] =
{
    { ngx_string("flush="),
      ngx_http_smart_journal_set_number,
      "a time from 1ms to 60s",
      1, 1, 60 * 1000,
      offsetof(ngx_http_smart_journal_main_conf_t, flush) },

    { ngx_string("batch="),
      ngx_http_smart_journal_set_number,
      "a number from 1 to 10000",
      0, 1, 10000,
      offsetof(ngx_http_smart_journal_main_conf_t, batch) },

    { ngx_string("queue="),
      ngx_http_smart_journal_set_number,
      "a number from 16 to 4194304",
      0, 16, 4 * 1024 * 1024,
      offsetof(ngx_http_smart_journal_main_conf_t, queue) },

    { ngx_string("retain="),
      ngx_http_smart_journal_set_retain,
      "a time of 1s or more, or \"off\"",
      0, 0, 0, 0 },

    { ngx_string("node="),
      ngx_http_smart_journal_set_node,
      "a name of at most 255 printable characters",
      0, 0, 0, 0 },

    { ngx_string("sync="),
      ngx_http_smart_journal_set_sync,
      "\"full\" or \"normal\"",
      0, 0, 0, 0 },

    { ngx_null_string, NULL, NULL, 0, 0, 0, 0 }
};


static char *
ngx_http_smart_journal_set_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_smart_journal_main_conf_t  *jmcf = conf;

    char                                *rc;
    ngx_str_t                           *value, s;
    ngx_uint_t                           i;
    ngx_http_smart_journal_parameter_t  *p;

    if (jmcf->store) {
        return "is duplicate";
    }

    value = cf->args->elts;

    jmcf->flush = 100;
    jmcf->batch = 1000;
    jmcf->queue = 65536;
    jmcf->retain = 30 * 24 * 60 * 60;
    jmcf->node = cf->cycle->hostname;
    jmcf->options.sync = 1;

    rc = ngx_http_smart_journal_set_place(cf, jmcf, &value[1]);

    if (rc != NGX_CONF_OK) {
        return rc;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        for (p = ngx_http_smart_journal_parameters; p->name.len; p++) {
            if (value[i].len >= p->name.len
                && ngx_memcmp(value[i].data, p->name.data, p->name.len) == 0)
            {
                break;
            }
        }

        if (p->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"%V\", it must "
                               "be \"flush=\", \"batch=\", \"queue=\", "
                               "\"retain=\", \"node=\" or \"sync=\"",
                               &value[i], &cmd->name);
            return NGX_CONF_ERROR;
        }

        s.data = value[i].data + p->name.len;
        s.len = value[i].len - p->name.len;

        if (!p->set(jmcf, p, &s)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"%V\" in \"%V\", it "
                               "must be %s",
                               &s, &p->name, &cmd->name, p->allowed);
            return NGX_CONF_ERROR;
        }
    }

    if (jmcf->batch > jmcf->queue) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"batch=%ui\" is more than \"queue=%ui\" in "
                           "\"%V\"", jmcf->batch, jmcf->queue, &cmd->name);
        return NGX_CONF_ERROR;
    }

    /* of nginx; it takes care of "thread_pool default" if there is one */

    jmcf->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (jmcf->thread_pool == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_smart_journal_set_place(ngx_conf_t *cf,
    ngx_http_smart_journal_main_conf_t *jmcf, ngx_str_t *value)
{
    ngx_str_t  path;

    if (ngx_strncmp(value->data, "postgresql:", 11) == 0
        || ngx_strncmp(value->data, "postgres:", 9) == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"smart_journal_store %V\": this build has no "
                           "PostgreSQL store, it must be \"sqlite:PATH\"",
                           value);
        return NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value->data, "sqlite:", 7) != 0 || value->len == 7) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"smart_journal_store\", "
                           "it must be \"sqlite:PATH\"", value);
        return NGX_CONF_ERROR;
    }

    path.data = value->data + 7;
    path.len = value->len - 7;

    if (path.data[path.len - 1] == '/' || path.data[0] == ':') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"smart_journal_store\" is not the path "
                           "of a file", &path);
        return NGX_CONF_ERROR;
    }

    if (ngx_conf_full_name(cf->cycle, &path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    jmcf->store = &ngx_http_smart_journal_sqlite;
    jmcf->place = *value;
    jmcf->options.place = (char *) path.data;
    jmcf->options.busy = 1000;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_smart_journal_set_number(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value)
{
    ngx_int_t  n;

    n = p->time ? ngx_parse_time(value, 0) : ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n < p->min || n > p->max) {
        return 0;
    }

    *(ngx_uint_t *) ((u_char *) jmcf + p->offset) = n;

    return 1;
}


static ngx_uint_t
ngx_http_smart_journal_set_retain(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value)
{
    ngx_int_t  n;

    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        jmcf->retain = 0;
        return 1;
    }

    n = ngx_parse_time(value, 1);

    if (n == NGX_ERROR || n < 1) {
        return 0;
    }

    jmcf->retain = n;

    return 1;
}


static ngx_uint_t
ngx_http_smart_journal_set_node(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value)
{
    size_t  i;

    if (value->len == 0 || value->len > NGX_SMART_RECORD_MAX_NODE) {
        return 0;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < 0x20 || value->data[i] == 0x7f) {
            return 0;
        }
    }

    jmcf->node = *value;

    return 1;
}


static ngx_uint_t
ngx_http_smart_journal_set_sync(ngx_http_smart_journal_main_conf_t *jmcf,
    ngx_http_smart_journal_parameter_t *p, ngx_str_t *value)
{
    if (value->len == 4 && ngx_strncmp(value->data, "full", 4) == 0) {
        jmcf->options.sync = 1;
        return 1;
    }

    if (value->len == 6 && ngx_strncmp(value->data, "normal", 6) == 0) {
        jmcf->options.sync = 0;
        return 1;
    }

    return 0;
}


static char *
ngx_http_smart_journal_set_redact(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_smart_journal_loc_conf_t  *jlcf = conf;

    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_smart_redact_name_t  *name;

    if (jlcf->redact != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    jlcf->redact = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                    sizeof(ngx_smart_redact_name_t));
    if (jlcf->redact == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "empty value in \"%V\", it must be the name of "
                               "a query parameter", &cmd->name);
            return NGX_CONF_ERROR;
        }

        name = ngx_array_push(jlcf->redact);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        name->data = (char *) value[i].data;
        name->len = value[i].len;
    }

    return NGX_CONF_OK;
}


void *
ngx_http_smart_journal_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_smart_journal_main_conf_t  *jmcf;

    jmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_journal_main_conf_t));
    if (jmcf == NULL) {
        return NULL;
    }

    jmcf->attempts_index = NGX_ERROR;
    jmcf->winner_index = NGX_ERROR;
    jmcf->upstream_index = NGX_ERROR;

    return jmcf;
}


void *
ngx_http_smart_journal_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_smart_journal_loc_conf_t  *jlcf;

    jlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_journal_loc_conf_t));
    if (jlcf == NULL) {
        return NULL;
    }

    jlcf->enable = NGX_CONF_UNSET;
    jlcf->redact = NGX_CONF_UNSET_PTR;

    return jlcf;
}


char *
ngx_http_smart_journal_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_smart_journal_loc_conf_t  *prev = parent;
    ngx_http_smart_journal_loc_conf_t  *conf = child;

    ngx_http_smart_journal_main_conf_t  *jmcf;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_ptr_value(conf->redact, prev->redact, NULL);

    if (conf->url == NULL) {
        conf->url = prev->url;
    }

    if (conf->enable) {
        jmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_smart_journal_module);
        jmcf->used = 1;
    }

    return NGX_CONF_OK;
}
