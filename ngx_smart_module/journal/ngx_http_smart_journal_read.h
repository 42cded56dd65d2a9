
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What can be asked of a store.  As with the store itself, the functions are
 * called in threads, and one reader is used by one thread at a time.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_READ_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_READ_H_INCLUDED_


#include "ngx_http_smart_journal_store.h"


typedef struct ngx_http_smart_journal_reader_s
    ngx_http_smart_journal_reader_t;


/* the place of a record in a list */
typedef struct {
    int64_t                    timestamp;
    uint8_t                    id[16];
} ngx_http_smart_journal_place_t;


/* what a record has to be; zero, and -1 of "state", is anything */
typedef struct {
    int                        state;
    int32_t                    code_from;
    int32_t                    code_to;      /* inclusive */
    ngx_smart_record_text_t    host;         /* in lower case */
    ngx_smart_record_text_t    method;
    ngx_smart_record_text_t    url;          /* a part of it, in lower case */
} ngx_http_smart_journal_filter_t;


/*
 * A list, newest first.  It may end before its time: after "scan" records
 * gone through or "spend" us, whichever is first, but not before one record.
 * "done" says that there are no more; otherwise "after" is the record where
 * the next call goes on.
 */
typedef struct {
    unsigned                         by_id;  /* "after" has it, all else not */
    unsigned                         frame;  /* overlap, not only beginnings */
    int64_t                          from;   /* us, inclusive */
    int64_t                          to;
    ngx_http_smart_journal_filter_t  filter;

    unsigned                         going_on;
    ngx_http_smart_journal_place_t   after;

    size_t                           scan;
    int64_t                          spend;

    unsigned                         done;
} ngx_http_smart_journal_list_t;


/* whole urls, or websites, by their number and then by name */
typedef struct {
    unsigned                         by_url;
    size_t                           n;
} ngx_http_smart_journal_top_t;


/* 0 takes nothing of the record and ends the list before it */
typedef int (*ngx_http_smart_journal_record_pt)(void *data,
    const ngx_smart_record_t *record);

typedef void (*ngx_http_smart_journal_count_pt)(void *data,
    const ngx_smart_record_text_t *name, int64_t count);


typedef struct ngx_http_smart_journal_read_api_s {

    /* not made if it is not there */
    ngx_http_smart_journal_reader_t *(*open)(
        const ngx_http_smart_journal_options_t *options,
        ngx_http_smart_journal_rc_e *rc,
        ngx_http_smart_journal_error_t *error);

    /*
     * What the next call may take: it is "BUSY" after so many us, or soon
     * after "gone" is not zero any more.
     */
    void                             (*limit)(
        ngx_http_smart_journal_reader_t *reader, int64_t us,
        const volatile unsigned *gone);

    ngx_http_smart_journal_rc_e      (*list)(
        ngx_http_smart_journal_reader_t *reader,
        ngx_http_smart_journal_list_t *list,
        ngx_http_smart_journal_record_pt record, void *data,
        ngx_http_smart_journal_error_t *error);

    ngx_http_smart_journal_rc_e      (*top)(
        ngx_http_smart_journal_reader_t *reader,
        const ngx_http_smart_journal_top_t *top,
        ngx_http_smart_journal_count_pt count, void *data,
        ngx_http_smart_journal_error_t *error);

    /* 1 if another store is at its place by now: to be opened again */
    unsigned                         (*moved)(
        ngx_http_smart_journal_reader_t *reader);

    void                             (*close)(
        ngx_http_smart_journal_reader_t *reader);

} ngx_http_smart_journal_read_api_t;


extern const ngx_http_smart_journal_read_api_t
    ngx_http_smart_journal_sqlite_read;


#endif /* _NGX_HTTP_SMART_JOURNAL_READ_H_INCLUDED_ */
