
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * URLs without their secrets, and what they consist of.
 */

#ifndef _NGX_SMART_REDACT_H_INCLUDED_
#define _NGX_SMART_REDACT_H_INCLUDED_


#include <stddef.h>


/* the longest URL that is kept, its mark included; a mark is U+2026 */
#define NGX_SMART_REDACT_MAX  2048


typedef struct {
    const char  *data;
    size_t       len;
} ngx_smart_redact_name_t;


/* the parts lie in the URL that was split; those that it lacks are empty */
typedef struct {
    const char  *scheme;
    size_t       scheme_len;
    const char  *userinfo;       /* without "@" */
    size_t       userinfo_len;
    const char  *host;           /* with the brackets of an IPv6 address */
    size_t       host_len;
    const char  *port;           /* without ":" */
    size_t       port_len;
    const char  *rest;           /* path, query and fragment */
    size_t       rest_len;
} ngx_smart_redact_parts_t;


/* the names of "smart_journal_redact" unless it is given; "n" counts them */
extern const ngx_smart_redact_name_t  ngx_smart_redact_names[];
extern const unsigned                 ngx_smart_redact_names_n;


/*
 * Writes the URL to memory of "size" bytes, the mark's three at least, and
 * returns its length.  The values of query parameters of these names become
 * "REDACTED", the fragment goes, and userinfo becomes "REDACTED:REDACTED".
 * Names are compared without case and after the percent decoding; "name[x]"
 * counts as "name" and as "x".  What is no printable UTF-8 is percent encoded.
 * What is too long is cut, not inside of a character, and ends with the mark.
 */
size_t ngx_smart_redact_url(char *to, size_t size, const char *url, size_t len,
    const ngx_smart_redact_name_t *names, unsigned n);

/*
 * The same for the path, query and fragment that follow "used" bytes which are
 * there already; behind those there is room for the mark, and this begins with
 * "/".  Returns the length of all.
 */
size_t ngx_smart_redact_rest(char *to, size_t size, size_t used,
    const char *rest, size_t len, const ngx_smart_redact_name_t *names,
    unsigned n);

/*
 * Splits "scheme://userinfo@host:port/rest", or without a scheme what begins
 * at the authority.  Returns 0, or -1 if that is no URL with an authority.
 */
int ngx_smart_redact_split(const char *url, size_t len,
    ngx_smart_redact_parts_t *parts);

/*
 * "scheme://host:port" of a URL that was split, in lower case and without
 * userinfo; returns its length, at most "size".  The host is *host_len bytes
 * at to + *host.
 */
size_t ngx_smart_redact_website(char *to, size_t size,
    const ngx_smart_redact_parts_t *parts, size_t *host, size_t *host_len);


#endif /* _NGX_SMART_REDACT_H_INCLUDED_ */
