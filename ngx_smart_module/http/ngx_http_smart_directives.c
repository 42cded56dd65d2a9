
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The setters of the directives.
 */


#include "ngx_http_smart_directives.h"


typedef struct {
    const char  *name;
    ngx_uint_t   mask;
} ngx_http_smart_method_t;


static char *ngx_http_smart_set_hedge_variable(ngx_conf_t *cf,
    ngx_http_smart_loc_conf_t *slcf, ngx_str_t *value);
static char *ngx_http_smart_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *allowed);


/* of bodies that are held: what is parsed in a few ms */
#define NGX_HTTP_SMART_MIN_HELD   1024
#define NGX_HTTP_SMART_MAX_HELD   (256 * 1024)


static const ngx_http_smart_method_t  ngx_http_smart_methods[] = {
    { "GET", NGX_HTTP_GET },
    { "HEAD", NGX_HTTP_HEAD },
    { "POST", NGX_HTTP_POST },
    { "PUT", NGX_HTTP_PUT },
    { "DELETE", NGX_HTTP_DELETE },
    { "OPTIONS", NGX_HTTP_OPTIONS },
    { "PATCH", NGX_HTTP_PATCH },
    { "PROPFIND", NGX_HTTP_PROPFIND },
    { "PROPPATCH", NGX_HTTP_PROPPATCH },
    { "MKCOL", NGX_HTTP_MKCOL },
    { "COPY", NGX_HTTP_COPY },
    { "MOVE", NGX_HTTP_MOVE },
    { "LOCK", NGX_HTTP_LOCK },
    { "UNLOCK", NGX_HTTP_UNLOCK },
    { NULL, 0 }
};


char *
ngx_http_smart_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_main_conf_t  *smcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (smcf->zone_size) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        return ngx_http_smart_invalid(cf, &value[1],
                              "a size of at least \"32k\", such as \"8m\"");
    }

    smcf->zone_size = size;

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_name(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_str_t  *value;

    if (slcf->name.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > NGX_SMART_PROM_MAX_LABEL) {
        return ngx_http_smart_invalid(cf, &value[1],
                                      "a name of 1 to 256 bytes");
    }

    slcf->name = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_hedge(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    u_char                   *p;
    ngx_str_t                *value, all, bad;
    ngx_uint_t                i;
    ngx_smart_parse_e         rc;
    ngx_smart_parse_error_t   error;

    if (slcf->hedge_set) {
        return "is duplicate";
    }

    slcf->hedge_set = 1;

    value = cf->args->elts;
    all.len = 0;

    for (i = 1; i < cf->args->nelts; i++) {
        all.len += value[i].len + 1;
    }

    all.data = ngx_pnalloc(cf->pool, all.len);
    if (all.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = all.data;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ' ';
    }

    all.len--;

    if (ngx_http_script_variables_count(&all)) {
        return ngx_http_smart_set_hedge_variable(cf, slcf, &all);
    }

    rc = ngx_smart_parse_hedge((char *) all.data, all.len, &slcf->plan,
                               &error);

    if (rc == NGX_SMART_PARSE_INVALID) {
        bad.data = (u_char *) error.data;
        bad.len = error.len;
        return ngx_http_smart_invalid(cf, &bad, error.allowed);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_smart_set_hedge_variable(ngx_conf_t *cf,
    ngx_http_smart_loc_conf_t *slcf, ngx_str_t *value)
{
    ngx_http_compile_complex_value_t  ccv;

    slcf->hedge = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (slcf->hedge == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = slcf->hedge;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_methods(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_str_t                      *value;
    ngx_uint_t                      i;
    const ngx_http_smart_method_t  *m;

    if (slcf->methods != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    slcf->methods = 0;
    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (m = ngx_http_smart_methods; m->name; m++) {
            if (ngx_strlen(m->name) == value[i].len
                && ngx_strncmp(m->name, value[i].data, value[i].len) == 0)
            {
                break;
            }
        }

        if (m->name == NULL) {
            return ngx_http_smart_invalid(cf, &value[i],
                               "a method such as GET, HEAD, PUT or DELETE");
        }

        if (slcf->methods & m->mask) {
            return ngx_http_smart_invalid(cf, &value[i],
                                          "each method at most once");
        }

        slcf->methods |= m->mask;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_body_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (slcf->body_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR) {
        return ngx_http_smart_invalid(cf, &value[1],
                                      "a size such as \"64k\" or \"1m\"");
    }

    slcf->body_size = size;

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_budget(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    if (slcf->budget.share != NGX_HTTP_SMART_BUDGET_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        slcf->budget.share = NGX_HTTP_SMART_BUDGET_OFF;
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (value[1].len > 1 && value[1].data[value[1].len - 1] == '%') {
        n = ngx_atofp(value[1].data, value[1].len - 1, 2);
    }

    if (n == NGX_ERROR || n > 10000) {
        return ngx_http_smart_invalid(cf, &value[1],
                        "\"off\" or a percentage from \"0%\" to \"100%\"");
    }

    slcf->budget.share = (uint32_t) n;
    slcf->budget.burst = NGX_HTTP_SMART_BUDGET_BURST;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (ngx_strncmp(value[2].data, "burst=", 6) == 0) {
        n = ngx_atoi(value[2].data + 6, value[2].len - 6);
    }

    if (n == NGX_ERROR || n > NGX_SMART_BUDGET_MAX_BURST) {
        return ngx_http_smart_invalid(cf, &value[2],
                                  "\"burst=\" and a number up to 1000000");
    }

    slcf->budget.burst = (uint32_t) n;

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_statuses(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    if (slcf->statuses != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    slcf->statuses = ngx_pcalloc(cf->pool,
                                 sizeof(ngx_smart_verdict_statuses_t));
    if (slcf->statuses == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_smart_verdict_add(slcf->statuses, (char *) value[i].data,
                                  value[i].len)
            != 0)
        {
            return ngx_http_smart_invalid(cf, &value[i],
                       "a status from 200 to 599, or a class such as \"2xx\"");
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_types(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ngx_str_t   *value, *type;
    ngx_uint_t   i;

    if (slcf->types != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    slcf->types = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                   sizeof(ngx_str_t));
    if (slcf->types == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_smart_verdict_type_valid((char *) value[i].data,
                                          value[i].len))
        {
            return ngx_http_smart_invalid(cf, &value[i],
                 "a media type such as \"application/json\" or \"text/*\"");
        }

        type = ngx_array_push(slcf->types);
        if (type == NULL) {
            return NGX_CONF_ERROR;
        }

        *type = value[i];
    }

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_json(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    char                       *tokens;
    ngx_str_t                  *value;
    const char                 *allowed;
    ngx_uint_t                  i, n;
    ngx_http_smart_pointers_t  *json;

    if (slcf->json != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;
    n = cf->args->nelts - 1;

    if (n == 1 && ngx_strcmp(value[1].data, "off") == 0) {
        slcf->json = NULL;
        return NGX_CONF_OK;
    }

    json = ngx_pcalloc(cf->pool, sizeof(ngx_http_smart_pointers_t));
    if (json == NULL) {
        return NGX_CONF_ERROR;
    }

    slcf->json = json;

    if (n == 1 && ngx_strcmp(value[1].data, "on") == 0) {
        return NGX_CONF_OK;
    }

    json->n = n;
    json->names = ngx_palloc(cf->pool, n * sizeof(ngx_str_t));
    json->pointers = ngx_palloc(cf->pool, n * sizeof(ngx_smart_pointer_t));

    if (json->names == NULL || json->pointers == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < n; i++) {

        json->names[i] = value[i + 1];

        tokens = ngx_pnalloc(cf->pool, json->names[i].len + 1);
        if (tokens == NULL) {
            return NGX_CONF_ERROR;
        }

        allowed = ngx_smart_pointer_parse((char *) json->names[i].data,
                                          json->names[i].len, tokens,
                                          &json->pointers[i]);
        if (allowed) {
            return ngx_http_smart_invalid(cf, &json->names[i], allowed);
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_success_buffer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (slcf->success_buffer != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size < NGX_HTTP_SMART_MIN_HELD || size > NGX_HTTP_SMART_MAX_HELD) {
        return ngx_http_smart_invalid(cf, &value[1],
                                      "a size from \"1k\" to \"256k\"");
    }

    slcf->success_buffer = size;

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_loc_conf_t  *slcf = conf;

    uint64_t    ms;
    ngx_str_t  *value, name;

    if (slcf->timeout_set) {
        return "is duplicate";
    }

    slcf->timeout_set = 1;
    slcf->timeout = NGX_TIMER_INFINITE;
    slcf->timeout_index = NGX_ERROR;

    value = cf->args->elts;

    if (value[1].data[0] == '$') {

        name.data = value[1].data + 1;
        name.len = value[1].len - 1;

        slcf->timeout_index = ngx_http_get_variable_index(cf, &name);
        if (slcf->timeout_index == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

        slcf->timeout_name = name;

        if (cf->args->nelts == 2) {
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value[2].data, "required") != 0) {
            return ngx_http_smart_invalid(cf, &value[2], "\"required\"");
        }

        slcf->timeout_required = 1;

        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 3) {
        return ngx_http_smart_invalid(cf, &value[2],
                                      "nothing, unless after a variable");
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_smart_parse_time((char *) value[1].data, value[1].len, &ms)
        != NGX_SMART_PARSE_OK)
    {
        return ngx_http_smart_invalid(cf, &value[1],
                 "\"off\", a time such as \"2s\", or a variable such as "
                 "\"$arg_timeout\"");
    }

    slcf->timeout = (ngx_msec_t) ms;

    return NGX_CONF_OK;
}


char *
ngx_http_smart_set_word(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char            allowed[128], *p;
    ngx_str_t        *value;
    ngx_uint_t       *field;
    ngx_conf_enum_t  *word;

    field = (ngx_uint_t *) ((u_char *) conf + cmd->offset);

    if (*field != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (word = cmd->post; word->name.len; word++) {

        if (word->name.len == value[1].len
            && ngx_strcmp(word->name.data, value[1].data) == 0)
        {
            *field = word->value;
            return NGX_CONF_OK;
        }
    }

    p = allowed;

    for (word = cmd->post; word->name.len; word++) {
        p = ngx_slprintf(p, allowed + sizeof(allowed) - 1, "%s\"%V\"",
                         p == allowed ? "" : " or ", &word->name);
    }

    *p = '\0';

    return ngx_http_smart_invalid(cf, &value[1], (char *) allowed);
}


static char *
ngx_http_smart_invalid(ngx_conf_t *cf, ngx_str_t *value, const char *allowed)
{
    ngx_str_t  *directive;

    directive = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive, "
                       "it must be %s", value, directive, allowed);

    return NGX_CONF_ERROR;
}
