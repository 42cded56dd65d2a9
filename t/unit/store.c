
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store of the journal: how it opens its file, batches of new
 * records, of records that are there already, and of both, and what goes.
 */


#include "tap.h"

#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ngx_http_smart_journal_store.h"


#define BATCH  100


static int watch(sqlite3 *connection, const char **error,
    const struct sqlite3_api_routines *routines);
static void rolled_back(void *data);
static void opened(void);
static void new_ones(void);
static void repeated(void);
static void ends(void);
static void refused(void);
static void by_clients(void);
static void pruned(void);
static void paused(void);
static long slept(unsigned from, unsigned with);
static void fill(unsigned from, unsigned n, ngx_smart_record_state_e state,
    unsigned again);
static size_t batch(unsigned n);
static unsigned number(const char *sql);
static unsigned number_of(sqlite3 *connection, const char *sql);
static void counted(const char *name);


static const ngx_http_smart_journal_store_api_t  *api =
    &ngx_http_smart_journal_sqlite;

static char                             urls[BATCH][64];
static sqlite3                         *db, *watched;
static unsigned                         rollbacks, pauses;
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
    options.sync = 1;
    options.busy = 1000;

    (void) sqlite3_auto_extension((void (*)(void)) watch);

    store = api->open(&options, &rc, &error);

    if (store == NULL) {
        tap_die(path, error.text);
    }

    opened();

    /* a commit may be lost when the power fails, but not out of order */

    api->close(store, NULL);
    options.sync = 0;
    store = api->open(&options, &rc, &error);

    if (store == NULL) {
        tap_die(path, error.text);
    }

    is_uint(number_of(watched, "PRAGMA synchronous"), 1, "sync=normal");

    if (sqlite3_open(path, &db) != SQLITE_OK) {
        tap_die(path, "cannot be opened");
    }

    new_ones();
    repeated();
    ends();
    refused();
    by_clients();
    pruned();
    paused();

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

    watched = connection;

    return SQLITE_OK;
}


static void
rolled_back(void *data)
{
    (void) data;

    rollbacks++;
}


static void
opened(void)
{
    is_uint(number_of(watched, "PRAGMA synchronous"), 2, "sync=full");
    is_uint(number_of(watched, "SELECT journal_mode = 'wal'"
                      " FROM pragma_journal_mode"), 1, "a log of changes");
    is_uint(number_of(watched, "SELECT count(*) FROM pragma_table_list"
                      " WHERE name IN ('requests', 'websites', 'urls',"
                      " 'instances') AND strict"), 4,
            "all tables are strict");
    is_uint(number_of(watched, "PRAGMA user_version"), 1,
            "the version of the schema");
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


/* step by step, the oldest first, but nothing that is open */
static void
pruned(void)
{
    size_t                          n;
    unsigned                        before;
    ngx_http_smart_journal_error_t  error;

    fill(6000, 3, NGX_SMART_RECORD_OPEN, 0);
    (void) batch(3);
    fill(6003, 40, NGX_SMART_RECORD_COMPLETE, 0);
    (void) batch(40);

    before = number("SELECT count(*) FROM requests");

    is_uint(api->prune(store, 6020, 10, &n, &error),
            NGX_HTTP_SMART_JOURNAL_OK, "a step");
    is_uint(n, 10, "is as large as it may be");
    is_uint(number("SELECT count(*) FROM requests"), before - 10,
            "so many are gone");
    is_uint(number("SELECT count(*) FROM requests WHERE timestamp < 10"), 0,
            "the oldest");
    counted("their counts");

    while (n == 10) {
        (void) api->prune(store, 6020, 10, &n, &error);
    }

    is_uint(number("SELECT count(*) FROM requests WHERE timestamp < 6020"), 3,
            "at last all but the open ones");
    is_uint(number("SELECT count(*) FROM requests"), 26,
            "and those that are not old enough");
    is_uint(number("SELECT sum(count) FROM urls"), 26, "the counts of urls");
    is_uint(number("SELECT sum(count) FROM websites"), 26, "of websites");
    counted("of each");
}


/* a batch of 100 has three pauses, in which others get the processor */

static void
paused(void)
{
    long  without;

    without = slept(7000, 0);

    ok(without < 3, "without pauses: %ld times asleep", without);
    ok(slept(7100, 1) >= without + 3, "with pauses");
    counted("counts of both");
}


static long
slept(unsigned from, unsigned with)
{
    struct rusage  before, after;

    fill(from, BATCH, NGX_SMART_RECORD_COMPLETE, 0);
    pauses = with;

    (void) getrusage(RUSAGE_SELF, &before);
    (void) batch(BATCH);
    (void) getrusage(RUSAGE_SELF, &after);

    pauses = 0;

    return after.ru_nvcsw - before.ru_nvcsw;
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

    if (api->write(store, 7, records, n, pauses, &skipped, &error)
        != NGX_HTTP_SMART_JOURNAL_OK
        || error.text[0])
    {
        ok(0, "a batch of %u: %s", n, error.text);
    }

    return skipped;
}


static unsigned
number(const char *sql)
{
    return number_of(db, sql);
}


static unsigned
number_of(sqlite3 *connection, const char *sql)
{
    unsigned       n;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(connection, sql, -1, &stmt, NULL) != SQLITE_OK
        || sqlite3_step(stmt) != SQLITE_ROW)
    {
        tap_die(sql, sqlite3_errmsg(connection));
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
