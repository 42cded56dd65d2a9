
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_timer.h"


/* how far from the tail of the queue a place is looked for */
#define NGX_HTTP_SMART_TIMER_WALK  16


typedef struct {
    ngx_event_t                      event;
    ngx_http_smart_timers_t         *timers;
    ngx_http_smart_timer_t          *timer;
} ngx_http_smart_timer_own_t;


static void ngx_http_smart_timers_cleanup(void *data);
static ngx_int_t ngx_http_smart_timer_set_own(
    ngx_http_smart_timers_t *timers, ngx_http_smart_timer_t *t,
    ngx_pool_t *pool);
static void ngx_http_smart_timer_event_handler(ngx_event_t *ev);
static void ngx_http_smart_timer_own_handler(ngx_event_t *ev);


ngx_http_smart_timers_t *
ngx_http_smart_timers_create(ngx_pool_t *pool,
    ngx_http_smart_timer_handler_pt handler)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_smart_timers_t  *timers;

    timers = ngx_pcalloc(pool, sizeof(ngx_http_smart_timers_t));
    if (timers == NULL) {
        return NULL;
    }

    ngx_queue_init(&timers->queue);

    timers->handler = handler;
    timers->event.handler = ngx_http_smart_timer_event_handler;
    timers->event.data = timers;
    timers->event.cancelable = 1;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_smart_timers_cleanup;
    cln->data = timers;

    return timers;
}


/* without a master process, a configuration ends before its process does */
static void
ngx_http_smart_timers_cleanup(void *data)
{
    ngx_http_smart_timers_t  *timers = data;

    if (timers->event.timer_set) {
        ngx_del_timer(&timers->event);
    }
}


ngx_int_t
ngx_http_smart_timer_set(ngx_http_smart_timers_t *timers,
    ngx_http_smart_timer_t *t, ngx_msec_t due, ngx_pool_t *pool)
{
    ngx_uint_t               i;
    ngx_queue_t             *q;
    ngx_http_smart_timer_t  *before;

    if (t->due) {
        ngx_http_smart_timer_del(t);
    }

    t->due = due ? due : 1;

    q = ngx_queue_last(&timers->queue);

    for (i = 0; q != ngx_queue_sentinel(&timers->queue); i++) {

        before = ngx_queue_data(q, ngx_http_smart_timer_t, queue);

        if ((ngx_msec_int_t) (before->due - due) <= 0) {
            break;
        }

        if (i == NGX_HTTP_SMART_TIMER_WALK) {
            return ngx_http_smart_timer_set_own(timers, t, pool);
        }

        q = ngx_queue_prev(q);
    }

    ngx_queue_insert_after(q, &t->queue);

    if (q == ngx_queue_sentinel(&timers->queue)
        && (!timers->event.timer_set
            || (ngx_msec_int_t) (timers->event.timer.key - due) > 0))
    {
        if (timers->event.timer_set) {
            ngx_del_timer(&timers->event);
        }

        timers->event.log = ngx_cycle->log;
        ngx_add_timer(&timers->event,
                      ngx_max((ngx_msec_int_t) (due - ngx_current_msec), 0));
    }

    return NGX_OK;
}


void
ngx_http_smart_timer_remove(ngx_http_smart_timer_t *t)
{
    t->due = 0;

    if (t->event->timer_set) {
        ngx_del_timer(t->event);
    }
}


static ngx_int_t
ngx_http_smart_timer_set_own(ngx_http_smart_timers_t *timers,
    ngx_http_smart_timer_t *t, ngx_pool_t *pool)
{
    ngx_http_smart_timer_own_t  *own;

    if (t->event == NULL) {

        own = ngx_pcalloc(pool, sizeof(ngx_http_smart_timer_own_t));
        if (own == NULL) {
            t->due = 0;
            return NGX_ERROR;
        }

        own->timers = timers;
        own->timer = t;
        own->event.handler = ngx_http_smart_timer_own_handler;
        own->event.data = own;
        own->event.cancelable = 1;

        t->event = &own->event;
    }

    t->queue.next = NULL;
    t->event->log = ngx_cycle->log;

    ngx_add_timer(t->event,
                  ngx_max((ngx_msec_int_t) (t->due - ngx_current_msec), 0));

    return NGX_OK;
}


static void
ngx_http_smart_timer_event_handler(ngx_event_t *ev)
{
    ngx_queue_t              *q;
    ngx_msec_int_t            left;
    ngx_http_smart_timer_t   *t;
    ngx_http_smart_timers_t  *timers;

    timers = ev->data;

    while (!ngx_queue_empty(&timers->queue)) {

        q = ngx_queue_head(&timers->queue);
        t = ngx_queue_data(q, ngx_http_smart_timer_t, queue);

        left = (ngx_msec_int_t) (t->due - ngx_current_msec);

        if (left > 0) {

            if (ev->timer_set) {
                ngx_del_timer(ev);
            }

            ngx_add_timer(ev, (ngx_msec_t) left);

            return;
        }

        ngx_http_smart_timer_del(t);

        timers->handler(t);
    }
}


static void
ngx_http_smart_timer_own_handler(ngx_event_t *ev)
{
    ngx_http_smart_timer_own_t  *own;

    own = ev->data;
    own->timer->due = 0;

    own->timers->handler(own->timer);
}
