
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include <zlib.h>

#include "../../ngx_smart_module/http/ngx_http_smart_json.h"


#define BLOCKS  8192


static void documents(const char *path);
static void depth(void);
static void empty_blocks(void);
static void pointers(void);
static void bomb(void);
static ngx_http_smart_json_e check(const char *p, size_t len, size_t length,
    unsigned gzip, size_t limit);
static size_t pack(const char *p, size_t len, char *packed, size_t size);


int
main(void)
{
    documents("t/data/document.txt");
    depth();
    empty_blocks();
    pointers();
    bomb();

    return tap_done();
}


/* in one block, in bytes, compressed, and compressed with the end missing */
static void
documents(const char *path)
{
    char                    *p, *block, packed[TABLE_CELL + 64];
    size_t                   len, size, i;
    unsigned                 good, bad;
    static table_t           t;
    ngx_http_smart_json_e    expected;

    table_open(&t, path, 2);

    while (table_next(&t)) {

        len = t.cells[0].len;
        p = table_copy(t.cells[0].data, len, &block);

        expected = strcmp(t.cells[1].data, "yes") == 0
                   ? NGX_HTTP_SMART_JSON_OK : NGX_HTTP_SMART_JSON_MALFORMED;

        tap_ok(path, t.line, check(p, len, len + 1, 0, 4096) == expected,
               "%s: %s", t.cells[0].raw, t.cells[1].raw);

        tap_ok(path, t.line, check(p, len, 1, 0, 4096) == expected,
               "in bytes");

        size = pack(p, len, packed, sizeof(packed));
        good = 0;

        for (i = 1; i <= size; i++) {
            good += check(packed, size, i, 1, len) == expected;
        }

        tap_is_uint(path, t.line, good, size, "compressed, in blocks");

        bad = 0;

        for (i = 0; i < size; i++) {
            bad += check(packed, i, i + 1, 1, 4096)
                   == NGX_HTTP_SMART_JSON_BROKEN;
        }

        tap_is_uint(path, t.line, bad, size, "compressed, and cut");

        if (expected == NGX_HTTP_SMART_JSON_OK) {
            tap_ok(path, t.line, check(packed, size, size, 1, len - 1)
                                 == NGX_HTTP_SMART_JSON_TOO_LARGE,
                   "compressed, a byte over the limit");
        }

        free(block);
    }
}


static void
depth(void)
{
    static char  text[2 * 3000];

    memset(text, '[', 2048);
    memset(text + 2048, ']', 2048);

    ok(check(text, 4096, 4096, 0, 8192) == NGX_HTTP_SMART_JSON_OK,
       "2048 deep");

    memset(text, '[', 2049);
    memset(text + 2049, ']', 2049);

    ok(check(text, 4098, 4098, 0, 8192) == NGX_HTTP_SMART_JSON_MALFORMED,
       "deeper");
}


/* as a body may have that comes in pieces */
static void
empty_blocks(void)
{
    size_t                        i, failed;
    ngx_http_smart_json_block_t   blocks[7];

    static const char *const  pieces[] = { "", "", "[1", "", "", ",2]", "" };

    for (i = 0; i < 7; i++) {
        blocks[i].next = (i < 6) ? &blocks[i + 1] : NULL;
        blocks[i].data = (unsigned char *) (uintptr_t) pieces[i];
        blocks[i].len = strlen(pieces[i]);
    }

    ok(ngx_http_smart_json_check(blocks, 0, 4096, NULL, 0, &failed)
       == NGX_HTTP_SMART_JSON_OK, "empty blocks");

    blocks[4].next = NULL;

    ok(ngx_http_smart_json_check(blocks, 0, 4096, NULL, 0, &failed)
       == NGX_HTTP_SMART_JSON_MALFORMED, "and the last of them");
}


static void
pointers(void)
{
    char                          *block, tokens[64];
    size_t                         i, k, failed;
    ngx_http_smart_json_e          rc;
    ngx_smart_pointer_t            pointer[2];
    ngx_http_smart_json_block_t    body;

    static const char  text[] =
        "{\"i\": 7, \"f\": 1.5, \"w\": 2.0, \"e\": 1e2, \"h\": 1e-2, "
        "\"big\": 123456789012345678901, \"s\": \"x\", \"t\": true, "
        "\"b\": false, \"n\": null, \"o\": {\"\": {\"a/b\": 1}}, "
        "\"l\": [0, [\"x\"]], "
        "\"m\": [[3, 4], 5]}";

    static const struct {
        const char  *pointer;
        int          good;
    } cases[] = {
        { "/i", 1 }, { "/i:any", 1 }, { "/i:integer", 1 }, { "/i:number", 1 },
        { "/i:string", 0 }, { "/i:boolean", 0 }, { "/i:null", 0 },
        { "/f:number", 1 }, { "/f:integer", 0 }, { "/w:integer", 1 },
        { "/e:integer", 1 }, { "/h:integer", 0 }, { "/big:integer", 1 },
        { "/s:string", 1 }, { "/s:number", 0 }, { "/s:integer", 0 },
        { "/b:boolean", 1 }, { "/t:boolean", 1 }, { "/t:integer", 0 },
        { "/t:null", 0 },
        { "/n:null", 1 }, { "/n:any", 1 }, { "/n:boolean", 0 },
        { "/o:object", 1 }, { "/o:array", 0 }, { "/l:array", 1 },
        { "/l:object", 0 }, { "/o//a~1b:integer", 1 }, { "/o/", 1 },
        { "/l/0:integer", 1 }, { "/l/1/0:string", 1 }, { "/l/2", 0 },
        { "/m/0/1:integer", 1 }, { "/m/0/x", 0 }, { "/m/0/01", 0 },
        { "/l/00", 0 }, { "/l/-", 0 }, { "/l/1/0/x", 0 }, { "/x", 0 },
        { "/I", 0 }, { "/i/0", 0 }, { "/", 0 }, { ":object", 1 },
        { ":array", 0 }, { "/l/18446744073709551615", 0 }
    };

    body.next = NULL;
    body.data = (unsigned char *) table_copy(text, sizeof(text) - 1, &block);
    body.len = sizeof(text) - 1;

    (void) ngx_smart_pointer_parse(":any", 4, tokens, &pointer[0]);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        ok(ngx_smart_pointer_parse(cases[i].pointer,
                                   strlen(cases[i].pointer), tokens,
                                   &pointer[1])
           == NULL, "%s is one", cases[i].pointer);

        failed = 7;
        rc = ngx_http_smart_json_check(&body, 0, 4096, pointer, 2, &failed);
        k = cases[i].good ? 7 : 1;

        ok(rc == (cases[i].good ? NGX_HTTP_SMART_JSON_OK
                                : NGX_HTTP_SMART_JSON_UNEXPECTED)
           && failed == k, "%s: %d", cases[i].pointer, cases[i].good);
    }

    free(block);
}


/* a million bytes out of a thousand: read only as far as the limit goes */
static void
bomb(void)
{
    char         *text;
    size_t        size;
    static char   packed[65536];

    text = malloc(1000000);
    if (text == NULL) {
        tap_die("malloc()", "out of memory");
    }

    memset(text, ' ', 1000000);
    size = pack(text, 1000000, packed, sizeof(packed));

    ok(size < 2000, "a bomb of %zu bytes", size);
    ok(check(packed, size, size, 1, 65536) == NGX_HTTP_SMART_JSON_TOO_LARGE,
       "is not read to its end");

    /* files one after another (RFC 1952, section 2.2) */

    size = pack("[1,", 3, packed, sizeof(packed));
    size += pack("2]", 2, packed + size, sizeof(packed) - size);

    ok(check(packed, size, 7, 1, 5) == NGX_HTTP_SMART_JSON_OK,
       "gzip in two members");

    packed[size] = 'x';

    ok(check(packed, size + 1, 7, 1, 5) == NGX_HTTP_SMART_JSON_BROKEN,
       "gzip, and what is none");

    free(text);
}


static ngx_http_smart_json_e
check(const char *p, size_t len, size_t length, unsigned gzip, size_t limit)
{
    size_t                               i, failed;
    static ngx_http_smart_json_block_t   blocks[BLOCKS];

    for (i = 0; i < BLOCKS - 1; i++) {
        blocks[i].next = &blocks[i + 1];
        blocks[i].data = (unsigned char *) (uintptr_t) p;
        blocks[i].len = (len < length) ? len : length;

        p += blocks[i].len;
        len -= blocks[i].len;

        if (len == 0) {
            break;
        }
    }

    blocks[i].next = NULL;

    return ngx_http_smart_json_check(blocks, gzip, limit, NULL, 0, &failed);
}


static size_t
pack(const char *p, size_t len, char *packed, size_t size)
{
    z_stream  zs;

    memset(&zs, 0, sizeof(zs));

    if (deflateInit2(&zs, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        tap_die("deflateInit2()", "out of memory");
    }

    zs.next_in = (unsigned char *) (uintptr_t) p;
    zs.avail_in = (unsigned) len;
    zs.next_out = (unsigned char *) packed;
    zs.avail_out = (unsigned) size;

    if (deflate(&zs, Z_FINISH) != Z_STREAM_END) {
        tap_die("deflate()", "no room");
    }

    deflateEnd(&zs);

    return size - zs.avail_out;
}
