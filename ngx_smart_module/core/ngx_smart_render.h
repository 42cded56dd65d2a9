
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Records as clients see them.  Each function writes to memory of "size"
 * bytes and returns the length that the text takes: if that is more, the
 * memory holds nothing of use.
 */

#ifndef _NGX_SMART_RENDER_H_INCLUDED_
#define _NGX_SMART_RENDER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "ngx_smart_record.h"


typedef size_t (*ngx_smart_render_pt)(char *p, size_t size,
    const ngx_smart_record_t *record);


/* an object of JSON, without what separates it from others */
size_t ngx_smart_render_json(char *p, size_t size,
    const ngx_smart_record_t *record);

/*
 * A row of CSV (RFC 4180), after the names of the columns; a spreadsheet
 * takes no text of it for a formula
 */
size_t ngx_smart_render_csv(char *p, size_t size,
    const ngx_smart_record_t *record);
extern const char  ngx_smart_render_csv_names[];

/* an entry of HAR 1.2 */
size_t ngx_smart_render_har(char *p, size_t size,
    const ngx_smart_record_t *record);

/* the word of a state; or the state of a word, -1 for others */
const char *ngx_smart_render_state(ngx_smart_record_state_e state);
int ngx_smart_render_state_named(const char *p, size_t len);


#endif /* _NGX_SMART_RENDER_H_INCLUDED_ */
