
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: its prepared statements, but those of the API.
 */


#include "ngx_http_smart_journal_sqlite.h"


#define NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS                                 \
    " (id, timestamp, duration, url, code, state, method, host, website,"     \
    " node, attempts, winner, upstream, trace_id, instance)"

#define NGX_HTTP_SMART_JOURNAL_SQLITE_ROW                                     \
    " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

#define NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS4                                   \
    NGX_HTTP_SMART_JOURNAL_SQLITE_ROW "," NGX_HTTP_SMART_JOURNAL_SQLITE_ROW   \
    "," NGX_HTTP_SMART_JOURNAL_SQLITE_ROW                                     \
    "," NGX_HTTP_SMART_JOURNAL_SQLITE_ROW

/* NGX_HTTP_SMART_JOURNAL_SQLITE_MANY */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS                                    \
    NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS4                                       \
    "," NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS4                                   \
    "," NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS4                                   \
    "," NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS4


/* by ngx_http_smart_journal_sqlite_statement_e */

static const char *const  ngx_http_smart_journal_sqlite_texts[] = {

    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",

    "INSERT INTO requests" NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS
    " VALUES" NGX_HTTP_SMART_JOURNAL_SQLITE_ROW
    " ON CONFLICT (id) DO NOTHING",
    "INSERT OR ROLLBACK INTO requests" NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS
    " VALUES" NGX_HTTP_SMART_JOURNAL_SQLITE_ROW,
    "INSERT OR ROLLBACK INTO requests" NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS
    " VALUES" NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS,

    /* "interrupted" was a guess: the request's own end knows better */
    "UPDATE requests SET duration = ?2, code = ?3, state = ?4, attempts = ?5,"
    " winner = ?6, upstream = ?7, instance = NULL"
    " WHERE id = ?1 AND (state = 0 OR (state = 3 AND ?4 <> 3))",

    "SELECT timestamp, duration, url, code FROM requests WHERE id = ?1",

    "INSERT INTO urls (url, count) VALUES (?1, ?2)"
    " ON CONFLICT (url) DO UPDATE SET count = count + ?2",
    "INSERT INTO websites (website, count) VALUES (?1, ?2)"
    " ON CONFLICT (website) DO UPDATE SET count = count + ?2",

    "UPDATE urls SET count = count - ?2 WHERE url = ?1",
    "UPDATE websites SET count = count - ?2 WHERE website = ?1",
    "DELETE FROM urls WHERE url = ?1 AND count <= ?2",
    "DELETE FROM websites WHERE website = ?1 AND count <= ?2",

    "DELETE FROM requests WHERE id IN (SELECT id FROM requests"
    " WHERE timestamp < ?1 AND state <> 0 ORDER BY timestamp LIMIT ?2)"
    " RETURNING url, website",

    "INSERT INTO instances (id, node, boot, master_pid, master_started,"
    " writer_pid, writer_started, heartbeat)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    " ON CONFLICT (id) DO UPDATE SET writer_pid = ?6, writer_started = ?7,"
    " heartbeat = ?8",

    "SELECT id, boot, master_pid, master_started, writer_pid, writer_started,"
    " heartbeat, node FROM instances WHERE id <> ?1",

    "DELETE FROM instances WHERE id = ?1",

    "UPDATE requests SET state = 3, instance = NULL WHERE state = 0"
    " AND (instance IS NULL OR instance NOT IN (SELECT id FROM instances))"
};


sqlite3_stmt *
ngx_http_smart_journal_sqlite_statement(ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_sqlite_statement_e which)
{
    sqlite3_stmt  **stmt;

    stmt = &store->statements[which];

    if (*stmt == NULL
        && sqlite3_prepare_v3(store->db,
                              ngx_http_smart_journal_sqlite_texts[which], -1,
                              SQLITE_PREPARE_PERSISTENT, stmt, NULL)
           != SQLITE_OK)
    {
        return NULL;
    }

    return *stmt;
}


int
ngx_http_smart_journal_sqlite_run(ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_sqlite_statement_e which)
{
    int            rc;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_smart_journal_sqlite_statement(store, which);
    if (stmt == NULL) {
        return sqlite3_extended_errcode(store->db);
    }

    rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
