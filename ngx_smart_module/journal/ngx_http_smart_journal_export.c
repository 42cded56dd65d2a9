
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The export: a batch is read in a thread, sent, and only when all of it is
 * sent the next one is read.  So a client that reads slowly costs the memory
 * of one batch, and no transaction is open while it does.
 */


#include "ngx_http_smart_journal_api.h"


/* a batch is complete when it is as long, or after some records */
#define NGX_HTTP_SMART_JOURNAL_EXPORT_BATCH    (64 * 1024)
#define NGX_HTTP_SMART_JOURNAL_EXPORT_RECORD   4096

/* at a time in a worker */
#define NGX_HTTP_SMART_JOURNAL_EXPORTS         16


typedef struct {
    ngx_str_t                type;
    ngx_str_t                disposition;
    const char              *begin;
    const char              *between;
    const char              *after;          /* each record */
    const char              *end;
    ngx_smart_render_pt      render;
} ngx_http_smart_journal_export_format_t;


typedef struct {
    ngx_buf_t                buf;
    ngx_uint_t               begun;          /* the text, in the thread */
    ngx_uint_t               sent;           /* the header */
} ngx_http_smart_journal_export_t;


static void ngx_http_smart_journal_export_batch(
    ngx_http_smart_journal_call_t *call);
static int ngx_http_smart_journal_export_record(void *data,
    const ngx_smart_record_t *record);
static void ngx_http_smart_journal_export_done(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
static ngx_int_t ngx_http_smart_journal_export_header(ngx_http_request_t *r,
    ngx_http_smart_journal_ask_t *ask);
static ngx_int_t ngx_http_smart_journal_export_send(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
static void ngx_http_smart_journal_export_write_handler(
    ngx_http_request_t *r);
static void ngx_http_smart_journal_export_go_on(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
static void ngx_http_smart_journal_export_cleanup(void *data);


/* by ngx_http_smart_journal_format_e */

static ngx_http_smart_journal_export_format_t
    ngx_http_smart_journal_export_formats[] =
{
    { ngx_string("application/x-ndjson"),
      ngx_string("attachment; filename=\"requests.ndjson\""),
      "", "", "\n", "", ngx_smart_render_json },

    { ngx_string("text/csv; charset=utf-8"),
      ngx_string("attachment; filename=\"requests.csv\""),
      ngx_smart_render_csv_names, "", "", "", ngx_smart_render_csv },

    { ngx_string("application/json"),
      ngx_string("attachment; filename=\"requests.har\""),
      "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":"
      "\"ngx_smart_module\",\"version\":\"0.1.0\"},\"entries\":[\n",
      ",\n", "", "\n]}}\n", ngx_smart_render_har }
};


static ngx_uint_t  ngx_http_smart_journal_exports;


ngx_int_t
ngx_http_smart_journal_export(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    ngx_int_t                      rc;
    ngx_pool_cleanup_t            *cln;
    ngx_http_smart_journal_ask_t  *ask;

    ask = call->data;

    if (r->method == NGX_HTTP_HEAD) {
        rc = ngx_http_smart_journal_export_header(r, ask);
        return rc == NGX_OK ? ngx_http_send_header(r) : rc;
    }

    if (ngx_http_smart_journal_exports >= NGX_HTTP_SMART_JOURNAL_EXPORTS) {
        return ngx_http_smart_journal_api_failed(r, call);
    }

    ask->data = ngx_pcalloc(call->pool,
                            sizeof(ngx_http_smart_journal_export_t));
    if (ask->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_smart_journal_export_cleanup;
    ngx_http_smart_journal_exports++;

    call->work = ngx_http_smart_journal_export_batch;
    call->done = ngx_http_smart_journal_export_done;

    if (ngx_http_smart_journal_call_read(call, 0) != NGX_OK) {
        return ngx_http_smart_journal_api_failed(r, call);
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_DONE;
}


static void
ngx_http_smart_journal_export_cleanup(void *data)
{
    ngx_http_smart_journal_exports--;
}


static void
ngx_http_smart_journal_export_batch(ngx_http_smart_journal_call_t *call)
{
    ngx_http_smart_journal_ask_t            *ask;
    ngx_http_smart_journal_export_t         *export;
    ngx_http_smart_journal_export_format_t  *format;

    ask = call->data;
    export = ask->data;
    format = &ngx_http_smart_journal_export_formats[ask->format];

    call->out.len = 0;

    if (!export->begun) {
        export->begun = 1;
        ngx_http_smart_journal_out_text(&call->out, format->begin);
    }

    call->rc = call->jmcf->store->read->list(call->reader, &ask->list,
                                        ngx_http_smart_journal_export_record,
                                        call, &call->error);

    if (ask->list.done) {
        ngx_http_smart_journal_out_text(&call->out, format->end);
    }
}


static int
ngx_http_smart_journal_export_record(void *data,
    const ngx_smart_record_t *record)
{
    ngx_http_smart_journal_call_t *call = data;

    size_t                                   size, len;
    ngx_http_smart_journal_out_t            *out;
    ngx_http_smart_journal_ask_t            *ask;
    ngx_http_smart_journal_export_format_t  *format;

    ask = call->data;
    out = &call->out;
    format = &ngx_http_smart_journal_export_formats[ask->format];

    if (out->len >= NGX_HTTP_SMART_JOURNAL_EXPORT_BATCH || call->gone) {
        return 0;
    }

    if (ask->found) {
        ngx_http_smart_journal_out_text(out, format->between);
    }

    for (size = NGX_HTTP_SMART_JOURNAL_EXPORT_RECORD; /* void */ ; size = len)
    {
        if (!ngx_http_smart_journal_out_room(out, size)) {
            return 0;
        }

        len = format->render((char *) out->data + out->len, size, record);

        if (len <= size) {
            break;
        }
    }

    out->len += len;
    ask->found++;

    ngx_http_smart_journal_out_text(out, format->after);

    return 1;
}


static void
ngx_http_smart_journal_export_done(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    ngx_int_t                         rc;
    ngx_http_smart_journal_ask_t     *ask;
    ngx_http_smart_journal_export_t  *export;

    ask = call->data;
    export = ask->data;

    if (call->rc != NGX_HTTP_SMART_JOURNAL_OK || call->out.failed) {

        if (!export->sent) {
            rc = ngx_http_smart_journal_api_failed(r, call);
            ngx_http_finalize_request(r, rc);
            return;
        }

        /* the client sees that there is no end */

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "smart_journal_api: export breaks off, store \"%V\": %s",
                      &call->jmcf->place,
                      call->out.failed ? "no memory" : call->error.text);
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (!export->sent) {
        export->sent = 1;

        rc = ngx_http_smart_journal_export_header(r, ask);

        if (rc == NGX_OK) {
            rc = ngx_http_send_header(r);
        }

        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            ngx_http_finalize_request(r, rc);
            return;
        }
    }

    if (call->out.len || ask->list.done) {

        rc = ngx_http_smart_journal_export_send(r, call);

        if (rc == NGX_ERROR || ask->list.done) {
            ngx_http_finalize_request(r, rc);
            return;
        }
    }

    ngx_http_smart_journal_export_go_on(r, call);
}


static ngx_int_t
ngx_http_smart_journal_export_header(ngx_http_request_t *r,
    ngx_http_smart_journal_ask_t *ask)
{
    ngx_http_smart_journal_export_format_t  *format;

    format = &ngx_http_smart_journal_export_formats[ask->format];

    if (ngx_http_smart_reply_start(r, NGX_HTTP_OK, &format->type, -1)
        != NGX_OK
        || ngx_http_smart_reply_add(r, "Content-Disposition",
                                    &format->disposition)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_journal_export_send(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    ngx_buf_t                        *b;
    ngx_chain_t                       out;
    ngx_http_smart_journal_ask_t     *ask;
    ngx_http_smart_journal_export_t  *export;

    ask = call->data;
    export = ask->data;

    /* nothing of the last batch is left: the buffer is free */

    b = &export->buf;
    ngx_memzero(b, sizeof(ngx_buf_t));

    b->start = call->out.data;
    b->pos = call->out.data;
    b->last = call->out.data + call->out.len;
    b->end = b->last;
    b->memory = call->out.len ? 1 : 0;

    if (ask->list.done) {
        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;

    } else {
        b->flush = 1;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_smart_journal_export_write_handler(ngx_http_request_t *r)
{
    ngx_event_t                    *wev;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_smart_journal_call_t  *call;

    wev = r->connection->write;

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    call = ngx_http_smart_journal_call_of(r);

    if (call == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (wev->delayed) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ngx_http_smart_journal_export_go_on(r, call);
}


/* the next batch, or to wait until this one is sent */
static void
ngx_http_smart_journal_export_go_on(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;

    if (!r->buffered && !r->connection->buffered) {

        if (wev->timer_set && !wev->delayed) {
            ngx_del_timer(wev);
        }

        r->write_event_handler = ngx_http_request_empty_handler;

        if (ngx_http_smart_journal_call_read(call, 1) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    r->write_event_handler = ngx_http_smart_journal_export_write_handler;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}
