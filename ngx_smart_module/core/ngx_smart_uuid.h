
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */

#ifndef _NGX_SMART_UUID_H_INCLUDED_
#define _NGX_SMART_UUID_H_INCLUDED_


#include <stddef.h>


#define NGX_SMART_UUID_SIZE  16
#define NGX_SMART_UUID_LEN   36


/*
 * The text of RFC 9562, 8-4-4-4-12 digits of either case, of any version.
 * Returns 0, or -1 for anything else.
 */
int ngx_smart_uuid_parse(const char *p, size_t len, unsigned char *uuid);

/* writes NGX_SMART_UUID_LEN bytes in lower case */
void ngx_smart_uuid_format(char *p, const unsigned char *uuid);


#endif /* _NGX_SMART_UUID_H_INCLUDED_ */
