
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_query.h"
#include "ngx_smart_redact.h"
#include "ngx_smart_utf8.h"


/* the longest name of a parameter, as it is encoded, that is decoded */
#define NGX_SMART_REDACT_NAME  512

/* what ends a part of a URL, or makes a name need a closer look, as bits */
#define NGX_SMART_REDACT_SCHEME     0x01
#define NGX_SMART_REDACT_AUTHORITY  0x02
#define NGX_SMART_REDACT_PARAMETER  0x04
#define NGX_SMART_REDACT_PLAIN      0x08

#define NGX_SMART_REDACT_MARK      "\xe2\x80\xa6"
#define NGX_SMART_REDACT_MARK_LEN  3

#define ngx_smart_redact_name(text)  { text, sizeof(text) - 1 }


typedef struct {
    char    *data;
    size_t   size;
    size_t   len;
    size_t   cut;                /* the last end that leaves room for a mark */
    int      full;
} ngx_smart_redact_text_t;


const ngx_smart_redact_name_t  ngx_smart_redact_names[] = {
    ngx_smart_redact_name("token"),
    ngx_smart_redact_name("access_token"),
    ngx_smart_redact_name("refresh_token"),
    ngx_smart_redact_name("id_token"),
    ngx_smart_redact_name("api_key"),
    ngx_smart_redact_name("apikey"),
    ngx_smart_redact_name("key"),
    ngx_smart_redact_name("secret"),
    ngx_smart_redact_name("client_secret"),
    ngx_smart_redact_name("password"),
    ngx_smart_redact_name("passwd"),
    ngx_smart_redact_name("pwd"),
    ngx_smart_redact_name("signature"),
    ngx_smart_redact_name("sig"),
    ngx_smart_redact_name("auth"),
    ngx_smart_redact_name("session"),
    ngx_smart_redact_name("code"),

    /* of signed URLs; OpenTelemetry lists the first two, and the older ones
     * "Signature" and "sig" above */

    ngx_smart_redact_name("AWSAccessKeyId"),
    ngx_smart_redact_name("X-Goog-Signature"),
    ngx_smart_redact_name("X-Goog-Credential"),
    ngx_smart_redact_name("X-Amz-Signature"),
    ngx_smart_redact_name("X-Amz-Credential"),
    ngx_smart_redact_name("X-Amz-Security-Token")
};

static const unsigned char  ngx_smart_redact_ends[256] = {
    ['\0'] = NGX_SMART_REDACT_PLAIN,
    [' '] = NGX_SMART_REDACT_PLAIN,
    ['#'] = NGX_SMART_REDACT_SCHEME|NGX_SMART_REDACT_AUTHORITY,
    ['%'] = NGX_SMART_REDACT_PLAIN,
    ['&'] = NGX_SMART_REDACT_PARAMETER,
    ['+'] = NGX_SMART_REDACT_PLAIN,
    ['/'] = NGX_SMART_REDACT_SCHEME|NGX_SMART_REDACT_AUTHORITY,
    [':'] = NGX_SMART_REDACT_SCHEME,
    [';'] = NGX_SMART_REDACT_PARAMETER,
    ['?'] = NGX_SMART_REDACT_SCHEME|NGX_SMART_REDACT_AUTHORITY,
    ['['] = NGX_SMART_REDACT_PLAIN
};

const unsigned  ngx_smart_redact_names_n =
    sizeof(ngx_smart_redact_names) / sizeof(ngx_smart_redact_names[0]);


static void ngx_smart_redact_path(ngx_smart_redact_text_t *t, const char *p,
    const char *end, const ngx_smart_redact_name_t *names, unsigned n);
static size_t ngx_smart_redact_finish(ngx_smart_redact_text_t *t);
static void ngx_smart_redact_query(ngx_smart_redact_text_t *t, const char *p,
    const char *end, const ngx_smart_redact_name_t *names, unsigned n);
static int ngx_smart_redact_secret(const char *p, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n);
static int ngx_smart_redact_listed(const char *p, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n);
static void ngx_smart_redact_copy(ngx_smart_redact_text_t *t, const char *p,
    size_t len);
static void ngx_smart_redact_put(ngx_smart_redact_text_t *t, const char *p,
    size_t len);
static size_t ngx_smart_redact_append(char *to, size_t size, size_t n,
    const char *p, size_t len);
static size_t ngx_smart_redact_find(const char *p, size_t len, char c);
static size_t ngx_smart_redact_end(const char *p, size_t len, unsigned part);
static int ngx_smart_redact_scheme(const char *p, size_t len);
static char ngx_smart_redact_lower(char c);


size_t
ngx_smart_redact_url(char *to, size_t size, const char *url, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n)
{
    const char               *p, *end;
    ngx_smart_redact_text_t   t;
    ngx_smart_redact_parts_t  parts;

    memset(&t, 0, sizeof(ngx_smart_redact_text_t));

    t.data = to;
    t.size = size;

    p = url;
    end = url + ngx_smart_redact_find(url, len, '#');

    /* also of what is no URL otherwise */

    (void) ngx_smart_redact_split(url, (size_t) (end - url), &parts);

    if (parts.userinfo) {
        ngx_smart_redact_copy(&t, p, (size_t) (parts.userinfo - p));
        ngx_smart_redact_copy(&t, "REDACTED:REDACTED", 17);
        p = parts.userinfo + parts.userinfo_len;
    }

    ngx_smart_redact_path(&t, p, end, names, n);

    return ngx_smart_redact_finish(&t);
}


size_t
ngx_smart_redact_rest(char *to, size_t size, size_t used, const char *rest,
    size_t len, const ngx_smart_redact_name_t *names, unsigned n)
{
    ngx_smart_redact_text_t  t;

    t.data = to;
    t.size = size;
    t.len = used;
    t.cut = used;
    t.full = 0;

    ngx_smart_redact_path(&t, rest,
                          rest + ngx_smart_redact_find(rest, len, '#'),
                          names, n);

    return ngx_smart_redact_finish(&t);
}


/* with the query */
static void
ngx_smart_redact_path(ngx_smart_redact_text_t *t, const char *p,
    const char *end, const ngx_smart_redact_name_t *names, unsigned n)
{
    size_t  path;

    path = ngx_smart_redact_find(p, (size_t) (end - p), '?');
    ngx_smart_redact_copy(t, p, path);
    p += path;

    if (p < end) {
        ngx_smart_redact_copy(t, p, 1);
        ngx_smart_redact_query(t, p + 1, end, names, n);
    }
}


static size_t
ngx_smart_redact_finish(ngx_smart_redact_text_t *t)
{
    if (!t->full) {
        return t->len;
    }

    memcpy(t->data + t->cut, NGX_SMART_REDACT_MARK, NGX_SMART_REDACT_MARK_LEN);

    return t->cut + NGX_SMART_REDACT_MARK_LEN;
}


/*
 * ";" begins a parameter too, as some servers have it, but does not end the
 * value of a secret one: rather too much is blanked than too little
 */
static void
ngx_smart_redact_query(ngx_smart_redact_text_t *t, const char *p,
    const char *end, const ngx_smart_redact_name_t *names, unsigned n)
{
    size_t  len, name;

    while (p < end && !t->full) {

        len = ngx_smart_redact_end(p, (size_t) (end - p),
                                   NGX_SMART_REDACT_PARAMETER);
        name = ngx_smart_redact_find(p, len, '=');

        if (name < len && ngx_smart_redact_secret(p, name, names, n)) {
            ngx_smart_redact_copy(t, p, name + 1);
            ngx_smart_redact_copy(t, "REDACTED", 8);
            p += ngx_smart_redact_find(p, (size_t) (end - p), '&');

        } else {
            ngx_smart_redact_copy(t, p, len);
            p += len;
        }

        if (p < end) {
            ngx_smart_redact_copy(t, p++, 1);
        }
    }
}


static int
ngx_smart_redact_secret(const char *p, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n)
{
    char    decoded[NGX_SMART_REDACT_NAME];
    char   *text;
    size_t  first, last;

    if (ngx_smart_redact_listed(p, len, names, n)) {
        return 1;
    }

    if (len > sizeof(decoded)
        || ngx_smart_redact_end(p, len, NGX_SMART_REDACT_PLAIN) == len)
    {
        return 0;
    }

    if (ngx_smart_query_decode(p, len, decoded, &len) != 0) {
        return 1;
    }

    text = decoded;

    while (len && *text == ' ') {
        text++;
        len--;
    }

    while (len && text[len - 1] == ' ') {
        len--;
    }

    first = ngx_smart_redact_find(text, len, '[');

    if (ngx_smart_redact_listed(text, first, names, n)) {
        return 1;
    }

    if (first == len || text[len - 1] != ']') {
        return 0;
    }

    last = len - 1;

    while (text[last - 1] != '[') {
        last--;
    }

    return ngx_smart_redact_listed(text + last, len - 1 - last, names, n);
}


static int
ngx_smart_redact_listed(const char *p, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n)
{
    size_t    j;
    unsigned  i;

    for (i = 0; i < n; i++) {

        if (names[i].len != len) {
            continue;
        }

        for (j = 0; j < len; j++) {
            if (ngx_smart_redact_lower(p[j])
                != ngx_smart_redact_lower(names[i].data[j]))
            {
                break;
            }
        }

        if (j == len) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_smart_redact_copy(ngx_smart_redact_text_t *t, const char *p, size_t len)
{
    char                  code[3];
    size_t                n;
    const char           *end;
    const unsigned char  *u;

    static const char  digits[] = "0123456789ABCDEF";

    end = p + len;

    while (p < end && !t->full) {

        /* most of it is plain, and far from the end of the room */

        for (n = 0; p + n < end && p[n] > ' ' && p[n] < 0x7f && p[n] != '%';
             n++)
        {
            /* void */
        }

        if (n && n + NGX_SMART_REDACT_MARK_LEN <= t->size - t->len) {
            ngx_smart_redact_put(t, p, n);
            p += n;
            continue;
        }

        u = (const unsigned char *) p;
        n = ngx_smart_utf8_length(u, (size_t) (end - p));

        if (n == 0 || *u <= ' ' || *u == 0x7f
            || (n == 2 && u[0] == 0xc2 && u[1] < 0xa0))
        {
            code[0] = '%';
            code[1] = digits[*u >> 4];
            code[2] = digits[*u & 15];

            ngx_smart_redact_put(t, code, 3);
            p++;
            continue;
        }

        if (*p == '%' && end - p >= 3 && ngx_smart_query_hex(p[1]) >= 0
            && ngx_smart_query_hex(p[2]) >= 0)
        {
            n = 3;
        }

        ngx_smart_redact_put(t, p, n);
        p += n;
    }
}


/* a character, which is written whole or not at all */
static void
ngx_smart_redact_put(ngx_smart_redact_text_t *t, const char *p, size_t len)
{
    if (len > t->size - t->len) {
        t->full = 1;
        return;
    }

    memcpy(t->data + t->len, p, len);
    t->len += len;

    if (t->size - t->len >= NGX_SMART_REDACT_MARK_LEN) {
        t->cut = t->len;
    }
}


int
ngx_smart_redact_split(const char *url, size_t len,
    ngx_smart_redact_parts_t *parts)
{
    int          bad;
    size_t       n, i;
    const char  *p, *end;

    memset(parts, 0, sizeof(ngx_smart_redact_parts_t));

    p = url;
    end = url + len;
    bad = 0;
    n = ngx_smart_redact_end(p, len, NGX_SMART_REDACT_SCHEME);

    if (n + 3 <= len && memcmp(p + n, "://", 3) == 0) {
        bad = !ngx_smart_redact_scheme(p, n);
        parts->scheme = p;
        parts->scheme_len = n;
        p += n + 3;

    } else if (len >= 2 && memcmp(p, "//", 2) == 0) {
        p += 2;
    }

    n = ngx_smart_redact_end(p, (size_t) (end - p),
                             NGX_SMART_REDACT_AUTHORITY);

    parts->rest = p + n;
    parts->rest_len = (size_t) (end - p) - n;

    if (ngx_smart_redact_find(p, n, '@') < n) {

        for (i = n; p[i - 1] != '@'; i--) { /* void */ }

        parts->userinfo = p;
        parts->userinfo_len = i - 1;
        p += i;
        n -= i;
    }

    parts->host = p;

    if (n && *p == '[') {
        i = ngx_smart_redact_find(p, n, ']');

        if (i == n) {
            return -1;
        }

        parts->host_len = i + 1;

    } else {
        parts->host_len = ngx_smart_redact_find(p, n, ':');
    }

    if (parts->host_len < n) {

        p += parts->host_len;

        if (*p != ':') {
            return -1;
        }

        parts->port = p + 1;
        parts->port_len = n - parts->host_len - 1;
    }

    return (bad || parts->host_len == 0) ? -1 : 0;
}


size_t
ngx_smart_redact_website(char *to, size_t size,
    const ngx_smart_redact_parts_t *parts, size_t *host, size_t *host_len)
{
    size_t  n;

    n = 0;

    if (parts->scheme_len) {
        n = ngx_smart_redact_append(to, size, n, parts->scheme,
                                    parts->scheme_len);
        n = ngx_smart_redact_append(to, size, n, "://", 3);
    }

    *host = n;
    n = ngx_smart_redact_append(to, size, n, parts->host, parts->host_len);
    *host_len = n - *host;

    if (parts->port_len) {
        n = ngx_smart_redact_append(to, size, n, ":", 1);
        n = ngx_smart_redact_append(to, size, n, parts->port,
                                    parts->port_len);
    }

    return n;
}


static size_t
ngx_smart_redact_append(char *to, size_t size, size_t n, const char *p,
    size_t len)
{
    size_t  i;

    if (len > size - n) {
        len = size - n;
    }

    for (i = 0; i < len; i++) {
        to[n + i] = ngx_smart_redact_lower(p[i]);
    }

    return n + len;
}


/* where the byte is, or the length */
static size_t
ngx_smart_redact_find(const char *p, size_t len, char c)
{
    const char  *found;

    if (len == 0) {
        return 0;
    }

    found = memchr(p, c, len);

    return found ? (size_t) (found - p) : len;
}


/* where the part ends, or the length */
static size_t
ngx_smart_redact_end(const char *p, size_t len, unsigned part)
{
    size_t                i;
    const unsigned char  *u;

    u = (const unsigned char *) p;

    for (i = 0; i < len; i++) {
        if (ngx_smart_redact_ends[u[i]] & part) {
            break;
        }
    }

    return i;
}


static int
ngx_smart_redact_scheme(const char *p, size_t len)
{
    char    c;
    size_t  i;

    for (i = 0; i < len; i++) {
        c = ngx_smart_redact_lower(p[i]);

        if (c >= 'a' && c <= 'z') {
            continue;
        }

        if (i && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))
        {
            continue;
        }

        return 0;
    }

    return len != 0;
}


static char
ngx_smart_redact_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char) (c | 0x20) : c;
}
