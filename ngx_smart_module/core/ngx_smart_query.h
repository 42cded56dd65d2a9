
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Query strings, and the percent encoding of URLs.
 */

#ifndef _NGX_SMART_QUERY_H_INCLUDED_
#define _NGX_SMART_QUERY_H_INCLUDED_


#include <stddef.h>


/* a parameter as it stands there, still encoded */
typedef struct {
    const char  *name;
    size_t       name_len;
    const char  *value;          /* NULL if there is no "=" */
    size_t       value_len;
} ngx_smart_query_param_t;


/*
 * The next parameter between "&", empty ones are left out; *p moves behind it.
 * Returns 1, or 0 if there is none.
 */
int ngx_smart_query_next(const char **p, const char *end,
    ngx_smart_query_param_t *param);

/*
 * Decodes "%XX", and "+" as a blank, into memory of at least "len" bytes,
 * which may be that of the text itself.  Returns 0, or -1 if a "%" is not
 * followed by two digits or what comes out has a zero byte.
 */
int ngx_smart_query_decode(const char *p, size_t len, char *to,
    size_t *to_len);

/* the value of a hexadecimal digit, or -1 */
int ngx_smart_query_hex(char c);


#endif /* _NGX_SMART_QUERY_H_INCLUDED_ */
