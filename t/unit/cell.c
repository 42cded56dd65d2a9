
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "tap.h"

#include "ngx_smart_cell.h"
#include "ngx_smart_uuid7.h"


#define SLOTS  64


static void lengths(void);
static void round_trip(size_t url, size_t upstream, unsigned shared,
    unsigned trace);
static void states(void);
static void limits(void);
static void ids(void);
static int same(const ngx_smart_record_text_t *text, const char *expected,
    size_t len);
static void prepare(void);


static char              *cells, *texts;
static char               letters[8192];
static ngx_smart_ring_t  *ring;


int
main(void)
{
    cells = malloc(SLOTS * NGX_SMART_CELL_SIZE);
    texts = malloc(NGX_SMART_CELL_MAX_TEXT);
    ring = malloc(ngx_smart_ring_size(SLOTS));

    if (cells == NULL || texts == NULL || ring == NULL) {
        tap_die("malloc()", "out of memory");
    }

    lengths();
    states();
    limits();
    ids();

    free(cells);
    free(texts);
    free(ring);

    return tap_done();
}


static void
lengths(void)
{
    size_t              url, upstream;
    unsigned            shared, trace, failed;
    ngx_smart_record_t  record;

    memset(&record, 0, sizeof(record));
    record.method.data = "OPTIONS";
    record.method.len = 7;
    record.website.data = letters;
    record.website.len = 30;
    record.url.data = letters;
    record.url.len = 256;
    record.trace_id.data = letters;
    record.trace_id.len = NGX_SMART_RECORD_TRACE_ID;

    is_uint(ngx_smart_cell_need(&record), 1,
            "a url of 256 bytes and all else take one slot of %u bytes",
            NGX_SMART_CELL_SIZE);

    for (shared = 0; shared < 2; shared++) {
        for (trace = 0; trace < 2; trace++) {
            failed = tap_failed;

            for (url = 60; url <= NGX_SMART_RECORD_MAX_URL; url++) {
                for (upstream = 0; upstream <= 128; upstream += 64) {
                    round_trip(url, upstream, shared, trace);
                }

                if (tap_failed != failed) {
                    break;
                }
            }

            ok(tap_failed == failed, "urls of any length, %s, %s",
               shared ? "that begin with the website" : "that do not",
               trace ? "with a trace id" : "without one");
        }
    }
}


static void
round_trip(size_t url, size_t upstream, unsigned shared, unsigned trace)
{
    char                website[64];
    size_t              n;
    unsigned            good;
    uint32_t            slot, other, batch[2];
    ngx_smart_record_t  in, out;

    prepare();

    memcpy(website, letters, 50);

    if (!shared) {
        website[0] = '!';
    }

    memset(&in, 0, sizeof(in));
    memset(in.id, 7, sizeof(in.id));
    in.timestamp = 1234567890123456;
    in.method.data = "GET";
    in.method.len = 3;
    in.url.data = letters;
    in.url.len = url;
    in.website.data = website;
    in.website.len = 50;
    in.host.data = website + 8;
    in.host.len = 20;

    if (trace) {
        in.trace_id.data = letters + 100;
        in.trace_id.len = NGX_SMART_RECORD_TRACE_ID;
    }

    /* chains that do not lie in a row */

    other = ngx_smart_ring_acquire(ring, 3);
    ngx_smart_ring_open(ring, other, 1);
    ngx_smart_ring_done(ring, other, NGX_SMART_RING_DONE);
    slot = ngx_smart_ring_acquire(ring, 2);
    ngx_smart_ring_open(ring, slot, 1);
    ngx_smart_ring_take(ring, batch, 1);
    ngx_smart_ring_ack(ring, batch, 1);

    slot = ngx_smart_ring_acquire(ring, ngx_smart_cell_need(&in));
    memset(cells, 0xee, SLOTS * NGX_SMART_CELL_SIZE);
    ngx_smart_cell_begin(cells, ring, slot, &in);
    ngx_smart_ring_open(ring, slot, 1);

    in.state = NGX_SMART_RECORD_COMPLETE;
    in.duration = 77;
    in.code = 404;
    in.attempts = 3;
    in.winner = 2;
    in.upstream.data = letters + 1000;
    in.upstream.len = upstream;

    ngx_smart_cell_end(cells, ring, slot, &in);
    ngx_smart_ring_done(ring, slot, NGX_SMART_RING_DONE);
    ngx_smart_ring_take(ring, batch, 2);

    memset(&out, 0xaa, sizeof(out));
    n = ngx_smart_cell_get(cells, ring, batch[1], &out, texts);

    good = batch[1] == slot && n <= NGX_SMART_CELL_MAX_TEXT
           && memcmp(out.id, in.id, sizeof(in.id)) == 0
           && out.timestamp == in.timestamp && out.duration == 77
           && out.code == 404 && out.attempts == 3 && out.winner == 2
           && out.state == NGX_SMART_RECORD_COMPLETE && !out.again
           && same(&out.url, letters, url)
           && same(&out.method, "GET", 3)
           && same(&out.website, website, 50)
           && same(&out.host, website + 8, 20)
           && same(&out.upstream, letters + 1000, upstream)
           && same(&out.trace_id, letters + 100,
                   trace ? NGX_SMART_RECORD_TRACE_ID : 0);

    if (!good) {
        ok(0, "a url of %u bytes, an upstream of %u", (unsigned) url,
           (unsigned) upstream);
    }
}


static void
states(void)
{
    uint32_t            slot;
    ngx_smart_record_t  in, out;

    prepare();

    memset(&in, 0, sizeof(in));
    in.url.data = letters;
    in.url.len = 10;

    slot = ngx_smart_ring_acquire(ring, 1);
    ngx_smart_cell_begin(cells, ring, slot, &in);
    ngx_smart_ring_open(ring, slot, 9);
    ngx_smart_ring_take(ring, &slot, 1);

    /* its owner ends it while the writer has its beginning in hand */

    in.state = NGX_SMART_RECORD_ABORTED;
    in.code = 499;
    in.duration = 5;
    in.upstream.data = letters;
    in.upstream.len = 5;
    ngx_smart_cell_end(cells, ring, slot, &in);
    ngx_smart_ring_done(ring, slot, NGX_SMART_RING_DONE);

    ngx_smart_cell_get(cells, ring, slot, &out, texts);

    is_uint(out.state, NGX_SMART_RECORD_OPEN, "taken as open, it stays so");
    ok(out.duration == -1 && out.code == 0 && out.upstream.len == 0,
       "and has nothing of its end");

    ngx_smart_ring_ack(ring, &slot, 1);
    ngx_smart_ring_take(ring, &slot, 1);
    ngx_smart_cell_get(cells, ring, slot, &out, texts);

    is_uint(out.state, NGX_SMART_RECORD_ABORTED, "then it is aborted");
    ok(out.duration == 5 && out.code == 499 && out.upstream.len == 5,
       "and has its end");
    ok(out.again, "its beginning was written");
    ok(out.attempts == 0 && out.winner == 0, "numbers are what they were");

    prepare();

    slot = ngx_smart_ring_acquire(ring, 1);
    ngx_smart_cell_begin(cells, ring, slot, &in);
    ngx_smart_ring_open(ring, slot, 9);
    ngx_smart_ring_recover(ring, (uint32_t[]) { 9 }, 1, 0);
    ngx_smart_ring_take(ring, &slot, 1);
    ngx_smart_cell_get(cells, ring, slot, &out, texts);

    is_uint(out.state, NGX_SMART_RECORD_INTERRUPTED,
            "what a dead owner left open is interrupted");
    ok(out.duration == -1 && out.code == 0 && out.attempts == -1
       && out.winner == -1, "and has no end");
}


static void
limits(void)
{
    uint32_t            slot;
    ngx_smart_record_t  in, out;

    prepare();

    memset(&in, 0, sizeof(in));
    in.method.data = letters;
    in.method.len = 100;
    in.url.data = letters;
    in.url.len = 5000;
    in.website.data = letters + 10;
    in.website.len = 400;
    in.host.data = letters + 300;
    in.host.len = 50;
    in.trace_id.data = letters;
    in.trace_id.len = 31;

    ngx_smart_cell_limit(&in);

    is_uint(in.method.len, NGX_SMART_RECORD_MAX_METHOD, "a method is cut");
    is_uint(in.url.len, NGX_SMART_RECORD_MAX_URL, "a url is cut");
    is_uint(in.website.len, NGX_SMART_RECORD_MAX_WEBSITE, "a website is cut");
    is_uint(in.host.len, 0, "a host that lies beyond of it is left out");
    is_uint(in.trace_id.len, 0, "a trace id of another length, too");

    slot = ngx_smart_ring_acquire(ring, ngx_smart_cell_need(&in));
    ngx_smart_cell_begin(cells, ring, slot, &in);
    ngx_smart_ring_open(ring, slot, 1);

    in.upstream.data = letters;
    in.upstream.len = 5000;
    in.state = NGX_SMART_RECORD_COMPLETE;
    ngx_smart_cell_end(cells, ring, slot, &in);
    ngx_smart_ring_done(ring, slot, NGX_SMART_RING_DONE);

    ngx_smart_ring_take(ring, &slot, 1);
    ngx_smart_cell_get(cells, ring, slot, &out, texts);

    ok(out.upstream.len >= 128
       && out.upstream.len <= NGX_SMART_RECORD_MAX_UPSTREAM
       && same(&out.upstream, letters, out.upstream.len),
       "an upstream is cut to what there is room for");
}


static void
ids(void)
{
    int                i, bad;
    uint8_t            id[16], last[16];
    uint64_t           ms;
    ngx_smart_uuid7_t  state;

    state.s[0] = 1;
    state.s[1] = 2;
    bad = 0;
    memset(last, 0, sizeof(last));

    for (i = 0; i < 100000; i++) {

        ngx_smart_uuid7(&state, UINT64_C(1700000000000000) + (uint64_t) i, id);

        bad += memcmp(id, last, sizeof(id)) <= 0;
        bad += (id[6] >> 4) != 7 || (id[8] >> 6) != 2;

        memcpy(last, id, sizeof(id));
    }

    is_uint((uint64_t) bad, 0, "ids of rising times rise, and are UUIDv7");

    ms = 0;

    for (i = 0; i < 6; i++) {
        ms = ms << 8 | id[i];
    }

    is_uint(ms, UINT64_C(1700000000099), "the ms are in the first 48 bits");

    ngx_smart_uuid7(&state, 5, id);
    ngx_smart_uuid7(&state, 5, last);
    ok(memcmp(id, last, 8) == 0 && memcmp(id + 8, last + 8, 8) != 0,
       "ids of one time differ in their random part");
}


static int
same(const ngx_smart_record_text_t *text, const char *expected, size_t len)
{
    return text->len == len
           && (len == 0 || memcmp(text->data, expected, len) == 0);
}


static void
prepare(void)
{
    size_t  i;

    ngx_smart_ring_init(ring, SLOTS);

    for (i = 0; i < sizeof(letters); i++) {
        letters[i] = (char) ('a' + (i * 7 + i / 97) % 26);
    }
}
