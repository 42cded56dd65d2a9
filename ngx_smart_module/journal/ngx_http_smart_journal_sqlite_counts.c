
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: how often urls and websites occur.
 */


#include <stdlib.h>
#include <string.h>

#include "ngx_http_smart_journal_sqlite.h"


static uint32_t ngx_http_smart_journal_sqlite_hash(const char *data,
    size_t len);
static int ngx_http_smart_journal_sqlite_apply(
    ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_sqlite_counts_t *counts,
    ngx_http_smart_journal_sqlite_statement_e first,
    ngx_http_smart_journal_sqlite_statement_e second);


int
ngx_http_smart_journal_sqlite_room(
    ngx_http_smart_journal_sqlite_counts_t *counts, size_t n)
{
    size_t  size;

    for (size = 64; size < 2 * n; size *= 2) { /* void */ }

    if (size > counts->size) {
        free(counts->counts);
        counts->size = 0;

        counts->counts = malloc(size
                             * sizeof(ngx_http_smart_journal_sqlite_count_t));
        if (counts->counts == NULL) {
            return SQLITE_NOMEM;
        }

        counts->size = size;
    }

    memset(counts->counts, 0,
           counts->size * sizeof(ngx_http_smart_journal_sqlite_count_t));
    counts->n = 0;

    return SQLITE_OK;
}


/* eight bytes at a time: urls are long, and mostly differ at their ends */
static uint32_t
ngx_http_smart_journal_sqlite_hash(const char *data, size_t len)
{
    uint64_t  hash, part;

    for (hash = len; len >= sizeof(part); len -= sizeof(part)) {
        memcpy(&part, data, sizeof(part));
        data += sizeof(part);

        hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }

    if (len) {
        part = 0;
        memcpy(&part, data, len);

        hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }

    return (uint32_t) hash;
}


void
ngx_http_smart_journal_sqlite_count(
    ngx_http_smart_journal_sqlite_counts_t *counts, const char *data,
    size_t len)
{
    size_t                                  i;
    uint32_t                                hash;
    ngx_http_smart_journal_sqlite_count_t  *c;

    hash = ngx_http_smart_journal_sqlite_hash(data, len);

    for (i = hash & (counts->size - 1); ; i = (i + 1) & (counts->size - 1)) {

        c = &counts->counts[i];

        if (c->n == 0) {
            c->text.data = len ? data : "";
            c->text.len = len;
            c->hash = hash;
            c->n = 1;
            counts->n++;
            return;
        }

        if (c->hash == hash && c->text.len == len
            && memcmp(c->text.data, data, len) == 0)
        {
            c->n++;
            return;
        }
    }
}


int
ngx_http_smart_journal_sqlite_add(ngx_http_smart_journal_store_t *store)
{
    int  rc;

    rc = ngx_http_smart_journal_sqlite_apply(store, &store->urls,
                                     NGX_HTTP_SMART_JOURNAL_SQLITE_ADD_URL,
                                     NGX_HTTP_SMART_JOURNAL_SQLITE_ADD_URL);
    if (rc != SQLITE_OK) {
        return rc;
    }

    return ngx_http_smart_journal_sqlite_apply(store, &store->websites,
                                   NGX_HTTP_SMART_JOURNAL_SQLITE_ADD_WEBSITE,
                                   NGX_HTTP_SMART_JOURNAL_SQLITE_ADD_WEBSITE);
}


int
ngx_http_smart_journal_sqlite_subtract(ngx_http_smart_journal_store_t *store)
{
    int  rc;

    rc = ngx_http_smart_journal_sqlite_apply(store, &store->urls,
                                  NGX_HTTP_SMART_JOURNAL_SQLITE_REMOVE_URL,
                                  NGX_HTTP_SMART_JOURNAL_SQLITE_SUBTRACT_URL);
    if (rc != SQLITE_OK) {
        return rc;
    }

    return ngx_http_smart_journal_sqlite_apply(store, &store->websites,
                              NGX_HTTP_SMART_JOURNAL_SQLITE_REMOVE_WEBSITE,
                              NGX_HTTP_SMART_JOURNAL_SQLITE_SUBTRACT_WEBSITE);
}


/* the second statement is for what the first one has not changed */
static int
ngx_http_smart_journal_sqlite_apply(ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_sqlite_counts_t *counts,
    ngx_http_smart_journal_sqlite_statement_e first,
    ngx_http_smart_journal_sqlite_statement_e second)
{
    int                                     rc;
    size_t                                  i;
    sqlite3_stmt                           *stmt;
    ngx_http_smart_journal_sqlite_count_t  *c;
    ngx_http_smart_journal_sqlite_statement_e  which;

    for (i = 0; i < counts->size && counts->n; i++) {

        c = &counts->counts[i];

        if (c->n == 0) {
            continue;
        }

        counts->n--;
        which = first;

        for ( ;; ) {

            stmt = ngx_http_smart_journal_sqlite_statement(store, which);
            if (stmt == NULL) {
                return sqlite3_extended_errcode(store->db);
            }

            sqlite3_bind_text(stmt, 1, c->text.data, (int) c->text.len,
                              SQLITE_STATIC);
            sqlite3_bind_int64(stmt, 2, c->n);

            rc = sqlite3_step(stmt);
            sqlite3_reset(stmt);

            if (rc != SQLITE_DONE) {
                return rc;
            }

            if (which == second || sqlite3_changes(store->db)) {
                break;
            }

            which = second;
        }
    }

    return SQLITE_OK;
}
