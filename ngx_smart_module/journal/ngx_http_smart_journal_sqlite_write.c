
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: records in and out, and the counts that go with them.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ngx_http_smart_journal_sqlite.h"


/* records between two pauses */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_PAUSE  32


static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_begin(
    ngx_http_smart_journal_store_t *store, size_t n,
    ngx_http_smart_journal_error_t *error);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_end(
    ngx_http_smart_journal_store_t *store, int rc,
    ngx_http_smart_journal_error_t *error);
static int ngx_http_smart_journal_sqlite_new(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t *records, size_t n);
static int ngx_http_smart_journal_sqlite_each(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t *records, size_t n, size_t *skipped);
static void ngx_http_smart_journal_sqlite_pause(
    ngx_http_smart_journal_store_t *store, size_t i);
static int ngx_http_smart_journal_sqlite_record(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t *record);
static void ngx_http_smart_journal_sqlite_tell(
    ngx_http_smart_journal_store_t *store, const ngx_smart_record_t *record);
static unsigned ngx_http_smart_journal_sqlite_refused(int rc);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_compare(
    ngx_http_smart_journal_store_t *store, const ngx_smart_record_t *record,
    int *rc);
static int ngx_http_smart_journal_sqlite_remove(
    ngx_http_smart_journal_store_t *store, int64_t before, size_t n,
    size_t *pruned);
static int ngx_http_smart_journal_sqlite_keep(
    ngx_http_smart_journal_store_t *store, sqlite3_stmt *row, int column,
    size_t *used);
static int ngx_http_smart_journal_sqlite_tally(
    ngx_http_smart_journal_store_t *store, size_t used);


/*
 * Nearly all records are new, and are written many at a time.  Where one is
 * not, as after the death of a writer between commit and acknowledgement, or
 * the store refuses one, the batch is written anew, one by one.
 */
ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_write(ngx_http_smart_journal_store_t *store,
    int64_t instance, const ngx_smart_record_t *records, size_t n,
    unsigned pauses, size_t *skipped, ngx_http_smart_journal_error_t *error)
{
    int                          rc;
    ngx_http_smart_journal_rc_e  result;

    *skipped = 0;
    store->pauses = pauses;

    result = ngx_http_smart_journal_sqlite_begin(store, n, error);

    if (result != NGX_HTTP_SMART_JOURNAL_OK) {
        return result;
    }

    rc = ngx_http_smart_journal_sqlite_new(store, instance, records, n);

    if (!ngx_http_smart_journal_sqlite_refused(rc)) {
        return ngx_http_smart_journal_sqlite_end(store, rc, error);
    }

    (void) ngx_http_smart_journal_sqlite_end(store, rc, error);
    error->text[0] = '\0';

    result = ngx_http_smart_journal_sqlite_begin(store, n, error);

    if (result != NGX_HTTP_SMART_JOURNAL_OK) {
        return result;
    }

    rc = ngx_http_smart_journal_sqlite_each(store, instance, records, n,
                                            skipped);

    return ngx_http_smart_journal_sqlite_end(store, rc, error);
}


/* a transaction that counts at most n records */
static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_begin(ngx_http_smart_journal_store_t *store,
    size_t n, ngx_http_smart_journal_error_t *error)
{
    int  rc;

    if (ngx_http_smart_journal_sqlite_moved(store)) {
        snprintf(error->text, sizeof(error->text),
                 "has been moved or removed");
        return NGX_HTTP_SMART_JOURNAL_FAILED;
    }

    if (ngx_http_smart_journal_sqlite_room(&store->urls, n) != SQLITE_OK
        || ngx_http_smart_journal_sqlite_room(&store->websites, n)
           != SQLITE_OK)
    {
        snprintf(error->text, sizeof(error->text), "out of memory");
        return NGX_HTTP_SMART_JOURNAL_FAILED;
    }

    rc = ngx_http_smart_journal_sqlite_run(store,
                                         NGX_HTTP_SMART_JOURNAL_SQLITE_BEGIN);
    if (rc != SQLITE_OK) {
        return ngx_http_smart_journal_sqlite_failed(store, rc, "cannot write",
                                                    error);
    }

    return NGX_HTTP_SMART_JOURNAL_OK;
}


/* "rc" tells what became of the records; all of them are kept, or none */
static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_end(ngx_http_smart_journal_store_t *store,
    int rc, ngx_http_smart_journal_error_t *error)
{
    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_add(store);
    }

    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_run(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_COMMIT);
    }

    if (rc != SQLITE_OK) {
        return ngx_http_smart_journal_sqlite_failed(store, rc, "cannot write",
                                                    error);
    }

    return NGX_HTTP_SMART_JOURNAL_OK;
}


static int
ngx_http_smart_journal_sqlite_new(ngx_http_smart_journal_store_t *store,
    int64_t instance, const ngx_smart_record_t *records, size_t n)
{
    int                        rc;
    size_t                     i, k;
    const ngx_smart_record_t  *many[NGX_HTTP_SMART_JOURNAL_SQLITE_MANY];

    k = 0;
    rc = SQLITE_OK;

    for (i = 0; i < n && rc == SQLITE_OK; i++) {

        ngx_http_smart_journal_sqlite_pause(store, i);

        if (records[i].again) {
            rc = ngx_http_smart_journal_sqlite_record(store, instance,
                                                      &records[i]);
            continue;
        }

        many[k++] = &records[i];

        ngx_http_smart_journal_sqlite_tell(store, &records[i]);

        if (k == NGX_HTTP_SMART_JOURNAL_SQLITE_MANY) {
            rc = ngx_http_smart_journal_sqlite_insert_new(store, instance,
                                                          many, k);
            k = 0;
        }
    }

    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_insert_new(store, instance, many,
                                                      k);
    }

    return rc;
}


static int
ngx_http_smart_journal_sqlite_each(ngx_http_smart_journal_store_t *store,
    int64_t instance, const ngx_smart_record_t *records, size_t n,
    size_t *skipped)
{
    int     rc;
    size_t  i;

    rc = SQLITE_OK;

    for (i = 0; i < n && rc == SQLITE_OK; i++) {

        ngx_http_smart_journal_sqlite_pause(store, i);

        rc = ngx_http_smart_journal_sqlite_record(store, instance,
                                                  &records[i]);

        if (ngx_http_smart_journal_sqlite_refused(rc)) {
            (*skipped)++;
            rc = SQLITE_OK;
        }
    }

    return rc;
}


/*
 * Lets event loops have the processor.  The kernel takes it from a thread that
 * has been idle for long only at the end of a time slice, which is some ms, and
 * all requests of that worker would wait.  Going to sleep and waking up costs
 * a fifth of the time, though.
 */
static void
ngx_http_smart_journal_sqlite_pause(ngx_http_smart_journal_store_t *store,
    size_t i)
{
    struct timespec  pause;

    if (!store->pauses
        || i % NGX_HTTP_SMART_JOURNAL_SQLITE_PAUSE
           != NGX_HTTP_SMART_JOURNAL_SQLITE_PAUSE - 1)
    {
        return;
    }

    /* the kernel adds about 50 us, which is enough */

    pause.tv_sec = 0;
    pause.tv_nsec = 1000;

    (void) nanosleep(&pause, NULL);
}


static int
ngx_http_smart_journal_sqlite_record(ngx_http_smart_journal_store_t *store,
    int64_t instance, const ngx_smart_record_t *record)
{
    int       rc;
    unsigned  inserted, updated;

    inserted = 0;
    updated = 0;

    if (record->again) {
        rc = ngx_http_smart_journal_sqlite_update(store, record, &updated);

        if (rc != SQLITE_OK || updated) {
            return rc;
        }
    }

    rc = ngx_http_smart_journal_sqlite_insert(store, instance, record,
                                              &inserted);
    if (rc != SQLITE_OK) {
        return rc;
    }

    if (inserted) {
        ngx_http_smart_journal_sqlite_tell(store, record);
        return SQLITE_OK;
    }

    if (record->again || record->state == NGX_SMART_RECORD_OPEN) {
        return SQLITE_OK;
    }

    return ngx_http_smart_journal_sqlite_update(store, record, &updated);
}


static void
ngx_http_smart_journal_sqlite_tell(ngx_http_smart_journal_store_t *store,
    const ngx_smart_record_t *record)
{
    ngx_http_smart_journal_sqlite_count(&store->urls, record->url.data,
                                        record->url.len);
    ngx_http_smart_journal_sqlite_count(&store->websites, record->website.data,
                                        record->website.len);
}


/* one record, for what it is */
static unsigned
ngx_http_smart_journal_sqlite_refused(int rc)
{
    return (rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_TOOBIG;
}


ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_put(ngx_http_smart_journal_store_t *store,
    const ngx_smart_record_t *record, ngx_http_smart_journal_error_t *error)
{
    int                          rc;
    unsigned                     inserted;
    ngx_http_smart_journal_rc_e  result, ended;

    inserted = 0;
    result = ngx_http_smart_journal_sqlite_begin(store, 1, error);

    if (result != NGX_HTTP_SMART_JOURNAL_OK) {
        return result;
    }

    result = NGX_HTTP_SMART_JOURNAL_CREATED;
    rc = ngx_http_smart_journal_sqlite_insert(store, 0, record, &inserted);

    if (rc == SQLITE_OK && inserted) {
        ngx_http_smart_journal_sqlite_tell(store, record);
    }

    if (rc == SQLITE_OK && !inserted) {
        result = ngx_http_smart_journal_sqlite_compare(store, record, &rc);
    }

    ended = ngx_http_smart_journal_sqlite_end(store, rc, error);

    return ended == NGX_HTTP_SMART_JOURNAL_OK ? result : ended;
}


static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_compare(ngx_http_smart_journal_store_t *store,
    const ngx_smart_record_t *record, int *rc)
{
    unsigned       same;
    const void    *url;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_smart_journal_sqlite_statement(store,
                                          NGX_HTTP_SMART_JOURNAL_SQLITE_FIND);
    if (stmt == NULL) {
        *rc = sqlite3_extended_errcode(store->db);
        return NGX_HTTP_SMART_JOURNAL_FAILED;
    }

    sqlite3_bind_blob(stmt, 1, record->id, sizeof(record->id), SQLITE_STATIC);

    *rc = sqlite3_step(stmt);
    same = 0;

    if (*rc == SQLITE_ROW) {

        url = sqlite3_column_text(stmt, 2);

        same = sqlite3_column_int64(stmt, 0) == record->timestamp
               && sqlite3_column_type(stmt, 1) != SQLITE_NULL
               && sqlite3_column_int64(stmt, 1) == record->duration
               && sqlite3_column_int64(stmt, 3) == record->code
               && (size_t) sqlite3_column_bytes(stmt, 2) == record->url.len
               && url && memcmp(url, record->url.data, record->url.len) == 0;

        *rc = SQLITE_OK;
    }

    sqlite3_reset(stmt);

    return same ? NGX_HTTP_SMART_JOURNAL_SAME
                : NGX_HTTP_SMART_JOURNAL_CONFLICT;
}


ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_prune(ngx_http_smart_journal_store_t *store,
    int64_t before, size_t n, size_t *pruned,
    ngx_http_smart_journal_error_t *error)
{
    int     rc;
    size_t  removed;

    removed = 0;

    rc = ngx_http_smart_journal_sqlite_run(store,
                                         NGX_HTTP_SMART_JOURNAL_SQLITE_BEGIN);
    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_remove(store, before, n, &removed);
    }

    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_run(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_COMMIT);
    }

    if (rc != SQLITE_OK) {
        return ngx_http_smart_journal_sqlite_failed(store, rc,
                                                    "cannot prune", error);
    }

    *pruned = removed;

    return NGX_HTTP_SMART_JOURNAL_OK;
}


static int
ngx_http_smart_journal_sqlite_remove(ngx_http_smart_journal_store_t *store,
    int64_t before, size_t n, size_t *pruned)
{
    int            rc;
    size_t         used;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_smart_journal_sqlite_statement(store,
                                         NGX_HTTP_SMART_JOURNAL_SQLITE_PRUNE);
    if (stmt == NULL) {
        return sqlite3_extended_errcode(store->db);
    }

    sqlite3_bind_int64(stmt, 1, before);
    sqlite3_bind_int64(stmt, 2, (int64_t) n);

    used = 0;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {

        if (ngx_http_smart_journal_sqlite_keep(store, stmt, 0, &used)
            != SQLITE_OK
            || ngx_http_smart_journal_sqlite_keep(store, stmt, 1, &used)
               != SQLITE_OK)
        {
            rc = SQLITE_NOMEM;
            break;
        }

        (*pruned)++;
    }

    sqlite3_reset(stmt);

    if (rc != SQLITE_DONE) {
        return rc;
    }

    if (*pruned == 0) {
        return SQLITE_OK;
    }

    if (ngx_http_smart_journal_sqlite_room(&store->urls, *pruned) != SQLITE_OK
        || ngx_http_smart_journal_sqlite_room(&store->websites, *pruned)
           != SQLITE_OK)
    {
        return SQLITE_NOMEM;
    }

    return ngx_http_smart_journal_sqlite_tally(store, used);
}


/* appends a text and its length before it: it may move later, so no pointers */
static int
ngx_http_smart_journal_sqlite_keep(ngx_http_smart_journal_store_t *store,
    sqlite3_stmt *row, int column, size_t *used)
{
    char        *texts;
    size_t       size;
    uint32_t     len;
    const void  *text;

    text = sqlite3_column_text(row, column);
    len = text ? (uint32_t) sqlite3_column_bytes(row, column) : 0;

    if (*used + sizeof(len) + len > store->texts_size) {

        size = 2 * (*used + sizeof(len) + len) + 65536;

        texts = realloc(store->texts, size);
        if (texts == NULL) {
            return SQLITE_NOMEM;
        }

        store->texts = texts;
        store->texts_size = size;
    }

    memcpy(store->texts + *used, &len, sizeof(len));
    *used += sizeof(len);

    if (len) {
        memcpy(store->texts + *used, text, len);
        *used += len;
    }

    return SQLITE_OK;
}


/* the texts are urls and websites in turn */
static int
ngx_http_smart_journal_sqlite_tally(ngx_http_smart_journal_store_t *store,
    size_t used)
{
    size_t    i;
    uint32_t  len;
    unsigned  url;

    url = 1;

    for (i = 0; i < used; i += len) {

        memcpy(&len, store->texts + i, sizeof(len));
        i += sizeof(len);

        ngx_http_smart_journal_sqlite_count(url ? &store->urls
                                                : &store->websites,
                                            store->texts + i, len);
        url = !url;
    }

    return ngx_http_smart_journal_sqlite_subtract(store);
}
