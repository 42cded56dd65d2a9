
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * smart_journal_api: what its files share.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_API_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_API_H_INCLUDED_


#include "../common/ngx_http_smart_reply.h"
#include "../core/ngx_smart_json.h"
#include "../core/ngx_smart_query.h"
#include "../core/ngx_smart_redact.h"
#include "../core/ngx_smart_render.h"
#include "../core/ngx_smart_time.h"
#include "../core/ngx_smart_uuid.h"
#include "ngx_http_smart_journal_call.h"


#define NGX_HTTP_SMART_JOURNAL_API_LIMIT      100
#define NGX_HTTP_SMART_JOURNAL_API_MAX_LIMIT  1000

/* what a search that finds little goes through at most: rows, and us */
#define NGX_HTTP_SMART_JOURNAL_API_SCAN       50000
#define NGX_HTTP_SMART_JOURNAL_API_SPEND      100000

/* the longest path of a call in the OpenAPI document */
#define NGX_HTTP_SMART_JOURNAL_API_PATH       512

/* a larger body of PUT is refused */
#define NGX_HTTP_SMART_JOURNAL_API_BODY       16384


/* which parameters a call takes, and which were given */
#define NGX_HTTP_SMART_JOURNAL_ASK_ID      0x0001
#define NGX_HTTP_SMART_JOURNAL_ASK_LIMIT   0x0002
#define NGX_HTTP_SMART_JOURNAL_ASK_CURSOR  0x0004
#define NGX_HTTP_SMART_JOURNAL_ASK_STATE   0x0008
#define NGX_HTTP_SMART_JOURNAL_ASK_CODE    0x0010
#define NGX_HTTP_SMART_JOURNAL_ASK_HOST    0x0020
#define NGX_HTTP_SMART_JOURNAL_ASK_METHOD  0x0040
#define NGX_HTTP_SMART_JOURNAL_ASK_URL     0x0080
#define NGX_HTTP_SMART_JOURNAL_ASK_FROM    0x0100
#define NGX_HTTP_SMART_JOURNAL_ASK_TO      0x0200
#define NGX_HTTP_SMART_JOURNAL_ASK_TOP     0x0400
#define NGX_HTTP_SMART_JOURNAL_ASK_BY      0x0800
#define NGX_HTTP_SMART_JOURNAL_ASK_FORMAT  0x1000

#define NGX_HTTP_SMART_JOURNAL_ASK_FILTERS                                    \
    (NGX_HTTP_SMART_JOURNAL_ASK_STATE|NGX_HTTP_SMART_JOURNAL_ASK_CODE         \
     |NGX_HTTP_SMART_JOURNAL_ASK_HOST|NGX_HTTP_SMART_JOURNAL_ASK_METHOD       \
     |NGX_HTTP_SMART_JOURNAL_ASK_URL)

#define NGX_HTTP_SMART_JOURNAL_ASK_PAGES                                      \
    (NGX_HTTP_SMART_JOURNAL_ASK_LIMIT|NGX_HTTP_SMART_JOURNAL_ASK_CURSOR)


typedef enum {
    NGX_HTTP_SMART_JOURNAL_NDJSON = 0,
    NGX_HTTP_SMART_JOURNAL_CSV,
    NGX_HTTP_SMART_JOURNAL_HAR
} ngx_http_smart_journal_format_e;


/* what the query string asks for, and how far that is */
typedef struct {
    ngx_uint_t                       given;
    ngx_uint_t                       limit;
    ngx_http_smart_journal_list_t    list;
    ngx_http_smart_journal_top_t     top;
    ngx_http_smart_journal_format_e  format;
    ngx_uint_t                       found;
    void                            *data;       /* of the export */
} ngx_http_smart_journal_ask_t;


/* what is wrong, for a problem document; "parameter" may be empty */
typedef struct {
    ngx_str_t                        parameter;
    const char                      *text;
} ngx_http_smart_journal_wrong_t;


/* ngx_http_smart_journal_api.c */

/* an error as RFC 9457 has it; "text" is a format whose %V is the parameter,
 * and the return value is for ngx_http_finalize_request() */
ngx_int_t ngx_http_smart_journal_api_problem(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_smart_journal_wrong_t *wrong);

/* the answer if the store has failed, which the log gets to know */
ngx_int_t ngx_http_smart_journal_api_failed(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);

extern ngx_str_t  ngx_http_smart_journal_api_json;


/* ngx_http_smart_journal_ask.c */

/* NGX_OK, NGX_DECLINED with what is wrong, or NGX_ERROR; texts are copied to
 * the pool, "allowed" are the parameters of the call */
ngx_int_t ngx_http_smart_journal_ask(ngx_str_t *args, ngx_uint_t allowed,
    ngx_pool_t *pool, ngx_http_smart_journal_ask_t *ask,
    ngx_http_smart_journal_wrong_t *wrong);

/* the reference to the page that follows, in memory of the pool */
ngx_int_t ngx_http_smart_journal_ask_next(ngx_str_t *args, ngx_pool_t *pool,
    ngx_http_smart_journal_ask_t *ask, ngx_str_t *link);


/* ngx_http_smart_journal_answer.c, _export.c, _put.c */

void ngx_http_smart_journal_answer_list(ngx_http_smart_journal_call_t *call);
void ngx_http_smart_journal_answer_top(ngx_http_smart_journal_call_t *call);
void ngx_http_smart_journal_answer_done(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);

ngx_int_t ngx_http_smart_journal_export(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
ngx_int_t ngx_http_smart_journal_put(ngx_http_request_t *r);


#endif /* _NGX_HTTP_SMART_JOURNAL_API_H_INCLUDED_ */
