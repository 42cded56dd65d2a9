
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_journal_zone.h"


static ngx_int_t ngx_http_smart_journal_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_smart_journal_init_process(ngx_cycle_t *cycle);
static void ngx_http_smart_journal_exit_process(ngx_cycle_t *cycle);


static ngx_http_module_t  ngx_http_smart_journal_module_ctx = {
    ngx_http_smart_journal_add_variables,  /* preconfiguration */
    ngx_http_smart_journal_init,           /* postconfiguration */

    ngx_http_smart_journal_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_smart_journal_create_loc_conf,  /* create location conf */
    ngx_http_smart_journal_merge_loc_conf  /* merge location configuration */
};


ngx_module_t  ngx_http_smart_journal_module = {
    NGX_MODULE_V1,
    &ngx_http_smart_journal_module_ctx,    /* module context */
    ngx_http_smart_journal_commands,       /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_smart_journal_init_process,   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_smart_journal_exit_process,   /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_smart_journal_init(ngx_conf_t *cf)
{
    ngx_http_smart_journal_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_smart_journal_module);

    if (jmcf->used && jmcf->store == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"smart_journal on\" and \"smart_journal_api\" need a "
                      "\"smart_journal_store\" in \"http\"");
        return NGX_ERROR;
    }

    if (jmcf->store == NULL) {
        return NGX_OK;
    }

    if (ngx_http_smart_journal_zone_add(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_smart_journal_request_init(cf);
}


static ngx_int_t
ngx_http_smart_journal_init_process(ngx_cycle_t *cycle)
{
    ngx_http_smart_journal_main_conf_t  *jmcf;

    /* processes that load or clean caches have no requests */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    jmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_smart_journal_module);

    if (jmcf == NULL || jmcf->store == NULL) {

        /* a single process that was told otherwise before */

        ngx_http_smart_journal_flush_exit();

        return NGX_OK;
    }

    ngx_http_smart_journal_request_init_process();

    return ngx_http_smart_journal_flush_init(cycle, jmcf);
}


static void
ngx_http_smart_journal_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_smart_journal_flush_exit();
    ngx_http_smart_journal_call_exit(cycle);
}
