
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_journal_call.h"


/* at a time in a worker: as many have a connection to the store */
#define NGX_HTTP_SMART_JOURNAL_READERS  4
#define NGX_HTTP_SMART_JOURNAL_WRITERS  1

/* those that wait for that; more are turned away */
#define NGX_HTTP_SMART_JOURNAL_WAITING  64

/* ms: a worker that exits waits for what has a timer */
#define NGX_HTTP_SMART_JOURNAL_TIMER    60000

/* us, of a call of a reader */
#define NGX_HTTP_SMART_JOURNAL_LIMIT    2000000


typedef enum {
    NGX_HTTP_SMART_JOURNAL_CALL_IDLE = 0,
    NGX_HTTP_SMART_JOURNAL_CALL_WAITS,
    NGX_HTTP_SMART_JOURNAL_CALL_RUNS
} ngx_http_smart_journal_call_state_e;


typedef struct {
    unsigned                             busy;
    ngx_http_smart_journal_main_conf_t  *jmcf;   /* of what is open */
    ngx_http_smart_journal_reader_t     *reader;
    ngx_http_smart_journal_store_t      *store;
} ngx_http_smart_journal_slot_t;


struct ngx_http_smart_journal_lane_s {
    ngx_queue_t                       waiting;
    ngx_uint_t                        n;
    ngx_queue_t                       running;
    ngx_uint_t                        slots_n;
    ngx_http_smart_journal_slot_t     slots[NGX_HTTP_SMART_JOURNAL_READERS];
};


static ngx_int_t ngx_http_smart_journal_call_post(
    ngx_http_smart_journal_call_t *call, ngx_http_smart_journal_lane_t *lane,
    ngx_uint_t slots, ngx_uint_t again);
static void ngx_http_smart_journal_call_next(
    ngx_http_smart_journal_lane_t *lane);
static ngx_int_t ngx_http_smart_journal_call_start(
    ngx_http_smart_journal_call_t *call, ngx_uint_t slot);
static void ngx_http_smart_journal_call_thread(void *data, ngx_log_t *log);
static void ngx_http_smart_journal_call_event(ngx_event_t *ev);
static void ngx_http_smart_journal_call_cleanup(void *data);
static void ngx_http_smart_journal_call_free(
    ngx_http_smart_journal_call_t *call);
static void ngx_http_smart_journal_call_close(
    ngx_http_smart_journal_slot_t *s);


/* of this worker */
static ngx_http_smart_journal_lane_t  ngx_http_smart_journal_readers;
static ngx_http_smart_journal_lane_t  ngx_http_smart_journal_writers;


ngx_http_smart_journal_call_t *
ngx_http_smart_journal_call(ngx_http_request_t *r, size_t size)
{
    ngx_pool_t                     *pool;
    ngx_pool_cleanup_t             *cln;
    ngx_http_smart_journal_call_t  *call;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    call = ngx_pcalloc(pool, sizeof(ngx_http_smart_journal_call_t));

    if (call) {
        call->data = ngx_pcalloc(pool, size);
    }

    if (call == NULL || call->data == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    call->pool = pool;
    call->request = r;
    call->cleanup = cln;
    call->jmcf = ngx_http_get_module_main_conf(r,
                                               ngx_http_smart_journal_module);

    call->task.handler = ngx_http_smart_journal_call_thread;
    call->task.ctx = call;
    call->task.event.handler = ngx_http_smart_journal_call_event;
    call->task.event.data = call;
    call->task.event.log = ngx_cycle->log;

    cln->handler = ngx_http_smart_journal_call_cleanup;
    cln->data = call;

    return call;
}


ngx_http_smart_journal_call_t *
ngx_http_smart_journal_call_of(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_smart_journal_call_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_smart_journal_call_read(ngx_http_smart_journal_call_t *call,
    ngx_uint_t again)
{
    return ngx_http_smart_journal_call_post(call,
                                            &ngx_http_smart_journal_readers,
                                            NGX_HTTP_SMART_JOURNAL_READERS,
                                            again);
}


ngx_int_t
ngx_http_smart_journal_call_write(ngx_http_smart_journal_call_t *call)
{
    return ngx_http_smart_journal_call_post(call,
                                            &ngx_http_smart_journal_writers,
                                            NGX_HTTP_SMART_JOURNAL_WRITERS,
                                            0);
}


static ngx_int_t
ngx_http_smart_journal_call_post(ngx_http_smart_journal_call_t *call,
    ngx_http_smart_journal_lane_t *lane, ngx_uint_t slots, ngx_uint_t again)
{
    if (lane->slots_n == 0) {
        ngx_queue_init(&lane->waiting);
        ngx_queue_init(&lane->running);
        lane->slots_n = slots;
    }

    if (lane->n >= NGX_HTTP_SMART_JOURNAL_WAITING && !again) {
        return NGX_BUSY;
    }

    call->lane = lane;
    call->state = NGX_HTTP_SMART_JOURNAL_CALL_WAITS;

    ngx_queue_insert_tail(&lane->waiting, &call->queue);
    lane->n++;

    ngx_add_timer(&call->task.event, NGX_HTTP_SMART_JOURNAL_TIMER);

    ngx_http_smart_journal_call_next(lane);

    return NGX_OK;
}


/* whoever waits longest, for as long as there is a slot */
static void
ngx_http_smart_journal_call_next(ngx_http_smart_journal_lane_t *lane)
{
    ngx_uint_t                      i;
    ngx_queue_t                    *q;
    ngx_http_smart_journal_call_t  *call;

    for (i = 0; i < lane->slots_n && lane->n; i++) {

        if (lane->slots[i].busy) {
            continue;
        }

        q = ngx_queue_head(&lane->waiting);
        call = ngx_queue_data(q, ngx_http_smart_journal_call_t, queue);

        ngx_queue_remove(q);
        lane->n--;

        if (ngx_http_smart_journal_call_start(call, i) == NGX_OK) {
            continue;
        }

        /* the queue of the threads is full, the log has it */

        call->rc = NGX_HTTP_SMART_JOURNAL_BUSY;
        call->state = NGX_HTTP_SMART_JOURNAL_CALL_IDLE;

        ngx_cpystrn((u_char *) call->error.text, (u_char *) "no thread is free",
                    sizeof(call->error.text));
        ngx_post_event(&call->task.event, &ngx_posted_next_events);
    }
}


static ngx_int_t
ngx_http_smart_journal_call_start(ngx_http_smart_journal_call_t *call,
    ngx_uint_t slot)
{
    /* the thread may begin before the next line */

    call->slot = slot;
    call->lane->slots[slot].busy = 1;
    call->state = NGX_HTTP_SMART_JOURNAL_CALL_RUNS;
    ngx_queue_insert_tail(&call->lane->running, &call->queue);

    if (ngx_thread_task_post(call->jmcf->thread_pool, &call->task) != NGX_OK) {
        ngx_queue_remove(&call->queue);
        call->lane->slots[slot].busy = 0;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_smart_journal_call_thread(void *data, ngx_log_t *log)
{
    ngx_http_smart_journal_call_t *call = data;

    ngx_http_smart_journal_slot_t       *s;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    s = &call->lane->slots[call->slot];
    jmcf = call->jmcf;

    call->rc = NGX_HTTP_SMART_JOURNAL_OK;
    call->error.text[0] = '\0';

    if (s->jmcf != jmcf
        || (s->reader && s->jmcf->store->read->moved(s->reader)))
    {
        ngx_http_smart_journal_call_close(s);
        s->jmcf = jmcf;
    }

    if (call->lane == &ngx_http_smart_journal_readers) {

        if (s->reader == NULL) {
            s->reader = jmcf->store->read->open(&jmcf->options, &call->rc,
                                                &call->error);
        }

        if (s->reader == NULL) {
            return;
        }

        jmcf->store->read->limit(s->reader, NGX_HTTP_SMART_JOURNAL_LIMIT,
                                 &call->gone);

    } else {

        if (s->store == NULL) {
            s->store = jmcf->store->open(&jmcf->options, &call->rc,
                                         &call->error);
        }

        if (s->store == NULL) {
            return;
        }

        call->rc = NGX_HTTP_SMART_JOURNAL_OK;
    }

    call->reader = s->reader;
    call->store = s->store;

    call->work(call);

    if (call->rc > NGX_HTTP_SMART_JOURNAL_BUSY) {
        /* the next one has a try with a new connection */

        ngx_http_smart_journal_call_close(s);
    }
}


static void
ngx_http_smart_journal_call_event(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_smart_journal_call_t  *call;
    ngx_http_smart_journal_lane_t  *lane;

    call = ev->data;
    lane = call->lane;

    if (ev->timedout) {
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_HTTP_SMART_JOURNAL_TIMER);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (call->state == NGX_HTTP_SMART_JOURNAL_CALL_RUNS) {
        call->state = NGX_HTTP_SMART_JOURNAL_CALL_IDLE;
        lane->slots[call->slot].busy = 0;
        ngx_queue_remove(&call->queue);
    }

    ngx_http_smart_journal_call_next(lane);

    r = call->request;

    if (r == NULL) {
        ngx_http_smart_journal_call_free(call);
        return;
    }

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    call->done(r, call);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_smart_journal_call_cleanup(void *data)
{
    ngx_http_smart_journal_call_t *call = data;

    call->request = NULL;

    switch (call->state) {

    case NGX_HTTP_SMART_JOURNAL_CALL_RUNS:

        /* the thread still has it: its event frees it */

        call->gone = 1;
        return;

    case NGX_HTTP_SMART_JOURNAL_CALL_WAITS:
        ngx_queue_remove(&call->queue);
        call->lane->n--;
        break;

    default: /* NGX_HTTP_SMART_JOURNAL_CALL_IDLE */

        if (call->task.event.posted) {
            ngx_delete_posted_event(&call->task.event);
        }
    }

    if (call->task.event.timer_set) {
        ngx_del_timer(&call->task.event);
    }

    ngx_http_smart_journal_call_free(call);
}


static void
ngx_http_smart_journal_call_free(ngx_http_smart_journal_call_t *call)
{
    free(call->out.data);
    ngx_destroy_pool(call->pool);
}


static void
ngx_http_smart_journal_call_close(ngx_http_smart_journal_slot_t *s)
{
    if (s->reader) {
        s->jmcf->store->read->close(s->reader);
        s->reader = NULL;
    }

    if (s->store) {
        s->jmcf->store->close(s->store, NULL);
        s->store = NULL;
    }
}


void
ngx_http_smart_journal_call_exit(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i, n;
    ngx_queue_t                    *q;
    ngx_http_smart_journal_call_t  *call;
    ngx_http_smart_journal_lane_t  *lane;

    static ngx_http_smart_journal_lane_t  *lanes[] = {
        &ngx_http_smart_journal_readers, &ngx_http_smart_journal_writers
    };

    for (n = 0; n < 2; n++) {

        lane = lanes[n];

        for (i = 0; i < lane->slots_n; i++) {
            ngx_http_smart_journal_call_close(&lane->slots[i]);
        }

        while (lane->slots_n && !ngx_queue_empty(&lane->running)) {

            q = ngx_queue_head(&lane->running);
            call = ngx_queue_data(q, ngx_http_smart_journal_call_t, queue);

            ngx_queue_remove(q);
            call->state = NGX_HTTP_SMART_JOURNAL_CALL_IDLE;

            if (call->request == NULL) {
                ngx_http_smart_journal_call_free(call);
            }
        }
    }
}


ngx_uint_t
ngx_http_smart_journal_out_room(ngx_http_smart_journal_out_t *out, size_t len)
{
    size_t   size;
    u_char  *data;

    if (out->failed) {
        return 0;
    }

    if (len <= out->size - out->len) {
        return 1;
    }

    size = ngx_max(out->size * 2, 4096);
    size = ngx_max(size, out->len + len);

    data = realloc(out->data, size);

    if (data == NULL) {
        out->failed = 1;
        return 0;
    }

    out->data = data;
    out->size = size;

    return 1;
}


void
ngx_http_smart_journal_out_text(ngx_http_smart_journal_out_t *out,
    const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    /* there may be no memory yet, which memcpy() does not like */

    if (len && ngx_http_smart_journal_out_room(out, len)) {
        ngx_memcpy(out->data + out->len, text, len);
        out->len += len;
    }
}
