
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: reading.
 */


#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ngx_http_smart_journal_sqlite_read.h"


/* instructions of SQLite between two looks at the clock */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_STEPS  4000

#define NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS                                 \
    "SELECT id, timestamp, duration, url, code, state, method, host,"         \
    " website, node, attempts, winner, upstream, trace_id FROM requests "

/* of a range, newest first; an id of 17 bytes is above all ids */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_RANGE                                   \
    "timestamp >= ?1 AND (timestamp, id) < (?2, ?3)"                          \
    " ORDER BY timestamp DESC, id DESC"

/* the decade of a duration, as the index has it */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_DECADE                                  \
    "CASE WHEN duration < 10000000 THEN 1"                                    \
    " WHEN duration < 100000000 THEN 2"                                       \
    " WHEN duration < 1000000000 THEN 3 ELSE 4 END"

#define NGX_HTTP_SMART_JOURNAL_SQLITE_LONG(decade)                            \
    NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS                                     \
    "INDEXED BY requests_long WHERE duration >= 1000000 AND "                 \
    NGX_HTTP_SMART_JOURNAL_SQLITE_DECADE " = " decade " AND "                 \
    NGX_HTTP_SMART_JOURNAL_SQLITE_RANGE


static ngx_http_smart_journal_reader_t *
ngx_http_smart_journal_sqlite_read_open(
    const ngx_http_smart_journal_options_t *options,
    ngx_http_smart_journal_rc_e *rc, ngx_http_smart_journal_error_t *error);
static void ngx_http_smart_journal_sqlite_read_limit(
    ngx_http_smart_journal_reader_t *reader, int64_t us,
    const volatile unsigned *gone);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_read_list(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_list_t *list,
    ngx_http_smart_journal_record_pt record, void *data,
    ngx_http_smart_journal_error_t *error);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_read_top(
    ngx_http_smart_journal_reader_t *reader,
    const ngx_http_smart_journal_top_t *top,
    ngx_http_smart_journal_count_pt count, void *data,
    ngx_http_smart_journal_error_t *error);
static unsigned ngx_http_smart_journal_sqlite_read_moved(
    ngx_http_smart_journal_reader_t *reader);
static void ngx_http_smart_journal_sqlite_read_close(
    ngx_http_smart_journal_reader_t *reader);

static int ngx_http_smart_journal_sqlite_read_id(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_list_t *list,
    ngx_http_smart_journal_record_pt record, void *data);
static int ngx_http_smart_journal_sqlite_counts(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_sqlite_read_e which, size_t *n,
    ngx_http_smart_journal_count_pt count, void *data);
static int ngx_http_smart_journal_sqlite_read_begin(
    ngx_http_smart_journal_reader_t *reader);
static void ngx_http_smart_journal_sqlite_read_end(
    ngx_http_smart_journal_reader_t *reader);
static int ngx_http_smart_journal_sqlite_progress(void *data);


/* by ngx_http_smart_journal_sqlite_read_e */

static const char *const  ngx_http_smart_journal_sqlite_reads[] = {

    "BEGIN",
    "ROLLBACK",

    NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS "WHERE id = ?1",

    NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS "INDEXED BY requests_time WHERE "
    NGX_HTTP_SMART_JOURNAL_SQLITE_RANGE,

    NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS
    "INDEXED BY requests_open WHERE state = 0 AND "
    NGX_HTTP_SMART_JOURNAL_SQLITE_RANGE,

    NGX_HTTP_SMART_JOURNAL_SQLITE_COLUMNS "INDEXED BY requests_time WHERE "
    NGX_HTTP_SMART_JOURNAL_SQLITE_RANGE,

    NGX_HTTP_SMART_JOURNAL_SQLITE_LONG("1"),
    NGX_HTTP_SMART_JOURNAL_SQLITE_LONG("2"),
    NGX_HTTP_SMART_JOURNAL_SQLITE_LONG("3"),
    NGX_HTTP_SMART_JOURNAL_SQLITE_LONG("4"),

    "SELECT website, count FROM websites ORDER BY count DESC, website"
    " LIMIT ?1",

    "SELECT url, count FROM urls INDEXED BY urls_count WHERE count > 1"
    " ORDER BY count DESC, url LIMIT ?1",

    /* in the order of the primary key, where nearly all urls are such */
    "SELECT url, count FROM urls WHERE count = 1 ORDER BY url LIMIT ?1"
};


const ngx_http_smart_journal_read_api_t  ngx_http_smart_journal_sqlite_read = {
    ngx_http_smart_journal_sqlite_read_open,
    ngx_http_smart_journal_sqlite_read_limit,
    ngx_http_smart_journal_sqlite_read_list,
    ngx_http_smart_journal_sqlite_read_top,
    ngx_http_smart_journal_sqlite_read_moved,
    ngx_http_smart_journal_sqlite_read_close
};


static ngx_http_smart_journal_reader_t *
ngx_http_smart_journal_sqlite_read_open(
    const ngx_http_smart_journal_options_t *options,
    ngx_http_smart_journal_rc_e *rc, ngx_http_smart_journal_error_t *error)
{
    int                               code;
    struct stat                       st;
    ngx_http_smart_journal_reader_t  *reader;

    *rc = NGX_HTTP_SMART_JOURNAL_FAILED;
    reader = calloc(1, sizeof(ngx_http_smart_journal_reader_t));

    if (reader) {
        reader->path = strdup(options->place);
    }

    if (reader == NULL || reader->path == NULL) {
        snprintf(error->text, sizeof(error->text), "out of memory");
        free(reader);
        return NULL;
    }

    /* a reader of a file in WAL mode writes to the index of the log */

    code = sqlite3_open_v2(reader->path, &reader->db,
                           SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX, NULL);

    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(reader->db, 1);
        sqlite3_busy_timeout(reader->db, (int) options->busy);
        sqlite3_progress_handler(reader->db,
                                 NGX_HTTP_SMART_JOURNAL_SQLITE_STEPS,
                                 ngx_http_smart_journal_sqlite_progress,
                                 reader);

        code = sqlite3_exec(reader->db, "PRAGMA query_only = 1;"
                            "PRAGMA cache_size = -1024;", NULL, NULL, NULL);
    }

    if (code != SQLITE_OK || stat(reader->path, &st) != 0) {
        *rc = ngx_http_smart_journal_sqlite_error(reader->db, code,
                                                  "cannot open", error);
        ngx_http_smart_journal_sqlite_read_close(reader);
        return NULL;
    }

    reader->device = st.st_dev;
    reader->inode = st.st_ino;

    return reader;
}


static void
ngx_http_smart_journal_sqlite_read_limit(
    ngx_http_smart_journal_reader_t *reader, int64_t us,
    const volatile unsigned *gone)
{
    reader->limit = us;
    reader->gone = gone;
}


static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_read_list(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_list_t *list,
    ngx_http_smart_journal_record_pt record, void *data,
    ngx_http_smart_journal_error_t *error)
{
    int                          code;
    ngx_http_smart_journal_rc_e  rc;

    list->done = 0;

    /* one state of the store for all sources */

    code = ngx_http_smart_journal_sqlite_read_begin(reader);

    if (code == SQLITE_OK && list->by_id) {
        code = ngx_http_smart_journal_sqlite_read_id(reader, list, record,
                                                     data);

    } else if (code == SQLITE_OK) {
        code = ngx_http_smart_journal_sqlite_merge(reader, list, record, data);
    }

    rc = NGX_HTTP_SMART_JOURNAL_OK;

    if (code != SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_error(reader->db, code,
                                                 "cannot read", error);
    }

    if (code == SQLITE_INTERRUPT) {
        rc = NGX_HTTP_SMART_JOURNAL_BUSY;
    }

    ngx_http_smart_journal_sqlite_read_end(reader);

    return rc;
}


static int
ngx_http_smart_journal_sqlite_read_id(ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_list_t *list,
    ngx_http_smart_journal_record_pt record, void *data)
{
    int                  code;
    sqlite3_stmt        *row;
    ngx_smart_record_t   found;

    row = ngx_http_smart_journal_sqlite_read_statement(reader,
                                      NGX_HTTP_SMART_JOURNAL_SQLITE_READ_ID);

    if (row == NULL) {
        return sqlite3_extended_errcode(reader->db);
    }

    sqlite3_bind_blob(row, 1, list->after.id, sizeof(list->after.id),
                      SQLITE_STATIC);

    code = sqlite3_step(row);

    if (code == SQLITE_ROW) {
        code = ngx_http_smart_journal_sqlite_row(row, &found);

        if (code != SQLITE_OK) {
            return code;
        }

        (void) record(data, &found);

    } else if (code != SQLITE_DONE) {
        return code;
    }

    list->done = 1;

    return SQLITE_OK;
}


int
ngx_http_smart_journal_sqlite_row(sqlite3_stmt *row,
    ngx_smart_record_t *record)
{
    int  state;

    memset(record, 0, sizeof(ngx_smart_record_t));

    state = sqlite3_column_int(row, 5);

    if (sqlite3_column_bytes(row, 0) != sizeof(record->id)
        || state < NGX_SMART_RECORD_OPEN
        || state > NGX_SMART_RECORD_INTERRUPTED)
    {
        return SQLITE_CORRUPT;
    }

    memcpy(record->id, sqlite3_column_blob(row, 0), sizeof(record->id));

    record->state = (ngx_smart_record_state_e) state;
    record->timestamp = sqlite3_column_int64(row, 1);
    record->duration = sqlite3_column_type(row, 2) == SQLITE_NULL
                       ? -1 : sqlite3_column_int64(row, 2);
    record->code = sqlite3_column_int(row, 4);
    record->attempts = sqlite3_column_type(row, 10) == SQLITE_NULL
                       ? -1 : sqlite3_column_int(row, 10);
    record->winner = sqlite3_column_type(row, 11) == SQLITE_NULL
                     ? -1 : sqlite3_column_int(row, 11);

    ngx_http_smart_journal_sqlite_text(row, 3, &record->url);
    ngx_http_smart_journal_sqlite_text(row, 6, &record->method);
    ngx_http_smart_journal_sqlite_text(row, 7, &record->host);
    ngx_http_smart_journal_sqlite_text(row, 8, &record->website);
    ngx_http_smart_journal_sqlite_text(row, 9, &record->node);
    ngx_http_smart_journal_sqlite_text(row, 12, &record->upstream);
    ngx_http_smart_journal_sqlite_text(row, 13, &record->trace_id);

    return SQLITE_OK;
}


void
ngx_http_smart_journal_sqlite_text(sqlite3_stmt *row, int column,
    ngx_smart_record_text_t *text)
{
    text->data = (const char *) sqlite3_column_text(row, column);
    text->len = text->data ? (size_t) sqlite3_column_bytes(row, column) : 0;
}


static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_read_top(ngx_http_smart_journal_reader_t *reader,
    const ngx_http_smart_journal_top_t *top,
    ngx_http_smart_journal_count_pt count, void *data,
    ngx_http_smart_journal_error_t *error)
{
    int                          code;
    size_t                       n;
    ngx_http_smart_journal_rc_e  rc;

    n = top->n;
    code = ngx_http_smart_journal_sqlite_read_begin(reader);

    if (code == SQLITE_OK) {
        code = ngx_http_smart_journal_sqlite_counts(reader,
                         top->by_url
                             ? NGX_HTTP_SMART_JOURNAL_SQLITE_READ_URLS
                             : NGX_HTTP_SMART_JOURNAL_SQLITE_READ_WEBSITES,
                         &n, count, data);
    }

    if (code == SQLITE_OK && top->by_url && n) {
        code = ngx_http_smart_journal_sqlite_counts(reader,
                                NGX_HTTP_SMART_JOURNAL_SQLITE_READ_URLS_ONCE,
                                &n, count, data);
    }

    rc = NGX_HTTP_SMART_JOURNAL_OK;

    if (code != SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_error(reader->db, code,
                                                 "cannot read", error);
    }

    if (code == SQLITE_INTERRUPT) {
        rc = NGX_HTTP_SMART_JOURNAL_BUSY;
    }

    ngx_http_smart_journal_sqlite_read_end(reader);

    return rc;
}


static int
ngx_http_smart_journal_sqlite_counts(ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_sqlite_read_e which, size_t *n,
    ngx_http_smart_journal_count_pt count, void *data)
{
    int                       code;
    sqlite3_stmt             *row;
    ngx_smart_record_text_t   name;

    row = ngx_http_smart_journal_sqlite_read_statement(reader, which);

    if (row == NULL) {
        return sqlite3_extended_errcode(reader->db);
    }

    sqlite3_bind_int64(row, 1, (sqlite3_int64) *n);

    for ( ;; ) {
        code = sqlite3_step(row);

        if (code != SQLITE_ROW) {
            break;
        }

        ngx_http_smart_journal_sqlite_text(row, 0, &name);
        count(data, &name, sqlite3_column_int64(row, 1));
        (*n)--;
    }

    return code == SQLITE_DONE ? SQLITE_OK : code;
}


static int
ngx_http_smart_journal_sqlite_read_begin(
    ngx_http_smart_journal_reader_t *reader)
{
    int            code;
    sqlite3_stmt  *begin;

    reader->deadline = ngx_http_smart_journal_sqlite_clock() + reader->limit;

    begin = ngx_http_smart_journal_sqlite_read_statement(reader,
                                   NGX_HTTP_SMART_JOURNAL_SQLITE_READ_BEGIN);

    if (begin == NULL) {
        return sqlite3_extended_errcode(reader->db);
    }

    code = sqlite3_step(begin);

    return code == SQLITE_DONE ? SQLITE_OK : code;
}


/* all statements stand still afterwards, so that checkpoints can go on */
static void
ngx_http_smart_journal_sqlite_read_end(ngx_http_smart_journal_reader_t *reader)
{
    sqlite3_stmt                          *end;
    ngx_http_smart_journal_sqlite_read_e   which;

    for (which = 0; which < NGX_HTTP_SMART_JOURNAL_SQLITE_READS; which++) {
        if (reader->statements[which]) {
            sqlite3_reset(reader->statements[which]);
            sqlite3_clear_bindings(reader->statements[which]);
        }
    }

    reader->gone = NULL;
    reader->deadline = INT64_MAX;

    if (sqlite3_get_autocommit(reader->db)) {
        return;
    }

    end = ngx_http_smart_journal_sqlite_read_statement(reader,
                                     NGX_HTTP_SMART_JOURNAL_SQLITE_READ_END);

    if (end) {
        (void) sqlite3_step(end);
        sqlite3_reset(end);
    }
}


sqlite3_stmt *
ngx_http_smart_journal_sqlite_read_statement(
    ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_sqlite_read_e which)
{
    if (reader->statements[which] == NULL
        && sqlite3_prepare_v3(reader->db,
                              ngx_http_smart_journal_sqlite_reads[which], -1,
                              SQLITE_PREPARE_PERSISTENT,
                              &reader->statements[which], NULL)
           != SQLITE_OK)
    {
        return NULL;
    }

    return reader->statements[which];
}


static unsigned
ngx_http_smart_journal_sqlite_read_moved(
    ngx_http_smart_journal_reader_t *reader)
{
    struct stat  st;

    return stat(reader->path, &st) != 0 || st.st_dev != reader->device
           || st.st_ino != reader->inode;
}


static void
ngx_http_smart_journal_sqlite_read_close(
    ngx_http_smart_journal_reader_t *reader)
{
    ngx_http_smart_journal_sqlite_read_e  which;

    for (which = 0; which < NGX_HTTP_SMART_JOURNAL_SQLITE_READS; which++) {
        sqlite3_finalize(reader->statements[which]);
    }

    sqlite3_close(reader->db);
    free(reader->path);
    free(reader);
}


/* not zero ends the statement that runs */
static int
ngx_http_smart_journal_sqlite_progress(void *data)
{
    ngx_http_smart_journal_reader_t  *reader = data;

    if (reader->gone && *reader->gone) {
        return 1;
    }

    return reader->deadline != INT64_MAX
           && ngx_http_smart_journal_sqlite_clock() > reader->deadline;
}


int64_t
ngx_http_smart_journal_sqlite_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
