
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * YAML 1.2 of what is in memory as JSON.
 */


#include "ngx_http_smart_openapi.h"


typedef struct {
    ngx_pool_t    *pool;
    u_char        *start;
    u_char        *last;
    u_char        *end;
    ngx_uint_t     failed;     /* unsigned  failed:1; */
} ngx_http_smart_yaml_t;


static void ngx_http_smart_yaml_value(ngx_http_smart_yaml_t *y, json_t *value,
    ngx_uint_t depth);
static void ngx_http_smart_yaml_object(ngx_http_smart_yaml_t *y,
    json_t *value, ngx_uint_t depth, ngx_uint_t item);
static void ngx_http_smart_yaml_array(ngx_http_smart_yaml_t *y, json_t *value,
    ngx_uint_t depth);
static void ngx_http_smart_yaml_key(ngx_http_smart_yaml_t *y,
    const char *key);
static void ngx_http_smart_yaml_scalar(ngx_http_smart_yaml_t *y,
    json_t *value);
static void ngx_http_smart_yaml_indent(ngx_http_smart_yaml_t *y,
    ngx_uint_t depth);
static void ngx_http_smart_yaml_text(ngx_http_smart_yaml_t *y,
    const char *text);
static void ngx_http_smart_yaml_write(ngx_http_smart_yaml_t *y,
    const char *p, size_t len);


ngx_int_t
ngx_http_smart_yaml(ngx_pool_t *pool, json_t *value, ngx_str_t *text)
{
    ngx_http_smart_yaml_t  y;

    ngx_memzero(&y, sizeof(ngx_http_smart_yaml_t));

    y.pool = pool;

    ngx_http_smart_yaml_object(&y, value, 0, 0);

    text->data = y.start;
    text->len = y.last - y.start;

    return y.failed ? NGX_ERROR : NGX_OK;
}


/* behind a key or the dash of an item */
static void
ngx_http_smart_yaml_value(ngx_http_smart_yaml_t *y, json_t *value,
    ngx_uint_t depth)
{
    if (json_object_size(value)) {
        ngx_http_smart_yaml_text(y, "\n");
        ngx_http_smart_yaml_object(y, value, depth, 0);

    } else if (json_array_size(value)) {
        ngx_http_smart_yaml_text(y, "\n");
        ngx_http_smart_yaml_array(y, value, depth);

    } else {
        ngx_http_smart_yaml_text(y, " ");
        ngx_http_smart_yaml_scalar(y, value);
        ngx_http_smart_yaml_text(y, "\n");
    }
}


/* the first member of an item stands behind its dash */
static void
ngx_http_smart_yaml_object(ngx_http_smart_yaml_t *y, json_t *value,
    ngx_uint_t depth, ngx_uint_t item)
{
    json_t      *member;
    const char  *key;

    json_object_foreach(value, key, member) {

        if (item) {
            ngx_http_smart_yaml_text(y, " ");

        } else {
            ngx_http_smart_yaml_indent(y, depth);
        }

        item = 0;

        ngx_http_smart_yaml_key(y, key);
        ngx_http_smart_yaml_text(y, ":");
        ngx_http_smart_yaml_value(y, member, depth + 1);
    }
}


static void
ngx_http_smart_yaml_array(ngx_http_smart_yaml_t *y, json_t *value,
    ngx_uint_t depth)
{
    size_t   i;
    json_t  *item;

    json_array_foreach(value, i, item) {

        ngx_http_smart_yaml_indent(y, depth);
        ngx_http_smart_yaml_text(y, "-");

        if (json_object_size(item)) {
            ngx_http_smart_yaml_object(y, item, depth + 1, 1);

        } else {
            ngx_http_smart_yaml_value(y, item, depth + 1);
        }
    }
}


static void
ngx_http_smart_yaml_key(ngx_http_smart_yaml_t *y, const char *key)
{
    json_t      *string;
    ngx_uint_t   i;
    const char  *p;

    /* what old readers take for something else than a string */

    static const char *const  words[] = {
        "on", "off", "yes", "no", "y", "n", "true", "false", "null", NULL
    };

    p = key;

    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
           || (*p == '_' && p != key))
    {
        p++;
    }

    for (i = 0; words[i]; i++) {
        if (ngx_strcasecmp((u_char *) words[i], (u_char *) key) == 0) {
            p = key;
            break;
        }
    }

    if (*p == '\0' && p != key) {
        ngx_http_smart_yaml_text(y, key);
        return;
    }

    string = json_string(key);

    ngx_http_smart_yaml_scalar(y, string);

    json_decref(string);
}


/* JSON is YAML: so are empty objects and arrays */
static void
ngx_http_smart_yaml_scalar(ngx_http_smart_yaml_t *y, json_t *value)
{
    char  *text;

    text = json_dumps(value, JSON_ENCODE_ANY);

    if (text == NULL) {
        y->failed = 1;
        return;
    }

    ngx_http_smart_yaml_text(y, text);

    free(text);
}


static void
ngx_http_smart_yaml_indent(ngx_http_smart_yaml_t *y, ngx_uint_t depth)
{
    while (depth--) {
        ngx_http_smart_yaml_text(y, "  ");
    }
}


static void
ngx_http_smart_yaml_text(ngx_http_smart_yaml_t *y, const char *text)
{
    ngx_http_smart_yaml_write(y, text, ngx_strlen(text));
}


static void
ngx_http_smart_yaml_write(ngx_http_smart_yaml_t *y, const char *p, size_t len)
{
    size_t   size;
    u_char  *start;

    if (y->failed) {
        return;
    }

    if (len > (size_t) (y->end - y->last)) {

        size = ngx_max(2 * (size_t) (y->end - y->start) + len, 16384);

        start = ngx_pnalloc(y->pool, size);
        if (start == NULL) {
            y->failed = 1;
            return;
        }

        if (y->start) {
            ngx_memcpy(start, y->start, y->last - y->start);
            (void) ngx_pfree(y->pool, y->start);
        }

        y->last = start + (y->last - y->start);
        y->start = start;
        y->end = start + size;
    }

    y->last = ngx_cpymem(y->last, p, len);
}
