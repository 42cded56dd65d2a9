
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: lists, newest first, merged from sources that are each in
 * order.
 *
 * What began in the frame is one range of an index.  What began before it and
 * overlaps it is looked for by its duration: a request of less than 10 s began
 * at most 10 s before the frame, and so on by decades.  So a few long requests
 * do not make all records before the frame be gone through.
 */


#include <string.h>

#include "ngx_http_smart_journal_sqlite_read.h"


/* rows between two looks at the clock */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS     64

/* us; what takes longer is in the index of long ones */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_SHORT    1000000

#define NGX_HTTP_SMART_JOURNAL_SQLITE_SOURCES  7


/* where a source stands */
typedef struct {
    ngx_http_smart_journal_sqlite_read_e   which;
    sqlite3_stmt                          *row;  /* NULL at its end */
    int64_t                                timestamp;
} ngx_http_smart_journal_sqlite_source_t;


typedef struct {
    ngx_http_smart_journal_reader_t         *reader;
    ngx_http_smart_journal_list_t           *list;
    size_t                                   n;
    size_t                                   rows;
    int64_t                                  until;
    ngx_http_smart_journal_sqlite_source_t   sources[
                                       NGX_HTTP_SMART_JOURNAL_SQLITE_SOURCES];
} ngx_http_smart_journal_sqlite_merge_t;


static int ngx_http_smart_journal_sqlite_merge_begin(
    ngx_http_smart_journal_sqlite_merge_t *m);
static int ngx_http_smart_journal_sqlite_merge_add(
    ngx_http_smart_journal_sqlite_merge_t *m,
    ngx_http_smart_journal_sqlite_read_e which, int64_t from, int64_t to);
static int ngx_http_smart_journal_sqlite_merge_step(
    ngx_http_smart_journal_sqlite_source_t *source);
static ngx_http_smart_journal_sqlite_source_t *
    ngx_http_smart_journal_sqlite_merge_newest(
    ngx_http_smart_journal_sqlite_merge_t *m);
static unsigned ngx_http_smart_journal_sqlite_merge_over(
    ngx_http_smart_journal_sqlite_merge_t *m);
static unsigned ngx_http_smart_journal_sqlite_merge_match(
    const ngx_http_smart_journal_list_t *list,
    const ngx_http_smart_journal_sqlite_source_t *source);
static unsigned ngx_http_smart_journal_sqlite_same(sqlite3_stmt *row,
    int column, const ngx_smart_record_text_t *text);
static unsigned ngx_http_smart_journal_sqlite_part(sqlite3_stmt *row,
    int column, const ngx_smart_record_text_t *text);


int
ngx_http_smart_journal_sqlite_merge(ngx_http_smart_journal_reader_t *reader,
    ngx_http_smart_journal_list_t *list,
    ngx_http_smart_journal_record_pt record, void *data)
{
    int                                      code;
    ngx_smart_record_t                       found;
    ngx_http_smart_journal_sqlite_merge_t    m;
    ngx_http_smart_journal_sqlite_source_t  *source;

    memset(&m, 0, sizeof(ngx_http_smart_journal_sqlite_merge_t));

    m.reader = reader;
    m.list = list;
    m.until = ngx_http_smart_journal_sqlite_clock() + list->spend;

    code = ngx_http_smart_journal_sqlite_merge_begin(&m);

    while (code == SQLITE_OK) {

        source = ngx_http_smart_journal_sqlite_merge_newest(&m);

        if (source == NULL) {
            list->done = 1;
            return SQLITE_OK;
        }

        if (ngx_http_smart_journal_sqlite_merge_over(&m)) {
            return SQLITE_OK;
        }

        code = ngx_http_smart_journal_sqlite_row(source->row, &found);

        if (code != SQLITE_OK) {
            return code;
        }

        if (ngx_http_smart_journal_sqlite_merge_match(list, source)
            && !record(data, &found))
        {
            return SQLITE_OK;
        }

        list->going_on = 1;
        list->after.timestamp = found.timestamp;
        memcpy(list->after.id, found.id, sizeof(found.id));

        code = ngx_http_smart_journal_sqlite_merge_step(source);
    }

    return code;
}


static int
ngx_http_smart_journal_sqlite_merge_begin(
    ngx_http_smart_journal_sqlite_merge_t *m)
{
    int                                   code;
    int64_t                               from, to, ago;
    ngx_http_smart_journal_list_t        *list;
    ngx_http_smart_journal_sqlite_read_e  which;

    list = m->list;
    from = list->from;
    to = list->to;

    if (list->going_on && list->after.timestamp < to) {
        to = list->after.timestamp;
    }

    if (list->filter.state == NGX_SMART_RECORD_OPEN) {

        /* there are few, and those of a frame may have begun at any time */

        return ngx_http_smart_journal_sqlite_merge_add(m,
                                      NGX_HTTP_SMART_JOURNAL_SQLITE_READ_OPEN,
                                      list->frame ? INT64_MIN : from, to);
    }

    code = ngx_http_smart_journal_sqlite_merge_add(m,
                                    NGX_HTTP_SMART_JOURNAL_SQLITE_READ_WITHIN,
                                    from, to);

    if (!list->frame || from == INT64_MIN) {
        return code;
    }

    if (to >= from) {
        to = from - 1;
    }

    if (code == SQLITE_OK) {
        code = ngx_http_smart_journal_sqlite_merge_add(m,
                                      NGX_HTTP_SMART_JOURNAL_SQLITE_READ_OPEN,
                                      INT64_MIN, to);
    }

    ago = NGX_HTTP_SMART_JOURNAL_SQLITE_SHORT;

    for (which = NGX_HTTP_SMART_JOURNAL_SQLITE_READ_SHORT;
         which <= NGX_HTTP_SMART_JOURNAL_SQLITE_READ_LONG4
             && code == SQLITE_OK;
         which++)
    {
        code = ngx_http_smart_journal_sqlite_merge_add(m, which,
                            which == NGX_HTTP_SMART_JOURNAL_SQLITE_READ_LONG4
                                || from < INT64_MIN + ago
                            ? INT64_MIN : from - ago, to);
        ago *= 10;
    }

    return code;
}


static int
ngx_http_smart_journal_sqlite_merge_add(
    ngx_http_smart_journal_sqlite_merge_t *m,
    ngx_http_smart_journal_sqlite_read_e which, int64_t from, int64_t to)
{
    sqlite3_stmt                            *row;
    ngx_http_smart_journal_list_t           *list;
    ngx_http_smart_journal_sqlite_source_t  *source;

    static const char  above[17] =
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";

    row = ngx_http_smart_journal_sqlite_read_statement(m->reader, which);

    if (row == NULL) {
        return sqlite3_extended_errcode(m->reader->db);
    }

    list = m->list;

    sqlite3_bind_int64(row, 1, from);
    sqlite3_bind_int64(row, 2, to);

    if (list->going_on && list->after.timestamp == to) {
        sqlite3_bind_blob(row, 3, list->after.id, sizeof(list->after.id),
                          SQLITE_TRANSIENT);

    } else {
        sqlite3_bind_blob(row, 3, above, sizeof(above), SQLITE_STATIC);
    }

    source = &m->sources[m->n++];
    source->which = which;
    source->row = row;

    return ngx_http_smart_journal_sqlite_merge_step(source);
}


static int
ngx_http_smart_journal_sqlite_merge_step(
    ngx_http_smart_journal_sqlite_source_t *source)
{
    int  code;

    code = sqlite3_step(source->row);

    if (code == SQLITE_ROW) {
        source->timestamp = sqlite3_column_int64(source->row, 1);

        return sqlite3_column_bytes(source->row, 0) == 16 ? SQLITE_OK
                                                          : SQLITE_CORRUPT;
    }

    if (code == SQLITE_DONE) {
        source->row = NULL;
        return SQLITE_OK;
    }

    return code;
}


static ngx_http_smart_journal_sqlite_source_t *
ngx_http_smart_journal_sqlite_merge_newest(
    ngx_http_smart_journal_sqlite_merge_t *m)
{
    size_t                                   i;
    ngx_http_smart_journal_sqlite_source_t  *source, *newest;

    newest = NULL;

    for (i = 0; i < m->n; i++) {

        source = &m->sources[i];

        if (source->row == NULL
            || (newest && source->timestamp < newest->timestamp))
        {
            continue;
        }

        if (newest && source->timestamp == newest->timestamp
            && memcmp(sqlite3_column_blob(source->row, 0),
                      sqlite3_column_blob(newest->row, 0), 16) < 0)
        {
            continue;
        }

        newest = source;
    }

    return newest;
}


static unsigned
ngx_http_smart_journal_sqlite_merge_over(
    ngx_http_smart_journal_sqlite_merge_t *m)
{
    if (m->rows++ == 0) {
        return 0;
    }

    if (m->list->scan && m->rows > m->list->scan) {
        return 1;
    }

    return m->rows % NGX_HTTP_SMART_JOURNAL_SQLITE_ROWS == 0 && m->list->spend
           && ngx_http_smart_journal_sqlite_clock() >= m->until;
}


static unsigned
ngx_http_smart_journal_sqlite_merge_match(
    const ngx_http_smart_journal_list_t *list,
    const ngx_http_smart_journal_sqlite_source_t *source)
{
    int64_t                                 begin, duration;
    int32_t                                 code, state;
    sqlite3_stmt                           *row;
    const ngx_http_smart_journal_filter_t  *filter;

    row = source->row;
    filter = &list->filter;

    begin = sqlite3_column_int64(row, 1);
    state = sqlite3_column_int(row, 5);

    if (begin < list->from
        && source->which != NGX_HTTP_SMART_JOURNAL_SQLITE_READ_OPEN)
    {
        /* without a duration it is interrupted, a moment, or open */

        if (sqlite3_column_type(row, 2) == SQLITE_NULL) {
            return 0;
        }

        duration = sqlite3_column_int64(row, 2);

        if (duration < list->from - begin
            || (source->which == NGX_HTTP_SMART_JOURNAL_SQLITE_READ_SHORT
                && duration >= NGX_HTTP_SMART_JOURNAL_SQLITE_SHORT))
        {
            return 0;
        }
    }

    if (filter->state >= 0 && state != filter->state) {
        return 0;
    }

    if (filter->code_to) {
        code = sqlite3_column_int(row, 4);

        if (code < filter->code_from || code > filter->code_to) {
            return 0;
        }
    }

    return ngx_http_smart_journal_sqlite_same(row, 6, &filter->method)
           && ngx_http_smart_journal_sqlite_same(row, 7, &filter->host)
           && ngx_http_smart_journal_sqlite_part(row, 3, &filter->url);
}


static unsigned
ngx_http_smart_journal_sqlite_same(sqlite3_stmt *row, int column,
    const ngx_smart_record_text_t *text)
{
    ngx_smart_record_text_t  value;

    if (text->len == 0) {
        return 1;
    }

    ngx_http_smart_journal_sqlite_text(row, column, &value);

    return value.len == text->len
           && memcmp(value.data, text->data, text->len) == 0;
}


static unsigned
ngx_http_smart_journal_sqlite_part(sqlite3_stmt *row, int column,
    const ngx_smart_record_text_t *text)
{
    size_t                   i, j;
    char                     c;
    ngx_smart_record_text_t  value;

    if (text->len == 0) {
        return 1;
    }

    ngx_http_smart_journal_sqlite_text(row, column, &value);

    for (i = 0; i + text->len <= value.len; i++) {

        for (j = 0; j < text->len; j++) {
            c = value.data[i + j];

            if (c >= 'A' && c <= 'Z') {
                c = (char) (c | 0x20);
            }

            if (c != text->data[j]) {
                break;
            }
        }

        if (j == text->len) {
            return 1;
        }
    }

    return 0;
}
