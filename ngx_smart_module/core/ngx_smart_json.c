
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ngx_smart_json.h"
#include "ngx_smart_utf8.h"


static void ngx_smart_json_separate(ngx_smart_json_t *json);
static void ngx_smart_json_write(ngx_smart_json_t *json, const char *p,
    size_t len);
static void ngx_smart_json_escape(ngx_smart_json_t *json, unsigned char c);


void
ngx_smart_json_init(ngx_smart_json_t *json, char *start, size_t size)
{
    memset(json, 0, sizeof(ngx_smart_json_t));

    json->start = start;
    json->size = size;
}


void
ngx_smart_json_open(ngx_smart_json_t *json, char bracket)
{
    ngx_smart_json_separate(json);
    ngx_smart_json_write(json, &bracket, 1);

    if (json->depth < NGX_SMART_JSON_DEPTH) {
        json->depth++;

    } else {
        json->overflow = 1;
    }

    json->filled &= (uint16_t) ~(1u << json->depth);
}


void
ngx_smart_json_close(ngx_smart_json_t *json, char bracket)
{
    ngx_smart_json_write(json, &bracket, 1);

    if (json->depth) {
        json->depth--;
    }
}


void
ngx_smart_json_key(ngx_smart_json_t *json, const char *key)
{
    ngx_smart_json_string(json, key, strlen(key));
    ngx_smart_json_write(json, ":", 1);

    json->after_key = 1;
}


void
ngx_smart_json_string(ngx_smart_json_t *json, const char *p, size_t len)
{
    size_t                n;
    const unsigned char  *s, *end;

    s = (const unsigned char *) p;
    end = s + len;

    ngx_smart_json_separate(json);
    ngx_smart_json_write(json, "\"", 1);

    while (s < end) {

        if (*s < 0x20 || *s == '"' || *s == '\\') {
            ngx_smart_json_escape(json, *s++);
            continue;
        }

        n = ngx_smart_utf8_length(s, (size_t) (end - s));

        if (n == 0) {
            ngx_smart_json_write(json, "\xef\xbf\xbd", 3);
            s++;
            continue;
        }

        ngx_smart_json_write(json, (const char *) s, n);
        s += n;
    }

    ngx_smart_json_write(json, "\"", 1);
}


void
ngx_smart_json_text(ngx_smart_json_t *json, const char *text)
{
    ngx_smart_json_string(json, text, strlen(text));
}


void
ngx_smart_json_uint(ngx_smart_json_t *json, uint64_t value)
{
    int   n;
    char  text[24];

    n = snprintf(text, sizeof(text), "%" PRIu64, value);

    ngx_smart_json_separate(json);
    ngx_smart_json_write(json, text, (size_t) n);
}


void
ngx_smart_json_null(ngx_smart_json_t *json)
{
    ngx_smart_json_separate(json);
    ngx_smart_json_write(json, "null", 4);
}


void
ngx_smart_json_raw(ngx_smart_json_t *json, const char *p, size_t len)
{
    ngx_smart_json_separate(json);
    ngx_smart_json_write(json, p, len);
}


void
ngx_smart_json_seconds(ngx_smart_json_t *json, uint64_t ms)
{
    int   n;
    char  text[32];

    n = snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ms / 1000,
                 (unsigned) (ms % 1000));

    while (text[n - 1] == '0') {
        n--;
    }

    if (text[n - 1] == '.') {
        n--;
    }

    ngx_smart_json_separate(json);
    ngx_smart_json_write(json, text, (size_t) n);
}


static void
ngx_smart_json_separate(ngx_smart_json_t *json)
{
    unsigned  bit;

    if (json->after_key) {
        json->after_key = 0;
        return;
    }

    bit = 1u << json->depth;

    if (json->filled & bit) {
        ngx_smart_json_write(json, ",", 1);
    }

    json->filled |= (uint16_t) bit;
}


static void
ngx_smart_json_write(ngx_smart_json_t *json, const char *p, size_t len)
{
    if (json->len > json->size || len > json->size - json->len) {
        json->overflow = 1;

    } else {
        memcpy(json->start + json->len, p, len);
    }

    json->len += len;
}


static void
ngx_smart_json_escape(ngx_smart_json_t *json, unsigned char c)
{
    char         text[8];
    const char  *p;

    static const char  from[] = "\"\\\b\f\n\r\t";
    static const char  to[] = "\"\\bfnrt";

    p = memchr(from, c, sizeof(from) - 1);

    if (p) {
        text[0] = '\\';
        text[1] = to[p - from];
        ngx_smart_json_write(json, text, 2);
        return;
    }

    (void) snprintf(text, sizeof(text), "\\u%04x", c);
    ngx_smart_json_write(json, text, 6);
}
