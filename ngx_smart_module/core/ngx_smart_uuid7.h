
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * New ids: UUIDv7 of RFC 9562, which sort by time.
 */

#ifndef _NGX_SMART_UUID7_H_INCLUDED_
#define _NGX_SMART_UUID7_H_INCLUDED_


#include <stdint.h>


/* of one process; the caller fills it from a source of true randomness */
typedef struct {
    uint64_t  s[2];
} ngx_smart_uuid7_t;


/* the time, in us since the epoch, is in the id */
void ngx_smart_uuid7(ngx_smart_uuid7_t *state, uint64_t us, uint8_t id[16]);


#endif /* _NGX_SMART_UUID7_H_INCLUDED_ */
