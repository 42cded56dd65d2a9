
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ngx_http_smart_journal_body.h"
#include "ngx_smart_time.h"
#include "ngx_smart_uuid.h"


/* us: what takes longer than a year is no request */
#define NGX_HTTP_SMART_JOURNAL_BODY_DURATION  INT64_C(31622400000000)


/* NULL, or what the member must be */
typedef const char *(*ngx_http_smart_journal_body_pt)(
    ngx_http_smart_journal_body_t *body, const json_t *value);


typedef struct {
    const char                      *name;
    unsigned                         required;
    ngx_http_smart_journal_body_pt   set;
} ngx_http_smart_journal_body_member_t;


static int ngx_http_smart_journal_body_members(json_t *object,
    ngx_http_smart_journal_body_t *body);
static void ngx_http_smart_journal_body_wrong(
    ngx_http_smart_journal_body_t *body, const char *member,
    const char *wrong);
static const char *ngx_http_smart_journal_body_id(
    ngx_http_smart_journal_body_t *body, const json_t *value);
static const char *ngx_http_smart_journal_body_timestamp(
    ngx_http_smart_journal_body_t *body, const json_t *value);
static const char *ngx_http_smart_journal_body_duration(
    ngx_http_smart_journal_body_t *body, const json_t *value);
static const char *ngx_http_smart_journal_body_url(
    ngx_http_smart_journal_body_t *body, const json_t *value);
static const char *ngx_http_smart_journal_body_code(
    ngx_http_smart_journal_body_t *body, const json_t *value);
static const char *ngx_http_smart_journal_body_method(
    ngx_http_smart_journal_body_t *body, const json_t *value);


static const ngx_http_smart_journal_body_member_t
    ngx_http_smart_journal_body_table[] =
{
    { "id", 1, ngx_http_smart_journal_body_id },
    { "timestamp", 1, ngx_http_smart_journal_body_timestamp },
    { "duration", 1, ngx_http_smart_journal_body_duration },
    { "target_url", 1, ngx_http_smart_journal_body_url },
    { "response_code", 1, ngx_http_smart_journal_body_code },
    { "method", 0, ngx_http_smart_journal_body_method },
    { NULL, 0, NULL }
};


ngx_http_smart_journal_body_e
ngx_http_smart_journal_body(const char *p, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n,
    ngx_http_smart_journal_body_t *body)
{
    int                        rc;
    json_t                    *object;
    json_error_t               error;
    ngx_smart_record_text_t   *url;
    ngx_smart_redact_parts_t   parts;

    memset(body, 0, sizeof(ngx_http_smart_journal_body_t));

    body->record.attempts = -1;
    body->record.winner = -1;
    body->record.state = NGX_SMART_RECORD_COMPLETE;
    body->record.method.data = "GET";
    body->record.method.len = 3;

    object = json_loadb(p, len, JSON_REJECT_DUPLICATES, &error);

    if (object == NULL) {
        snprintf(body->wrong, sizeof(body->wrong),
                 "The body is no JSON: line %d, column %d: %s", error.line,
                 error.column, error.text);
        return NGX_HTTP_SMART_JOURNAL_BODY_MALFORMED;
    }

    if (!json_is_object(object)) {
        json_decref(object);
        ngx_http_smart_journal_body_wrong(body, "",
                                          "The body is no JSON object");
        return NGX_HTTP_SMART_JOURNAL_BODY_MALFORMED;
    }

    rc = ngx_http_smart_journal_body_members(object, body);

    if (rc == 0) {

        /* it lives in the object */

        url = &body->record.url;

        if (ngx_smart_redact_split(url->data, url->len, &parts) != 0
            || parts.scheme_len == 0)
        {
            ngx_http_smart_journal_body_wrong(body, "target_url",
                                       "an absolute url with a host");
            rc = -1;

        } else {
            url->len = ngx_smart_redact_url(body->url, sizeof(body->url),
                                            url->data, url->len, names, n);
            url->data = body->url;
        }
    }

    json_decref(object);

    return rc == 0 ? NGX_HTTP_SMART_JOURNAL_BODY_OK
                   : NGX_HTTP_SMART_JOURNAL_BODY_INVALID;
}


static int
ngx_http_smart_journal_body_members(json_t *object,
    ngx_http_smart_journal_body_t *body)
{
    void                                        *it;
    json_t                                      *value;
    const char                                  *wrong;
    const ngx_http_smart_journal_body_member_t  *m;

    for (it = json_object_iter(object); it;
         it = json_object_iter_next(object, it))
    {
        for (m = ngx_http_smart_journal_body_table; m->name; m++) {
            if (strcmp(m->name, json_object_iter_key(it)) == 0) {
                break;
            }
        }

        if (m->name == NULL) {
            ngx_http_smart_journal_body_wrong(body, json_object_iter_key(it),
                                              "left out: it is unknown");
            return -1;
        }
    }

    for (m = ngx_http_smart_journal_body_table; m->name; m++) {

        value = json_object_get(object, m->name);

        if (value == NULL && !m->required) {
            continue;
        }

        wrong = m->set(body, value);

        if (wrong) {
            ngx_http_smart_journal_body_wrong(body, m->name, wrong);
            return -1;
        }
    }

    return 0;
}


static void
ngx_http_smart_journal_body_wrong(ngx_http_smart_journal_body_t *body,
    const char *member, const char *wrong)
{
    snprintf(body->member, sizeof(body->member), "%s", member);
    snprintf(body->wrong, sizeof(body->wrong), "%s", wrong);
}


/* a value may be NULL, which is of no type */
static const char *
ngx_http_smart_journal_body_id(ngx_http_smart_journal_body_t *body,
    const json_t *value)
{
    if (!json_is_string(value)
        || ngx_smart_uuid_parse(json_string_value(value),
                                json_string_length(value), body->record.id)
           != 0)
    {
        return "a uuid";
    }

    return NULL;
}


static const char *
ngx_http_smart_journal_body_timestamp(ngx_http_smart_journal_body_t *body,
    const json_t *value)
{
    int  rc;

    if (json_is_string(value)) {
        rc = ngx_smart_time_parse(json_string_value(value),
                                  json_string_length(value),
                                  &body->record.timestamp);

    } else if (json_is_number(value)) {
        rc = ngx_smart_time_seconds(json_number_value(value),
                                    &body->record.timestamp);

    } else {
        rc = -1;
    }

    return rc == 0 ? NULL : "seconds since 1970, or a time as ISO 8601 has it";
}


static const char *
ngx_http_smart_journal_body_duration(ngx_http_smart_journal_body_t *body,
    const json_t *value)
{
    if (!json_is_number(value)
        || ngx_smart_time_seconds(json_number_value(value),
                                  &body->record.duration) != 0
        || body->record.duration < 0
        || body->record.duration > NGX_HTTP_SMART_JOURNAL_BODY_DURATION)
    {
        return "a number of seconds, from 0 to a year";
    }

    return NULL;
}


static const char *
ngx_http_smart_journal_body_url(ngx_http_smart_journal_body_t *body,
    const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return "an absolute url with a host";
    }

    body->record.url.data = json_string_value(value);
    body->record.url.len = json_string_length(value);

    return NULL;
}


static const char *
ngx_http_smart_journal_body_code(ngx_http_smart_journal_body_t *body,
    const json_t *value)
{
    if (json_is_null(value)) {
        body->record.state = NGX_SMART_RECORD_ABORTED;
        return NULL;
    }

    if (!json_is_integer(value) || json_integer_value(value) < 100
        || json_integer_value(value) > 599)
    {
        return "a status from 100 to 599, or null where no answer came";
    }

    body->record.code = (int32_t) json_integer_value(value);

    return NULL;
}


static const char *
ngx_http_smart_journal_body_method(ngx_http_smart_journal_body_t *body,
    const json_t *value)
{
    size_t       i, len;
    const char  *p;

    p = json_string_value(value);
    len = json_string_length(value);

    for (i = 0; i < len; i++) {
        if (p[i] <= ' ' || p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", p[i]))
        {
            break;
        }
    }

    if (len == 0 || len > sizeof(body->method) || i < len) {
        return "the name of a method";
    }

    memcpy(body->method, p, len);
    body->record.method.data = body->method;
    body->record.method.len = len;

    return NULL;
}
