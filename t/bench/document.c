
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * How long the check of a body takes, in us of CPU time: it runs in nginx's
 * event loop.  Each figure is the fastest of several.
 */


#define _POSIX_C_SOURCE  200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zlib.h>

#include "../../ngx_smart_module/http/ngx_http_smart_json.h"


#define SIZES   4
#define SHAPES  7
#define RUNS    7


typedef size_t (*shape_pt)(char *p, size_t size);


static size_t records(char *p, size_t size);
static size_t text(char *p, size_t size);
static size_t zeros(char *p, size_t size);
static size_t arrays(char *p, size_t size);
static size_t names(char *p, size_t size);
static size_t digits(char *p, size_t size);
static size_t fill(char *p, size_t size, const char *open, const char *item,
    const char *close);
static double check(char *p, size_t len, unsigned gzip, int *good);


static const size_t  sizes[SIZES] = { 100, 4096, 65536, 262144 };

static const struct {
    const char  *name;
    shape_pt     make;
    unsigned     gzip;
} shapes[SHAPES] = {
    { "records", records, 0 },
    { "records, gzip", records, 1 },
    { "one text", text, 0 },
    { "zeros", zeros, 0 },
    { "empty arrays", arrays, 0 },
    { "names", names, 0 },
    { "one number", digits, 0 }
};


int
main(void)
{
    int       good;
    char     *p, *packed;
    size_t    i, k, len;
    double    took;
    z_stream  zs;

    p = malloc(sizes[SIZES - 1] + 64);
    packed = malloc(sizes[SIZES - 1] + 65536);

    if (p == NULL || packed == NULL) {
        return EXIT_FAILURE;
    }

    printf("%-14s", "bytes");

    for (i = 0; i < SIZES; i++) {
        printf("%10zu", sizes[i]);
    }

    printf("\n");

    for (k = 0; k < SHAPES; k++) {

        printf("%-14s", shapes[k].name);

        for (i = 0; i < SIZES; i++) {

            len = shapes[k].make(p, sizes[i]);

            if (shapes[k].gzip) {
                memset(&zs, 0, sizeof(zs));

                if (deflateInit2(&zs, 6, Z_DEFLATED, MAX_WBITS + 16, 8,
                                 Z_DEFAULT_STRATEGY)
                    != Z_OK)
                {
                    return EXIT_FAILURE;
                }

                zs.next_in = (unsigned char *) p;
                zs.avail_in = (unsigned) len;
                zs.next_out = (unsigned char *) packed;
                zs.avail_out = (unsigned) sizes[SIZES - 1] + 65536;

                (void) deflate(&zs, Z_FINISH);
                len = zs.total_out;
                deflateEnd(&zs);
            }

            took = check(shapes[k].gzip ? packed : p, len, shapes[k].gzip,
                         &good);

            printf("%10.1f", took);

            if (!good) {
                printf(" refused");
            }
        }

        printf("\n");
    }

    free(p);
    free(packed);

    return EXIT_SUCCESS;
}


static double
check(char *p, size_t len, unsigned gzip, int *good)
{
    size_t                        i, n, times, failed;
    double                        took, best;
    struct timespec               from, to;
    ngx_smart_pointer_t           pointer;
    ngx_http_smart_json_block_t   block;

    block.next = NULL;
    block.data = (unsigned char *) p;
    block.len = len;

    pointer.tokens = "";
    pointer.n = 0;
    pointer.type = NGX_SMART_POINTER_ANY;

    best = 0;
    *good = 1;

    times = len > 100000 ? 1 : 200000 / (len + 100);

    for (i = 0; i < RUNS; i++) {

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);

        for (n = 0; n < times; n++) {

            if (ngx_http_smart_json_check(&block, gzip, sizes[SIZES - 1],
                                          &pointer, 1, &failed)
                != NGX_HTTP_SMART_JSON_OK)
            {
                *good = 0;
            }
        }

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);

        took = ((double) (to.tv_sec - from.tv_sec) * 1e6
                + (double) (to.tv_nsec - from.tv_nsec) / 1e3)
               / (double) times;

        if (best == 0 || took < best) {
            best = took;
        }
    }

    return best;
}


static size_t
records(char *p, size_t size)
{
    return fill(p, size, "[",
                "{\"id\": 17, \"name\": \"a name of some bytes\", "
                "\"price\": 12.5, \"ok\": true}", "]");
}


static size_t
text(char *p, size_t size)
{
    memset(p, 'x', size);
    p[0] = '"';
    p[size - 1] = '"';

    return size;
}


static size_t
zeros(char *p, size_t size)
{
    return fill(p, size, "[", "0", "]");
}


static size_t
arrays(char *p, size_t size)
{
    return fill(p, size, "[", "[]", "]");
}


static size_t
digits(char *p, size_t size)
{
    /* no double is longer */

    memset(p, '1', size);
    memcpy(p, "0.", 2);

    return size;
}


static size_t
names(char *p, size_t size)
{
    char    *start;
    size_t   i;

    start = p;
    *p++ = '{';

    for (i = 0; (size_t) (p - start) + 16 < size; i++) {
        p += sprintf(p, "%s\"%zx\":0", i ? "," : "", i);
    }

    *p++ = '}';

    return (size_t) (p - start);
}


static size_t
fill(char *p, size_t size, const char *open, const char *item,
    const char *close)
{
    char  *start;

    start = p;
    p += sprintf(p, "%s%s", open, item);

    while ((size_t) (p - start) + strlen(item) + 2 <= size) {
        p += sprintf(p, ",%s", item);
    }

    p += sprintf(p, "%s", close);

    return (size_t) (p - start);
}
