
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the OpenAPI document says of an operation.
 */


#include "ngx_http_smart_openapi.h"


/* a class of which more statuses are successful is named as a whole */
#define NGX_HTTP_SMART_OPERATION_STATUSES  10


static json_t *ngx_http_smart_operation_description(
    ngx_http_smart_loc_conf_t *slcf);
static void ngx_http_smart_operation_success(json_t *responses,
    const char *method, ngx_http_smart_loc_conf_t *slcf);
static json_t *ngx_http_smart_operation_answer(ngx_uint_t status,
    const char *method, ngx_http_smart_loc_conf_t *slcf);
static json_t *ngx_http_smart_operation_schema(
    ngx_http_smart_loc_conf_t *slcf, ngx_str_t *type);
static void ngx_http_smart_operation_member(json_t *schema,
    const ngx_smart_pointer_t *pointer);
static void ngx_http_smart_operation_error(json_t *responses,
    const char *method, ngx_http_smart_loc_conf_t *slcf, ngx_uint_t status);
static json_t *ngx_http_smart_operation_example(
    ngx_http_smart_loc_conf_t *slcf, ngx_uint_t status);
static json_t *ngx_http_smart_operation_timeout(
    ngx_http_smart_loc_conf_t *slcf);


json_t *
ngx_http_smart_operation_create(const char *method, const char *path,
    ngx_str_t *name, ngx_http_smart_loc_conf_t *slcf)
{
    json_t      *operation, *responses, *summary;
    ngx_str_t   *text;
    ngx_uint_t   own;

    responses = json_object();

    ngx_http_smart_operation_success(responses, method, slcf);

    own = (slcf->errors == NGX_HTTP_SMART_ERRORS_JSON
           && (slcf->plan.extra || slcf->hedge));

    if (slcf->timeout_index != NGX_ERROR) {
        ngx_http_smart_operation_error(responses, method, slcf,
                                       NGX_HTTP_BAD_REQUEST);
    }

    if (own) {
        ngx_http_smart_operation_error(responses, method, slcf,
                                       NGX_HTTP_BAD_GATEWAY);
    }

    if (slcf->timeout_index != NGX_ERROR
        || slcf->timeout != NGX_TIMER_INFINITE)
    {
        ngx_http_smart_operation_error(responses, method, slcf,
                                       NGX_HTTP_GATEWAY_TIME_OUT);
    }

    if (!own) {
        (void) json_object_set_new(responses, "default",
                   json_pack("{s:s}", "description",
                             "Any other answer, as it came"));
    }

    text = slcf->name.len ? &slcf->name : name;
    summary = json_stringn((char *) text->data, text->len);

    operation = json_pack("{s:o, s:o, s:[s], s:o}",
                          "summary", summary ? summary : json_string(path),
                          "description",
                          ngx_http_smart_operation_description(slcf),
                          "tags", "requests",
                          "responses", responses);

    if (operation
        && (ngx_strcmp(method, "post") == 0 || ngx_strcmp(method, "put") == 0
            || ngx_strcmp(method, "patch") == 0))
    {
        (void) json_object_set_new(operation, "requestBody",
                                   json_pack("{s:{s:{}}}", "content", "*/*"));
    }

    return operation;
}


static json_t *
ngx_http_smart_operation_description(ngx_http_smart_loc_conf_t *slcf)
{
    u_char  text[256], *p, *last;

    p = text;
    last = text + sizeof(text);

    if (slcf->hedge) {
        p = ngx_slprintf(p, last, "The first successful answer of several "
                         "attempts. ");

    } else if (slcf->plan.extra) {
        p = ngx_slprintf(p, last, "The first successful answer of up to %ui "
                         "attempts. ", (ngx_uint_t) slcf->plan.extra + 1);
    }

    if (slcf->timeout != NGX_TIMER_INFINITE) {
        p = ngx_slprintf(p, last, "It comes within %M ms, or not at all. ",
                         slcf->timeout);
    }

    if (p == text) {
        p = ngx_slprintf(p, last, "An answer within the time that is asked "
                         "for, or none. ");
    }

    return json_stringn((char *) text, p - text - 1);
}


/* one response for each status, or class of statuses */
static void
ngx_http_smart_operation_success(json_t *responses, const char *method,
    ngx_http_smart_loc_conf_t *slcf)
{
    char        key[8];
    ngx_uint_t  class, n, status;

    for (class = 200; class < 600; class += 100) {

        n = 0;

        for (status = class; status < class + 100; status++) {
            n += ngx_smart_verdict_status(slcf->statuses, status);
        }

        if (n > NGX_HTTP_SMART_OPERATION_STATUSES) {
            ngx_sprintf((u_char *) key, "%uiXX%Z", class / 100);
            (void) json_object_set_new(responses, key,
                       ngx_http_smart_operation_answer(class, method, slcf));
            continue;
        }

        for (status = class; n && status < class + 100; status++) {

            if (ngx_smart_verdict_status(slcf->statuses, status)) {
                ngx_sprintf((u_char *) key, "%ui%Z", status);
                (void) json_object_set_new(responses, key,
                           ngx_http_smart_operation_answer(status, method,
                                                           slcf));
            }
        }
    }
}


static json_t *
ngx_http_smart_operation_answer(ngx_uint_t status, const char *method,
    ngx_http_smart_loc_conf_t *slcf)
{
    json_t      *answer, *content, *type;
    ngx_str_t   *types;
    ngx_str_t    any = ngx_string("*/*");
    ngx_uint_t   i, n;

    answer = json_pack("{s:s}", "description", "A successful answer");

    if ((slcf->types == NULL && slcf->json == NULL)
        || status == NGX_HTTP_NO_CONTENT
        || status == NGX_HTTP_NOT_MODIFIED
        || ngx_strcmp(method, "head") == 0)
    {
        return answer;
    }

    content = json_object();
    types = slcf->types ? slcf->types->elts : &any;
    n = slcf->types ? slcf->types->nelts : 1;

    for (i = 0; i < n; i++) {

        type = json_stringn((char *) types[i].data, types[i].len);

        (void) json_object_set_new(content, json_string_value(type),
                   json_pack("{s:o}", "schema",
                             ngx_http_smart_operation_schema(slcf,
                                                             &types[i])));
        json_decref(type);
    }

    (void) json_object_set_new(answer, "content", content);

    return answer;
}


/* what smart_success_json wants to see in a body */
static json_t *
ngx_http_smart_operation_schema(ngx_http_smart_loc_conf_t *slcf,
    ngx_str_t *type)
{
    json_t      *schema;
    ngx_uint_t   i;

    schema = json_object();

    if (slcf->json == NULL
        || (type->data[0] != '*'
            && (type->len < 4
                || ngx_strncasecmp(type->data + type->len - 4,
                                   (u_char *) "json", 4) != 0)))
    {
        return schema;
    }

    for (i = 0; i < slcf->json->n; i++) {
        ngx_http_smart_operation_member(schema, &slcf->json->pointers[i]);
    }

    return schema;
}


/* up to a name that may be the index of an array */
static void
ngx_http_smart_operation_member(json_t *schema,
    const ngx_smart_pointer_t *pointer)
{
    size_t       i, n;
    json_t      *name, *names, *members;
    const char  *token;

    /* by ngx_smart_pointer_type_e */

    static const char *const  types[] = {
        NULL, "string", "number", "integer", "boolean", "object", "array",
        "null"
    };

    token = pointer->tokens;

    for (i = 0; i < pointer->n; i++) {

        if (ngx_smart_pointer_index(token, &n)) {
            return;
        }

        (void) json_object_set_new(schema, "type", json_string("object"));

        if (json_object_get(schema, "required") == NULL) {
            (void) json_object_set_new(schema, "required", json_array());
            (void) json_object_set_new(schema, "properties", json_object());
        }

        names = json_object_get(schema, "required");
        members = json_object_get(schema, "properties");

        if (json_object_get(members, token) == NULL) {

            name = json_string(token);

            if (name == NULL) {
                return;
            }

            (void) json_array_append_new(names, name);
            (void) json_object_set_new(members, token, json_object());
        }

        schema = json_object_get(members, token);

        token += ngx_strlen(token) + 1;
    }

    if (types[pointer->type] && json_object_get(schema, "type") == NULL) {
        (void) json_object_set_new(schema, "type",
                                   json_string(types[pointer->type]));
    }
}


/* an answer of the module itself */
static void
ngx_http_smart_operation_error(json_t *responses, const char *method,
    ngx_http_smart_loc_conf_t *slcf, ngx_uint_t status)
{
    char         key[8];
    json_t      *error, *media;
    const char  *text;

    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        text = "The timeout is missing or no whole number of milliseconds";
        break;

    case NGX_HTTP_BAD_GATEWAY:
        text = "Every attempt failed";
        break;

    default:
        text = "The deadline passed before a successful response";
        break;
    }

    error = json_pack("{s:s}", "description", text);

    if (slcf->errors == NGX_HTTP_SMART_ERRORS_JSON
        && ngx_strcmp(method, "head") != 0)
    {
        media = json_pack("{s:{s:s}, s:o}", "schema",
                          "$ref", "#/components/schemas/Problem",
                          "example",
                          ngx_http_smart_operation_example(slcf, status));

        (void) json_object_set_new(error, "content",
                   json_pack("{s:O, s:O}", "application/problem+json", media,
                             "application/json", media));
        json_decref(media);
    }

    ngx_sprintf((u_char *) key, "%ui%Z", status);

    (void) json_object_set_new(responses, key, error);
}


static json_t *
ngx_http_smart_operation_example(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t status)
{
    u_char     *p;
    u_char      detail[NGX_HTTP_SMART_ERROR_DETAIL];
    json_t     *timeout, *failures;
    ngx_uint_t  attempts;

    p = ngx_http_smart_error_detail(slcf, status, detail,
                                    detail + sizeof(detail));

    timeout = json_null();
    failures = json_array();
    attempts = 0;

    if (status == NGX_HTTP_BAD_GATEWAY) {
        attempts = 2;
        (void) json_array_append_new(failures, json_string("503"));
        (void) json_array_append_new(failures,
                                     json_string("connection failed"));
    }

    if (status == NGX_HTTP_GATEWAY_TIME_OUT) {
        attempts = 1;
        (void) json_array_append_new(failures, json_string("cancelled"));
        timeout = json_real(slcf->timeout != NGX_TIMER_INFINITE
                            ? slcf->timeout / 1000.0 : 0.5);
    }

    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:f, s:i, s:o}",
                     "type", "about:blank",
                     "title", ngx_http_smart_error_title(status),
                     "status", (int) status,
                     "detail", json_stringn((char *) detail, p - detail),
                     "timeout", timeout,
                     "time_spent", json_real_value(timeout),
                     "attempts", (int) attempts,
                     "failures", failures);
}


json_t *
ngx_http_smart_operation_problem(void)
{
    return json_pack("{s:s, s:s, s:[sssssss], s:{s:o, s:o, s:o, s:o, s:o, s:o,"
                     " s:o, s:o}}",
                     "type", "object",
                     "description", "An error, as RFC 9457 has it, "
                     "and what became of the attempts. Times are in seconds",
                     "required", "title", "status", "detail", "timeout",
                     "time_spent", "attempts", "failures",
                     "properties",
                     "type",
                     json_pack("{s:s, s:s}", "type", "string",
                               "format", "uri-reference"),
                     "title", json_pack("{s:s}", "type", "string"),
                     "status",
                     json_pack("{s:s, s:i, s:i}", "type", "integer",
                               "minimum", 400, "maximum", 599),
                     "detail", json_pack("{s:s}", "type", "string"),
                     "timeout",
                     json_pack("{s:[ss], s:i, s:s}", "type", "number", "null",
                               "minimum", 0,
                               "description", "The deadline, if any"),
                     "time_spent",
                     json_pack("{s:s, s:i}", "type", "number", "minimum", 0),
                     "attempts",
                     json_pack("{s:s, s:i, s:i}", "type", "integer",
                               "minimum", 0, "maximum",
                               NGX_SMART_HEDGE_MAX_ATTEMPTS),
                     "failures",
                     json_pack("{s:s, s:s, s:{s:s}}", "type", "array",
                               "description",
                               "The status or the failure of each attempt",
                               "items", "type", "string"));
}


json_t *
ngx_http_smart_operation_parameters(ngx_http_smart_loc_conf_t *slcf,
    ngx_uint_t rest)
{
    json_t  *parameters, *timeout;

    parameters = json_array();

    if (rest) {
        (void) json_array_append_new(parameters,
                   json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}",
                             "name", "rest", "in", "path", "required", 1,
                             "description",
                             "What follows, slashes included; may be empty",
                             "schema", "type", "string"));
    }

    if (slcf->content == NGX_HTTP_SMART_CONTENT_NONE
        && slcf->timeout_index != NGX_ERROR)
    {
        timeout = ngx_http_smart_operation_timeout(slcf);

        if (timeout) {
            (void) json_array_append_new(parameters, timeout);
        }
    }

    return parameters;
}


/* the parameter that the variable of smart_timeout stands for, if any */
static json_t *
ngx_http_smart_operation_timeout(ngx_http_smart_loc_conf_t *slcf)
{
    u_char       name[256];
    size_t       n, len;
    ngx_str_t   *var;
    ngx_uint_t   i;

    static const struct {
        const char  *prefix;
        const char  *in;
    } kinds[] = {
        { "arg_", "query" }, { "http_", "header" }, { "cookie_", "cookie" }
    };

    var = &slcf->timeout_name;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {

        len = ngx_strlen(kinds[i].prefix);

        if (var->len <= len || var->len - len > sizeof(name)
            || ngx_strncmp(var->data, kinds[i].prefix, len) != 0)
        {
            continue;
        }

        for (n = 0; n < var->len - len; n++) {
            name[n] = var->data[len + n];

            if (name[n] == '_' && kinds[i].in[0] == 'h') {
                name[n] = '-';
            }
        }

        return json_pack("{s:o, s:s, s:b, s:s, s:{s:s, s:i}, s:i}",
                         "name", json_stringn((char *) name, n),
                         "in", kinds[i].in,
                         "required", (int) slcf->timeout_required,
                         "description", "The deadline of all attempts "
                         "together, in milliseconds",
                         "schema", "type", "integer", "minimum", 0,
                         "example", 500);
    }

    return NULL;
}


json_t *
ngx_http_smart_operation_service(const char *method, ngx_uint_t content)
{
    json_t      *answer, *media, *operation;
    ngx_uint_t   metrics;

    metrics = (content == NGX_HTTP_SMART_CONTENT_METRICS);

    if (ngx_strcmp(method, "head") == 0) {
        media = NULL;

    } else if (metrics) {
        media = json_pack("{s:{s:{s:s}}, s:{s:{s:s}}}",
                          "text/plain", "schema", "type", "string",
                          "application/openmetrics-text",
                          "schema", "type", "string");

    } else {
        media = json_pack("{s:{s:{s:s, s:[sss]}}, s:{s:{s:s}}}",
                          "application/json", "schema", "type", "object",
                          "required", "openapi", "info", "paths",
                          "application/yaml", "schema", "type", "object");
    }

    answer = json_pack("{s:s}", "description",
                       metrics ? "The counters" : "This document");

    if (media) {
        (void) json_object_set_new(answer, "content", media);
    }

    operation = json_pack("{s:s, s:s, s:[s], s:{s:o, s:{s:s}}}",
                          "summary", metrics ? "Metrics" : "This document",
                          "description",
                          metrics ? "The counters, as Prometheus reads them."
                                  : "What this server offers, as OpenAPI.",
                          "tags", "service",
                          "responses", "200", answer,
                          "403", "description", "The client may not see it");

    if (!metrics) {
        (void) json_object_set_new(json_object_get(operation, "responses"),
                                   "304",
                                   json_pack("{s:s}", "description",
                                             "The client has it already"));
    }

    return operation;
}
