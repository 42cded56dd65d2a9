
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_json.h"


static void strings(const char *path);
static void sequences(void);
static void code_points(void);
static void members(void);
static void nesting(void);
static void numbers(void);
static void seconds(void);
static void overflow(void);
static void document(ngx_smart_json_t *json);
static const char *string(const unsigned char *p, size_t len);
static const char *text(const ngx_smart_json_t *json);
static size_t encode(unsigned char *p, uint32_t code);
static size_t well_formed(const unsigned char *p, size_t len);


static char  buffer[8192];


int
main(void)
{
    strings("t/data/json.txt");
    sequences();
    code_points();
    members();
    nesting();
    numbers();
    seconds();
    overflow();

    return tap_done();
}


static void
strings(const char *path)
{
    char              *p, *block;
    static char        expected[TABLE_CELL];
    ngx_smart_json_t   json;
    static table_t     t;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);

        ngx_smart_json_init(&json, buffer, sizeof(buffer));
        ngx_smart_json_string(&json, p, t.cells[0].len);
        free(block);

        snprintf(expected, sizeof(expected), "%s",
                 table_print(t.cells[1].data, t.cells[1].len));

        tap_is_str(path, t.line, table_print(buffer, json.len), expected,
                   "the string %s", t.cells[0].raw);
    }
}


/* up to four bytes of those where anything changes, against RFC 3629 */

static void
sequences(void)
{
    size_t         i, j, k, n, len, used, wrong, count;
    char           expected[32];
    unsigned char  p[4];
    const char    *got;

    static const unsigned char  next[] = {
        'A', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe1, 0xff
    };

    n = sizeof(next);
    wrong = 0;
    count = 0;

    for (i = 0; i < 128 * n * n * n; i++) {
        p[0] = (unsigned char) (0x80 + i / n / n / n);
        p[1] = next[i / n / n % n];
        p[2] = next[i / n % n];
        p[3] = next[i % n];

        for (len = 1; len <= 4; len++) {
            k = 0;

            for (j = 0; j < len; j += used) {
                used = well_formed(p + j, len - j);
                memcpy(expected + k, used ? (char *) p + j : "\xef\xbf\xbd",
                       used ? used : 3);
                k += used ? used : 3;
                used += used == 0;
            }

            got = string(p, len);
            count++;

            if (strlen(got) == k + 2 && memcmp(got + 1, expected, k) == 0) {
                continue;
            }

            if (wrong++ == 0) {
                printf("# %s\n", table_print((char *) p, len));
            }
        }
    }

    is_uint(wrong, 0, "sequences around the limits (%u)", (unsigned) count);
}


static void
code_points(void)
{
    size_t         len, wrong;
    uint32_t       code;
    const char    *got;
    unsigned char  p[4];

    wrong = 0;

    for (code = 0x20; code < 0x110000; code++) {

        if (code == '"' || code == '\\') {
            continue;
        }

        len = encode(p, code);
        got = string(p, len);

        if (code >= 0xd800 && code < 0xe000) {
            wrong += strcmp(got, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")
                     != 0;
            continue;
        }

        wrong += strlen(got) != len + 2 || memcmp(got + 1, p, len) != 0
                 || got[0] != '"' || got[len + 1] != '"';
    }

    is_uint(wrong, 0, "each code point is left as it is, no surrogate is");
}


static void
members(void)
{
    ngx_smart_json_t  json;

    ngx_smart_json_init(&json, buffer, sizeof(buffer));
    is_uint(json.len, 0, "nothing at first");

    ngx_smart_json_open(&json, '{');
    ngx_smart_json_close(&json, '}');
    is_str(text(&json), "{}", "an empty object");

    ngx_smart_json_init(&json, buffer, sizeof(buffer));
    document(&json);
    is_str(text(&json), "{\"a\":[],\"b\":[1,null,\"x\",{},[[2]],1.5],"
           "\"\\\"\":{\"c\":0,\"d\":{\"e\":null}},\"f\":\"\",\"g\":0.25}",
           "commas and colons");
    is_uint(json.depth, 0, "all is closed");
    is_uint(json.overflow, 0, "all fits");

    ngx_smart_json_init(&json, buffer, sizeof(buffer));
    ngx_smart_json_open(&json, '[');
    ngx_smart_json_string(&json, "a\0b", 3);
    ngx_smart_json_text(&json, "a\0b");
    ngx_smart_json_seconds(&json, 1);
    ngx_smart_json_seconds(&json, 1);
    ngx_smart_json_null(&json);
    ngx_smart_json_null(&json);
    ngx_smart_json_open(&json, '{');
    ngx_smart_json_close(&json, '}');
    ngx_smart_json_open(&json, '{');
    ngx_smart_json_close(&json, '}');
    ngx_smart_json_close(&json, ']');
    is_str(text(&json), "[\"a\\u0000b\",\"a\",0.001,0.001,null,null,{},{}]",
           "elements of one kind");
}


static void
nesting(void)
{
    char              expected[256];
    unsigned          depth, i, n;
    ngx_smart_json_t  json;

    for (depth = 1; depth <= NGX_SMART_JSON_DEPTH + 3; depth++) {
        ngx_smart_json_init(&json, buffer, sizeof(buffer));
        n = 0;

        for (i = 0; i < depth; i++) {
            ngx_smart_json_open(&json, '[');
            ngx_smart_json_uint(&json, 1);
            ngx_smart_json_uint(&json, 2);
            n += (unsigned) snprintf(expected + n, 8, "%s[1,2", i ? "," : "");
        }

        is_uint(json.overflow, depth > NGX_SMART_JSON_DEPTH,
                "%u brackets overflow", depth);

        for (i = 0; i < depth; i++) {
            ngx_smart_json_close(&json, ']');
            n += (unsigned) snprintf(expected + n, 2, "]");

            if (i + 1 < depth) {
                ngx_smart_json_uint(&json, 3);
                n += (unsigned) snprintf(expected + n, 3, ",3");
            }
        }

        if (depth <= NGX_SMART_JSON_DEPTH) {
            is_str(text(&json), expected, "%u brackets", depth);
            is_uint(json.depth, 0, "%u brackets are closed", depth);

        } else {
            is_uint(json.overflow, 1, "%u brackets stay unusable", depth);
        }
    }

    ngx_smart_json_init(&json, buffer, sizeof(buffer));
    ngx_smart_json_close(&json, ']');
    is_uint(json.depth, 0, "what was not opened is not closed");
}


static void
numbers(void)
{
    size_t            i;
    char              expected[32];
    ngx_smart_json_t  json;

    static const uint64_t  values[] = {
        0, 1, 9, 10, 4294967295u, 4294967296u, UINT64_C(9223372036854775808),
        UINT64_MAX
    };

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ngx_smart_json_init(&json, buffer, sizeof(buffer));
        ngx_smart_json_uint(&json, values[i]);

        snprintf(expected, sizeof(expected), "%" PRIu64, values[i]);
        is_str(text(&json), expected, "the number %s", expected);
    }
}


static void
seconds(void)
{
    size_t            i;
    uint64_t          ms, value;
    unsigned          wrong, whole, part, digits;
    const char       *got, *point;
    ngx_smart_json_t  json;

    static const struct {
        uint64_t     ms;
        const char  *text;
    } cases[] = {
        { 0, "0" }, { 1, "0.001" }, { 10, "0.01" }, { 100, "0.1" },
        { 101, "0.101" }, { 110, "0.11" }, { 999, "0.999" }, { 1000, "1" },
        { 1001, "1.001" }, { 1500, "1.5" }, { 10000, "10" },
        { 100000, "100" }, { 100100, "100.1" }, { 1000000000, "1000000" },
        { UINT64_C(18446744073709551000), "18446744073709551" },
        { UINT64_MAX, "18446744073709551.615" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ngx_smart_json_init(&json, buffer, sizeof(buffer));
        ngx_smart_json_seconds(&json, cases[i].ms);
        is_str(text(&json), cases[i].text, "%" PRIu64 " ms", cases[i].ms);
    }

    wrong = 0;

    for (ms = 0; ms < 200000; ms++) {
        ngx_smart_json_init(&json, buffer, sizeof(buffer));
        ngx_smart_json_seconds(&json, ms);
        got = text(&json);
        point = strchr(got, '.');
        part = 0;
        digits = 0;

        if (point) {
            digits = (unsigned) strlen(point + 1);
            part = (unsigned) strtoul(point + 1, NULL, 10);
            wrong += digits == 0 || digits > 3 || part % 10 == 0;
        }

        whole = (unsigned) strtoul(got, NULL, 10);
        value = (uint64_t) whole * 1000
                + part * (digits == 1 ? 100u : digits == 2 ? 10u : 1u);
        wrong += value != ms || (got[0] == '0' && ms >= 1000);
    }

    is_uint(wrong, 0, "up to 200 seconds, each the shortest");
}


/* each size up to the length: a heap block as large as that, to its byte */

static void
overflow(void)
{
    char              *block, *start;
    char               whole[256];
    size_t             size, len;
    ngx_smart_json_t   json;

    ngx_smart_json_init(&json, buffer, sizeof(buffer));
    document(&json);
    len = json.len;
    memcpy(whole, buffer, len);

    for (size = 0; size <= len + 1; size++) {
        start = table_copy(buffer, size, &block);
        memset(start, '#', size);

        ngx_smart_json_init(&json, start, size);
        document(&json);

        is_uint(json.overflow, size < len, "overflow in %u of %u",
                (unsigned) size, (unsigned) len);
        is_uint(json.len, len, "what it takes, in %u", (unsigned) size);

        if (size >= len) {
            ok(memcmp(start, whole, len) == 0, "the whole text in %u",
               (unsigned) size);
            ok(size == len || start[len] == '#', "and no more in %u",
               (unsigned) size);
        }

        free(block);
    }

    ngx_smart_json_init(&json, NULL, 0);
    document(&json);
    is_uint(json.len, len, "what it takes, without memory");
    is_uint(json.overflow, 1, "overflow without memory");
}


/* each of the functions, and an escape */

static void
document(ngx_smart_json_t *json)
{
    ngx_smart_json_open(json, '{');
    ngx_smart_json_key(json, "a");
    ngx_smart_json_open(json, '[');
    ngx_smart_json_close(json, ']');
    ngx_smart_json_key(json, "b");
    ngx_smart_json_open(json, '[');
    ngx_smart_json_uint(json, 1);
    ngx_smart_json_null(json);
    ngx_smart_json_text(json, "x");
    ngx_smart_json_open(json, '{');
    ngx_smart_json_close(json, '}');
    ngx_smart_json_open(json, '[');
    ngx_smart_json_open(json, '[');
    ngx_smart_json_uint(json, 2);
    ngx_smart_json_close(json, ']');
    ngx_smart_json_close(json, ']');
    ngx_smart_json_seconds(json, 1500);
    ngx_smart_json_close(json, ']');
    ngx_smart_json_key(json, "\"");
    ngx_smart_json_open(json, '{');
    ngx_smart_json_key(json, "c");
    ngx_smart_json_uint(json, 0);
    ngx_smart_json_key(json, "d");
    ngx_smart_json_open(json, '{');
    ngx_smart_json_key(json, "e");
    ngx_smart_json_null(json);
    ngx_smart_json_close(json, '}');
    ngx_smart_json_close(json, '}');
    ngx_smart_json_key(json, "f");
    ngx_smart_json_text(json, "");
    ngx_smart_json_key(json, "g");
    ngx_smart_json_seconds(json, 250);
    ngx_smart_json_close(json, '}');
}


/* p as a string, from a heap block of its length */

static const char *
string(const unsigned char *p, size_t len)
{
    char              *copy, *block;
    ngx_smart_json_t   json;

    copy = table_copy((const char *) p, len, &block);

    ngx_smart_json_init(&json, buffer, sizeof(buffer));
    ngx_smart_json_string(&json, copy, len);
    free(block);

    return text(&json);
}


static const char *
text(const ngx_smart_json_t *json)
{
    buffer[json->len] = '\0';

    return buffer;
}


static size_t
encode(unsigned char *p, uint32_t code)
{
    if (code < 0x80) {
        p[0] = (unsigned char) code;
        return 1;
    }

    if (code < 0x800) {
        p[0] = (unsigned char) (0xc0 + code / 64);
        p[1] = (unsigned char) (0x80 + code % 64);
        return 2;
    }

    if (code < 0x10000) {
        p[0] = (unsigned char) (0xe0 + code / 4096);
        p[1] = (unsigned char) (0x80 + code / 64 % 64);
        p[2] = (unsigned char) (0x80 + code % 64);
        return 3;
    }

    p[0] = (unsigned char) (0xf0 + code / 262144);
    p[1] = (unsigned char) (0x80 + code / 4096 % 64);
    p[2] = (unsigned char) (0x80 + code / 64 % 64);
    p[3] = (unsigned char) (0x80 + code % 64);

    return 4;
}


/* the grammar of RFC 3629, section 4, from its table */

static size_t
well_formed(const unsigned char *p, size_t len)
{
    size_t  i, n;

    static const struct {
        unsigned char  first[2];
        unsigned char  second[2];
        size_t         len;
    } rows[] = {
        { { 0xc2, 0xdf }, { 0x80, 0xbf }, 2 },
        { { 0xe0, 0xe0 }, { 0xa0, 0xbf }, 3 },
        { { 0xe1, 0xec }, { 0x80, 0xbf }, 3 },
        { { 0xed, 0xed }, { 0x80, 0x9f }, 3 },
        { { 0xee, 0xef }, { 0x80, 0xbf }, 3 },
        { { 0xf0, 0xf0 }, { 0x90, 0xbf }, 4 },
        { { 0xf1, 0xf3 }, { 0x80, 0xbf }, 4 },
        { { 0xf4, 0xf4 }, { 0x80, 0x8f }, 4 }
    };

    if (p[0] < 0x80) {
        return 1;
    }

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        if (p[0] < rows[i].first[0] || p[0] > rows[i].first[1]) {
            continue;
        }

        if (rows[i].len > len || p[1] < rows[i].second[0]
            || p[1] > rows[i].second[1])
        {
            return 0;
        }

        for (n = 2; n < rows[i].len; n++) {
            if (p[n] < 0x80 || p[n] > 0xbf) {
                return 0;
            }
        }

        return rows[i].len;
    }

    return 0;
}
