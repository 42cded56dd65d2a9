
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_MODULE_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_MODULE_H_INCLUDED_


#include "../common/ngx_http_smart_compat.h"
#include "../core/ngx_smart_record.h"
#include "../core/ngx_smart_redact.h"
#include "ngx_http_smart_journal_store.h"

#include <ngx_thread_pool.h>


typedef struct ngx_http_smart_journal_shared_s
    ngx_http_smart_journal_shared_t;


typedef struct {
    /* NULL: there is no journal, and all that follows is unset */
    const ngx_http_smart_journal_store_api_t  *store;
    ngx_http_smart_journal_options_t           options;
    ngx_str_t                                  place;   /* as configured */

    ngx_msec_t                                 flush;
    ngx_uint_t                                 batch;
    ngx_uint_t                                 queue;
    time_t                                     retain;  /* 0: for ever */
    ngx_str_t                                  node;

    ngx_thread_pool_t                         *thread_pool;
    ngx_shm_zone_t                            *zone;
    ngx_http_smart_journal_shared_t           *shared;

    ngx_int_t                                  attempts_index; /* or -1 */
    ngx_int_t                                  winner_index;   /* or -1 */
    ngx_int_t                                  upstream_index;

    ngx_uint_t                                 used;

    ngx_array_t                               *apis;
                             /* ngx_http_smart_journal_api_place_t, or NULL */
} ngx_http_smart_journal_main_conf_t;


/* where smart_journal_api stands */
typedef struct {
    ngx_http_core_srv_conf_t                  *cscf;
    ngx_str_t                                  name;
    ngx_uint_t                                 write;
} ngx_http_smart_journal_api_place_t;


typedef struct {
    ngx_flag_t                                 enable;
    ngx_http_complex_value_t                  *url;     /* NULL: built in */
    ngx_array_t                               *redact;
                                               /* ngx_smart_redact_name_t */

    ngx_uint_t                                 api;
    ngx_uint_t                                 api_write;
} ngx_http_smart_journal_loc_conf_t;


extern ngx_module_t  ngx_http_smart_journal_module;

extern ngx_command_t  ngx_http_smart_journal_commands[];


/* ngx_http_smart_journal_directives.c */

void *ngx_http_smart_journal_create_main_conf(ngx_conf_t *cf);
void *ngx_http_smart_journal_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_smart_journal_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

/* ngx_http_smart_journal_api.c */

char *ngx_http_smart_journal_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_http_smart_journal_schema.c */

ngx_int_t ngx_http_smart_journal_schema_add_variable(ngx_conf_t *cf);


/* ngx_http_smart_journal_call.c: exit_process of a worker */

void ngx_http_smart_journal_call_exit(ngx_cycle_t *cycle);


/* ngx_http_smart_journal_request.c */

ngx_int_t ngx_http_smart_journal_request_init(ngx_conf_t *cf);
void ngx_http_smart_journal_request_init_process(void);


/*
 * ngx_http_smart_journal_target.c: url, website and host of a request, whose
 * texts stay until the next call.  NGX_ERROR: no memory, or smart_journal_url
 * has no value
 */

ngx_int_t ngx_http_smart_journal_target(ngx_http_request_t *r,
    ngx_http_smart_journal_loc_conf_t *jlcf, ngx_smart_record_t *record);


/* ngx_http_smart_journal_flush.c */

/* a worker begins, and ends: the latter waits until the queue is written */
ngx_int_t ngx_http_smart_journal_flush_init(ngx_cycle_t *cycle,
    ngx_http_smart_journal_main_conf_t *jmcf);
void ngx_http_smart_journal_flush_exit(void);


/* ngx_http_smart_journal_metrics.c */

char *ngx_http_smart_journal_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_smart_journal_add_variables(ngx_conf_t *cf);


#endif /* _NGX_HTTP_SMART_JOURNAL_MODULE_H_INCLUDED_ */
