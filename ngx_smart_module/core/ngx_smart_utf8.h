
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */

#ifndef _NGX_SMART_UTF8_H_INCLUDED_
#define _NGX_SMART_UTF8_H_INCLUDED_


#include <stddef.h>


/* the length of the well-formed sequence (RFC 3629) that begins at p, of at
 * least one byte; 0 if there is none */
size_t ngx_smart_utf8_length(const unsigned char *p, size_t len);


#endif /* _NGX_SMART_UTF8_H_INCLUDED_ */
