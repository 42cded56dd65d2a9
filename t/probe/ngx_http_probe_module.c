
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A module for tests: it looks at what nginx does with an upstream, does what
 * hedging does to one, and tells of it in the error log; see invariants.t and
 * cancel.t.
 *
 *     probe word ..;       of the location's upstream:
 *         watch            only logs
 *         refuse           the header filter returns an error
 *         discard          the same, after it has finalized the upstream
 *         park             a failed upstream seems to have sent its header
 *         clone            a clone of the request begins together with it
 *     probe_clog time;     answers, and keeps a thread of the default pool busy
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_PROBE_WATCH    0x01
#define NGX_HTTP_PROBE_REFUSE   0x02
#define NGX_HTTP_PROBE_DISCARD  0x04
#define NGX_HTTP_PROBE_PARK     0x08
#define NGX_HTTP_PROBE_CLONE    0x10


typedef struct {
    ngx_uint_t                flags;
    ngx_msec_t                clog;
} ngx_http_probe_conf_t;


typedef struct {
    ngx_http_request_t       *request;
    ngx_uint_t                flags;
    ngx_uint_t                finalized;
    ngx_http_handler_pt       content_handler;
    ngx_int_t               (*input_filter_init)(void *data);
    void                    (*finalize_request)(ngx_http_request_t *r,
                                 ngx_int_t rc);
    unsigned                  hooked:1;
    unsigned                  parking:1;
    unsigned                  resumed:1;
} ngx_http_probe_ctx_t;


static ngx_int_t ngx_http_probe_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_probe_content_handler(ngx_http_request_t *r);
static ngx_http_probe_ctx_t *ngx_http_probe_create_ctx(ngx_http_request_t *r,
    ngx_uint_t flags, ngx_http_handler_pt handler);
static void ngx_http_probe_end(void *data);
static void ngx_http_probe_drop(ngx_http_request_t *r);
static ngx_int_t ngx_http_probe_clone(ngx_http_request_t *r,
    ngx_http_probe_ctx_t *ctx);
static void ngx_http_probe_hook(ngx_http_request_t *r,
    ngx_http_probe_ctx_t *ctx);
static void ngx_http_probe_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_int_t ngx_http_probe_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_probe_input_filter_init(void *data);
static ngx_int_t ngx_http_probe_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_probe_wait(ngx_http_request_t *r);
static void ngx_http_probe_resume(ngx_http_request_t *r);
static ngx_int_t ngx_http_probe_clog_handler(ngx_http_request_t *r);

static void *ngx_http_probe_create_conf(ngx_conf_t *cf);
static char *ngx_http_probe_merge_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_probe_clog(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_probe_init(ngx_conf_t *cf);


static ngx_conf_bitmask_t  ngx_http_probe_flags[] = {
    { ngx_string("watch"), NGX_HTTP_PROBE_WATCH },
    { ngx_string("refuse"), NGX_HTTP_PROBE_REFUSE },
    { ngx_string("discard"), NGX_HTTP_PROBE_DISCARD },
    { ngx_string("park"), NGX_HTTP_PROBE_PARK },
    { ngx_string("clone"), NGX_HTTP_PROBE_CLONE },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_probe_commands[] = {

    { ngx_string("probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_probe_conf_t, flags),
      &ngx_http_probe_flags },

    { ngx_string("probe_clog"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_probe_clog,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_probe_conf_t, clog),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_probe_init,                   /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_probe_create_conf,            /* create location configuration */
    ngx_http_probe_merge_conf              /* merge location configuration */
};


ngx_module_t  ngx_http_probe_module = {
    NGX_MODULE_V1,
    &ngx_http_probe_module_ctx,            /* module context */
    ngx_http_probe_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_module_t  *ngx_modules[] = { &ngx_http_probe_module, NULL };
char          *ngx_module_names[] = { "ngx_http_probe_module", NULL };
char          *ngx_module_order[] = { NULL };


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_probe_handler(ngx_http_request_t *r)
{
    ngx_http_probe_ctx_t   *ctx;
    ngx_http_probe_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_probe_module);

    if (!conf->flags || r != r->main || r->content_handler == NULL
        || ngx_http_get_module_ctx(r, ngx_http_probe_module))
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_probe_create_ctx(r, conf->flags, r->content_handler);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    r->content_handler = ngx_http_probe_content_handler;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_probe_content_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_probe_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_probe_module);

    r->content_handler = ctx->content_handler;

    if (r == r->main) {
        ngx_http_probe_drop(r);
    }

    if ((ctx->flags & NGX_HTTP_PROBE_CLONE)
        && ngx_http_probe_clone(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = r->content_handler(r);

    if (ngx_http_get_module_ctx(r, ngx_http_probe_module) == ctx) {
        ngx_http_probe_hook(r, ctx);
    }

    return rc;
}


static ngx_http_probe_ctx_t *
ngx_http_probe_create_ctx(ngx_http_request_t *r, ngx_uint_t flags,
    ngx_http_handler_pt handler)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_probe_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_probe_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    cln->handler = ngx_http_probe_end;

    ngx_memzero(ctx, sizeof(ngx_http_probe_ctx_t));

    ctx->request = r;
    ctx->flags = flags;
    ctx->content_handler = handler;

    ngx_http_set_ctx(r, ctx, ngx_http_probe_module);

    return ctx;
}


static void
ngx_http_probe_end(void *data)
{
    ngx_http_probe_ctx_t *ctx = data;

    ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                  "probe end main=%d finalized=%ui count=%d",
                  ctx->request == ctx->request->main, ctx->finalized,
                  (int) ctx->request->main->count);
}


/* what NGX_DONE does to a request that others refer to */
static void
ngx_http_probe_drop(ngx_http_request_t *r)
{
    ngx_uint_t                 before, after, same;
    ngx_http_event_handler_pt  read, write;

    before = r->main->count;
    read = r->read_event_handler;
    write = r->write_event_handler;

    r->main->count++;
    ngx_http_finalize_request(r, NGX_DONE);

    after = r->main->count;
    same = (read == r->read_event_handler && write == r->write_event_handler);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "probe done references=%i handlers=%ui",
                  (ngx_int_t) (after - before), same);
}


static ngx_int_t
ngx_http_probe_clone(ngx_http_request_t *r, ngx_http_probe_ctx_t *ctx)
{
    ngx_http_request_t  *sr;

    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_CLONE
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_probe_create_ctx(sr, NGX_HTTP_PROBE_WATCH,
                                  ctx->content_handler)
        == NULL)
    {
        return NGX_ERROR;
    }

    sr->content_handler = ngx_http_probe_content_handler;

    return NGX_OK;
}


static void
ngx_http_probe_hook(ngx_http_request_t *r, ngx_http_probe_ctx_t *ctx)
{
    if (ctx->hooked || r->upstream == NULL
        || r->upstream->finalize_request == NULL)
    {
        return;
    }

    ctx->hooked = 1;

    ctx->finalize_request = r->upstream->finalize_request;
    r->upstream->finalize_request = ngx_http_probe_finalize_request;
}


static void
ngx_http_probe_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_upstream_t   *u;
    ngx_http_probe_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_probe_module);
    u = r->upstream;

    ctx->finalized++;

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "probe finalize main=%d rc=%i cleanup=%d peer=%d "
                  "connection=%d cache=%d",
                  r == r->main, rc, u->cleanup != NULL,
                  u->peer.sockaddr != NULL, u->peer.connection != NULL,
#if (NGX_HTTP_CACHE)
                  r->cache && r->cache->node && !r->cache->updated
#else
                  0
#endif
                  );

    ctx->finalize_request(r, rc);

    if ((ctx->flags & NGX_HTTP_PROBE_PARK)
        && rc >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        u->header_sent = 1;

        if (rc != NGX_HTTP_REQUEST_TIME_OUT
            && rc != NGX_HTTP_CLIENT_CLOSED_REQUEST)
        {
            r->main->count++;
        }

        ctx->parking = 1;
    }
}


static ngx_int_t
ngx_http_probe_header_filter(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_upstream_t   *u;
    ngx_http_probe_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_probe_module);
    u = r->upstream;

    if (ctx == NULL || u == NULL || ctx->resumed || ctx->finalized) {
        return ngx_http_next_header_filter(r);
    }

    /* an answer from a cache is older than the hook */
    ngx_http_probe_hook(r, ctx);

    if (ctx->flags & NGX_HTTP_PROBE_REFUSE) {
        return NGX_ERROR;
    }

    if ((ctx->flags & NGX_HTTP_PROBE_DISCARD) && u->cleanup) {

        r->main->count += 2;
        (*u->cleanup)(r);

        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "probe discard cleanup=%d peer=%d connection=%d",
                      u->cleanup != NULL, u->peer.sockaddr != NULL,
                      u->peer.connection != NULL);

        ngx_http_probe_wait(r);

        return NGX_ERROR;
    }

    rc = ngx_http_next_header_filter(r);

    if (rc == NGX_OK && u->buffering && u->cleanup && u->input_filter_init) {
        ctx->input_filter_init = u->input_filter_init;
        u->input_filter_init = ngx_http_probe_input_filter_init;
    }

    return rc;
}


static ngx_int_t
ngx_http_probe_input_filter_init(void *data)
{
    ngx_event_pipe_t      *p;
    ngx_http_request_t    *r;
    ngx_http_probe_ctx_t  *ctx;

    r = data;
    p = r->upstream->pipe;

    ctx = ngx_http_get_module_ctx(r, ngx_http_probe_module);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "probe pipe output=%d read=%O in=%d out=%d",
                  p->output_ctx == r, p->read_length, p->in != NULL,
                  p->out != NULL);

    r->upstream->input_filter_init = ctx->input_filter_init;

    return ctx->input_filter_init(data);
}


static ngx_int_t
ngx_http_probe_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_probe_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_probe_module);

    if (ctx == NULL || r->upstream == NULL || ctx->resumed) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->flags & NGX_HTTP_PROBE_REFUSE) {
        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0, "probe body");
    }

    if (!ctx->parking) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx->parking = 0;

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "probe flush flush=%d last=%d next=%d cleanup=%d peer=%d "
                  "connection=%d",
                  (int) in->buf->flush, (int) in->buf->last_buf,
                  in->next != NULL, r->upstream->cleanup != NULL,
                  r->upstream->peer.sockaddr != NULL,
                  r->upstream->peer.connection != NULL);

    ngx_http_probe_wait(r);

    return NGX_DONE;
}


static void
ngx_http_probe_wait(ngx_http_request_t *r)
{
    r->write_event_handler = ngx_http_probe_resume;

    if (ngx_http_post_request(r, NULL) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0, "probe: no memory");
    }
}


/* another response in place of the upstream's */
static void
ngx_http_probe_resume(ngx_http_request_t *r)
{
    ngx_http_probe_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_probe_module);
    ctx->resumed = 1;

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "probe resume count=%d sent=%d buffered=%d",
                  (int) r->main->count, (int) r->header_sent,
                  (int) r->buffered);

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_clear_content_length(r);
    ngx_http_finalize_request(r, NGX_HTTP_NOT_ALLOWED);
}


#if (NGX_THREADS)

static void
ngx_http_probe_sleep(void *data, ngx_log_t *log)
{
    ngx_msleep(*(ngx_msec_t *) data);
}


static void
ngx_http_probe_awake(ngx_event_t *ev)
{
    ngx_free(ev->data);
}

#endif


static ngx_int_t
ngx_http_probe_clog_handler(ngx_http_request_t *r)
{
#if (NGX_THREADS)

    ngx_thread_pool_t      *pool;
    ngx_thread_task_t      *task;
    ngx_http_probe_conf_t  *conf;

    static ngx_str_t  name = ngx_string("default");

    conf = ngx_http_get_module_loc_conf(r, ngx_http_probe_module);

    pool = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);

    /* it outlives the request */

    task = ngx_calloc(sizeof(ngx_thread_task_t) + sizeof(ngx_msec_t),
                      r->connection->log);

    if (pool == NULL || task == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    task->ctx = task + 1;
    *(ngx_msec_t *) task->ctx = conf->clog;

    task->handler = ngx_http_probe_sleep;
    task->event.handler = ngx_http_probe_awake;
    task->event.data = task;

    if (ngx_thread_task_post(pool, task) != NGX_OK) {
        ngx_free(task);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NO_CONTENT;

#else

    return NGX_HTTP_NOT_IMPLEMENTED;

#endif
}


static void *
ngx_http_probe_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_probe_conf_t));
}


static char *
ngx_http_probe_merge_conf(ngx_conf_t *cf, void *parent, void *child)
{
    return NGX_CONF_OK;
}


static char *
ngx_http_probe_clog(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_probe_conf_t     *pcf = conf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_probe_clog_handler;

    pcf->clog = NGX_CONF_UNSET_MSEC;

    return ngx_conf_set_msec_slot(cf, cmd, conf);
}


static ngx_int_t
ngx_http_probe_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_probe_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_probe_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_probe_body_filter;

    return NGX_OK;
}
