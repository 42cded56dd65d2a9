
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Work of the store that requests wait for: in threads of nginx, a bounded
 * number at a time, with memory of its own, so that a request may go away
 * while a thread works for it.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_CALL_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_CALL_H_INCLUDED_


#include "ngx_http_smart_journal_module.h"
#include "ngx_http_smart_journal_read.h"


typedef struct ngx_http_smart_journal_call_s  ngx_http_smart_journal_call_t;
typedef struct ngx_http_smart_journal_lane_s  ngx_http_smart_journal_lane_t;


/* text that grows; "failed" if there was no memory */
typedef struct {
    u_char                          *data;
    size_t                           len;
    size_t                           size;
    ngx_uint_t                       failed;
} ngx_http_smart_journal_out_t;


/* in a thread: no request, no pool, no log; "reader" or "store" is set */
typedef void (*ngx_http_smart_journal_work_pt)(
    ngx_http_smart_journal_call_t *call);

/* in the worker's loop, once the work is done; never if the request is gone */
typedef void (*ngx_http_smart_journal_done_pt)(ngx_http_request_t *r,
    ngx_http_smart_journal_call_t *call);


struct ngx_http_smart_journal_call_s {
    ngx_thread_task_t                       task;
    ngx_queue_t                             queue;

    ngx_pool_t                             *pool;
    ngx_http_request_t                     *request;    /* NULL: it is gone */
    ngx_pool_cleanup_t                     *cleanup;
    ngx_http_smart_journal_main_conf_t     *jmcf;
    ngx_http_smart_journal_lane_t          *lane;
    unsigned                                state;

    ngx_http_smart_journal_work_pt          work;
    ngx_http_smart_journal_done_pt          done;
    void                                   *data;

    /* the thread's, while it runs */
    ngx_uint_t                              slot;
    ngx_http_smart_journal_reader_t        *reader;
    ngx_http_smart_journal_store_t         *store;
    ngx_http_smart_journal_rc_e             rc;
    ngx_http_smart_journal_error_t          error;
    ngx_http_smart_journal_out_t            out;

    volatile unsigned                       gone;
};


/*
 * A call of the request, with "size" zeroed bytes at "data"; it lives as long
 * as the request, or the thread, whichever is longer.  NULL without memory.
 */
ngx_http_smart_journal_call_t *ngx_http_smart_journal_call(
    ngx_http_request_t *r, size_t size);

/* the one of a request that has one */
ngx_http_smart_journal_call_t *ngx_http_smart_journal_call_of(
    ngx_http_request_t *r);

/*
 * Puts it into the queue of readers, or of those that write.  NGX_OK, and
 * "done" is called; or NGX_BUSY if too many wait, NGX_ERROR.  A call that was
 * done may be run again; "again" is for those that have been let in before.
 */
ngx_int_t ngx_http_smart_journal_call_read(
    ngx_http_smart_journal_call_t *call, ngx_uint_t again);
ngx_int_t ngx_http_smart_journal_call_write(
    ngx_http_smart_journal_call_t *call);

/* room for "len" more bytes at out->data + out->len; 0 if there is none */
ngx_uint_t ngx_http_smart_journal_out_room(ngx_http_smart_journal_out_t *out,
    size_t len);
void ngx_http_smart_journal_out_text(ngx_http_smart_journal_out_t *out,
    const char *text);

#endif /* _NGX_HTTP_SMART_JOURNAL_CALL_H_INCLUDED_ */
