
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the writer has a thread do.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_WORK_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_WORK_H_INCLUDED_


#include "ngx_http_smart_journal_zone.h"


/* records removed at a time */
#define NGX_HTTP_SMART_JOURNAL_WORK_STEP       500


/* what a thread is told, and what it answers */
typedef struct {
    ngx_http_smart_journal_main_conf_t  *jmcf;
    ngx_http_smart_journal_store_t      *store;

    ngx_http_smart_journal_instance_t    instance;
    ngx_uint_t                           beat;
    int64_t                              before;     /* us; 0: no pruning */

    uint32_t                            *slots;
    size_t                               n;
    unsigned                             pauses;
    ngx_smart_record_t                  *records;
    char                                *texts;

    ngx_http_smart_journal_rc_e          rc;
    ngx_http_smart_journal_error_t       error;
    ngx_http_smart_journal_error_t       note;
    ngx_uint_t                           beaten;
    ngx_uint_t                           written;    /* the batch */
    size_t                               skipped;
    size_t                               swept;
    size_t                               pruned;
    ngx_msec_t                           ms;

    ngx_atomic_t                         finished;   /* by the thread */
} ngx_http_smart_journal_work_t;


/* in a thread: no log, no pool; the shared memory of taken slots is read */
void ngx_http_smart_journal_work(ngx_http_smart_journal_work_t *w);


#endif /* _NGX_HTTP_SMART_JOURNAL_WORK_H_INCLUDED_ */
