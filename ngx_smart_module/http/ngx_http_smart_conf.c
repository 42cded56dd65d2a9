
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The table of directives, and how they are inherited.
 */


#include "ngx_http_smart_module.h"
#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_policy.h"
#include "ngx_http_smart_series.h"
#include "ngx_http_smart_directives.h"


#define NGX_HTTP_SMART_ANY                                                    \
    (NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF)


static ngx_conf_enum_t  ngx_http_smart_peer_words[] = {
    { ngx_string("prefer"), NGX_HTTP_SMART_PEER_PREFER },
    { ngx_string("other"), NGX_HTTP_SMART_PEER_OTHER },
    { ngx_string("idle"), NGX_HTTP_SMART_PEER_IDLE },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_smart_switch_words[] = {
    { ngx_string("on"), 1 },
    { ngx_string("off"), 0 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_smart_errors_words[] = {
    { ngx_string("default"), NGX_HTTP_SMART_ERRORS_DEFAULT },
    { ngx_string("json"), NGX_HTTP_SMART_ERRORS_JSON },
    { ngx_null_string, 0 }
};


ngx_command_t  ngx_http_smart_commands[] = {

    { ngx_string("smart_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_smart_set_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_name"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE1,
      ngx_http_smart_set_name,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_hedge"),
      NGX_HTTP_SMART_ANY|NGX_HTTP_LIF_CONF|NGX_CONF_1MORE,
      ngx_http_smart_set_hedge,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_hedge_methods"),
      NGX_HTTP_SMART_ANY|NGX_CONF_1MORE,
      ngx_http_smart_set_methods,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_hedge_body_size"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE1,
      ngx_http_smart_set_body_size,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_hedge_budget"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE12,
      ngx_http_smart_set_budget,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_hedge_peer"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE1,
      ngx_http_smart_set_word,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_smart_loc_conf_t, peer),
      &ngx_http_smart_peer_words },

    { ngx_string("smart_hedge_dry_run"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE1,
      ngx_http_smart_set_word,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_smart_loc_conf_t, dry_run),
      &ngx_http_smart_switch_words },

    { ngx_string("smart_success_status"),
      NGX_HTTP_SMART_ANY|NGX_CONF_1MORE,
      ngx_http_smart_set_statuses,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_success_type"),
      NGX_HTTP_SMART_ANY|NGX_CONF_1MORE,
      ngx_http_smart_set_types,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_success_json"),
      NGX_HTTP_SMART_ANY|NGX_CONF_1MORE,
      ngx_http_smart_set_json,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_success_buffer"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE1,
      ngx_http_smart_set_success_buffer,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_timeout"),
      NGX_HTTP_SMART_ANY|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE12,
      ngx_http_smart_set_timeout,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_errors"),
      NGX_HTTP_SMART_ANY|NGX_CONF_TAKE1,
      ngx_http_smart_set_word,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_smart_loc_conf_t, errors),
      &ngx_http_smart_errors_words },

    { ngx_string("smart_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_smart_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_schema"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_smart_schema,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("smart_dashboard"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_smart_dashboard,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


void *
ngx_http_smart_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_smart_main_conf_t  *smcf;

    smcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_main_conf_t));
    if (smcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&smcf->locations, cf->pool, 16,
                       sizeof(ngx_http_smart_location_t))
        != NGX_OK
        || ngx_array_init(&smcf->series, cf->pool, 16,
                          sizeof(ngx_http_smart_series_t *))
           != NGX_OK
        || ngx_array_init(&smcf->schemas, cf->pool, 4,
                          sizeof(ngx_http_smart_schema_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return smcf;
}


void *
ngx_http_smart_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_smart_loc_conf_t  *slcf;

    slcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_loc_conf_t));
    if (slcf == NULL) {
        return NULL;
    }

    slcf->methods = NGX_CONF_UNSET_UINT;
    slcf->body_size = NGX_CONF_UNSET_SIZE;
    slcf->peer = NGX_CONF_UNSET_UINT;
    slcf->budget.share = NGX_HTTP_SMART_BUDGET_UNSET;
    slcf->dry_run = NGX_CONF_UNSET_UINT;
    slcf->statuses = NGX_CONF_UNSET_PTR;
    slcf->types = NGX_CONF_UNSET_PTR;
    slcf->json = NGX_CONF_UNSET_PTR;
    slcf->success_buffer = NGX_CONF_UNSET_SIZE;
    slcf->errors = NGX_CONF_UNSET_UINT;

    return slcf;
}


char *
ngx_http_smart_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_smart_loc_conf_t  *prev = parent;
    ngx_http_smart_loc_conf_t  *conf = child;

    ngx_http_smart_main_conf_t  *smcf;

    if (!conf->hedge_set) {
        conf->plan = prev->plan;
        conf->hedge = prev->hedge;
        conf->hedge_set = prev->hedge_set;
    }

    if (!conf->timeout_set) {
        conf->timeout = prev->timeout_set ? prev->timeout
                                          : NGX_TIMER_INFINITE;
        conf->timeout_index = prev->timeout_set ? prev->timeout_index
                                                : NGX_ERROR;
        conf->timeout_name = prev->timeout_name;
        conf->timeout_required = prev->timeout_required;
        conf->timeout_set = prev->timeout_set;
    }

    ngx_conf_merge_uint_value(conf->methods, prev->methods,
                              NGX_HTTP_GET|NGX_HTTP_HEAD);
    ngx_conf_merge_size_value(conf->body_size, prev->body_size, 1024 * 1024);
    ngx_conf_merge_uint_value(conf->peer, prev->peer,
                              NGX_HTTP_SMART_PEER_PREFER);
    ngx_conf_merge_uint_value(conf->dry_run, prev->dry_run, 0);

    if (conf->budget.share == NGX_HTTP_SMART_BUDGET_UNSET) {
        conf->budget = prev->budget;
    }

    if (conf->budget.share == NGX_HTTP_SMART_BUDGET_UNSET) {
        conf->budget.share = NGX_HTTP_SMART_BUDGET_SHARE;
        conf->budget.burst = NGX_HTTP_SMART_BUDGET_BURST;
    }

    ngx_conf_merge_ptr_value(conf->types, prev->types, NULL);
    ngx_conf_merge_ptr_value(conf->json, prev->json, NULL);
    ngx_conf_merge_size_value(conf->success_buffer, prev->success_buffer,
                              64 * 1024);
    ngx_conf_merge_uint_value(conf->errors, prev->errors,
                              NGX_HTTP_SMART_ERRORS_DEFAULT);

    if (conf->name.data == NULL) {
        conf->name = prev->name;
    }

    ngx_conf_merge_ptr_value(conf->statuses, prev->statuses, NULL);

    if (conf->statuses == NULL) {

        conf->statuses = ngx_palloc(cf->pool,
                                    sizeof(ngx_smart_verdict_statuses_t));
        if (conf->statuses == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_smart_verdict_default(conf->statuses);
        prev->statuses = conf->statuses;
    }

    conf->other = conf->plan;
    conf->plan.own_failure = (conf->errors == NGX_HTTP_SMART_ERRORS_JSON
                              && conf->plan.extra);

    if (conf->content != NGX_HTTP_SMART_CONTENT_NONE) {
        return NGX_CONF_OK;
    }

    if (conf->plan.extra || conf->hedge
        || conf->timeout != NGX_TIMER_INFINITE
        || conf->timeout_index != NGX_ERROR)
    {
        conf->timers = ngx_http_smart_timers_create(cf->pool,
                                                 ngx_http_smart_hedge_timer);
        if (conf->timers == NULL) {
            return NGX_CONF_ERROR;
        }

        if (conf->plan.extra || conf->hedge) {

            conf->policy = ngx_pcalloc(cf->pool,
                                       sizeof(ngx_http_smart_policy_t));
            if (conf->policy == NULL) {
                return NGX_CONF_ERROR;
            }

            /* a name may be that of locations with other delays, too */

            conf->fine = (conf->hedge || conf->plan.percentile
                          || conf->timeout != NGX_TIMER_INFINITE
                          || conf->timeout_index != NGX_ERROR
                          || conf->dry_run || conf->name.len);
        }

        if (ngx_http_smart_series_add(cf, conf) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smart_module);
        smcf->enabled = 1;

        if (conf->policy && conf->peer == NGX_HTTP_SMART_PEER_IDLE) {
            smcf->busy = 1;
        }
    }

    return NGX_CONF_OK;
}
