
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: what the files that read share.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_SQLITE_READ_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_SQLITE_READ_H_INCLUDED_


#include "ngx_http_smart_journal_read.h"
#include "ngx_http_smart_journal_sqlite.h"


typedef enum {
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_BEGIN = 0,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_END,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_ID,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_WITHIN,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_OPEN,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_SHORT,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_LONG1,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_LONG2,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_LONG3,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_LONG4,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_WEBSITES,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_URLS,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_URLS_ONCE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_READS
} ngx_http_smart_journal_sqlite_read_e;


struct ngx_http_smart_journal_reader_s {
    sqlite3                  *db;
    char                     *path;
    dev_t                     device;
    ino_t                     inode;

    int64_t                   limit;         /* us, of a call */
    int64_t                   deadline;      /* us, of the monotonic clock */
    const volatile unsigned  *gone;

    sqlite3_stmt   *statements[NGX_HTTP_SMART_JOURNAL_SQLITE_READS];
};


/* the next records of the list; a code of SQLite */
int ngx_http_smart_journal_sqlite_merge(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_list_t *list,
    ngx_http_smart_journal_record_pt record, void *data);

/* ready for values; NULL if it cannot be had */
sqlite3_stmt *ngx_http_smart_journal_sqlite_read_statement(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_sqlite_read_e which);

/* the record, whose texts live as long as the row; a code of SQLite */
int ngx_http_smart_journal_sqlite_row(sqlite3_stmt *row,
    ngx_smart_record_t *record);
void ngx_http_smart_journal_sqlite_text(sqlite3_stmt *row, int column,
    ngx_smart_record_text_t *text);

/* us of the monotonic clock */
int64_t ngx_http_smart_journal_sqlite_clock(void);


#endif /* _NGX_HTTP_SMART_JOURNAL_SQLITE_READ_H_INCLUDED_ */
