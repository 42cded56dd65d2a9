
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_verdict.h"


static void standard(void);
static void statuses(const char *path);
static void three_bytes(void);
static void lists(void);
static void media(const char *path);
static void types(const char *path);
static unsigned is_range(const ngx_smart_verdict_statuses_t *list,
    unsigned first, unsigned last);


static const unsigned  beyond[] = {
    1000, 1023, 1024, 4096, 65736, 0x40000000u, 0x800000c8u, 0xffffffffu
};

#define BEYOND  (sizeof(beyond) / sizeof(beyond[0]))


int
main(void)
{
    standard();
    statuses("t/data/status.txt");
    three_bytes();
    lists();
    media("t/data/media.txt");
    types("t/data/type.txt");

    return tap_done();
}


static void
standard(void)
{
    size_t                        i;
    unsigned                      status;
    ngx_smart_verdict_statuses_t  list;

    memset(&list, 0xff, sizeof(list));
    ngx_smart_verdict_default(&list);

    for (status = 0; status < 1000; status++) {
        is_uint((unsigned) ngx_smart_verdict_status(&list, status),
                status >= 200 && status < 500 && status != 429,
                "status %u by default", status);
    }

    for (i = 0; i < BEYOND; i++) {
        is_uint((unsigned) ngx_smart_verdict_status(&list, beyond[i]), 0,
                "status %u by default", beyond[i]);
    }
}


static void
statuses(const char *path)
{
    int                           rc, good;
    char                         *p, *block;
    unsigned                      first, last;
    static table_t                t;
    ngx_smart_verdict_statuses_t  list, empty;

    memset(&empty, 0, sizeof(empty));
    table_open(&t, path, 2);

    while (table_next(&t)) {
        list = empty;
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        rc = ngx_smart_verdict_add(&list, p, t.cells[0].len);
        free(block);

        if (strcmp(t.cells[1].data, "invalid") == 0) {
            good = rc == -1 && memcmp(&list, &empty, sizeof(list)) == 0;

        } else {
            if (sscanf(t.cells[1].data, "%u %u", &first, &last) != 2) {
                tap_die(path, "two statuses expected");
            }

            good = rc == 0 && is_range(&list, first, last);
        }

        tap_ok(path, t.line, good, "%s: %s", t.cells[0].raw, t.cells[1].raw);
    }
}


/* whatever has three bytes: 400 codes and 4 classes are valid */

static void
three_bytes(void)
{
    char                          word[4];
    unsigned                      i, code, valid, wrong;
    ngx_smart_verdict_statuses_t  list, empty;

    memset(&empty, 0, sizeof(empty));
    valid = 0;

    for (i = 0; i < 0x1000000; i++) {
        word[0] = (char) (i >> 16);
        word[1] = (char) (i >> 8);
        word[2] = (char) i;

        valid += ngx_smart_verdict_add(&list, word, 3) == 0;
    }

    is_uint(valid, 404, "words of three bytes that are valid");

    wrong = 0;

    for (code = 0; code < 1000; code++) {
        list = empty;
        snprintf(word, sizeof(word), "%03u", code);

        if (code < 200 || code > 599) {
            wrong += ngx_smart_verdict_add(&list, word, 3) != -1
                     || memcmp(&list, &empty, sizeof(list));
            continue;
        }

        wrong += ngx_smart_verdict_add(&list, word, 3) != 0
                 || !is_range(&list, code, code);
    }

    is_uint(wrong, 0, "each code adds its status and no other");
}


static void
lists(void)
{
    unsigned                      i, wrong;
    ngx_smart_verdict_statuses_t  list;

    memset(&list, 0, sizeof(list));
    ok(is_range(&list, 1, 0), "nothing is successful in an empty list");

    ngx_smart_verdict_add(&list, "2xx", 3);
    ngx_smart_verdict_add(&list, "404", 3);
    ngx_smart_verdict_add(&list, "404", 3);
    ngx_smart_verdict_add(&list, "junk", 4);
    ngx_smart_verdict_add(&list, "302", 3);
    ngx_smart_verdict_add(&list, "201", 3);

    wrong = 0;

    for (i = 0; i < 1000; i++) {
        wrong += ngx_smart_verdict_status(&list, i)
                 != ((i >= 200 && i < 300) || i == 302 || i == 404);
    }

    is_uint(wrong, 0, "words add up");

    ngx_smart_verdict_add(&list, "3xx", 3);
    ngx_smart_verdict_add(&list, "5xx", 3);
    ngx_smart_verdict_add(&list, "4xx", 3);
    ok(is_range(&list, 200, 599), "all of them");
}


static unsigned
is_range(const ngx_smart_verdict_statuses_t *list, unsigned first,
    unsigned last)
{
    size_t    i;
    unsigned  s;

    for (s = 0; s < 1000; s++) {
        if (ngx_smart_verdict_status(list, s) != (s >= first && s <= last)) {
            return 0;
        }
    }

    for (i = 0; i < BEYOND; i++) {
        if (ngx_smart_verdict_status(list, beyond[i]) != 0) {
            return 0;
        }
    }

    return 1;
}


static void
media(const char *path)
{
    char           *p, *block;
    const char     *got;
    static table_t  t;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        got = ngx_smart_verdict_type_valid(p, t.cells[0].len) ? "yes" : "no";
        free(block);

        tap_is_str(path, t.line, got, t.cells[1].data, "%s is valid",
                   t.cells[0].raw);
    }
}


static void
types(const char *path)
{
    char           *p, *v, *block, *other;
    const char     *got;
    static table_t  t;

    table_open(&t, path, 3);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        v = table_copy(t.cells[1].data, t.cells[1].len, &other);

        tap_ok(path, t.line, ngx_smart_verdict_type_valid(p, t.cells[0].len),
               "%s may be configured", t.cells[0].raw);

        got = ngx_smart_verdict_type(p, t.cells[0].len, v, t.cells[1].len)
              ? "yes" : "no";

        free(block);
        free(other);

        tap_is_str(path, t.line, got, t.cells[2].data, "%s matches %s",
                   t.cells[0].raw, t.cells[1].raw);
    }
}
