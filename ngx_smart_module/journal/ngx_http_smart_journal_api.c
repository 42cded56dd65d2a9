
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_journal_api: which call a request is, and its errors.
 */


#include "ngx_http_smart_journal_api.h"


typedef struct {
    ngx_str_t                        name;       /* below the location */
    ngx_uint_t                       methods;
    ngx_uint_t                       allowed;    /* parameters */
    ngx_http_smart_journal_work_pt   work;       /* NULL: the export */
} ngx_http_smart_journal_api_call_t;


static ngx_int_t ngx_http_smart_journal_api_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_journal_api_get(ngx_http_request_t *r,
    ngx_http_smart_journal_api_call_t *which);
static ngx_http_smart_journal_api_call_t *ngx_http_smart_journal_api_find(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_journal_api_not_allowed(ngx_http_request_t *r,
    ngx_http_smart_journal_api_call_t *which, ngx_uint_t write);
static size_t ngx_http_smart_journal_api_problem_json(ngx_uint_t status,
    ngx_http_smart_journal_wrong_t *wrong, u_char *data, size_t size);
static const char *ngx_http_smart_journal_api_title(ngx_uint_t status);


static ngx_http_smart_journal_api_call_t  ngx_http_smart_journal_api_calls[] =
{
    { ngx_string("get"), NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_PUT,
      NGX_HTTP_SMART_JOURNAL_ASK_ID|NGX_HTTP_SMART_JOURNAL_ASK_PAGES
      |NGX_HTTP_SMART_JOURNAL_ASK_FILTERS,
      ngx_http_smart_journal_answer_list },

    { ngx_string("time-frame"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      NGX_HTTP_SMART_JOURNAL_ASK_FROM|NGX_HTTP_SMART_JOURNAL_ASK_TO
      |NGX_HTTP_SMART_JOURNAL_ASK_PAGES|NGX_HTTP_SMART_JOURNAL_ASK_FILTERS,
      ngx_http_smart_journal_answer_list },

    { ngx_string("frequent-website"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      NGX_HTTP_SMART_JOURNAL_ASK_TOP|NGX_HTTP_SMART_JOURNAL_ASK_BY,
      ngx_http_smart_journal_answer_top },

    { ngx_string("export"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      NGX_HTTP_SMART_JOURNAL_ASK_FORMAT|NGX_HTTP_SMART_JOURNAL_ASK_FROM
      |NGX_HTTP_SMART_JOURNAL_ASK_TO|NGX_HTTP_SMART_JOURNAL_ASK_FILTERS,
      NULL },

    { ngx_null_string, 0, 0, NULL }
};


ngx_str_t  ngx_http_smart_journal_api_json = ngx_string("application/json");

static ngx_str_t  ngx_http_smart_journal_api_problem_type =
    ngx_string("application/problem+json");


static ngx_int_t
ngx_http_smart_journal_api_handler(ngx_http_request_t *r)
{
    ngx_http_smart_journal_wrong_t      wrong;
    ngx_http_smart_journal_loc_conf_t  *jlcf;
    ngx_http_smart_journal_api_call_t  *which;

    which = ngx_http_smart_journal_api_find(r);

    if (which == NULL) {
        ngx_str_null(&wrong.parameter);
        wrong.text = "There is no such call";
        return ngx_http_smart_journal_api_problem(r, NGX_HTTP_NOT_FOUND,
                                                  &wrong);
    }

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_journal_module);

    if (!(r->method & which->methods)
        || (r->method == NGX_HTTP_PUT && !jlcf->api_write))
    {
        return ngx_http_smart_journal_api_not_allowed(r, which,
                                                      jlcf->api_write);
    }

    if (r->method == NGX_HTTP_PUT) {
        return ngx_http_smart_journal_put(r);
    }

    return ngx_http_smart_journal_api_get(r, which);
}


static ngx_http_smart_journal_api_call_t *
ngx_http_smart_journal_api_find(ngx_http_request_t *r)
{
    ngx_str_t                           name;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_smart_journal_api_call_t  *call;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->uri.len < clcf->name.len) {
        return NULL;
    }

    name.data = r->uri.data + clcf->name.len;
    name.len = r->uri.len - clcf->name.len;

    if (name.len && name.data[0] == '/') {
        name.data++;
        name.len--;

    } else if (clcf->name.data[clcf->name.len - 1] != '/') {
        return NULL;
    }

    for (call = ngx_http_smart_journal_api_calls; call->methods; call++) {
        if (call->name.len == name.len
            && ngx_memcmp(call->name.data, name.data, name.len) == 0)
        {
            return call;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_smart_journal_api_not_allowed(ngx_http_request_t *r,
    ngx_http_smart_journal_api_call_t *which, ngx_uint_t write)
{
    u_char                          *data;
    size_t                           len;
    ngx_http_smart_journal_wrong_t   wrong;

    static ngx_str_t  get = ngx_string("GET, HEAD");
    static ngx_str_t  put = ngx_string("GET, HEAD, PUT");

    ngx_str_null(&wrong.parameter);
    wrong.text = (r->method == NGX_HTTP_PUT && (which->methods & NGX_HTTP_PUT))
                 ? "This server takes no records: \"smart_journal_api\" "
                   "lacks \"write\""
                 : "The call has no such method";

    data = ngx_pnalloc(r->pool, 512);
    if (data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = ngx_http_smart_journal_api_problem_json(NGX_HTTP_NOT_ALLOWED, &wrong,
                                                  data, 512);

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    if (ngx_http_smart_reply_start(r, NGX_HTTP_NOT_ALLOWED,
                                   &ngx_http_smart_journal_api_problem_type,
                                   len)
        != NGX_OK
        || ngx_http_smart_reply_add(r, "Allow",
                                    write && (which->methods & NGX_HTTP_PUT)
                                    ? &put : &get)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_smart_reply_send(r, data, len);
}


static ngx_int_t
ngx_http_smart_journal_api_get(ngx_http_request_t *r,
    ngx_http_smart_journal_api_call_t *which)
{
    ngx_int_t                        rc;
    ngx_http_smart_journal_call_t   *call;
    ngx_http_smart_journal_wrong_t   wrong;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    call = ngx_http_smart_journal_call(r,
                                       sizeof(ngx_http_smart_journal_ask_t));
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_smart_journal_ask(&r->args, which->allowed, call->pool,
                                    call->data, &wrong);

    if (rc == NGX_DECLINED) {
        return ngx_http_smart_journal_api_problem(r, NGX_HTTP_BAD_REQUEST,
                                                  &wrong);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (which->work == NULL) {
        return ngx_http_smart_journal_export(r, call);
    }

    call->work = which->work;
    call->done = ngx_http_smart_journal_answer_done;

    if (ngx_http_smart_journal_call_read(call, 0) != NGX_OK) {
        return ngx_http_smart_journal_api_failed(r, call);
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_DONE;
}


ngx_int_t
ngx_http_smart_journal_api_failed(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    u_char                          *data;
    size_t                           len;
    ngx_http_smart_journal_wrong_t   wrong;

    static time_t     logged;
    static ngx_str_t  second = ngx_string("1");

    ngx_str_null(&wrong.parameter);

    switch (call->rc) {

    case NGX_HTTP_SMART_JOURNAL_OK:
        wrong.text = "Too many calls wait for the store";
        break;

    case NGX_HTTP_SMART_JOURNAL_BUSY:
        wrong.text = "The store has no time for this call";
        break;

    default:
        wrong.text = "The store cannot be used";
        break;
    }

    if (call->error.text[0] && logged != ngx_time()) {
        logged = ngx_time();
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "smart_journal_api: store \"%V\": %s",
                      &call->jmcf->place, call->error.text);
    }

    data = ngx_pnalloc(r->pool, 512);
    if (data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = ngx_http_smart_journal_api_problem_json(
                         NGX_HTTP_SERVICE_UNAVAILABLE, &wrong, data, 512);

    if (ngx_http_smart_reply_start(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   &ngx_http_smart_journal_api_problem_type,
                                   len)
        != NGX_OK
        || ngx_http_smart_reply_add(r, "Retry-After", &second) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_smart_reply_send(r, data, len);
}


ngx_int_t
ngx_http_smart_journal_api_problem(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_smart_journal_wrong_t *wrong)
{
    u_char     *data;
    size_t      len, size;
    ngx_str_t  *type;

    /* a name may be long, and each byte of it become six, twice */

    wrong->parameter.len = ngx_min(wrong->parameter.len, 64);
    size = 1024 + 12 * wrong->parameter.len;

    data = ngx_pnalloc(r->pool, size);
    if (data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    len = ngx_http_smart_journal_api_problem_json(status, wrong, data, size);

    type = &ngx_http_smart_journal_api_problem_type;

    if (ngx_http_smart_accepts(r, "application/json")
        && !ngx_http_smart_accepts(r, "application/problem+json"))
    {
        type = &ngx_http_smart_journal_api_json;
    }

    return ngx_http_smart_reply(r, status, type, data, len);
}


static size_t
ngx_http_smart_journal_api_problem_json(ngx_uint_t status,
    ngx_http_smart_journal_wrong_t *wrong, u_char *data, size_t size)
{
    u_char            detail[512], *p;
    ngx_smart_json_t  json;

    p = detail;

    if (wrong->parameter.len) {
        p = ngx_slprintf(p, detail + sizeof(detail),
                         status == NGX_HTTP_BAD_REQUEST
                         ? "The parameter \"%V\" must be %s"
                         : "The member \"%V\" must be %s",
                         &wrong->parameter, wrong->text);

    } else {
        p = ngx_slprintf(p, detail + sizeof(detail), "%s", wrong->text);
    }

    ngx_smart_json_init(&json, (char *) data, size);
    ngx_smart_json_open(&json, '{');

    ngx_smart_json_key(&json, "type");
    ngx_smart_json_text(&json, "about:blank");
    ngx_smart_json_key(&json, "title");
    ngx_smart_json_text(&json, ngx_http_smart_journal_api_title(status));
    ngx_smart_json_key(&json, "status");
    ngx_smart_json_uint(&json, status);
    ngx_smart_json_key(&json, "detail");
    ngx_smart_json_string(&json, (char *) detail, p - detail);

    if (wrong->parameter.len) {
        ngx_smart_json_key(&json, "parameter");
        ngx_smart_json_string(&json, (char *) wrong->parameter.data,
                              wrong->parameter.len);
    }

    ngx_smart_json_close(&json, '}');

    return json.overflow ? 0 : json.len;
}


static const char *
ngx_http_smart_journal_api_title(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        return "Bad Request";

    case NGX_HTTP_NOT_FOUND:
        return "Not Found";

    case NGX_HTTP_NOT_ALLOWED:
        return "Method Not Allowed";

    case NGX_HTTP_CONFLICT:
        return "Conflict";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "Content Too Large";

    case 422:
        return "Unprocessable Content";

    default:
        return "Service Unavailable";
    }
}


char *
ngx_http_smart_journal_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_smart_journal_loc_conf_t *jlcf = conf;

    ngx_str_t                           *value;
    ngx_http_core_loc_conf_t            *clcf;
    ngx_http_smart_journal_api_place_t  *place;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    value = cf->args->elts;

    if (jlcf->api) {
        return "is duplicate";
    }

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "write") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"%V\", it must be "
                               "\"write\"", &value[1], &cmd->name);
            return NGX_CONF_ERROR;
        }

        jlcf->api_write = 1;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->exact_match || clcf->named || clcf->noname
#if (NGX_PCRE)
        || clcf->regex
#endif
        || clcf->name.len == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must be in a location given by a prefix, "
                           "which its calls are below", &cmd->name);
        return NGX_CONF_ERROR;
    }

    jmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_smart_journal_module);
    jmcf->used = 1;

    if (jmcf->apis == NULL) {
        jmcf->apis = ngx_array_create(cf->pool, 1,
                                  sizeof(ngx_http_smart_journal_api_place_t));
        if (jmcf->apis == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    place = ngx_array_push(jmcf->apis);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }

    place->cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    place->name = clcf->name;
    place->write = jlcf->api_write;

    jlcf->api = 1;
    clcf->handler = ngx_http_smart_journal_api_handler;

    return NGX_CONF_OK;
}
