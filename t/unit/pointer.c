
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_pointer.h"


static void pointers(const char *path);
static void indices(void);
static const char *print(const ngx_smart_pointer_t *pointer);


/* by ngx_smart_pointer_type_e */
static const char *const  types[] = {
    "any", "string", "number", "integer", "boolean", "object", "array", "null"
};


int
main(void)
{
    pointers("t/data/pointer.txt");
    indices();

    return tap_done();
}


static void
pointers(const char *path)
{
    char                 *p, *block, *tokens;
    const char           *allowed, *got;
    static table_t        t;
    ngx_smart_pointer_t   pointer;

    table_open(&t, path, 2);

    while (table_next(&t)) {

        p = table_copy(t.cells[0].data, t.cells[0].len, &block);

        /* as large as the header says, for the sanitizer to see */

        tokens = malloc(t.cells[0].len ? t.cells[0].len : 1);
        if (tokens == NULL) {
            tap_die("malloc()", "out of memory");
        }

        allowed = ngx_smart_pointer_parse(p, t.cells[0].len, tokens, &pointer);
        got = allowed ? "invalid" : print(&pointer);

        tap_ok(path, t.line, strcmp(got, t.cells[1].raw) == 0,
               "%s: %s, got %s", t.cells[0].raw, t.cells[1].raw, got);

        free(block);
        free(tokens);
    }
}


/* "type" and each token behind a blank, in quotes */
static const char *
print(const ngx_smart_pointer_t *pointer)
{
    size_t       i, len;
    const char  *token;
    static char  text[TABLE_CELL];

    len = (size_t) snprintf(text, sizeof(text), "%s", types[pointer->type]);
    token = pointer->tokens;

    for (i = 0; i < pointer->n; i++) {
        len += (size_t) snprintf(text + len, sizeof(text) - len, " '%s'",
                                 table_print(token, strlen(token)));
        token += strlen(token) + 1;
    }

    return text;
}


static void
indices(void)
{
    size_t       i, index;

    static const struct {
        const char  *token;
        size_t       index;
    } good[] = {
        { "0", 0 }, { "1", 1 }, { "10", 10 }, { "4294967296", 4294967296u },
        { "18446744073709551614", SIZE_MAX - 1 },
        { "18446744073709551615", SIZE_MAX },
        { "18446744073709551616", SIZE_MAX },
        { "99999999999999999999999999999999", SIZE_MAX }
    };

    static const char *const  bad[] = {
        "", "-", "-1", "+1", "00", "01", "1.0", "1e1", " 1", "1 ", "x", "0x1"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        index = 7;
        ok(ngx_smart_pointer_index(good[i].token, &index)
           && index == good[i].index, "index %s", good[i].token);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(!ngx_smart_pointer_index(bad[i], &index), "no index: \"%s\"",
           bad[i]);
    }
}
