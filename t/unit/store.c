
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store of the journal: batches of new records, of records that
 * are there already, and of both.
 */


#include "tap.h"

#include <sqlite3.h>
#include <unistd.h>

#include "ngx_http_smart_journal_store.h"


#define BATCH  100


static int watch(sqlite3 *connection, const char **error,
    const struct sqlite3_api_routines *routines);
static void rolled_back(void *data);
static void new_ones(void);
static void repeated(void);
static void ends(void);
static void refused(void);
static void by_clients(void);
static void fill(unsigned from, unsigned n, ngx_smart_record_state_e state,
    unsigned again);
static size_t batch(unsigned n);
static unsigned number(const char *sql);
static void counted(const char *name);


static const ngx_http_smart_journal_store_api_t  *api =
    &ngx_http_smart_journal_sqlite;

static char                             urls[BATCH][64];
static sqlite3                         *db;
static unsigned                         rollbacks;
static ngx_smart_record_t               records[BATCH];
static ngx_http_smart_journal_store_t  *store;


int
main(void)
{
    int                               fd;
    char                              path[] = "/tmp/smart_store_XXXXXX";
    char                              file[64];
    ngx_http_smart_journal_rc_e       rc;
    ngx_http_smart_journal_error_t    error;
    ngx_http_smart_journal_options_t  options;

    fd = mkstemp(path);

    if (fd == -1) {
        tap_die(path, "cannot be made");
    }

    close(fd);

    memset(&options, 0, sizeof(options));
    options.place = path;
    options.busy = 1000;

    (void) sqlite3_auto_extension((void (*)(void)) watch);

    store = api->open(&options, &rc, &error);

    if (store == NULL) {
        tap_die(path, error.text);
    }

    if (sqlite3_open(path, &db) != SQLITE_OK) {
        tap_die(path, "cannot be opened");
    }

    new_ones();
    repeated();
    ends();
    refused();
    by_clients();

    sqlite3_close(db);
    api->close(store, NULL);

    unlink(path);

    snprintf(file, sizeof(file), "%s-wal", path);
    unlink(file);

    snprintf(file, sizeof(file), "%s-shm", path);
    unlink(file);

    return tap_done();
}


/* of each connection that is opened */
static int
watch(sqlite3 *connection, const char **error,
    const struct sqlite3_api_routines *routines)
{
    (void) error;
    (void) routines;

    (void) sqlite3_rollback_hook(connection, rolled_back, NULL);

    return SQLITE_OK;
}


static void
rolled_back(void *data)
{
    (void) data;

    rollbacks++;
}


/* more and fewer than go into one statement, and none */
static void
new_ones(void)
{
    unsigned  n, from;

    from = 0;

    for (n = 0; n < 40; n++) {
        fill(from, n, NGX_SMART_RECORD_COMPLETE, 0);
        (void) batch(n);
        from += n;
    }

    is_uint(number("SELECT count(*) FROM requests WHERE state = 1"), from,
            "batches of 0 to 39 new records");
    counted("their counts");

    is_uint(number("SELECT count(*) FROM requests WHERE code = 200"
                   " AND duration = timestamp * 10 AND host = 'a.example'"
                   " AND website = 'http://a.example' AND node = 'here'"
                   " AND method = 'GET' AND attempts = 2 AND winner = 1"
                   " AND upstream = '10.0.0.1:80' AND trace_id IS NULL"
                   " AND instance IS NULL"
                   " AND url = 'http://a.example/' || (timestamp % 7)"), from,
            "each value is in its column");
    is_uint(rollbacks, 0, "none is written twice for that");
}


/* a writer died between its commit and the acknowledgement */
static void
repeated(void)
{
    unsigned  before;

    before = number("SELECT count(*) FROM requests");

    fill(0, 50, NGX_SMART_RECORD_COMPLETE, 0);
    is_uint(batch(50), 0, "a batch that is there is no failure");
    is_uint(number("SELECT count(*) FROM requests"), before,
            "nor is it there twice");
    counted("their counts");

    fill(before - 20, 60, NGX_SMART_RECORD_COMPLETE, 0);
    is_uint(batch(60), 0, "a batch of old and new ones");
    is_uint(number("SELECT count(*) FROM requests"), before + 40,
            "the new ones are there");
    counted("their counts");
}


static void
ends(void)
{
    fill(2000, 60, NGX_SMART_RECORD_OPEN, 0);
    (void) batch(60);
    is_uint(number("SELECT count(*) FROM requests WHERE state = 0"
                   " AND duration IS NULL AND code IS NULL AND instance = 7"),
            60, "begun");

    /* 40 of which the writer knows, among new ones */

    fill(1990, 50, NGX_SMART_RECORD_COMPLETE, 1);
    (void) batch(50);
    is_uint(number("SELECT count(*) FROM requests WHERE state = 0"), 20,
            "40 ended, and ten that were not begun");
    counted("their counts");

    fill(2040, 20, NGX_SMART_RECORD_INTERRUPTED, 0);
    (void) batch(20);
    is_uint(number("SELECT count(*) FROM requests WHERE state = 3"), 20,
            "20 of which this writer did not know are interrupted");

    fill(2040, 20, NGX_SMART_RECORD_COMPLETE, 0);
    (void) batch(20);
    is_uint(number("SELECT count(*) FROM requests WHERE state = 3"), 0,
            "their late ends override that");

    fill(2000, 60, NGX_SMART_RECORD_INTERRUPTED, 1);
    (void) batch(60);
    is_uint(number("SELECT count(*) FROM requests WHERE state <> 1"), 0,
            "an end is not overridden");

    is_uint(number("SELECT count(*) FROM requests WHERE instance IS NOT NULL"),
            0, "what has ended belongs to no instance");
    counted("their counts");
}


static void
refused(void)
{
    unsigned  before;

    if (sqlite3_exec(db, "CREATE TRIGGER refuse BEFORE INSERT ON requests"
                     " WHEN NEW.timestamp IN (3007, 3040)"
                     " BEGIN SELECT RAISE (ABORT, 'no'); END",
                     NULL, NULL, NULL) != SQLITE_OK)
    {
        tap_die("CREATE TRIGGER", sqlite3_errmsg(db));
    }

    before = number("SELECT count(*) FROM requests");

    fill(3000, 60, NGX_SMART_RECORD_COMPLETE, 0);
    is_uint(batch(60), 2, "two records are refused");
    is_uint(number("SELECT count(*) FROM requests"), before + 58,
            "the others are there");
    counted("their counts");

    (void) sqlite3_exec(db, "DROP TRIGGER refuse", NULL, NULL, NULL);

    fill(4000, 60, NGX_SMART_RECORD_COMPLETE, 0);
    rollbacks = 0;
    is_uint(batch(60), 0, "and the next batch");
    is_uint(rollbacks, 0, "is written at once");
    counted("its counts");
}


static void
by_clients(void)
{
    ngx_http_smart_journal_error_t  error;

    fill(5000, 1, NGX_SMART_RECORD_COMPLETE, 0);

    is_uint(api->put(store, records, &error), NGX_HTTP_SMART_JOURNAL_CREATED,
            "a record of a client");
    is_uint(api->put(store, records, &error), NGX_HTTP_SMART_JOURNAL_SAME,
            "the same once more");

    records[0].code = 404;
    is_uint(api->put(store, records, &error), NGX_HTTP_SMART_JOURNAL_CONFLICT,
            "another one under its id");

    is_uint(number("SELECT code FROM requests WHERE timestamp = 5000"), 200,
            "the first one stays");
    counted("its counts");
}


/* the same records for the same numbers */
static void
fill(unsigned from, unsigned n, ngx_smart_record_state_e state,
    unsigned again)
{
    unsigned             i;
    ngx_smart_record_t  *r;

    memset(records, 0, sizeof(records));

    for (i = 0; i < n; i++) {
        r = &records[i];

        r->timestamp = from + i;
        memcpy(r->id, &r->timestamp, sizeof(r->timestamp));

        r->url.data = urls[i];
        r->url.len = (size_t) snprintf(urls[i], sizeof(urls[i]),
                                       "http://a.example/%u", (from + i) % 7);
        r->website.data = urls[i];
        r->website.len = 16;
        r->host.data = urls[i] + 7;
        r->host.len = 9;
        r->method.data = "GET";
        r->method.len = 3;
        r->node.data = "here";
        r->node.len = 4;

        r->again = again;
        r->state = state;
        r->duration = -1;
        r->attempts = -1;
        r->winner = -1;

        if (state == NGX_SMART_RECORD_COMPLETE) {
            r->duration = r->timestamp * 10;
            r->code = 200;
            r->attempts = 2;
            r->winner = 1;
            r->upstream.data = "10.0.0.1:80";
            r->upstream.len = 11;
        }
    }
}


/* how many were skipped */
static size_t
batch(unsigned n)
{
    size_t                          skipped;
    ngx_http_smart_journal_error_t  error;

    error.text[0] = '\0';

    if (api->write(store, 7, records, n, &skipped, &error)
        != NGX_HTTP_SMART_JOURNAL_OK)
    {
        ok(0, "a batch of %u: %s", n, error.text);
    }

    return skipped;
}


static unsigned
number(const char *sql)
{
    unsigned       n;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK
        || sqlite3_step(stmt) != SQLITE_ROW)
    {
        tap_die(sql, sqlite3_errmsg(db));
    }

    n = (unsigned) sqlite3_column_int64(stmt, 0);

    sqlite3_finalize(stmt);

    return n;
}


static void
counted(const char *name)
{
    is_uint(number("SELECT count(*) FROM (SELECT url, count(*) FROM requests"
                   " GROUP BY 1 EXCEPT SELECT url, count FROM urls)")
            + number("SELECT count(*) FROM (SELECT website, count(*)"
                     " FROM requests GROUP BY 1"
                     " EXCEPT SELECT website, count FROM websites)"),
            0, "%s", name);
}
