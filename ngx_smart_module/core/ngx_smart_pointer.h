
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * JSON pointers (RFC 6901), each with the type that the value must have.
 */

#ifndef _NGX_SMART_POINTER_H_INCLUDED_
#define _NGX_SMART_POINTER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef enum {
    NGX_SMART_POINTER_ANY = 0,
    NGX_SMART_POINTER_STRING,
    NGX_SMART_POINTER_NUMBER,
    NGX_SMART_POINTER_INTEGER,
    NGX_SMART_POINTER_BOOLEAN,
    NGX_SMART_POINTER_OBJECT,
    NGX_SMART_POINTER_ARRAY,
    NGX_SMART_POINTER_NULL
} ngx_smart_pointer_type_e;


/* "tokens" has "n" names, unescaped, each with a zero byte behind it */
typedef struct {
    const char                *tokens;
    size_t                     n;
    ngx_smart_pointer_type_e   type;
} ngx_smart_pointer_t;


/*
 * Parses "pointer" or "pointer:type"; what follows the last colon is a type.
 * An empty pointer is the whole document and has to have a type.  "tokens" is
 * memory of the caller for at least len bytes, which the result points to.
 * Returns NULL, or what the value should have been.
 */
const char *ngx_smart_pointer_parse(const char *p, size_t len, char *tokens,
    ngx_smart_pointer_t *pointer);

/*
 * 1 if a token is an index of an array: digits without leading zeros.  One
 * that no array can have is SIZE_MAX.
 */
int ngx_smart_pointer_index(const char *token, size_t *index);


#endif /* _NGX_SMART_POINTER_H_INCLUDED_ */
