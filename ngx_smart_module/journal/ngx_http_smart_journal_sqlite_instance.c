
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: who else writes into it, and what the dead left open.
 */


#include <string.h>

#include "ngx_http_smart_journal_sqlite.h"


static int ngx_http_smart_journal_sqlite_beat(
    ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_instance_t *instance);
static int ngx_http_smart_journal_sqlite_expire(
    ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_instance_t *instance);
static unsigned ngx_http_smart_journal_sqlite_expired(sqlite3_stmt *row,
    const ngx_http_smart_journal_instance_t *instance);


ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_heartbeat(ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_instance_t *instance, size_t *swept,
    ngx_http_smart_journal_error_t *error)
{
    int            rc;
    size_t         n;
    sqlite3_stmt  *sweep;

    n = 0;

    rc = ngx_http_smart_journal_sqlite_run(store,
                                         NGX_HTTP_SMART_JOURNAL_SQLITE_BEGIN);
    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_beat(store, instance);
    }

    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_expire(store, instance);
    }

    if (rc == SQLITE_OK) {
        sweep = ngx_http_smart_journal_sqlite_statement(store,
                                         NGX_HTTP_SMART_JOURNAL_SQLITE_SWEEP);

        rc = sweep ? sqlite3_step(sweep) : SQLITE_NOMEM;

        if (rc == SQLITE_DONE) {
            n = (size_t) sqlite3_changes(store->db);
            rc = ngx_http_smart_journal_sqlite_run(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_COMMIT);
        }

        sqlite3_reset(sweep);
    }

    if (rc != SQLITE_OK) {
        return ngx_http_smart_journal_sqlite_failed(store, rc,
                                                    "cannot write", error);
    }

    *swept = n;

    return NGX_HTTP_SMART_JOURNAL_OK;
}


static int
ngx_http_smart_journal_sqlite_beat(ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_instance_t *instance)
{
    int            rc;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_smart_journal_sqlite_statement(store,
                                          NGX_HTTP_SMART_JOURNAL_SQLITE_BEAT);
    if (stmt == NULL) {
        return sqlite3_extended_errcode(store->db);
    }

    sqlite3_bind_int64(stmt, 1, instance->id);
    sqlite3_bind_text(stmt, 2, instance->node, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, instance->boot, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, instance->master.pid);
    sqlite3_bind_int64(stmt, 5, instance->master.started);
    sqlite3_bind_int64(stmt, 6, instance->writer.pid);
    sqlite3_bind_int64(stmt, 7, instance->writer.started);
    sqlite3_bind_int64(stmt, 8, instance->now);

    rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}


/* removes the expired ones; their open records have no instance then */
static int
ngx_http_smart_journal_sqlite_expire(ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_instance_t *instance)
{
    int            rc;
    sqlite3_stmt  *rows, *expire;

    rows = ngx_http_smart_journal_sqlite_statement(store,
                                     NGX_HTTP_SMART_JOURNAL_SQLITE_INSTANCES);
    expire = ngx_http_smart_journal_sqlite_statement(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_EXPIRE);
    if (rows == NULL || expire == NULL) {
        return sqlite3_extended_errcode(store->db);
    }

    sqlite3_bind_int64(rows, 1, instance->id);

    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {

        if (!ngx_http_smart_journal_sqlite_expired(rows, instance)) {
            continue;
        }

        sqlite3_bind_int64(expire, 1, sqlite3_column_int64(rows, 0));

        rc = sqlite3_step(expire);
        sqlite3_reset(expire);

        if (rc != SQLITE_DONE) {
            break;
        }
    }

    sqlite3_reset(rows);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}


static unsigned
ngx_http_smart_journal_sqlite_expired(sqlite3_stmt *row,
    const ngx_http_smart_journal_instance_t *instance)
{
    size_t                             len;
    const char                        *boot, *node;
    ngx_http_smart_journal_process_t   master, writer;

    if (sqlite3_column_int64(row, 6) < instance->now - instance->expires) {
        return 1;
    }

    boot = (const char *) sqlite3_column_text(row, 1);
    node = (const char *) sqlite3_column_text(row, 7);

    if (boot == NULL || node == NULL || *boot == '-'
        || *instance->boot == '-')
    {
        return 0;
    }

    /* nothing of a machine outlives that it is booted again */

    len = strcspn(instance->boot, " ");

    if (strncmp(boot, instance->boot, len + 1) != 0) {
        return strcmp(node, instance->node) == 0;
    }

    if (strcmp(boot, instance->boot) != 0) {
        return 0;
    }

    master.pid = sqlite3_column_int64(row, 2);
    master.started = sqlite3_column_int64(row, 3);
    writer.pid = sqlite3_column_int64(row, 4);
    writer.started = sqlite3_column_int64(row, 5);

    return !instance->alive(&master) && !instance->alive(&writer);
}
