
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the SQLite store of the journal takes: records written in batches, one
 * transaction each, as the writer of nginx does it, with retention.
 *
 *     journal_store FILE [records=N] [batch=N] [urls=N] [open=PERCENT]
 *                        [keep=N] [sync=0|1] [pauses=0|1]
 *
 *     urls    so many different ones, in turn; 0: each record has its own
 *     open    that share of the records is written twice: begun, then ended
 *     keep    so many of the newest are kept, the others pruned in steps of
 *             500; 0: all
 *     pauses  of the thread, as where nginx has less than a batch to write
 *
 * Prints a line of JSON for each tenth of the records, and one for all;
 * "per_cpu_second" is what one idle core would do.
 */

#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ngx_http_smart_journal_store.h"
#include "ngx_smart_uuid7.h"


#define STEP  500


static const ngx_http_smart_journal_store_api_t  *api =
    &ngx_http_smart_journal_sqlite;

static uint64_t                          records = 1000000, batch = 1000;
static uint64_t                          urls = 1000, opened, keep;
static uint64_t                          sync_full = 1, pauses;
static ngx_smart_record_t               *batched;
static char                             *texts;
static ngx_http_smart_journal_store_t   *store;


static double now(void);
static void arguments(int argc, char **argv);
static void fill(uint64_t from, size_t n, unsigned ended);
static void write_batch(size_t n);
static uint64_t prune(uint64_t written);
static void report(const char *path, uint64_t written, uint64_t pruned,
    double seconds, const char *what);
static uint64_t size_of(const char *path, const char *tail);
static unsigned long rss(void);
static void fail(const char *what, const char *why);
static unsigned alive(const ngx_http_smart_journal_process_t *process);


int
main(int argc, char **argv)
{
    double                             start, part;
    size_t                             swept;
    uint64_t                           i, n, pruned, tenth, last;
    ngx_http_smart_journal_rc_e        rc;
    ngx_http_smart_journal_error_t     error;
    ngx_http_smart_journal_options_t   options;
    ngx_http_smart_journal_instance_t  instance;

    if (argc < 2) {
        fail("usage", "journal_store FILE [name=value ...]");
    }

    arguments(argc, argv);

    memset(&options, 0, sizeof(options));
    options.place = argv[1];
    options.sync = sync_full != 0;
    options.busy = 1000;

    store = api->open(&options, &rc, &error);

    if (store == NULL) {
        fail(argv[1], error.text);
    }

    memset(&instance, 0, sizeof(instance));
    instance.id = 1;
    instance.node = "bench";
    instance.boot = "bench";
    instance.now = (int64_t) time(NULL) * 1000000;
    instance.alive = alive;

    if (api->heartbeat(store, &instance, &swept, &error)) {
        fail("heartbeat", error.text);
    }

    batched = calloc(batch, sizeof(ngx_smart_record_t));
    texts = calloc(batch, 512);

    if (batched == NULL || texts == NULL) {
        fail("calloc()", "out of memory");
    }

    pruned = 0;
    last = 0;
    tenth = records / 10 ? records / 10 : 1;
    start = part = now();

    for (i = 0; i < records; i += n) {

        n = records - i < batch ? records - i : batch;

        if (opened) {
            fill(i, n * opened / 100, 0);
            write_batch(n * opened / 100);
        }

        fill(i, n, 1);
        write_batch(n);

        pruned += prune(i + n);

        if ((i + n) / tenth != i / tenth) {
            report(argv[1], i + n - last, pruned, now() - part, "part");
            last = i + n;
            part = now();
        }
    }

    report(argv[1], records, pruned, now() - start, "all");

    api->close(store, NULL);

    free(batched);
    free(texts);

    return 0;
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static void
arguments(int argc, char **argv)
{
    int     i;
    size_t  k;

    static const struct {
        const char  *name;
        uint64_t    *value;
    } names[] = {
        { "records=", &records }, { "batch=", &batch }, { "urls=", &urls },
        { "open=", &opened }, { "keep=", &keep }, { "sync=", &sync_full },
        { "pauses=", &pauses }
    };

    for (i = 2; i < argc; i++) {

        for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            if (strncmp(argv[i], names[k].name, strlen(names[k].name)) == 0) {
                *names[k].value = strtoull(argv[i] + strlen(names[k].name),
                                           NULL, 10);
                break;
            }
        }

        if (k == sizeof(names) / sizeof(names[0])) {
            fail("unknown argument", argv[i]);
        }
    }
}


/* the same records for the same numbers: ids, times and urls */
static void
fill(uint64_t from, size_t n, unsigned ended)
{
    char                *p;
    size_t               i;
    ngx_smart_uuid7_t    state;
    ngx_smart_record_t  *r;

    static const int64_t  epoch = INT64_C(1700000000000000);

    for (i = 0; i < n; i++) {
        r = &batched[i];
        p = texts + i * 512;

        memset(r, 0, sizeof(*r));

        state.s[0] = from + i + 1;
        state.s[1] = 0x9e3779b97f4a7c15 ^ (from + i);

        r->timestamp = epoch + (int64_t) (from + i) * 20;
        ngx_smart_uuid7(&state, (uint64_t) r->timestamp, r->id);

        r->url.data = p;
        r->url.len = (size_t) sprintf(p,
            "https://shop-%02u.example.com/catalogue/items/%09llu"
            "?page=%u&sort=price&token=REDACTED",
            (unsigned) ((from + i) % 20),
            (unsigned long long) (urls ? (from + i) % urls : from + i),
            (unsigned) ((from + i) % 7 % (urls ? 1 : 7)));

        r->website.data = p;
        r->website.len = 27;
        r->host.data = p + 8;
        r->host.len = 19;
        r->method.data = "GET";
        r->method.len = 3;
        r->node.data = "bench";
        r->node.len = 5;
        r->duration = -1;
        r->attempts = -1;
        r->winner = -1;

        if (ended) {
            r->again = i < n * opened / 100;
            r->state = NGX_SMART_RECORD_COMPLETE;
            r->duration = (int64_t) ((from + i) * 7919 % 2000000);
            r->code = (from + i) % 50 ? 200 : 503;
            r->attempts = 1 + (from + i) % 20 / 19;
            r->winner = 0;
            r->upstream.data = "10.0.0.1:8080";
            r->upstream.len = 13;
        }
    }
}


static void
write_batch(size_t n)
{
    size_t                          skipped;
    ngx_http_smart_journal_error_t  error;

    if (api->write(store, 1, batched, n, pauses != 0, &skipped, &error)) {
        fail("write", error.text);
    }

    if (skipped) {
        fail("write", "records were skipped");
    }
}


static uint64_t
prune(uint64_t written)
{
    size_t                          n;
    int64_t                         before;
    uint64_t                        pruned;
    ngx_http_smart_journal_error_t  error;

    if (keep == 0 || written <= keep) {
        return 0;
    }

    before = INT64_C(1700000000000000) + (int64_t) (written - keep) * 20;
    pruned = 0;

    do {
        if (api->prune(store, before, STEP, &n, &error)) {
            fail("prune", error.text);
        }

        pruned += n;

    } while (n == STEP);

    return pruned;
}


static void
report(const char *path, uint64_t written, uint64_t pruned, double seconds,
    const char *what)
{
    double         cpu;
    struct rusage  usage;

    static double  last;

    getrusage(RUSAGE_SELF, &usage);

    cpu = (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
          + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;

    if (what[0] == 'p') {
        cpu -= last;
        last += cpu;
    }

    printf("{\"what\":\"%s\",\"records\":%llu,\"seconds\":%.2f,"
           "\"per_second\":%.0f,\"per_cpu_second\":%.0f,"
           "\"pruned\":%llu,\"file_mb\":%llu,\"wal_mb\":%llu,\"rss_mb\":%lu}\n",
           what, (unsigned long long) written, seconds,
           (double) written / seconds, (double) written / cpu,
           (unsigned long long) pruned,
           (unsigned long long) size_of(path, "") >> 20,
           (unsigned long long) size_of(path, "-wal") >> 20, rss() >> 10);

    fflush(stdout);
}


static uint64_t
size_of(const char *path, const char *tail)
{
    char         name[4096];
    struct stat  st;

    snprintf(name, sizeof(name), "%s%s", path, tail);

    return stat(name, &st) == 0 ? (uint64_t) st.st_size : 0;
}


/* kB */
static unsigned long
rss(void)
{
    FILE           *f;
    unsigned long   total, resident;

    f = fopen("/proc/self/statm", "r");

    if (f == NULL || fscanf(f, "%lu %lu", &total, &resident) != 2) {
        resident = 0;
    }

    if (f) {
        fclose(f);
    }

    return resident * (unsigned long) sysconf(_SC_PAGESIZE) / 1024;
}


static void
fail(const char *what, const char *why)
{
    fprintf(stderr, "journal_store: %s: %s\n", what, why);
    exit(1);
}


static unsigned
alive(const ngx_http_smart_journal_process_t *process)
{
    (void) process;

    return 1;
}
