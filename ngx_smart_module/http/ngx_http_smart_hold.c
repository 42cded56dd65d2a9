
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Answers that are held until their body is complete and judged: what nginx
 * would send to the client is kept instead.
 */


#include "ngx_http_smart_hedge.h"
#include "ngx_http_smart_copy.h"


struct ngx_http_smart_hold_s {
    ngx_http_request_t              *request;
    ngx_http_smart_ctx_t            *ctx;

    ngx_http_smart_copy_t            body;
    off_t                            length;    /* -1: not known */

    ngx_chain_t                     *rest;      /* once it is too large */
    ngx_chain_t                    **last_rest;

    ngx_int_t                      (*input_filter_init)(void *data);
    ngx_int_t                      (*input_filter)(void *data, ssize_t bytes);
    void                            *input_filter_ctx;
    ngx_event_pipe_input_filter_pt   pipe_filter;
    ngx_http_event_handler_pt        write_event_handler;

    unsigned                         caching:1;
    unsigned                         broken:1;
    unsigned                         over:1;
};


/* what the pipe of a hedge takes for its client: it is always ready */
typedef struct {
    ngx_connection_t                 connection;
    ngx_event_t                      write;
} ngx_http_smart_hold_sink_t;


static ngx_int_t ngx_http_smart_hold_begin(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_http_smart_attempt_t *a, ngx_uint_t gzip);
static ngx_int_t ngx_http_smart_hold_pipe_init(void *data);
static ngx_int_t ngx_http_smart_hold_pipe_filter(ngx_event_pipe_t *p,
    ngx_buf_t *b);
static ngx_int_t ngx_http_smart_hold_filter_init(void *data);
static ngx_int_t ngx_http_smart_hold_filter(void *data, ssize_t bytes);
static ngx_int_t ngx_http_smart_hold_over(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a);
static void ngx_http_smart_hold_refuse(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a, const char *why, ngx_str_t *pointer);
static void ngx_http_smart_hold_cache(ngx_http_request_t *r,
    ngx_http_smart_hold_t *hold, ngx_uint_t update);
static void ngx_http_smart_hold_continue(ngx_http_request_t *r,
    ngx_http_smart_hold_t *hold);


ngx_http_smart_attempt_t *
ngx_http_smart_hold_attempt(ngx_http_request_t *r)
{
    ngx_http_smart_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_smart_hedge_attempt(r);
    }

    ctx = ngx_http_smart_find_ctx(r);

    return (ctx && ctx->race) ? &ctx->race->attempts[0] : NULL;
}


/* the status and the media type of the answer are those of a success */
ngx_int_t
ngx_http_smart_hold_header(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_uint_t n)
{
    off_t                      length;
    ngx_uint_t                 gzip;
    const char                *refused;
    ngx_http_upstream_t       *u;
    ngx_http_smart_race_t     *race;
    ngx_http_smart_attempt_t  *a;

    u = r->upstream;

    /* nginx makes a GET of HEAD, to fill its cache with the body */

    if (ctx->conf->json == NULL
        || (r->method == NGX_HTTP_HEAD
            && (u->method.len == 0 || !u->cacheable))
        || r->headers_out.status == NGX_HTTP_NO_CONTENT
        || r->headers_out.status == NGX_HTTP_NOT_MODIFIED
        || r->headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS)
    {
        return NGX_OK;
    }

    race = ngx_http_smart_hedge_race(ctx);
    if (race == NULL) {
        return NGX_ERROR;
    }

    a = &race->attempts[n];
    length = r->headers_out.content_length_n;
    gzip = 0;

    if (r->headers_out.status == NGX_HTTP_PARTIAL_CONTENT) {
        refused = "partial content";

    } else if (length > (off_t) ctx->conf->success_buffer) {
        refused = "body too large";

    } else {
        refused = ngx_http_smart_copy_encoding(r, &gzip);
    }

    if (refused == NULL) {
        return ngx_http_smart_hold_begin(r, ctx, a, gzip);
    }

    ngx_http_smart_hold_refuse(ctx, a, refused, NULL);

    /* should it be passed on all the same */
    u->cacheable = 0;
    u->store = 0;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_smart_hold_begin(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a, ngx_uint_t gzip)
{
    ngx_http_upstream_t    *u;
    ngx_http_smart_hold_t  *hold;

    hold = ngx_pcalloc(r->pool, sizeof(ngx_http_smart_hold_t));
    if (hold == NULL) {
        return NGX_ERROR;
    }

    u = r->upstream;

    hold->request = r;
    hold->ctx = ctx;
    hold->last_rest = &hold->rest;
    hold->body.limit = ctx->conf->success_buffer;
    hold->body.gzip = gzip;
    hold->length = r->headers_out.content_length_n;

    if (hold->length > 0
        && ngx_http_smart_copy_reserve(r, &hold->body, hold->length) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx would store a refused body, too */
    u->store = 0;

    hold->input_filter_init = u->input_filter_init;
    hold->input_filter = u->input_filter;
    hold->input_filter_ctx = u->input_filter_ctx;

    if (u->buffering) {
        u->input_filter_init = ngx_http_smart_hold_pipe_init;

    } else if (u->input_filter) {
        u->input_filter_init = ngx_http_smart_hold_filter_init;
        u->input_filter = ngx_http_smart_hold_filter;
        u->input_filter_ctx = hold;
    }

    a->hold = hold;

    if (r == r->main) {
        ctx->held = 1;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "smart hold attempt %ui",
                   (ngx_uint_t) (a - ctx->race->attempts));

    return NGX_AGAIN;
}


/* nginx has just set up the pipe */
static ngx_int_t
ngx_http_smart_hold_pipe_init(void *data)
{
    ngx_event_pipe_t            *p;
    ngx_http_request_t          *r;
    ngx_http_upstream_t         *u;
    ngx_http_smart_hold_t       *hold;
    ngx_http_smart_hold_sink_t  *sink;

    r = data;
    u = r->upstream;
    p = u->pipe;
    hold = ngx_http_smart_hold_attempt(r)->hold;

    u->input_filter_init = hold->input_filter_init;

    if (u->input_filter_init && u->input_filter_init(data) != NGX_OK) {
        return NGX_ERROR;
    }

    hold->pipe_filter = p->input_filter;
    p->input_filter = ngx_http_smart_hold_pipe_filter;

#if (NGX_HTTP_CACHE)

    /* nginx must not update its cache before the body is judged */

    if (u->cacheable) {
        hold->caching = 1;
        r->cache->updated = 1;
    }

#endif

    if (r == r->main) {
        return NGX_OK;
    }

    /* a pipe writes to the connection only for the request that has it */

    sink = ngx_pcalloc(r->pool, sizeof(ngx_http_smart_hold_sink_t));
    if (sink == NULL) {
        return NGX_ERROR;
    }

    sink->connection.fd = (ngx_socket_t) -1;
    sink->connection.data = r;
    sink->connection.log = r->connection->log;
    sink->connection.write = &sink->write;
    sink->write.ready = 1;

    p->downstream = &sink->connection;

    return NGX_OK;
}


/*
 * A body that makes no sense ends a request whose header is sent: here it is
 * but the attempt that fails
 */
static ngx_int_t
ngx_http_smart_hold_pipe_filter(ngx_event_pipe_t *p, ngx_buf_t *b)
{
    ngx_http_smart_hold_t  *hold;

    hold = ngx_http_smart_hold_attempt(p->input_ctx)->hold;

    if (!hold->broken && hold->pipe_filter(p, b) == NGX_ERROR) {
        hold->broken = 1;
        p->upstream_error = 1;
        p->length = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_hold_filter_init(void *data)
{
    ngx_http_smart_hold_t *hold = data;

    ngx_int_t             rc;
    ngx_http_upstream_t  *u;

    u = hold->request->upstream;

    u->input_filter = hold->input_filter;

    rc = hold->input_filter_init(hold->input_filter_ctx);

    /* chunks have a filter of their own */

    hold->input_filter = u->input_filter;
    u->input_filter = ngx_http_smart_hold_filter;

    return rc;
}


static ngx_int_t
ngx_http_smart_hold_filter(void *data, ssize_t bytes)
{
    ngx_http_smart_hold_t *hold = data;

    ngx_http_upstream_t  *u;

    if (!hold->broken
        && hold->input_filter(hold->input_filter_ctx, bytes) == NGX_ERROR)
    {
        hold->broken = 1;

        u = hold->request->upstream;

        u->error = 1;
        u->length = 1;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_smart_hold_body(ngx_http_request_t *r, ngx_http_smart_attempt_t *a,
    ngx_chain_t *in)
{
    ngx_uint_t              last;
    ngx_chain_t            *cl, *ln;
    ngx_http_smart_hold_t  *hold;

    hold = a->hold;
    last = 0;

    for (cl = in; cl; cl = cl->next) {

        if (cl->buf->last_buf || cl->buf->last_in_chain) {
            last = 1;
        }

        if (ngx_buf_size(cl->buf) == 0) {
            continue;
        }

        if (!hold->over
            && ngx_buf_size(cl->buf)
               > (off_t) (hold->body.limit - hold->body.size)
            && ngx_http_smart_hold_over(r, a) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (!hold->over) {

            if (ngx_http_smart_copy_append(r, &hold->body, cl->buf)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        ln = ngx_alloc_chain_link(r->pool);
        if (ln == NULL) {
            return NGX_ERROR;
        }

        ln->buf = cl->buf;
        ln->next = NULL;

        *hold->last_rest = ln;
        hold->last_rest = &ln->next;
    }

    return last ? NGX_DONE : NGX_OK;
}


/*
 * The body is too large.  Whoever calls is deep in nginx's output: what
 * follows is done from a posted request, and what comes until then stays
 * where it is.
 */
static ngx_int_t
ngx_http_smart_hold_over(ngx_http_request_t *r, ngx_http_smart_attempt_t *a)
{
    ngx_http_smart_hold_t  *hold;

    hold = a->hold;

    hold->over = 1;
    hold->write_event_handler = r->write_event_handler;

    r->write_event_handler = ngx_http_smart_filter_overflow;

    ngx_http_smart_hold_refuse(hold->ctx, a, "body too large", NULL);

    return ngx_http_post_request(r, NULL);
}


ngx_int_t
ngx_http_smart_hold_idle(ngx_http_request_t *r, ngx_http_smart_attempt_t *a)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (a->hold == NULL || u->cleanup == NULL || r->aio) {
        return NGX_AGAIN;
    }

#if (NGX_THREADS)

    if (u->buffering && u->pipe->writing) {

        /* the pipe has to learn of a write that has ended before it outputs */

        if (ngx_http_post_request(r, NULL) == NGX_OK) {
            a->hold->write_event_handler(r);
        }

        return NGX_AGAIN;
    }

#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_smart_hold_end(ngx_http_request_t *r, ngx_http_smart_attempt_t *a,
    ngx_int_t rc)
{
    const char             *why;
    ngx_str_t              *pointer;
    ngx_connection_t       *c;
    ngx_http_smart_hold_t  *hold;

    hold = a->hold;

    if (rc == NGX_OK && !hold->over && hold->length != -1
        && hold->body.size < (size_t) hold->length)
    {
        /* of FastCGI, nginx takes that for an end */

        ngx_http_smart_hold_refuse(hold->ctx, a, "connection closed", NULL);
        ngx_http_smart_hold_drop(r, a);

        return NGX_ERROR;
    }

    if (rc == NGX_OK) {

        if (!hold->over) {
            why = ngx_http_smart_copy_judge(&hold->body, hold->ctx->conf->json,
                                            &pointer);

            if (why) {
                ngx_http_smart_hold_refuse(hold->ctx, a, why, pointer);
            }
        }

        ngx_http_smart_hold_cache(r, hold, a->failure == NULL);

        return a->failure ? NGX_DECLINED : NGX_OK;
    }

    if (a->failure == NULL && !a->done) {

        c = r->upstream->peer.connection;

        if (c && c->read->timedout) {
            a->failure = "timed out";

        } else if (c && !hold->broken && (c->read->eof || c->read->error)) {
            a->failure = "connection closed";

        } else {
            a->failure = "invalid body";
        }
    }

    ngx_http_smart_hold_drop(r, a);

    /* as if the answer had not come so far */
    r->upstream->header_sent = 0;

    return NGX_ERROR;
}


static void
ngx_http_smart_hold_refuse(ngx_http_smart_ctx_t *ctx,
    ngx_http_smart_attempt_t *a, const char *why, ngx_str_t *pointer)
{
    ngx_uint_t  n;

    a->failure = why;

    n = a - ctx->race->attempts;

    if (pointer) {
        ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                      "smart: answer of attempt %ui refused: %s, no \"%V\"",
                      n, why, pointer);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                  "smart: answer of attempt %ui refused: %s", n, why);
}


/* what nginx would have done had it been let */
static void
ngx_http_smart_hold_cache(ngx_http_request_t *r, ngx_http_smart_hold_t *hold,
    ngx_uint_t update)
{
#if (NGX_HTTP_CACHE)

    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    if (!hold->caching) {
        return;
    }

    hold->caching = 0;
    r->cache->updated = 0;

    u = r->upstream;
    p = u->pipe;

    if (update
        && (p->upstream_done
            || (p->upstream_eof && p->length == -1
                && (u->headers_in.content_length_n == -1
                    || u->headers_in.content_length_n
                       == p->temp_file->offset
                          - (off_t) r->cache->body_start))))
    {
        ngx_http_file_cache_update(r, p->temp_file);
    }

#endif
}


void
ngx_http_smart_hold_drop(ngx_http_request_t *r, ngx_http_smart_attempt_t *a)
{
    ngx_http_smart_hold_t  *hold;

    hold = a->hold;

    if (hold == NULL) {
        return;
    }

    ngx_http_smart_hold_cache(r, hold, 0);
    ngx_http_smart_copy_free(r, &hold->body);

    a->hold = NULL;

    if (r == r->main) {
        hold->ctx->held = 0;
    }
}


ngx_int_t
ngx_http_smart_hold_release(ngx_http_request_t *r,
    ngx_http_smart_attempt_t *a, ngx_chain_t **out)
{
    ngx_buf_t              *last;
    ngx_chain_t            *in, **ll;
    ngx_http_smart_hold_t  *hold;

    hold = a->hold;
    in = *out;

    ll = ngx_http_smart_copy_chain(r, &hold->body, out, &last);
    if (ll == NULL) {
        return NGX_ERROR;
    }

    if (in && last && hold->rest == NULL) {

        /* one buffer with all of a body suits the filters best */

        last->last_buf = (r == r->main);
        last->last_in_chain = 1;
        in = NULL;
    }

    *ll = hold->rest;

    while (*ll) {
        ll = &(*ll)->next;
    }

    *ll = in;

    a->hold = NULL;

    if (r == r->main) {
        hold->ctx->held = 0;
    }

    if (r->upstream->cleanup) {
        ngx_http_smart_hold_continue(r, hold);
    }

    return NGX_OK;
}


/* the rest of the body goes nginx's way */
static void
ngx_http_smart_hold_continue(ngx_http_request_t *r,
    ngx_http_smart_hold_t *hold)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    r->write_event_handler = hold->write_event_handler;

    if (!u->buffering) {

        if (u->input_filter_ctx == hold) {
            u->input_filter = hold->input_filter;
            u->input_filter_ctx = hold->input_filter_ctx;
        }

        return;
    }

    p = u->pipe;

    p->input_filter = hold->pipe_filter;
    p->output_ctx = r->main;
    p->downstream = r->connection;

#if (NGX_THREADS)
    if (p->thread_handler) {
        p->thread_ctx = r->main;
    }
#endif

    /* and nothing of it into a cache */

    ngx_http_smart_hold_cache(r, hold, 0);
    u->cacheable = 0;
}
