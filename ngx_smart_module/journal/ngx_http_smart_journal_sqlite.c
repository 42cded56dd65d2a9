
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: opening, and its schema.
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ngx_http_smart_journal_read.h"
#include "ngx_http_smart_journal_sqlite.h"


#define NGX_HTTP_SMART_JOURNAL_SQLITE_NAME  64


static ngx_http_smart_journal_store_t *ngx_http_smart_journal_sqlite_open(
    const ngx_http_smart_journal_options_t *options,
    ngx_http_smart_journal_rc_e *rc, ngx_http_smart_journal_error_t *error);
static ngx_http_smart_journal_store_t *ngx_http_smart_journal_sqlite_try(
    const ngx_http_smart_journal_options_t *options,
    ngx_http_smart_journal_rc_e *rc, ngx_http_smart_journal_error_t *error);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_create(
    const char *path, ngx_http_smart_journal_error_t *error);
static int ngx_http_smart_journal_sqlite_setup(
    ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_options_t *options);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_migrate(
    ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_error_t *error);
static ngx_http_smart_journal_rc_e ngx_http_smart_journal_sqlite_check(
    ngx_http_smart_journal_store_t *store, int64_t *version,
    ngx_http_smart_journal_error_t *error);
static int ngx_http_smart_journal_sqlite_number(sqlite3 *db, const char *sql,
    int64_t *value);
static void ngx_http_smart_journal_sqlite_close(
    ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_error_t *error);


/*
 * Step by step, from an empty file on; user_version tells how many have been
 * done.  A step never changes once it was released.
 *
 * Times are us, a state is ngx_smart_record_state_e.  "instance" is set while
 * a request is open.  A request of long duration is found by the decade of it:
 * those that overlap a time began at most ten times their shortest before.
 */

static const char *const  ngx_http_smart_journal_sqlite_migrations[] = {

    "CREATE TABLE requests ("
    " id BLOB PRIMARY KEY NOT NULL,"
    " timestamp INTEGER NOT NULL,"
    " duration INTEGER,"
    " url TEXT NOT NULL,"
    " code INTEGER,"
    " state INTEGER NOT NULL,"
    " method TEXT,"
    " host TEXT,"
    " website TEXT NOT NULL,"
    " node TEXT,"
    " attempts INTEGER,"
    " winner INTEGER,"
    " upstream TEXT,"
    " trace_id TEXT,"
    " instance INTEGER"
    ") STRICT, WITHOUT ROWID;"

    "CREATE INDEX requests_time ON requests (timestamp);"

    "CREATE INDEX requests_open ON requests (timestamp) WHERE state = 0;"

    "CREATE INDEX requests_long ON requests ("
    "CASE WHEN duration < 10000000 THEN 1"
    " WHEN duration < 100000000 THEN 2"
    " WHEN duration < 1000000000 THEN 3 ELSE 4 END, timestamp)"
    " WHERE duration >= 1000000;"

    "CREATE TABLE websites ("
    " website TEXT PRIMARY KEY NOT NULL,"
    " count INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE INDEX websites_count ON websites (count DESC, website);"

    "CREATE TABLE urls ("
    " url TEXT PRIMARY KEY NOT NULL,"
    " count INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE INDEX urls_count ON urls (count DESC, url) WHERE count > 1;"

    "CREATE TABLE instances ("
    " id INTEGER PRIMARY KEY NOT NULL,"
    " node TEXT NOT NULL,"
    " boot TEXT NOT NULL,"
    " master_pid INTEGER NOT NULL,"
    " master_started INTEGER NOT NULL,"
    " writer_pid INTEGER NOT NULL,"
    " writer_started INTEGER NOT NULL,"
    " heartbeat INTEGER NOT NULL"
    ") STRICT;"
};


const ngx_http_smart_journal_store_api_t  ngx_http_smart_journal_sqlite = {
    "sqlite",
    &ngx_http_smart_journal_sqlite_read,
    ngx_http_smart_journal_sqlite_open,
    ngx_http_smart_journal_sqlite_write,
    ngx_http_smart_journal_sqlite_put,
    ngx_http_smart_journal_sqlite_heartbeat,
    ngx_http_smart_journal_sqlite_prune,
    ngx_http_smart_journal_sqlite_close
};


static ngx_http_smart_journal_store_t *
ngx_http_smart_journal_sqlite_open(
    const ngx_http_smart_journal_options_t *options,
    ngx_http_smart_journal_rc_e *rc, ngx_http_smart_journal_error_t *error)
{
    ngx_http_smart_journal_error_t   note;
    ngx_http_smart_journal_store_t  *store;

    store = ngx_http_smart_journal_sqlite_try(options, rc, error);

    if (store || *rc != NGX_HTTP_SMART_JOURNAL_CORRUPT) {
        return store;
    }

    /* another nginx may just have put a good file in its place */

    store = ngx_http_smart_journal_sqlite_try(options, rc, error);

    if (store || *rc != NGX_HTTP_SMART_JOURNAL_CORRUPT
        || !ngx_http_smart_journal_sqlite_set_aside(options->place, &note))
    {
        return store;
    }

    store = ngx_http_smart_journal_sqlite_try(options, rc, error);

    if (store) {
        *error = note;
    }

    return store;
}


static ngx_http_smart_journal_store_t *
ngx_http_smart_journal_sqlite_try(
    const ngx_http_smart_journal_options_t *options,
    ngx_http_smart_journal_rc_e *rc, ngx_http_smart_journal_error_t *error)
{
    int                              code;
    int64_t                          version;
    struct stat                      st;
    ngx_http_smart_journal_store_t  *store;

    error->text[0] = '\0';

    *rc = ngx_http_smart_journal_sqlite_create(options->place, error);

    if (*rc != NGX_HTTP_SMART_JOURNAL_OK) {
        return NULL;
    }

    *rc = NGX_HTTP_SMART_JOURNAL_FAILED;

    store = calloc(1, sizeof(ngx_http_smart_journal_store_t));

    if (store) {
        store->path = strdup(options->place);
    }

    if (store == NULL || store->path == NULL) {
        snprintf(error->text, sizeof(error->text), "out of memory");
        free(store);
        return NULL;
    }

    /* one thread at a time uses it */

    code = sqlite3_open_v2(store->path, &store->db,
                           SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX, NULL);

    if (code != SQLITE_OK) {
        *rc = ngx_http_smart_journal_sqlite_error(store->db, code,
                                                  "cannot open", error);
        ngx_http_smart_journal_sqlite_close(store, NULL);
        return NULL;
    }

    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, (int) options->busy);

    *rc = ngx_http_smart_journal_sqlite_check(store, &version, error);

    if (*rc == NGX_HTTP_SMART_JOURNAL_OK) {

        code = ngx_http_smart_journal_sqlite_setup(store, options);

        if (code == SQLITE_OK) {
            *rc = ngx_http_smart_journal_sqlite_migrate(store, error);

        } else {
            *rc = ngx_http_smart_journal_sqlite_error(store->db, code,
                                                      "cannot open", error);
        }
    }

    if (stat(store->path, &st) == 0) {
        store->device = st.st_dev;
        store->inode = st.st_ino;
    }

    if (*rc != NGX_HTTP_SMART_JOURNAL_OK) {
        ngx_http_smart_journal_sqlite_close(store, NULL);
        return NULL;
    }

    return store;
}


/*
 * SQLite would make it readable for everyone.  A file that is there is never
 * opened here: closing it again would drop the locks that other connections
 * of this process hold on it.
 */
static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_create(const char *path,
    ngx_http_smart_journal_error_t *error)
{
    int          fd, err;
    struct stat  st;

    err = 0;

    if (stat(path, &st) == 0) {

        if (!S_ISREG(st.st_mode)) {
            snprintf(error->text, sizeof(error->text),
                     "is not a regular file");
            return NGX_HTTP_SMART_JOURNAL_FOREIGN;
        }

        if (access(path, R_OK|W_OK) == -1) {
            err = errno;
        }

    } else if (errno != ENOENT) {
        err = errno;

    } else {
        fd = open(path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0640);

        if (fd != -1) {
            close(fd);

        } else if (errno != EEXIST) {
            err = errno;
        }
    }

    if (err == 0) {
        return NGX_HTTP_SMART_JOURNAL_OK;
    }

    snprintf(error->text, sizeof(error->text), "cannot be opened: %s%s",
             strerror(err), err == EACCES || err == EPERM
             ? ", the user of the worker processes must be able to write the "
               "file and its directory" : "");

    return err == EROFS ? NGX_HTTP_SMART_JOURNAL_READ_ONLY
           : err == ENOSPC ? NGX_HTTP_SMART_JOURNAL_FULL
           : NGX_HTTP_SMART_JOURNAL_FAILED;
}


static int
ngx_http_smart_journal_sqlite_setup(ngx_http_smart_journal_store_t *store,
    const ngx_http_smart_journal_options_t *options)
{
    int  rc;

    rc = sqlite3_exec(store->db, options->sync ? "PRAGMA synchronous = FULL"
                                               : "PRAGMA synchronous = NORMAL",
                      NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }

    /* the page size counts only where the file is empty */

    return sqlite3_exec(store->db,
                        "PRAGMA page_size = 8192;"
                        "PRAGMA journal_mode = WAL;"
                        "PRAGMA wal_autocheckpoint = 2000;"
                        "PRAGMA journal_size_limit = 67108864;"
                        "PRAGMA cache_size = -32768;"
                        "PRAGMA temp_store = MEMORY",
                        NULL, NULL, NULL);
}


static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_migrate(ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_error_t *error)
{
    int                          rc;
    char                         sql[NGX_HTTP_SMART_JOURNAL_SQLITE_NAME];
    int64_t                      version;
    ngx_http_smart_journal_rc_e  result;

    rc = ngx_http_smart_journal_sqlite_run(store,
                                         NGX_HTTP_SMART_JOURNAL_SQLITE_BEGIN);
    if (rc != SQLITE_OK) {
        goto failed;
    }

    /* nobody else can change it from here on */

    result = ngx_http_smart_journal_sqlite_check(store, &version, error);

    if (result != NGX_HTTP_SMART_JOURNAL_OK) {
        return result;
    }

    while (version < NGX_HTTP_SMART_JOURNAL_SQLITE_VERSION) {

        rc = sqlite3_exec(store->db,
                          ngx_http_smart_journal_sqlite_migrations[version],
                          NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            goto failed;
        }

        version++;

        snprintf(sql, sizeof(sql),
                 "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 NGX_HTTP_SMART_JOURNAL_SQLITE_APPLICATION, (int) version);

        rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            goto failed;
        }
    }

    rc = ngx_http_smart_journal_sqlite_run(store,
                                        NGX_HTTP_SMART_JOURNAL_SQLITE_COMMIT);
    if (rc == SQLITE_OK) {
        return NGX_HTTP_SMART_JOURNAL_OK;
    }

failed:

    return ngx_http_smart_journal_sqlite_error(store->db, rc, "cannot open",
                                               error);
}


/* only reads: a file of somebody else stays as it is */
static ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_check(ngx_http_smart_journal_store_t *store,
    int64_t *version, ngx_http_smart_journal_error_t *error)
{
    int      rc;
    int64_t  application, tables;

    application = 0;
    tables = 0;
    *version = 0;

    rc = ngx_http_smart_journal_sqlite_number(store->db,
                                      "PRAGMA application_id", &application);

    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_number(store->db,
                                      "PRAGMA user_version", version);
    }

    if (rc == SQLITE_OK) {
        rc = ngx_http_smart_journal_sqlite_number(store->db,
                                "SELECT count(*) FROM sqlite_schema", &tables);
    }

    if (rc != SQLITE_OK) {
        return ngx_http_smart_journal_sqlite_error(store->db, rc,
                                                   "cannot open", error);
    }

    if (application != NGX_HTTP_SMART_JOURNAL_SQLITE_APPLICATION
        && (application || *version || tables))
    {
        snprintf(error->text, sizeof(error->text),
                 "is a database of another program, it is left alone");
        return NGX_HTTP_SMART_JOURNAL_FOREIGN;
    }

    if (*version > NGX_HTTP_SMART_JOURNAL_SQLITE_VERSION) {
        snprintf(error->text, sizeof(error->text),
                 "has version %lld of the schema, this build knows %d; it is "
                 "left alone", (long long) *version,
                 NGX_HTTP_SMART_JOURNAL_SQLITE_VERSION);
        return NGX_HTTP_SMART_JOURNAL_FOREIGN;
    }

    return NGX_HTTP_SMART_JOURNAL_OK;
}


static int
ngx_http_smart_journal_sqlite_number(sqlite3 *db, const char *sql,
    int64_t *value)
{
    int            rc;
    sqlite3_stmt  *stmt;

    rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != SQLITE_OK) {
        return rc;
    }

    rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW) {
        *value = sqlite3_column_int64(stmt, 0);
    }

    return sqlite3_finalize(stmt);
}


static void
ngx_http_smart_journal_sqlite_close(ngx_http_smart_journal_store_t *store,
    ngx_http_smart_journal_error_t *error)
{
    size_t                          i;
    ngx_http_smart_journal_error_t  note;

    if (error == NULL) {
        error = &note;
    }

    error->text[0] = '\0';

    for (i = 0; i < NGX_HTTP_SMART_JOURNAL_SQLITE_STATEMENTS; i++) {
        sqlite3_finalize(store->statements[i]);
    }

    sqlite3_close(store->db);

    /* opening it would not show what is wrong deep inside of it */

    if (store->corrupt && !ngx_http_smart_journal_sqlite_moved(store)) {
        (void) ngx_http_smart_journal_sqlite_set_aside(store->path, error);
    }

    free(store->urls.counts);
    free(store->websites.counts);
    free(store->texts);
    free(store->path);
    free(store);
}


unsigned
ngx_http_smart_journal_sqlite_moved(ngx_http_smart_journal_store_t *store)
{
    struct stat  st;

    return stat(store->path, &st) == -1 || st.st_dev != store->device
           || st.st_ino != store->inode;
}


ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_error(sqlite3 *db, int rc, const char *what,
    ngx_http_smart_journal_error_t *error)
{
    int          err;
    const char  *text;

    text = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    err = db ? sqlite3_system_errno(db) : 0;

    snprintf(error->text, sizeof(error->text), err ? "%s: %s (%s)" : "%s: %s",
             what, text, strerror(err));

    switch (rc & 0xff) {

    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return NGX_HTTP_SMART_JOURNAL_BUSY;

    case SQLITE_FULL:
        return NGX_HTTP_SMART_JOURNAL_FULL;

    case SQLITE_READONLY:
        return NGX_HTTP_SMART_JOURNAL_READ_ONLY;

    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return NGX_HTTP_SMART_JOURNAL_CORRUPT;

    default:
        return NGX_HTTP_SMART_JOURNAL_FAILED;
    }
}


ngx_http_smart_journal_rc_e
ngx_http_smart_journal_sqlite_failed(ngx_http_smart_journal_store_t *store,
    int rc, const char *what, ngx_http_smart_journal_error_t *error)
{
    ngx_http_smart_journal_rc_e  result;

    result = ngx_http_smart_journal_sqlite_error(store->db, rc, what, error);

    if (result == NGX_HTTP_SMART_JOURNAL_CORRUPT) {
        store->corrupt = 1;
    }

    /* some errors have done it already */

    if (!sqlite3_get_autocommit(store->db)) {
        (void) ngx_http_smart_journal_sqlite_run(store,
                                      NGX_HTTP_SMART_JOURNAL_SQLITE_ROLLBACK);
    }

    return result;
}
