
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Many timers behind one event.  The delays of one location are mostly alike,
 * so they come due in the order in which they are set: a queue costs less
 * than a tree.  A timer that does not fit near the tail gets an event of its
 * own.
 */

#ifndef _NGX_HTTP_SMART_TIMER_H_INCLUDED_
#define _NGX_HTTP_SMART_TIMER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct ngx_http_smart_timer_s  ngx_http_smart_timer_t;

typedef void (*ngx_http_smart_timer_handler_pt)(ngx_http_smart_timer_t *t);


typedef struct {
    ngx_queue_t                      queue;
    ngx_event_t                      event;
    ngx_http_smart_timer_handler_pt  handler;
} ngx_http_smart_timers_t;


/* "due" is 0 while the timer is not set */
struct ngx_http_smart_timer_s {
    ngx_queue_t                      queue;
    ngx_msec_t                       due;
    ngx_event_t                     *event;
};


ngx_http_smart_timers_t *ngx_http_smart_timers_create(ngx_pool_t *pool,
    ngx_http_smart_timer_handler_pt handler);

/*
 * Sets the timer, or moves it, to "due" (as ngx_current_msec counts).  The
 * handler is called once, with the timer no longer set.  NGX_ERROR if there
 * is no memory in the pool.
 */
ngx_int_t ngx_http_smart_timer_set(ngx_http_smart_timers_t *timers,
    ngx_http_smart_timer_t *t, ngx_msec_t due, ngx_pool_t *pool);

/* one that has an event of its own */
void ngx_http_smart_timer_remove(ngx_http_smart_timer_t *t);


static ngx_inline void
ngx_http_smart_timer_del(ngx_http_smart_timer_t *t)
{
    if (t->due == 0) {
        return;
    }

    if (t->queue.next) {
        t->due = 0;
        ngx_queue_remove(&t->queue);
        t->queue.next = NULL;
        return;
    }

    ngx_http_smart_timer_remove(t);
}


#endif /* _NGX_HTTP_SMART_TIMER_H_INCLUDED_ */
