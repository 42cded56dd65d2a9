
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The main request while its primary is not what it waits for.
 */


#include "ngx_http_smart_hedge.h"


static void ngx_http_smart_main_watch_read(ngx_http_request_t *r);
static void ngx_http_smart_main_parked_write(ngx_http_request_t *r);
static void ngx_http_smart_main_forward_read(ngx_http_request_t *r);
static void ngx_http_smart_main_forward_write(ngx_http_request_t *r);
static void ngx_http_smart_main_finisher(ngx_http_request_t *r);
static void ngx_http_smart_main_redirector(ngx_http_request_t *r);
static ngx_int_t ngx_http_smart_main_redirect_headers(ngx_http_request_t *r,
    ngx_http_upstream_t *u);
static void ngx_http_smart_main_post(ngx_http_smart_ctx_t *ctx,
    ngx_http_event_handler_pt handler);
static void ngx_http_smart_main_copy_header(ngx_http_request_t *r,
    ngx_http_request_t *sr);
static void ngx_http_smart_main_join(ngx_http_request_t *r, ngx_list_t *list,
    ngx_list_t *from, ngx_list_t *before);
static ngx_int_t ngx_http_smart_main_input_filter_init(void *data);


/*
 * Hedges are under way, and the primary is, too: when the client is seen to
 * be gone, nginx may go on with the primary, but a hedge that ends would
 * then terminate the request.
 */
void
ngx_http_smart_main_watch(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    if (ctx->parked || r->read_event_handler == ngx_http_smart_main_watch_read)
    {
        return;
    }

    ctx->race->read_event_handler = r->read_event_handler;
    r->read_event_handler = ngx_http_smart_main_watch_read;
}


static void
ngx_http_smart_main_watch_read(ngx_http_request_t *r)
{
    ngx_uint_t             i;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);

    ctx->race->read_event_handler(r);

    if (!r->connection->error || ngx_smart_hedge_decided(&ctx->hedge)) {
        return;
    }

    for (i = 1; i < NGX_SMART_HEDGE_MAX_ATTEMPTS; i++) {

        if (ctx->hedge.alive & (1 << i)) {
            ngx_http_smart_cancel(ctx, i);
            (void) ngx_http_smart_hedge_feed(ctx, NGX_SMART_HEDGE_FAILURE, i);
        }
    }
}


void
ngx_http_smart_main_wait(ngx_http_request_t *r)
{
    ngx_event_t           *rev;
    ngx_connection_t      *c;
    ngx_http_smart_ctx_t  *ctx;

    c = r->connection;
    rev = c->read;

    ctx = ngx_http_smart_ctx(r);
    ctx->parked = 1;

    r->write_event_handler = ngx_http_smart_main_parked_write;

    c->log->action = "waiting for hedges";

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    if (r->upstream->conf->ignore_client_abort) {
        r->read_event_handler = ngx_http_block_reading;
        return;
    }

    r->read_event_handler = ngx_http_test_reading;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_post_event(rev, &ngx_posted_events);
    }
}


/* a client of HTTP/3 that wants no answer any more tells so here */
static void
ngx_http_smart_main_parked_write(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if ((c->write->error || c->error)
        && r->read_event_handler != ngx_http_block_reading)
    {
        c->error = 1;
        ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
    }
}


void
ngx_http_smart_main_clean(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx)
{
    if (ctx->race && ctx->race->headers_out) {
        r->headers_out = *ctx->race->headers_out;

    } else {
        r->headers_out.headers.last = &r->headers_out.headers.part;
        r->headers_out.headers.part.nelts = 0;
        r->headers_out.headers.part.next = NULL;

        r->headers_out.trailers.last = &r->headers_out.trailers.part;
        r->headers_out.trailers.part.nelts = 0;
        r->headers_out.trailers.part.next = NULL;

        ngx_memzero(&r->headers_out.status,
                    sizeof(ngx_http_headers_out_t)
                    - offsetof(ngx_http_headers_out_t, status));

        r->headers_out.content_length_n = -1;
        r->headers_out.last_modified_time = -1;
    }

    r->allow_ranges = 0;
    r->single_range = 0;
    r->disable_not_modified = 0;

    r->limit_rate = ctx->race ? ctx->race->limit_rate : 0;
    r->limit_rate_set = ctx->race ? ctx->race->limit_rate_set : 0;
}


ngx_int_t
ngx_http_smart_main_promote(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a)
{
    ngx_int_t             rc;
    ngx_http_request_t   *r, *sr;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    sr = a->request;
    u = sr->upstream;

    ctx->race->winner = a;

    /* a balancer may have added a header, as "sticky cookie" does */

    ngx_http_smart_main_clean(r, ctx);
    ngx_http_smart_main_copy_header(r, sr);

    r->upstream = u;

    /* from here on u may be finalized as the main request's, too */

    if (a->hooked) {
        u->finalize_request = a->finalize_request;
    }

#if (NGX_HTTP_CACHE)
    r->cached = sr->cached;
#endif

    /* nginx clears it where the answer turns out to be cut */
    sr->keepalive = 1;

    rc = ngx_http_send_header(r);

    sr->header_only = r->header_only;

    if (ngx_http_smart_ctx(r) != ctx) {

        /* a filter has replaced the answer, error_page maybe the location */

        if (r->upstream != u) {

            /*
             * nginx has finalized u for the new upstream of the main request,
             * if it was not: the caller drops but the subrequest's reference
             */

            a->done = 1;

#if (NGX_HTTP_CACHE)
            if (sr->cache) {
                ngx_http_file_cache_free(sr->cache, NULL);
            }
#endif

            r->main->count--;
        }

        return NGX_ERROR;
    }

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    r->read_event_handler = ngx_http_smart_main_forward_read;
    r->write_event_handler = ngx_http_smart_main_forward_write;

    if (!u->buffering) {
        r->limit_rate = 0;
        r->limit_rate_set = 1;
        return rc;
    }

    if (u->cleanup && u->input_filter_init) {
        a->input_filter_init = u->input_filter_init;
        u->input_filter_init = ngx_http_smart_main_input_filter_init;
    }

    return rc;
}


/*
 * nginx has just set up the pipe of the winner: its output is the main
 * request's, which is also what the client's connection knows of
 */
static ngx_int_t
ngx_http_smart_main_input_filter_init(void *data)
{
    ngx_event_pipe_t          *p;
    ngx_http_request_t        *r;
    ngx_http_upstream_t       *u;
    ngx_http_smart_attempt_t  *a;

    r = data;
    u = r->upstream;
    p = u->pipe;

    a = ngx_http_smart_hedge_attempt(r);

    u->input_filter_init = a->input_filter_init;

    p->output_ctx = r->main;

#if (NGX_THREADS)
    if (p->thread_handler) {
        p->thread_ctx = r->main;
    }
#endif

    return u->input_filter_init(data);
}


static void
ngx_http_smart_main_forward_read(ngx_http_request_t *r)
{
    ngx_http_request_t    *sr;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);
    sr = ctx->race->winner->request;

    sr->read_event_handler(sr);
}


static void
ngx_http_smart_main_forward_write(ngx_http_request_t *r)
{
    ngx_http_request_t    *sr;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);
    sr = ctx->race->winner->request;

    sr->aio = r->aio;

    sr->write_event_handler(sr);
}


static void
ngx_http_smart_main_copy_header(ngx_http_request_t *r, ngx_http_request_t *sr)
{
    ngx_http_headers_out_t  before;

    before = r->headers_out;

    r->headers_out = sr->headers_out;

    ngx_http_smart_main_join(r, &r->headers_out.headers,
                             &sr->headers_out.headers, &before.headers);
    ngx_http_smart_main_join(r, &r->headers_out.trailers,
                             &sr->headers_out.trailers, &before.trailers);

    r->allow_ranges = sr->allow_ranges;
    r->single_range = sr->single_range;
    r->disable_not_modified = sr->disable_not_modified;
    r->expect_trailers |= sr->expect_trailers;

    r->filter_need_in_memory |= sr->filter_need_in_memory;
    r->filter_need_temporary |= sr->filter_need_temporary;

    if (sr->limit_rate_set) {
        r->limit_rate = sr->limit_rate;
        r->limit_rate_set = 1;
    }

    if (sr->limit_rate_after_set) {
        r->limit_rate_after = sr->limit_rate_after;
        r->limit_rate_after_set = 1;
    }
}


/*
 * "list" is a copy of "from"; what was there "before" comes first.  The
 * elements stay where they are, since others point to them.
 */
static void
ngx_http_smart_main_join(ngx_http_request_t *r, ngx_list_t *list,
    ngx_list_t *from, ngx_list_t *before)
{
    ngx_list_part_t  *part, *last;

    if (list->last == &from->part) {
        list->last = &list->part;
    }

    if (before->part.nelts == 0) {
        return;
    }

    part = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (part == NULL) {
        return;
    }

    *part = list->part;

    if (list->last == &list->part) {
        list->last = part;
    }

    list->part = before->part;

    for (last = &list->part; last->next; last = last->next) { /* void */ }

    last->next = part;
}


void
ngx_http_smart_main_intercepted(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a)
{
    ngx_table_elt_t      *h, *ho, **ph;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    u = a->request->upstream;

    if (u->headers_in.status_n != NGX_HTTP_UNAUTHORIZED) {
        return;
    }

    ph = &r->headers_out.www_authenticate;

    for (h = u->headers_in.www_authenticate;
         h;
         h = ngx_http_smart_header_next(h))
    {
        ho = ngx_list_push(&r->headers_out.headers);
        if (ho == NULL) {
            return;
        }

        *ho = *h;
        ngx_http_smart_header_unlink(ho);

        *ph = ho;
        ph = ngx_http_smart_header_link(ho, ph);
    }
}


void
ngx_http_smart_main_finish(ngx_http_smart_ctx_t *ctx, ngx_int_t rc)
{
    ctx->race->rc = rc;

    ngx_http_smart_main_post(ctx, ngx_http_smart_main_finisher);
}


static void
ngx_http_smart_main_finisher(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_find_ctx(r);
    rc = ctx->race->rc;

    r->write_event_handler = ngx_http_request_empty_handler;

    if (!r->header_sent
        && (ctx->outcome == NGX_HTTP_SMART_TIMEOUT
            || (ctx->outcome == NGX_HTTP_SMART_FAILED
                && ctx->plan->own_failure)))
    {
        rc = ngx_http_smart_error(r, ctx, rc);
    }

    if (r->postponed) {

        /* finalization installs the writer, which has to run then */

        (void) ngx_http_post_request(r, NULL);
    }

    ngx_http_finalize_request(r, rc);
}


void
ngx_http_smart_main_redirect(ngx_http_smart_ctx_t *ctx)
{
    ngx_http_smart_main_post(ctx, ngx_http_smart_main_redirector);
}


/* what ngx_http_upstream_process_headers() does with X-Accel-Redirect */
static void
ngx_http_smart_main_redirector(ngx_http_request_t *r)
{
    ngx_str_t              uri, args;
    ngx_uint_t             flags;
    ngx_http_upstream_t   *u;
    ngx_http_smart_ctx_t  *ctx;

    ctx = ngx_http_smart_ctx(r);
    u = ctx->race->winner->request->upstream;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    r->upstream = u;

    if (ngx_http_smart_main_redirect_headers(r, u) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    uri = u->headers_in.x_accel_redirect->value;

    if (uri.data[0] == '@') {
        ngx_http_named_location(r, &uri);

    } else {
        ngx_str_null(&args);
        flags = NGX_HTTP_LOG_UNSAFE;

        if (ngx_http_parse_unsafe_uri(r, &uri, &args, &flags) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_NOT_FOUND);
            return;
        }

        if (r->method != NGX_HTTP_HEAD) {
            r->method = NGX_HTTP_GET;
            r->method_name = ngx_http_core_get_method;
        }

        ngx_http_internal_redirect(r, &uri, &args);
    }

    ngx_http_finalize_request(r, NGX_DONE);
}


static ngx_int_t
ngx_http_smart_main_redirect_headers(ngx_http_request_t *r,
    ngx_http_upstream_t *u)
{
    ngx_uint_t                      i;
    ngx_list_part_t                *part;
    ngx_table_elt_t                *h;
    ngx_http_upstream_header_t     *hh;
    ngx_http_upstream_main_conf_t  *umcf;

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upstream_module);

    for (part = &u->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0) {
                continue;
            }

            hh = ngx_hash_find(&umcf->headers_in_hash, h[i].hash,
                               h[i].lowcase_key, h[i].key.len);

            if (hh && hh->redirect
                && hh->copy_handler(r, &h[i], hh->conf) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_http_smart_main_post(ngx_http_smart_ctx_t *ctx,
    ngx_http_event_handler_pt handler)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = handler;

    if (ngx_http_post_request(r, NULL) != NGX_OK) {
        r->connection->error = 1;
        ngx_post_event(r->connection->write, &ngx_posted_events);
    }
}


void
ngx_http_smart_main_merge_states(ngx_http_smart_ctx_t *ctx)
{
    size_t                      n;
    ngx_uint_t                  i;
    ngx_array_t                *all, *states;
    ngx_http_request_t         *r, *ar;
    ngx_http_smart_race_t      *race;
    ngx_http_upstream_state_t  *state;

    race = ctx->race;

    if (race == NULL || race->merged) {
        return;
    }

    race->merged = 1;

    r = ctx->request;

    if (ctx->hedge.started < 2 || r->upstream_states == NULL) {
        return;
    }

    n = 0;

    for (i = 0; i < ctx->hedge.started; i++) {
        ar = race->attempts[i].request;
        n += (ar && ar->upstream_states) ? ar->upstream_states->nelts : 0;
    }

    all = ngx_array_create(r->pool, n, sizeof(ngx_http_upstream_state_t));
    if (all == NULL) {
        return;
    }

    for (i = 0; i < ctx->hedge.started; i++) {

        ar = race->attempts[i].request;

        if (ar == NULL || ar->upstream_states == NULL) {
            continue;
        }

        states = ar->upstream_states;

        state = ngx_array_push_n(all, states->nelts);
        if (state == NULL) {
            return;
        }

        ngx_memcpy(state, states->elts, states->nelts * all->size);

        /* an attempt that is still alive goes on writing to its last one */

        if (ar->upstream && ar->upstream->cleanup && states->nelts) {
            ar->upstream->state = &state[states->nelts - 1];
        }

        if (i) {
            ar->upstream_states = NULL;
        }
    }

    r->upstream_states = all;
}
