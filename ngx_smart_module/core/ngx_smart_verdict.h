
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Which answers are successful: by status and by media type.
 */

#ifndef _NGX_SMART_VERDICT_H_INCLUDED_
#define _NGX_SMART_VERDICT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_SMART_VERDICT_STATUSES  600


/* bit s: status s is successful; zeroed by the caller before the first add */
typedef struct {
    uint64_t  bits[(NGX_SMART_VERDICT_STATUSES + 63) / 64];
} ngx_smart_verdict_statuses_t;


/* everything but 429 and 5xx */
void ngx_smart_verdict_default(ngx_smart_verdict_statuses_t *statuses);

/* adds "200" or "2xx"; returns 0, or -1 for anything else */
int ngx_smart_verdict_add(ngx_smart_verdict_statuses_t *statuses,
    const char *p, size_t len);

/* 1 if the status is successful; a 1xx never is */
static inline int
ngx_smart_verdict_status(const ngx_smart_verdict_statuses_t *statuses,
    unsigned status)
{
    return status < NGX_SMART_VERDICT_STATUSES
           && (statuses->bits[status / 64] >> (status % 64) & 1);
}


/* 1 if the string is "type/subtype" or "type" "/" "*" */
int ngx_smart_verdict_type_valid(const char *p, size_t len);

/*
 * 1 if the value of a Content-Type header is of this media type: parameters
 * and case do not matter, a subtype of "*" is any
 */
int ngx_smart_verdict_type(const char *type, size_t type_len,
    const char *value, size_t len);


#endif /* _NGX_SMART_VERDICT_H_INCLUDED_ */
