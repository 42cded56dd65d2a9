
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_journal_module.h"


static ngx_int_t ngx_http_smart_journal_init(ngx_conf_t *cf);


static ngx_http_module_t  ngx_http_smart_journal_module_ctx = {
    NULL,                                  /* preconfiguration */
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
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
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
                      "\"smart_journal on\" needs a \"smart_journal_store\" in "
                      "\"http\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}
