
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_pointer.h"
#include "ngx_smart_utf8.h"


/* by ngx_smart_pointer_type_e */
static const char *const  ngx_smart_pointer_types[] = {
    "any", "string", "number", "integer", "boolean", "object", "array", "null"
};

#define NGX_SMART_POINTER_TYPES                                               \
    (sizeof(ngx_smart_pointer_types) / sizeof(ngx_smart_pointer_types[0]))

static const char  ngx_smart_pointer_allowed[] =
    "\"off\", \"on\", or pointers such as \"/time\" or \"/data/0:string\"";
static const char  ngx_smart_pointer_type_allowed[] =
    "a pointer and one of the types string, number, integer, boolean, object, "
    "array, null, any after its last colon";
static const char  ngx_smart_pointer_escape_allowed[] =
    "a pointer in which \"~\" is written \"~0\", and \"/\" within a name "
    "\"~1\"";
static const char  ngx_smart_pointer_utf8_allowed[] =
    "a pointer of UTF-8 without zero bytes";


static const char *ngx_smart_pointer_type(const char *p, size_t len,
    ngx_smart_pointer_t *pointer);


const char *
ngx_smart_pointer_parse(const char *p, size_t len, char *tokens,
    ngx_smart_pointer_t *pointer)
{
    size_t       n, colon;
    const char  *end, *allowed;

    pointer->tokens = tokens;
    pointer->n = 0;
    pointer->type = NGX_SMART_POINTER_ANY;

    for (colon = len; colon > 0; colon--) {
        if (p[colon - 1] == ':') {
            break;
        }
    }

    if (len == 0 || (p[0] != '/' && colon != 1)) {
        return ngx_smart_pointer_allowed;
    }

    if (colon) {
        allowed = ngx_smart_pointer_type(p + colon, len - colon, pointer);
        if (allowed) {
            return allowed;
        }

        len = colon - 1;
    }

    end = p + len;

    while (p < end) {

        if (*p == '/') {

            if (pointer->n++) {
                *tokens++ = '\0';
            }

            p++;
            continue;
        }

        if (*p == '~') {

            if (end - p < 2 || (p[1] != '0' && p[1] != '1')) {
                return ngx_smart_pointer_escape_allowed;
            }

            *tokens++ = (p[1] == '0') ? '~' : '/';
            p += 2;
            continue;
        }

        n = ngx_smart_utf8_length((const unsigned char *) p,
                                  (size_t) (end - p));

        if (n == 0 || *p == '\0') {
            return ngx_smart_pointer_utf8_allowed;
        }

        while (n--) {
            *tokens++ = *p++;
        }
    }

    if (pointer->n) {
        *tokens = '\0';
    }

    return NULL;
}


static const char *
ngx_smart_pointer_type(const char *p, size_t len, ngx_smart_pointer_t *pointer)
{
    size_t  i;

    for (i = 0; i < NGX_SMART_POINTER_TYPES; i++) {

        if (strlen(ngx_smart_pointer_types[i]) == len
            && memcmp(ngx_smart_pointer_types[i], p, len) == 0)
        {
            pointer->type = (ngx_smart_pointer_type_e) i;
            return NULL;
        }
    }

    return ngx_smart_pointer_type_allowed;
}


int
ngx_smart_pointer_index(const char *token, size_t *index)
{
    size_t  value, digit;

    if (token[0] == '\0' || (token[0] == '0' && token[1] != '\0')) {
        return 0;
    }

    value = 0;

    for ( /* void */ ; *token; token++) {

        if (*token < '0' || *token > '9') {
            return 0;
        }

        digit = (size_t) (*token - '0');

        if (value > (SIZE_MAX - digit) / 10) {
            value = SIZE_MAX;

        } else {
            value = value * 10 + digit;
        }
    }

    *index = value;

    return 1;
}
