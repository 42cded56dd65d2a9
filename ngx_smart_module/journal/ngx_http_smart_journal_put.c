
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * PUT: a record that a client hands in, such as those of the old service.
 */


#include "ngx_http_smart_journal_api.h"
#include "ngx_http_smart_journal_body.h"


typedef struct {
    ngx_http_smart_journal_body_t   body;
    u_char                          website[NGX_SMART_RECORD_MAX_WEBSITE];
} ngx_http_smart_journal_put_t;


static void ngx_http_smart_journal_put_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_journal_put_record(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_journal_put_read(ngx_http_request_t *r,
    u_char *data, size_t *len);
static void ngx_http_smart_journal_put_site(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
static void ngx_http_smart_journal_put_work(
    ngx_http_smart_journal_call_t *call);
static void ngx_http_smart_journal_put_done(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
static ngx_int_t ngx_http_smart_journal_put_reply(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);
static ngx_int_t ngx_http_smart_journal_put_too_large(ngx_http_request_t *r);


ngx_int_t
ngx_http_smart_journal_put(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (r->headers_in.content_length_n > NGX_HTTP_SMART_JOURNAL_API_BODY) {
        return ngx_http_smart_journal_put_too_large(r);
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_smart_journal_put_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_http_smart_journal_put_too_large(ngx_http_request_t *r)
{
    ngx_http_smart_journal_wrong_t  wrong;

    ngx_str_null(&wrong.parameter);
    wrong.text = "The body is longer than 16384 bytes";

    return ngx_http_smart_journal_api_problem(r,
                                        NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                        &wrong);
}


static void
ngx_http_smart_journal_put_body(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_smart_journal_put_record(r));
}


static ngx_int_t
ngx_http_smart_journal_put_record(ngx_http_request_t *r)
{
    size_t                              len;
    u_char                             *data;
    unsigned                            n;
    ngx_int_t                           rc;
    ngx_http_smart_journal_put_t       *put;
    ngx_http_smart_journal_call_t      *call;
    const ngx_smart_redact_name_t      *names;
    ngx_http_smart_journal_body_e       result;
    ngx_http_smart_journal_wrong_t      wrong;
    ngx_http_smart_journal_loc_conf_t  *jlcf;

    data = ngx_palloc(r->pool, NGX_HTTP_SMART_JOURNAL_API_BODY);
    if (data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_smart_journal_put_read(r, data, &len);

    if (rc == NGX_DECLINED) {
        return ngx_http_smart_journal_put_too_large(r);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_smart_journal_module);

    names = ngx_smart_redact_names;
    n = ngx_smart_redact_names_n;

    if (jlcf->redact) {
        names = jlcf->redact->elts;
        n = jlcf->redact->nelts;
    }

    call = ngx_http_smart_journal_call(r,
                                       sizeof(ngx_http_smart_journal_put_t));
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    put = call->data;
    result = ngx_http_smart_journal_body((char *) data, len, names, n,
                                         &put->body);

    if (result != NGX_HTTP_SMART_JOURNAL_BODY_OK) {

        wrong.parameter.data = (u_char *) put->body.member;
        wrong.parameter.len = ngx_strlen(put->body.member);
        wrong.text = put->body.wrong;

        return ngx_http_smart_journal_api_problem(r,
                             result == NGX_HTTP_SMART_JOURNAL_BODY_MALFORMED
                             ? NGX_HTTP_BAD_REQUEST : 422, &wrong);
    }

    ngx_http_smart_journal_put_site(r, call);

    call->work = ngx_http_smart_journal_put_work;
    call->done = ngx_http_smart_journal_put_done;

    if (ngx_http_smart_journal_call_write(call) != NGX_OK) {
        return ngx_http_smart_journal_api_failed(r, call);
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_DONE;
}


/* the body in one piece; NGX_DECLINED if it is too long */
static ngx_int_t
ngx_http_smart_journal_put_read(ngx_http_request_t *r, u_char *data,
    size_t *len)
{
    size_t        size;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    *len = 0;

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        b = cl->buf;

        if (ngx_buf_size(b) > (off_t) (NGX_HTTP_SMART_JOURNAL_API_BODY - *len))
        {
            return NGX_DECLINED;
        }

        size = ngx_buf_size(b);

        if (size == 0) {
            continue;
        }

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(data + *len, b->pos, size);
            *len += size;
            continue;
        }

        /* just written: it comes from memory */

        n = ngx_read_file(b->file, data + *len, size, b->file_pos);

        if (n != (ssize_t) size) {
            return NGX_ERROR;
        }

        *len += size;
    }

    return NGX_OK;
}


static void
ngx_http_smart_journal_put_site(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    size_t                         host;
    ngx_smart_record_t            *record;
    ngx_smart_redact_parts_t       parts;
    ngx_http_smart_journal_put_t  *put;

    put = call->data;
    record = &put->body.record;

    /* a url that was cut has its authority, unless that is all there is */

    (void) ngx_smart_redact_split(record->url.data, record->url.len, &parts);

    record->website.len = ngx_smart_redact_website((char *) put->website,
                                                   sizeof(put->website),
                                                   &parts, &host,
                                                   &record->host.len);
    record->website.data = (char *) put->website;

    record->host.data = (char *) put->website + host;
    record->host.len = ngx_min(record->host.len, NGX_SMART_RECORD_MAX_HOST);

    record->node.data = (char *) call->jmcf->node.data;
    record->node.len = ngx_min(call->jmcf->node.len,
                               NGX_SMART_RECORD_MAX_NODE);
}


static void
ngx_http_smart_journal_put_work(ngx_http_smart_journal_call_t *call)
{
    ngx_http_smart_journal_put_t  *put;

    put = call->data;

    call->rc = call->jmcf->store->put(call->store, &put->body.record,
                                      &call->error);
}


static void
ngx_http_smart_journal_put_done(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    ngx_http_finalize_request(r, ngx_http_smart_journal_put_reply(r, call));
}


static ngx_int_t
ngx_http_smart_journal_put_reply(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call)
{
    size_t                           len;
    u_char                          *data;
    ngx_str_t                        location;
    ngx_uint_t                       status;
    ngx_smart_record_t              *record;
    ngx_http_smart_journal_put_t    *put;
    ngx_http_smart_journal_wrong_t   wrong;

    put = call->data;
    record = &put->body.record;

    switch (call->rc) {

    case NGX_HTTP_SMART_JOURNAL_CREATED:
        status = NGX_HTTP_CREATED;
        break;

    case NGX_HTTP_SMART_JOURNAL_SAME:
        status = NGX_HTTP_OK;
        break;

    case NGX_HTTP_SMART_JOURNAL_CONFLICT:
        ngx_str_null(&wrong.parameter);
        wrong.text = "There is another record of this id";
        return ngx_http_smart_journal_api_problem(r, NGX_HTTP_CONFLICT,
                                                  &wrong);

    default:
        return ngx_http_smart_journal_api_failed(r, call);
    }

    len = ngx_smart_render_json(NULL, 0, record);
    data = ngx_pnalloc(r->pool, len);

    location.len = 4 + NGX_SMART_UUID_LEN;
    location.data = ngx_pnalloc(r->pool, location.len);

    if (data == NULL || location.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_smart_render_json((char *) data, len, record);

    ngx_memcpy(location.data, "?id=", 4);
    ngx_smart_uuid_format((char *) location.data + 4, record->id);

    if (ngx_http_smart_reply_start(r, status, &ngx_http_smart_journal_api_json,
                                   len)
        != NGX_OK
        || ngx_http_smart_reply_add(r, "Location", &location) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_smart_reply_send(r, data, len);
}
