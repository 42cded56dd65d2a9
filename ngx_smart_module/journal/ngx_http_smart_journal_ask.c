
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The parameters of calls.
 */


#include "ngx_http_smart_journal_api.h"


/* time and id of the last record */
#define NGX_HTTP_SMART_JOURNAL_ASK_PLACE  24

/* the value is decoded and its own; NULL, or what it must be */
typedef const char *(*ngx_http_smart_journal_ask_pt)(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);


typedef struct {
    ngx_str_t                       name;
    ngx_uint_t                      bit;
    ngx_http_smart_journal_ask_pt   set;
} ngx_http_smart_journal_ask_param_t;


static ngx_int_t ngx_http_smart_journal_ask_set(
    ngx_http_smart_journal_ask_param_t *p, ngx_smart_query_param_t *param,
    ngx_pool_t *pool, ngx_http_smart_journal_ask_t *ask,
    ngx_http_smart_journal_wrong_t *wrong);
static ngx_http_smart_journal_ask_param_t *ngx_http_smart_journal_ask_find(
    ngx_str_t *name, ngx_uint_t allowed);
static ngx_int_t ngx_http_smart_journal_ask_together(ngx_uint_t allowed,
    ngx_http_smart_journal_ask_t *ask, ngx_http_smart_journal_wrong_t *wrong);
static const char *ngx_http_smart_journal_ask_id(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_limit(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_cursor(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_state(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_code(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_host(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_method(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_url(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_from(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_to(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_top(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_by(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static const char *ngx_http_smart_journal_ask_format(
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *value);
static void ngx_http_smart_journal_ask_text(ngx_smart_record_text_t *text,
    ngx_str_t *value);


static const char  ngx_http_smart_journal_ask_time[] =
    "a time as ISO 8601 has it, such as 2026-01-31T12:00:00Z";


static ngx_http_smart_journal_ask_param_t
    ngx_http_smart_journal_ask_params[] =
{
    { ngx_string("id"), NGX_HTTP_SMART_JOURNAL_ASK_ID,
      ngx_http_smart_journal_ask_id },
    { ngx_string("limit"), NGX_HTTP_SMART_JOURNAL_ASK_LIMIT,
      ngx_http_smart_journal_ask_limit },
    { ngx_string("cursor"), NGX_HTTP_SMART_JOURNAL_ASK_CURSOR,
      ngx_http_smart_journal_ask_cursor },
    { ngx_string("state"), NGX_HTTP_SMART_JOURNAL_ASK_STATE,
      ngx_http_smart_journal_ask_state },
    { ngx_string("code"), NGX_HTTP_SMART_JOURNAL_ASK_CODE,
      ngx_http_smart_journal_ask_code },
    { ngx_string("host"), NGX_HTTP_SMART_JOURNAL_ASK_HOST,
      ngx_http_smart_journal_ask_host },
    { ngx_string("method"), NGX_HTTP_SMART_JOURNAL_ASK_METHOD,
      ngx_http_smart_journal_ask_method },
    { ngx_string("url"), NGX_HTTP_SMART_JOURNAL_ASK_URL,
      ngx_http_smart_journal_ask_url },
    { ngx_string("from"), NGX_HTTP_SMART_JOURNAL_ASK_FROM,
      ngx_http_smart_journal_ask_from },
    { ngx_string("to"), NGX_HTTP_SMART_JOURNAL_ASK_TO,
      ngx_http_smart_journal_ask_to },
    { ngx_string("top"), NGX_HTTP_SMART_JOURNAL_ASK_TOP,
      ngx_http_smart_journal_ask_top },
    { ngx_string("by"), NGX_HTTP_SMART_JOURNAL_ASK_BY,
      ngx_http_smart_journal_ask_by },
    { ngx_string("format"), NGX_HTTP_SMART_JOURNAL_ASK_FORMAT,
      ngx_http_smart_journal_ask_format },
    { ngx_null_string, 0, NULL }
};


ngx_int_t
ngx_http_smart_journal_ask(ngx_str_t *args, ngx_uint_t allowed,
    ngx_pool_t *pool, ngx_http_smart_journal_ask_t *ask,
    ngx_http_smart_journal_wrong_t *wrong)
{
    u_char                              *name;
    ngx_int_t                            rc;
    const char                          *p, *end;
    ngx_smart_query_param_t              param;
    ngx_http_smart_journal_ask_param_t  *found;

    ask->limit = NGX_HTTP_SMART_JOURNAL_API_LIMIT;
    ask->top.n = 1;
    ask->list.filter.state = -1;
    ask->list.from = NGX_SMART_TIME_MIN;
    ask->list.to = NGX_SMART_TIME_MAX;
    ask->list.scan = NGX_HTTP_SMART_JOURNAL_API_SCAN;
    ask->list.spend = NGX_HTTP_SMART_JOURNAL_API_SPEND;

    p = (char *) args->data;
    end = p + args->len;

    while (args->len && ngx_smart_query_next(&p, end, &param)) {

        name = ngx_pnalloc(pool, param.name_len + 1);
        if (name == NULL) {
            return NGX_ERROR;
        }

        wrong->parameter.data = name;

        if (ngx_smart_query_decode(param.name, param.name_len, (char *) name,
                                   &wrong->parameter.len)
            != 0)
        {
            wrong->parameter.data = (u_char *) param.name;
            wrong->parameter.len = param.name_len;
            wrong->text = "known to this call";
            return NGX_DECLINED;
        }

        found = ngx_http_smart_journal_ask_find(&wrong->parameter, allowed);

        if (found == NULL) {
            wrong->text = "known to this call";
            return NGX_DECLINED;
        }

        rc = ngx_http_smart_journal_ask_set(found, &param, pool, ask, wrong);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_smart_journal_ask_together(allowed, ask, wrong);
}


static ngx_http_smart_journal_ask_param_t *
ngx_http_smart_journal_ask_find(ngx_str_t *name, ngx_uint_t allowed)
{
    ngx_http_smart_journal_ask_param_t  *p;

    for (p = ngx_http_smart_journal_ask_params; p->set; p++) {

        if ((allowed & p->bit) && p->name.len == name->len
            && ngx_memcmp(p->name.data, name->data, name->len) == 0)
        {
            return p;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_smart_journal_ask_set(ngx_http_smart_journal_ask_param_t *p,
    ngx_smart_query_param_t *param, ngx_pool_t *pool,
    ngx_http_smart_journal_ask_t *ask, ngx_http_smart_journal_wrong_t *wrong)
{
    ngx_str_t  value;

    if (ask->given & p->bit) {
        wrong->text = "given once";
        return NGX_DECLINED;
    }

    ask->given |= p->bit;

    value.len = 0;
    value.data = ngx_pnalloc(pool, param->value_len + 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    if (param->value
        && ngx_smart_query_decode(param->value, param->value_len,
                                  (char *) value.data, &value.len)
           != 0)
    {
        wrong->text = "percent encoded as URLs are";
        return NGX_DECLINED;
    }

    wrong->text = p->set(ask, &value);

    return wrong->text ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_smart_journal_ask_together(ngx_uint_t allowed,
    ngx_http_smart_journal_ask_t *ask, ngx_http_smart_journal_wrong_t *wrong)
{
    ngx_uint_t  frame, given;

    frame = NGX_HTTP_SMART_JOURNAL_ASK_FROM|NGX_HTTP_SMART_JOURNAL_ASK_TO;
    given = ask->given & frame;

    if (ask->list.by_id && ask->given != NGX_HTTP_SMART_JOURNAL_ASK_ID) {
        ngx_str_set(&wrong->parameter, "id");
        wrong->text = "the only one";
        return NGX_DECLINED;
    }

    if ((allowed & frame) && !(allowed & NGX_HTTP_SMART_JOURNAL_ASK_FORMAT)
        && given != frame)
    {
        if (given & NGX_HTTP_SMART_JOURNAL_ASK_FROM) {
            ngx_str_set(&wrong->parameter, "to");

        } else {
            ngx_str_set(&wrong->parameter, "from");
        }

        wrong->text = ngx_http_smart_journal_ask_time;
        return NGX_DECLINED;
    }

    if (ask->list.from > ask->list.to) {
        ngx_str_set(&wrong->parameter, "from");
        wrong->text = "no later than \"to\"";
        return NGX_DECLINED;
    }

    ask->list.frame = (given != 0);

    return NGX_OK;
}


static const char *
ngx_http_smart_journal_ask_id(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    if (ngx_smart_uuid_parse((char *) value->data, value->len,
                             ask->list.after.id)
        != 0)
    {
        return "a uuid such as 01900000-0000-7000-8000-000000000000";
    }

    ask->list.by_id = 1;

    return NULL;
}


static const char *
ngx_http_smart_journal_ask_limit(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_SMART_JOURNAL_API_MAX_LIMIT) {
        return "a number from 1 to 1000";
    }

    ask->limit = n;

    return NULL;
}


static const char *
ngx_http_smart_journal_ask_cursor(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    u_char      text[NGX_HTTP_SMART_JOURNAL_ASK_PLACE + 8];
    uint64_t    us;
    ngx_str_t   place;
    ngx_uint_t  i;

    place.data = text;
    place.len = 0;

    if (value->len != ngx_base64_encoded_length(
                                         NGX_HTTP_SMART_JOURNAL_ASK_PLACE)
        || ngx_decode_base64url(&place, value) != NGX_OK
        || place.len != NGX_HTTP_SMART_JOURNAL_ASK_PLACE)
    {
        return "one out of the Link header of a page";
    }

    us = 0;

    for (i = 0; i < 8; i++) {
        us = us << 8 | text[i];
    }

    ask->list.after.timestamp = (int64_t) us;
    ngx_memcpy(ask->list.after.id, text + 8, 16);
    ask->list.going_on = 1;

    return NULL;
}


ngx_int_t
ngx_http_smart_journal_ask_next(ngx_str_t *args, ngx_pool_t *pool,
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *link)
{
    u_char                   *out;
    u_char                    text[NGX_HTTP_SMART_JOURNAL_ASK_PLACE];
    uint64_t                  us;
    ngx_str_t                 place, cursor;
    ngx_uint_t                i;
    const char               *p, *end;
    ngx_smart_query_param_t   param;

    us = (uint64_t) ask->list.after.timestamp;

    for (i = 0; i < 8; i++) {
        text[i] = (u_char) (us >> (56 - 8 * i));
    }

    ngx_memcpy(text + 8, ask->list.after.id, 16);

    place.data = text;
    place.len = sizeof(text);

    link->data = ngx_pnalloc(pool, args->len + 128);
    if (link->data == NULL) {
        return NGX_ERROR;
    }

    out = ngx_cpymem(link->data, "<?", 2);

    p = (char *) args->data;
    end = p + args->len;

    while (args->len && ngx_smart_query_next(&p, end, &param)) {

        if (param.name_len == 6 && ngx_strncmp(param.name, "cursor", 6) == 0) {
            continue;
        }

        out = ngx_cpymem(out, param.name, p - param.name);
        *out++ = '&';
    }

    out = ngx_cpymem(out, "cursor=", 7);

    cursor.data = out;
    ngx_encode_base64url(&cursor, &place);

    out = ngx_cpymem(out + cursor.len, ">; rel=\"next\"", 13);

    link->len = out - link->data;

    return NGX_OK;
}


static const char *
ngx_http_smart_journal_ask_state(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    ask->list.filter.state = ngx_smart_render_state_named(
                                          (char *) value->data, value->len);

    return ask->list.filter.state < 0
           ? "\"open\", \"complete\", \"aborted\" or \"interrupted\"" : NULL;
}


static const char *
ngx_http_smart_journal_ask_code(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    ngx_int_t                         n;
    ngx_http_smart_journal_filter_t  *filter;

    filter = &ask->list.filter;

    if (value->len == 3 && value->data[0] >= '1' && value->data[0] <= '5') {

        n = ngx_atoi(value->data, 3);

        if (n != NGX_ERROR) {
            filter->code_from = n;
            filter->code_to = n;
            return NULL;
        }

        if (ngx_strncmp(value->data + 1, "xx", 2) == 0) {
            filter->code_from = (value->data[0] - '0') * 100;
            filter->code_to = filter->code_from + 99;
            return NULL;
        }
    }

    return "a status such as 404, or a class such as 5xx";
}


static const char *
ngx_http_smart_journal_ask_host(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    if (value->len == 0 || value->len > NGX_SMART_RECORD_MAX_HOST) {
        return "the name of a host, without a port";
    }

    ngx_strlow(value->data, value->data, value->len);
    ngx_http_smart_journal_ask_text(&ask->list.filter.host, value);

    return NULL;
}


static const char *
ngx_http_smart_journal_ask_method(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    if (value->len == 0 || value->len > NGX_SMART_RECORD_MAX_METHOD) {
        return "a method such as GET";
    }

    ngx_http_smart_journal_ask_text(&ask->list.filter.method, value);

    return NULL;
}


static const char *
ngx_http_smart_journal_ask_url(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    if (value->len == 0 || value->len > NGX_SMART_RECORD_MAX_URL) {
        return "a part of a url";
    }

    ngx_strlow(value->data, value->data, value->len);
    ngx_http_smart_journal_ask_text(&ask->list.filter.url, value);

    return NULL;
}


static const char *
ngx_http_smart_journal_ask_from(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    return ngx_smart_time_parse((char *) value->data, value->len,
                                &ask->list.from)
           == 0 ? NULL : ngx_http_smart_journal_ask_time;
}


static const char *
ngx_http_smart_journal_ask_to(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    return ngx_smart_time_parse((char *) value->data, value->len,
                                &ask->list.to)
           == 0 ? NULL : ngx_http_smart_journal_ask_time;
}


static const char *
ngx_http_smart_journal_ask_top(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_SMART_JOURNAL_API_MAX_LIMIT) {
        return "a number from 1 to 1000";
    }

    ask->top.n = n;

    return NULL;
}


static const char *
ngx_http_smart_journal_ask_by(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    if (value->len == 3 && ngx_strncmp(value->data, "url", 3) == 0) {
        ask->top.by_url = 1;
        return NULL;
    }

    if (value->len == 7 && ngx_strncmp(value->data, "website", 7) == 0) {
        return NULL;
    }

    return "\"website\" or \"url\"";
}


static const char *
ngx_http_smart_journal_ask_format(ngx_http_smart_journal_ask_t *ask,
    ngx_str_t *value)
{
    ngx_uint_t  i;

    static ngx_str_t  formats[] = {
        ngx_string("ndjson"), ngx_string("csv"), ngx_string("har")
    };

    for (i = 0; i < 3; i++) {
        if (formats[i].len == value->len
            && ngx_memcmp(formats[i].data, value->data, value->len) == 0)
        {
            ask->format = (ngx_http_smart_journal_format_e) i;
            return NULL;
        }
    }

    return "\"ndjson\", \"csv\" or \"har\"";
}


static void
ngx_http_smart_journal_ask_text(ngx_smart_record_text_t *text,
    ngx_str_t *value)
{
    text->data = (char *) value->data;
    text->len = value->len;
}
