
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What a store of the journal can do.  The functions are called in threads:
 * they know nothing of nginx, wait as long as the database takes, and one
 * handle is used by one thread at a time.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_STORE_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_STORE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "ngx_smart_record.h"


typedef struct ngx_http_smart_journal_store_s  ngx_http_smart_journal_store_t;


typedef enum {
    NGX_HTTP_SMART_JOURNAL_OK = 0,

    /* of put() */
    NGX_HTTP_SMART_JOURNAL_CREATED,
    NGX_HTTP_SMART_JOURNAL_SAME,
    NGX_HTTP_SMART_JOURNAL_CONFLICT,     /* another record under that id */

    NGX_HTTP_SMART_JOURNAL_BUSY,         /* locked by others: try again */
    NGX_HTTP_SMART_JOURNAL_FULL,
    NGX_HTTP_SMART_JOURNAL_READ_ONLY,
    NGX_HTTP_SMART_JOURNAL_CORRUPT,
    NGX_HTTP_SMART_JOURNAL_FOREIGN,      /* not a journal, or a newer one */
    NGX_HTTP_SMART_JOURNAL_FAILED
} ngx_http_smart_journal_rc_e;


/* what went wrong, for the log: zero-terminated, without a full stop */
typedef struct {
    char                            text[512];
} ngx_http_smart_journal_error_t;


typedef struct {
    const char                     *place;      /* a path, or how to connect */
    unsigned                        sync;       /* survive a power cut */
    unsigned                        busy;       /* ms to wait for a lock */
} ngx_http_smart_journal_options_t;


/* a process, told from a later one of the same number */
typedef struct {
    int64_t                         pid;
    int64_t                         started;    /* ticks since boot, or 0 */
} ngx_http_smart_journal_process_t;


/* the nginx that records belong to while they are open */
typedef struct {
    int64_t                           id;       /* random, positive */
    const char                       *node;

    /* of the machine, "-" if unknown, and behind a blank where pids count */
    const char                       *boot;

    ngx_http_smart_journal_process_t  master;
    ngx_http_smart_journal_process_t  writer;
    int64_t                           now;      /* us since the epoch */
    int64_t                           expires;  /* us without a heartbeat */

    /* 1 if a process of this machine is there */
    unsigned                        (*alive)(
        const ngx_http_smart_journal_process_t *process);
} ngx_http_smart_journal_instance_t;


/* ngx_http_smart_journal_read.h */
struct ngx_http_smart_journal_read_api_s;


typedef struct {
    const char                     *name;

    const struct ngx_http_smart_journal_read_api_s  *read;

    /*
     * Opens or makes the store and brings it to the present version; NULL
     * with the reason.  What opening has done and the log should tell, such
     * as a corrupt file set aside, is left in "error" of a handle that is not
     * NULL; it is empty otherwise.
     */
    ngx_http_smart_journal_store_t *(*open)(
        const ngx_http_smart_journal_options_t *options,
        ngx_http_smart_journal_rc_e *rc,
        ngx_http_smart_journal_error_t *error);

    /*
     * Writes beginnings and ends in one transaction: all of them or none.
     * Idempotent by id: an end is never overridden, except "interrupted" by
     * another end.  "skipped" counts records that the store cannot hold.
     * With "pauses" others get the processor now and then, which takes longer.
     */
    ngx_http_smart_journal_rc_e   (*write)(
        ngx_http_smart_journal_store_t *store, int64_t instance,
        const ngx_smart_record_t *records, size_t n, unsigned pauses,
        size_t *skipped, ngx_http_smart_journal_error_t *error);

    /* one record that has ended and comes from a client */
    ngx_http_smart_journal_rc_e   (*put)(
        ngx_http_smart_journal_store_t *store,
        const ngx_smart_record_t *record,
        ngx_http_smart_journal_error_t *error);

    /*
     * Tells that the instance is alive, and ends as "interrupted" what
     * expired ones have left open; their number is in "swept".
     */
    ngx_http_smart_journal_rc_e   (*heartbeat)(
        ngx_http_smart_journal_store_t *store,
        const ngx_http_smart_journal_instance_t *instance, size_t *swept,
        ngx_http_smart_journal_error_t *error);

    /*
     * Removes at most "n" of the records that began before a time, oldest
     * first, except open ones; "pruned" tells how many there were.
     */
    ngx_http_smart_journal_rc_e   (*prune)(
        ngx_http_smart_journal_store_t *store, int64_t before, size_t n,
        size_t *pruned, ngx_http_smart_journal_error_t *error);

    /* "error" may be NULL; it tells what the log should know, or is empty */
    void                          (*close)(
        ngx_http_smart_journal_store_t *store,
        ngx_http_smart_journal_error_t *error);
} ngx_http_smart_journal_store_api_t;


extern const ngx_http_smart_journal_store_api_t
    ngx_http_smart_journal_sqlite;


#endif /* _NGX_HTTP_SMART_JOURNAL_STORE_H_INCLUDED_ */
