
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The calls that are answered at once: lists, one record, and what is most
 * frequent.
 */


#include "ngx_http_smart_journal_api.h"


/* a first guess of what a record takes */
#define NGX_HTTP_SMART_JOURNAL_ANSWER_RECORD  1024


static int ngx_http_smart_journal_answer_record(void *data,
    const ngx_smart_record_t *record);
static void ngx_http_smart_journal_answer_count(void *data,
    const ngx_smart_record_text_t *name, int64_t count);


void
ngx_http_smart_journal_answer_list(ngx_http_smart_journal_call_t *call)
{
    ngx_http_smart_journal_ask_t  *ask;

    ask = call->data;

    ngx_http_smart_journal_out_text(&call->out, "[");

    call->rc = call->jmcf->store->read->list(call->reader, &ask->list,
                                        ngx_http_smart_journal_answer_record,
                                        call, &call->error);

    ngx_http_smart_journal_out_text(&call->out, "]");
}


static int
ngx_http_smart_journal_answer_record(void *data,
    const ngx_smart_record_t *record)
{
    ngx_http_smart_journal_call_t *call = data;

    size_t                         size, len;
    ngx_http_smart_journal_out_t  *out;
    ngx_http_smart_journal_ask_t  *ask;

    ask = call->data;
    out = &call->out;

    if (ask->found == ask->limit) {
        return 0;
    }

    if (ask->found) {
        ngx_http_smart_journal_out_text(out, ",");
    }

    for (size = NGX_HTTP_SMART_JOURNAL_ANSWER_RECORD; /* void */ ; size = len)
    {
        if (!ngx_http_smart_journal_out_room(out, size)) {
            return 0;
        }

        len = ngx_smart_render_json((char *) out->data + out->len, size,
                                    record);

        if (len <= size) {
            break;
        }
    }

    out->len += len;
    ask->found++;

    return 1;
}


void
ngx_http_smart_journal_answer_top(ngx_http_smart_journal_call_t *call)
{
    ngx_uint_t                     array;
    ngx_http_smart_journal_ask_t  *ask;

    ask = call->data;
    array = ask->given & NGX_HTTP_SMART_JOURNAL_ASK_TOP;

    if (array) {
        ngx_http_smart_journal_out_text(&call->out, "[");
    }

    call->rc = call->jmcf->store->read->top(call->reader, &ask->top,
                                        ngx_http_smart_journal_answer_count,
                                        call, &call->error);

    if (array) {
        ngx_http_smart_journal_out_text(&call->out, "]");

    } else if (ask->found == 0) {
        ngx_http_smart_journal_out_text(&call->out,
                                        ask->top.by_url
                                        ? "{\"url\":null,\"count\":0}"
                                        : "{\"website\":null,\"count\":0}");
    }

    ask->list.done = 1;
}


static void
ngx_http_smart_journal_answer_count(void *data,
    const ngx_smart_record_text_t *name, int64_t count)
{
    ngx_http_smart_journal_call_t *call = data;

    size_t                         size;
    ngx_smart_json_t               json;
    ngx_http_smart_journal_out_t  *out;
    ngx_http_smart_journal_ask_t  *ask;

    ask = call->data;
    out = &call->out;

    if (ask->found++) {
        ngx_http_smart_journal_out_text(out, ",");
    }

    size = 6 * name->len + 64;

    if (!ngx_http_smart_journal_out_room(out, size)) {
        return;
    }

    ngx_smart_json_init(&json, (char *) out->data + out->len, size);
    ngx_smart_json_open(&json, '{');
    ngx_smart_json_key(&json, ask->top.by_url ? "url" : "website");
    ngx_smart_json_string(&json, name->data, name->len);
    ngx_smart_json_key(&json, "count");
    ngx_smart_json_uint(&json, (uint64_t) count);
    ngx_smart_json_close(&json, '}');

    out->len += json.len;
}


void
ngx_http_smart_journal_answer_done(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    ngx_int_t                        rc;
    ngx_str_t                        link;
    ngx_http_smart_journal_ask_t    *ask;
    ngx_http_smart_journal_wrong_t   wrong;

    ask = call->data;

    if (call->rc != NGX_HTTP_SMART_JOURNAL_OK) {
        ngx_http_finalize_request(r,
                                 ngx_http_smart_journal_api_failed(r, call));
        return;
    }

    if (call->out.failed) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ask->list.by_id && ask->found == 0) {
        ngx_str_null(&wrong.parameter);
        wrong.text = "There is no record of this id";
        ngx_http_finalize_request(r,
             ngx_http_smart_journal_api_problem(r, NGX_HTTP_NOT_FOUND,
                                                &wrong));
        return;
    }

    rc = ngx_http_smart_reply_start(r, NGX_HTTP_OK,
                                    &ngx_http_smart_journal_api_json,
                                    call->out.len);

    if (rc == NGX_OK && !ask->list.done) {
        rc = ngx_http_smart_journal_ask_next(&r->args, r->pool, ask, &link);

        if (rc == NGX_OK) {
            rc = ngx_http_smart_reply_add(r, "Link", &link);
        }
    }

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_finalize_request(r,
              ngx_http_smart_reply_send(r, call->out.data, call->out.len));
}
