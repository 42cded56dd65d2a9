
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: what its files share.  They run in threads and know
 * nothing of nginx.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_SQLITE_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_SQLITE_H_INCLUDED_


#include <sqlite3.h>
#include <sys/types.h>

#include "ngx_http_smart_journal_store.h"


/* "NgSJ", in the header of the file */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_APPLICATION  0x4e67534a

/* of the schema: as many steps as the table of migrations has */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_VERSION      1


typedef enum {
    NGX_HTTP_SMART_JOURNAL_SQLITE_BEGIN = 0,
    NGX_HTTP_SMART_JOURNAL_SQLITE_COMMIT,
    NGX_HTTP_SMART_JOURNAL_SQLITE_ROLLBACK,
    NGX_HTTP_SMART_JOURNAL_SQLITE_INSERT,
    NGX_HTTP_SMART_JOURNAL_SQLITE_INSERT_ONE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_INSERT_MANY,
    NGX_HTTP_SMART_JOURNAL_SQLITE_UPDATE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_FIND,
    NGX_HTTP_SMART_JOURNAL_SQLITE_ADD_URL,
    NGX_HTTP_SMART_JOURNAL_SQLITE_ADD_WEBSITE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_SUBTRACT_URL,
    NGX_HTTP_SMART_JOURNAL_SQLITE_SUBTRACT_WEBSITE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_REMOVE_URL,
    NGX_HTTP_SMART_JOURNAL_SQLITE_REMOVE_WEBSITE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_PRUNE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_BEAT,
    NGX_HTTP_SMART_JOURNAL_SQLITE_INSTANCES,
    NGX_HTTP_SMART_JOURNAL_SQLITE_EXPIRE,
    NGX_HTTP_SMART_JOURNAL_SQLITE_SWEEP,
    NGX_HTTP_SMART_JOURNAL_SQLITE_STATEMENTS
} ngx_http_smart_journal_sqlite_statement_e;


/* records of one "insert" */
#define NGX_HTTP_SMART_JOURNAL_SQLITE_MANY  16


/* how often a text occurs in what is written or removed */
typedef struct {
    ngx_smart_record_text_t   text;
    int64_t                   n;
    uint32_t                  hash;
} ngx_http_smart_journal_sqlite_count_t;


typedef struct {
    ngx_http_smart_journal_sqlite_count_t  *counts;
    size_t                                  size;   /* a power of two */
    size_t                                  n;
} ngx_http_smart_journal_sqlite_counts_t;


struct ngx_http_smart_journal_store_s {
    sqlite3                                *db;
    char                                   *path;
    dev_t                                   device;
    ino_t                                   inode;
    unsigned                                corrupt;
    unsigned                                pauses;  /* of what is written */

    sqlite3_stmt   *statements[NGX_HTTP_SMART_JOURNAL_SQLITE_STATEMENTS];

    ngx_http_smart_journal_sqlite_counts_t  urls;
    ngx_http_smart_journal_sqlite_counts_t  websites;

    /* texts of removed records, until they are counted */
    char                                   *texts;
    size_t                                  texts_size;
};


/* why the last call failed, as a code of stores and a text of one line */
ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_error(sqlite3 *db,
    int rc, const char *what, ngx_http_smart_journal_error_t *error);

/* the same of a handle of the writer's; notes a corrupt file */
ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_failed(
    ngx_http_smart_journal_store_t *store, int rc, const char *what,
    ngx_http_smart_journal_error_t *error);

/* 1 if the path leads to another file, or none, since it was opened */
unsigned ngx_http_smart_journal_sqlite_moved(
    ngx_http_smart_journal_store_t *store);


/* ngx_http_smart_journal_sqlite_statement.c */

/*
 * A prepared statement that has been reset, NULL if it cannot be had.  Values
 * of its last use may be bound: the caller binds each of them anew.
 */
sqlite3_stmt *ngx_http_smart_journal_sqlite_statement(
    ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_sqlite_statement_e which);

/* runs a statement that has no values, and no rows */
int ngx_http_smart_journal_sqlite_run(ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_sqlite_statement_e which);


/* ngx_http_smart_journal_sqlite_aside.c */

/* never over a file that is there: 1 if it has another name now */
unsigned ngx_http_smart_journal_sqlite_set_aside(const char *path,
    ngx_http_smart_journal_error_t *error);


/* ngx_http_smart_journal_sqlite_instance.c */

ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_heartbeat(
    ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_instance_t *instance, size_t *swept,
    ngx_http_smart_journal_error_t *error);


/* ngx_http_smart_journal_sqlite_counts.c */

/* empties the table and makes it large enough for n different texts */
int ngx_http_smart_journal_sqlite_room(
    ngx_http_smart_journal_sqlite_counts_t *counts, size_t n);

/* the text stays where it is until it has been added or subtracted */
void ngx_http_smart_journal_sqlite_count(
    ngx_http_smart_journal_sqlite_counts_t *counts, const char *data,
    size_t len);

int ngx_http_smart_journal_sqlite_add(ngx_http_smart_journal_store_t *store);
int ngx_http_smart_journal_sqlite_subtract(
    ngx_http_smart_journal_store_t *store);


/* ngx_http_smart_journal_sqlite_row.c */

/* a record whose id may be there already, which is left as it is then */
int ngx_http_smart_journal_sqlite_insert(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t *record, unsigned *inserted);

/* new ones: where one cannot be inserted, the caller rolls all of them back if
 * the store has not done so */
int ngx_http_smart_journal_sqlite_insert_new(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t **records, size_t n);

/* the end of a record that may be there */
int ngx_http_smart_journal_sqlite_update(
    ngx_http_smart_journal_store_t *store, const ngx_smart_record_t *record,
    unsigned *updated);


/* ngx_http_smart_journal_sqlite_write.c */

ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_write(
    ngx_http_smart_journal_store_t *store, int64_t instance,
    const ngx_smart_record_t *records, size_t n, unsigned pauses,
    size_t *skipped, ngx_http_smart_journal_error_t *error);
ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_put(
    ngx_http_smart_journal_store_t *store, const ngx_smart_record_t *record,
    ngx_http_smart_journal_error_t *error);
ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_prune(
    ngx_http_smart_journal_store_t *store, int64_t before, size_t n,
    size_t *pruned, ngx_http_smart_journal_error_t *error);


#endif /* _NGX_HTTP_SMART_JOURNAL_SQLITE_H_INCLUDED_ */
