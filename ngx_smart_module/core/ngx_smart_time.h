
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Points in time as text.  A time is in us since 1970-01-01T00:00:00Z, from
 * the year 1 to the year 9999.  There is no clock and no locale here.
 */

#ifndef _NGX_SMART_TIME_H_INCLUDED_
#define _NGX_SMART_TIME_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_SMART_TIME_MIN  INT64_C(-62135596800000000)
#define NGX_SMART_TIME_MAX  INT64_C(253402300799999999)

/* of "2026-01-31T23:59:59.123456Z" */
#define NGX_SMART_TIME_LEN  27


/*
 * RFC 3339, and what else ISO 8601 allows of calendar dates: a date alone, no
 * seconds, a decimal comma, no separators, 24:00, offsets by the hour; without
 * an offset it is UTC.  What is below 1 us is cut off.  A leap second, the last
 * of a month, is the second that follows it.  A blank in place of the sign of
 * an offset is the "+" that the decoding of a query string took away.  Returns
 * 0, or -1 for anything else.
 */
int ngx_smart_time_parse(const char *p, size_t len, int64_t *us);

/* seconds since the epoch, rounded to the nearest us; 0, or -1 */
int ngx_smart_time_seconds(double seconds, int64_t *us);

/* writes NGX_SMART_TIME_LEN bytes of RFC 3339 in UTC; a time out of range is
 * the nearest one in range */
void ngx_smart_time_format(char *p, int64_t us);


#endif /* _NGX_SMART_TIME_H_INCLUDED_ */
