
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_query.h"
#include "ngx_smart_uuid.h"


static void queries(const char *path);
static size_t parameter(char *p, const ngx_smart_query_param_t *param);
static void uuids(const char *path);


int
main(void)
{
    queries("t/data/query.txt");
    uuids("t/data/uuid.txt");

    return tap_done();
}


static void
queries(const char *path)
{
    char                     *copy, *block, text[2 * TABLE_CELL];
    size_t                    n;
    const char               *p;
    static table_t            t;
    ngx_smart_query_param_t   param;

    table_open(&t, path, 2);

    while (table_next(&t)) {
        copy = table_copy(t.cells[0].data, t.cells[0].len, &block);
        p = copy;
        n = 0;

        while (ngx_smart_query_next(&p, copy + t.cells[0].len, &param)) {

            if (n) {
                text[n++] = ' ';
            }

            n += parameter(text + n, &param);
        }

        text[n] = '\0';
        free(block);

        tap_is_str(path, t.line, text, t.cells[1].data, "%s", t.cells[0].raw);
    }
}


static size_t
parameter(char *p, const ngx_smart_query_param_t *param)
{
    int     rc;
    char    name[TABLE_CELL], value[TABLE_CELL];
    size_t  name_len, value_len;

    value_len = 0;

    rc = ngx_smart_query_decode(param->name, param->name_len, name, &name_len);

    if (param->value) {
        rc |= ngx_smart_query_decode(param->value, param->value_len, value,
                                     &value_len);
    }

    if (rc != 0) {
        *p = '?';
        return 1;
    }

    if (param->value == NULL) {
        return (size_t) sprintf(p, "%.*s!", (int) name_len, name);
    }

    return (size_t) sprintf(p, "%.*s=[%.*s]", (int) name_len, name,
                            (int) value_len, value);
}


static void
uuids(const char *path)
{
    char            *p, *block, text[NGX_SMART_UUID_LEN + 1];
    static table_t   t;
    unsigned char    uuid[NGX_SMART_UUID_SIZE];

    table_open(&t, path, 2);

    while (table_next(&t)) {
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);
        strcpy(text, "invalid");

        if (ngx_smart_uuid_parse(p, t.cells[0].len, uuid) == 0) {
            ngx_smart_uuid_format(text, uuid);
            text[NGX_SMART_UUID_LEN] = '\0';
        }

        tap_is_str(path, t.line, text, t.cells[1].data, "%s", t.cells[0].raw);
        free(block);
    }
}
