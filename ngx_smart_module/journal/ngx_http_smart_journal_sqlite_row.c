
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: rows of records.
 */


#include "ngx_http_smart_journal_sqlite.h"


/* values of a row, as the statements have them */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_VALUES  15


static void ngx_http_smart_journal_sqlite_bind(sqlite3_stmt *stmt, int n,
    int64_t instance, const ngx_smart_record_t *record);
static void ngx_http_smart_journal_sqlite_bind_text(sqlite3_stmt *stmt, int n,
    const ngx_smart_record_text_t *text);
static void ngx_http_smart_journal_sqlite_bind_some(sqlite3_stmt *stmt, int n,
    const ngx_smart_record_text_t *text);
static void ngx_http_smart_journal_sqlite_bind_end(sqlite3_stmt *stmt, int n,
    int64_t value, int64_t unknown);


int
ngx_http_smart_journal_sqlite_insert(ngx_http_smart_journal_store_t *store,
    int64_t instance, const ngx_smart_record_t *record, unsigned *inserted)
{
    int            rc;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_smart_journal_sqlite_statement(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_INSERT);
    if (stmt == NULL) {
        return sqlite3_extended_errcode(store->db);
    }

    ngx_http_smart_journal_sqlite_bind(stmt, 0, instance, record);

    rc = sqlite3_step(stmt);

    *inserted = (rc == SQLITE_DONE && sqlite3_changes(store->db) == 1);

    sqlite3_reset(stmt);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}


int
ngx_http_smart_journal_sqlite_insert_new(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t **records, size_t n)
{
    int                                         rc;
    size_t                                      i, k, step;
    sqlite3_stmt                               *stmt;
    ngx_http_smart_journal_sqlite_statement_e   which;

    rc = SQLITE_DONE;

    for (i = 0; i < n && rc == SQLITE_DONE; i += step) {

        which = NGX_HTTP_SMART_JOURNAL_SQLITE_INSERT_MANY;
        step = NGX_HTTP_SMART_JOURNAL_SQLITE_MANY;

        if (n - i < step) {
            which = NGX_HTTP_SMART_JOURNAL_SQLITE_INSERT_ONE;
            step = 1;
        }

        stmt = ngx_http_smart_journal_sqlite_statement(store, which);
        if (stmt == NULL) {
            return sqlite3_extended_errcode(store->db);
        }

        for (k = 0; k < step; k++) {
            ngx_http_smart_journal_sqlite_bind(stmt,
                               (int) k * NGX_HTTP_SMART_JOURNAL_SQLITE_VALUES,
                                               instance, records[i + k]);
        }

        rc = sqlite3_step(stmt);
        sqlite3_reset(stmt);
    }

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}


/* the values behind the n first ones */
static void
ngx_http_smart_journal_sqlite_bind(sqlite3_stmt *stmt, int n,
    int64_t instance, const ngx_smart_record_t *record)
{
    sqlite3_bind_blob(stmt, n + 1, record->id, sizeof(record->id),
                      SQLITE_STATIC);
    sqlite3_bind_int64(stmt, n + 2, record->timestamp);
    ngx_http_smart_journal_sqlite_bind_end(stmt, n + 3, record->duration, -1);
    ngx_http_smart_journal_sqlite_bind_text(stmt, n + 4, &record->url);
    ngx_http_smart_journal_sqlite_bind_end(stmt, n + 5, record->code, 0);
    sqlite3_bind_int(stmt, n + 6, (int) record->state);
    ngx_http_smart_journal_sqlite_bind_some(stmt, n + 7, &record->method);
    ngx_http_smart_journal_sqlite_bind_some(stmt, n + 8, &record->host);
    ngx_http_smart_journal_sqlite_bind_text(stmt, n + 9, &record->website);
    ngx_http_smart_journal_sqlite_bind_some(stmt, n + 10, &record->node);
    ngx_http_smart_journal_sqlite_bind_end(stmt, n + 11, record->attempts,
                                           -1);
    ngx_http_smart_journal_sqlite_bind_end(stmt, n + 12, record->winner, -1);
    ngx_http_smart_journal_sqlite_bind_some(stmt, n + 13, &record->upstream);
    ngx_http_smart_journal_sqlite_bind_some(stmt, n + 14, &record->trace_id);

    if (record->state == NGX_SMART_RECORD_OPEN) {
        sqlite3_bind_int64(stmt, n + 15, instance);

    } else {
        sqlite3_bind_null(stmt, n + 15);
    }
}


int
ngx_http_smart_journal_sqlite_update(ngx_http_smart_journal_store_t *store,
    const ngx_smart_record_t *record, unsigned *updated)
{
    int            rc;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_smart_journal_sqlite_statement(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_UPDATE);
    if (stmt == NULL) {
        return sqlite3_extended_errcode(store->db);
    }

    sqlite3_bind_blob(stmt, 1, record->id, sizeof(record->id), SQLITE_STATIC);
    ngx_http_smart_journal_sqlite_bind_end(stmt, 2, record->duration, -1);
    ngx_http_smart_journal_sqlite_bind_end(stmt, 3, record->code, 0);
    sqlite3_bind_int(stmt, 4, (int) record->state);
    ngx_http_smart_journal_sqlite_bind_end(stmt, 5, record->attempts, -1);
    ngx_http_smart_journal_sqlite_bind_end(stmt, 6, record->winner, -1);
    ngx_http_smart_journal_sqlite_bind_some(stmt, 7, &record->upstream);

    rc = sqlite3_step(stmt);

    *updated = (rc == SQLITE_DONE && sqlite3_changes(store->db) == 1);

    sqlite3_reset(stmt);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}


static void
ngx_http_smart_journal_sqlite_bind_text(sqlite3_stmt *stmt, int n,
    const ngx_smart_record_text_t *text)
{
    sqlite3_bind_text(stmt, n, text->len ? text->data : "", (int) text->len,
                      SQLITE_STATIC);
}


/* nothing is NULL */
static void
ngx_http_smart_journal_sqlite_bind_some(sqlite3_stmt *stmt, int n,
    const ngx_smart_record_text_t *text)
{
    if (text->len == 0) {
        sqlite3_bind_null(stmt, n);
        return;
    }

    sqlite3_bind_text(stmt, n, text->data, (int) text->len, SQLITE_STATIC);
}


static void
ngx_http_smart_journal_sqlite_bind_end(sqlite3_stmt *stmt, int n,
    int64_t value, int64_t unknown)
{
    if (value == unknown) {
        sqlite3_bind_null(stmt, n);
        return;
    }

    sqlite3_bind_int64(stmt, n, value);
}
