
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ngx_smart_json.h"
#include "ngx_smart_query.h"
#include "ngx_smart_render.h"
#include "ngx_smart_time.h"
#include "ngx_smart_uuid.h"


/* room for any decimal number */
#define NGX_SMART_RENDER_DECIMAL  32


/* a row is written like JSON: what does not fit is only counted */
typedef struct {
    char    *start;
    size_t   size;
    size_t   len;
} ngx_smart_render_row_t;


static const char *const  ngx_smart_render_states[] = {
    "open", "complete", "aborted", "interrupted"
};

const char  ngx_smart_render_csv_names[] =
    "id,timestamp,duration,target_url,response_code,state,method,host,"
    "website,node,attempts,winner,upstream,trace_id\r\n";


static void ngx_smart_render_json_id(ngx_smart_json_t *json,
    const ngx_smart_record_t *record);
static void ngx_smart_render_json_time(ngx_smart_json_t *json,
    const ngx_smart_record_t *record);
static void ngx_smart_render_json_number(ngx_smart_json_t *json,
    const char *key, int64_t value);
static void ngx_smart_render_json_text(ngx_smart_json_t *json,
    const char *key, const ngx_smart_record_text_t *text);
static void ngx_smart_render_csv_text(ngx_smart_render_row_t *row,
    const ngx_smart_record_text_t *text);
static void ngx_smart_render_csv_number(ngx_smart_render_row_t *row,
    int64_t value);
static void ngx_smart_render_csv_write(ngx_smart_render_row_t *row,
    const char *p, size_t len);
static void ngx_smart_render_har_request(ngx_smart_json_t *json,
    const ngx_smart_record_t *record);
static void ngx_smart_render_har_query(ngx_smart_json_t *json,
    const ngx_smart_record_t *record);
static void ngx_smart_render_har_value(ngx_smart_json_t *json,
    const char *key, const char *p, size_t len);
static void ngx_smart_render_har_response(ngx_smart_json_t *json,
    const ngx_smart_record_t *record);
static void ngx_smart_render_har_none(ngx_smart_json_t *json);
static size_t ngx_smart_render_decimal(char *p, int64_t value,
    int64_t unit);


size_t
ngx_smart_render_json(char *p, size_t size, const ngx_smart_record_t *record)
{
    char              text[NGX_SMART_RENDER_DECIMAL];
    size_t            n;
    ngx_smart_json_t  json;

    ngx_smart_json_init(&json, p, size);
    ngx_smart_json_open(&json, '{');

    ngx_smart_json_key(&json, "id");
    ngx_smart_render_json_id(&json, record);

    ngx_smart_json_key(&json, "timestamp");
    ngx_smart_render_json_time(&json, record);

    ngx_smart_json_key(&json, "duration");

    if (record->duration < 0) {
        ngx_smart_json_null(&json);

    } else {
        n = ngx_smart_render_decimal(text, record->duration, 1000000);
        ngx_smart_json_raw(&json, text, n);
    }

    ngx_smart_render_json_text(&json, "target_url", &record->url);
    ngx_smart_render_json_number(&json, "response_code",
                                 record->code ? record->code : -1);

    ngx_smart_json_key(&json, "state");
    ngx_smart_json_text(&json, ngx_smart_render_state(record->state));

    ngx_smart_render_json_text(&json, "method", &record->method);
    ngx_smart_render_json_text(&json, "host", &record->host);
    ngx_smart_render_json_text(&json, "website", &record->website);
    ngx_smart_render_json_text(&json, "node", &record->node);
    ngx_smart_render_json_number(&json, "attempts", record->attempts);
    ngx_smart_render_json_number(&json, "winner", record->winner);
    ngx_smart_render_json_text(&json, "upstream", &record->upstream);
    ngx_smart_render_json_text(&json, "trace_id", &record->trace_id);

    ngx_smart_json_close(&json, '}');

    return json.len;
}


static void
ngx_smart_render_json_id(ngx_smart_json_t *json,
    const ngx_smart_record_t *record)
{
    char  text[NGX_SMART_UUID_LEN];

    ngx_smart_uuid_format(text, record->id);
    ngx_smart_json_string(json, text, sizeof(text));
}


static void
ngx_smart_render_json_time(ngx_smart_json_t *json,
    const ngx_smart_record_t *record)
{
    char  text[NGX_SMART_TIME_LEN];

    ngx_smart_time_format(text, record->timestamp);
    ngx_smart_json_string(json, text, sizeof(text));
}


static void
ngx_smart_render_json_number(ngx_smart_json_t *json, const char *key,
    int64_t value)
{
    ngx_smart_json_key(json, key);

    if (value < 0) {
        ngx_smart_json_null(json);

    } else {
        ngx_smart_json_uint(json, (uint64_t) value);
    }
}


static void
ngx_smart_render_json_text(ngx_smart_json_t *json, const char *key,
    const ngx_smart_record_text_t *text)
{
    ngx_smart_json_key(json, key);

    if (text->len == 0) {
        ngx_smart_json_null(json);

    } else {
        ngx_smart_json_string(json, text->data, text->len);
    }
}


size_t
ngx_smart_render_csv(char *p, size_t size, const ngx_smart_record_t *record)
{
    char                     id[NGX_SMART_UUID_LEN];
    char                     time[NGX_SMART_TIME_LEN];
    char                     duration[NGX_SMART_RENDER_DECIMAL];
    size_t                   n;
    const char              *state;
    ngx_smart_render_row_t   row;

    row.start = p;
    row.size = size;
    row.len = 0;

    ngx_smart_uuid_format(id, record->id);
    ngx_smart_render_csv_write(&row, id, sizeof(id));
    ngx_smart_render_csv_write(&row, ",", 1);

    ngx_smart_time_format(time, record->timestamp);
    ngx_smart_render_csv_write(&row, time, sizeof(time));
    ngx_smart_render_csv_write(&row, ",", 1);

    if (record->duration >= 0) {
        n = ngx_smart_render_decimal(duration, record->duration, 1000000);
        ngx_smart_render_csv_write(&row, duration, n);
    }

    ngx_smart_render_csv_text(&row, &record->url);
    ngx_smart_render_csv_number(&row, record->code ? record->code : -1);

    state = ngx_smart_render_state(record->state);
    ngx_smart_render_csv_write(&row, ",", 1);
    ngx_smart_render_csv_write(&row, state, strlen(state));

    ngx_smart_render_csv_text(&row, &record->method);
    ngx_smart_render_csv_text(&row, &record->host);
    ngx_smart_render_csv_text(&row, &record->website);
    ngx_smart_render_csv_text(&row, &record->node);
    ngx_smart_render_csv_number(&row, record->attempts);
    ngx_smart_render_csv_number(&row, record->winner);
    ngx_smart_render_csv_text(&row, &record->upstream);
    ngx_smart_render_csv_text(&row, &record->trace_id);
    ngx_smart_render_csv_write(&row, "\r\n", 2);

    return row.len;
}


/* with the comma before it; an apostrophe keeps formulas from being taken */
static void
ngx_smart_render_csv_text(ngx_smart_render_row_t *row,
    const ngx_smart_record_text_t *text)
{
    size_t  i;

    ngx_smart_render_csv_write(row, ",", 1);

    if (text->len == 0) {
        return;
    }

    ngx_smart_render_csv_write(row, "\"", 1);

    if (memchr("=+-@\t\r\n", text->data[0], 7)) {
        ngx_smart_render_csv_write(row, "'", 1);
    }

    for (i = 0; i < text->len; i++) {

        if (text->data[i] == '"') {
            ngx_smart_render_csv_write(row, "\"", 1);
        }

        ngx_smart_render_csv_write(row, &text->data[i], 1);
    }

    ngx_smart_render_csv_write(row, "\"", 1);
}


static void
ngx_smart_render_csv_number(ngx_smart_render_row_t *row, int64_t value)
{
    int   n;
    char  text[24];

    ngx_smart_render_csv_write(row, ",", 1);

    if (value >= 0) {
        n = snprintf(text, sizeof(text), "%" PRId64, value);
        ngx_smart_render_csv_write(row, text, (size_t) n);
    }
}


static void
ngx_smart_render_csv_write(ngx_smart_render_row_t *row, const char *p,
    size_t len)
{
    if (row->len <= row->size && len <= row->size - row->len) {
        memcpy(row->start + row->len, p, len);
    }

    row->len += len;
}


/* of what HAR asks for and a record does not have, there is none or -1 */
size_t
ngx_smart_render_har(char *p, size_t size, const ngx_smart_record_t *record)
{
    char              text[NGX_SMART_RENDER_DECIMAL];
    size_t            n;
    ngx_smart_json_t  json;

    n = ngx_smart_render_decimal(text, record->duration < 0 ? 0
                                       : record->duration, 1000);

    ngx_smart_json_init(&json, p, size);
    ngx_smart_json_open(&json, '{');

    ngx_smart_json_key(&json, "startedDateTime");
    ngx_smart_render_json_time(&json, record);

    ngx_smart_json_key(&json, "time");
    ngx_smart_json_raw(&json, text, n);

    ngx_smart_render_har_request(&json, record);
    ngx_smart_render_har_response(&json, record);

    ngx_smart_json_key(&json, "cache");
    ngx_smart_json_open(&json, '{');
    ngx_smart_json_close(&json, '}');

    ngx_smart_json_key(&json, "timings");
    ngx_smart_json_open(&json, '{');
    ngx_smart_json_key(&json, "send");
    ngx_smart_json_uint(&json, 0);
    ngx_smart_json_key(&json, "wait");
    ngx_smart_json_raw(&json, text, n);
    ngx_smart_json_key(&json, "receive");
    ngx_smart_json_uint(&json, 0);
    ngx_smart_json_close(&json, '}');

    ngx_smart_json_key(&json, "_id");
    ngx_smart_render_json_id(&json, record);
    ngx_smart_json_key(&json, "_state");
    ngx_smart_json_text(&json, ngx_smart_render_state(record->state));
    ngx_smart_render_json_text(&json, "_node", &record->node);
    ngx_smart_render_json_number(&json, "_attempts", record->attempts);
    ngx_smart_render_json_number(&json, "_winner", record->winner);
    ngx_smart_render_json_text(&json, "_upstream", &record->upstream);
    ngx_smart_render_json_text(&json, "_trace_id", &record->trace_id);

    ngx_smart_json_close(&json, '}');

    return json.len;
}


static void
ngx_smart_render_har_request(ngx_smart_json_t *json,
    const ngx_smart_record_t *record)
{
    ngx_smart_json_key(json, "request");
    ngx_smart_json_open(json, '{');

    ngx_smart_render_har_value(json, "method", record->method.data,
                               record->method.len);
    ngx_smart_render_har_value(json, "url", record->url.data,
                               record->url.len);

    ngx_smart_render_har_none(json);

    ngx_smart_json_key(json, "queryString");
    ngx_smart_json_open(json, '[');
    ngx_smart_render_har_query(json, record);
    ngx_smart_json_close(json, ']');

    ngx_smart_json_close(json, '}');
}


static void
ngx_smart_render_har_query(ngx_smart_json_t *json,
    const ngx_smart_record_t *record)
{
    const char               *p, *end;
    ngx_smart_query_param_t   param;

    end = record->url.data + record->url.len;
    p = record->url.len ? memchr(record->url.data, '?', record->url.len)
                        : NULL;

    if (p == NULL) {
        return;
    }

    p++;

    while (ngx_smart_query_next(&p, end, &param)) {
        ngx_smart_json_open(json, '{');
        ngx_smart_render_har_value(json, "name", param.name, param.name_len);
        ngx_smart_render_har_value(json, "value", param.value,
                                   param.value_len);
        ngx_smart_json_close(json, '}');
    }
}


/* a member that is a string in any case */
static void
ngx_smart_render_har_value(ngx_smart_json_t *json, const char *key,
    const char *p, size_t len)
{
    ngx_smart_json_key(json, key);
    ngx_smart_json_string(json, len ? p : "", len);
}


static void
ngx_smart_render_har_response(ngx_smart_json_t *json,
    const ngx_smart_record_t *record)
{
    ngx_smart_json_key(json, "response");
    ngx_smart_json_open(json, '{');

    ngx_smart_json_key(json, "status");
    ngx_smart_json_uint(json, record->code > 0 ? (uint64_t) record->code : 0);
    ngx_smart_json_key(json, "statusText");
    ngx_smart_json_text(json, "");

    ngx_smart_render_har_none(json);

    ngx_smart_json_key(json, "content");
    ngx_smart_json_open(json, '{');
    ngx_smart_json_key(json, "size");
    ngx_smart_json_uint(json, 0);
    ngx_smart_json_key(json, "mimeType");
    ngx_smart_json_text(json, "");
    ngx_smart_json_close(json, '}');

    ngx_smart_json_key(json, "redirectURL");
    ngx_smart_json_text(json, "");

    ngx_smart_json_close(json, '}');
}


/* what a request and a response have alike, and a record has not */
static void
ngx_smart_render_har_none(ngx_smart_json_t *json)
{
    ngx_smart_json_key(json, "httpVersion");
    ngx_smart_json_text(json, "unknown");

    ngx_smart_json_key(json, "cookies");
    ngx_smart_json_open(json, '[');
    ngx_smart_json_close(json, ']');

    ngx_smart_json_key(json, "headers");
    ngx_smart_json_open(json, '[');
    ngx_smart_json_close(json, ']');

    ngx_smart_json_key(json, "headersSize");
    ngx_smart_json_raw(json, "-1", 2);
    ngx_smart_json_key(json, "bodySize");
    ngx_smart_json_raw(json, "-1", 2);
}


const char *
ngx_smart_render_state(ngx_smart_record_state_e state)
{
    return ngx_smart_render_states[state];
}


int
ngx_smart_render_state_named(const char *p, size_t len)
{
    int  i;

    for (i = 0; i <= NGX_SMART_RECORD_INTERRUPTED; i++) {
        if (strlen(ngx_smart_render_states[i]) == len
            && memcmp(ngx_smart_render_states[i], p, len) == 0)
        {
            return i;
        }
    }

    return -1;
}


/* a value of 0 or more over a power of ten, shortest */
static size_t
ngx_smart_render_decimal(char *p, int64_t value, int64_t unit)
{
    size_t   n;
    int64_t  rest;

    n = (size_t) snprintf(p, NGX_SMART_RENDER_DECIMAL, "%" PRId64,
                          value / unit);
    rest = value % unit;

    if (rest) {
        p[n++] = '.';
    }

    for (unit /= 10; unit > 0 && rest > 0; unit /= 10) {
        p[n++] = (char) ('0' + rest / unit);
        rest %= unit;
    }

    return n;
}
