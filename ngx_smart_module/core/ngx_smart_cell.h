
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Records in the slots of a ring.  A cell belongs to each slot; the texts of
 * a record with a long url go on in the cells that are chained behind.
 */

#ifndef _NGX_SMART_CELL_H_INCLUDED_
#define _NGX_SMART_CELL_H_INCLUDED_


#include "ngx_smart_record.h"
#include "ngx_smart_ring.h"


#define NGX_SMART_CELL_SIZE      512

/* of all texts of a record, but that of the node */
#define NGX_SMART_CELL_MAX_TEXT                                               \
    (NGX_SMART_RECORD_MAX_METHOD + NGX_SMART_RECORD_TRACE_ID                  \
     + NGX_SMART_RECORD_MAX_WEBSITE + NGX_SMART_RECORD_MAX_URL                \
     + NGX_SMART_RECORD_MAX_UPSTREAM)


/* texts that are too long are cut; "url" was cut by whoever made it */
void ngx_smart_cell_limit(ngx_smart_record_t *record);

/* how many slots the record takes, its end included */
uint32_t ngx_smart_cell_need(const ngx_smart_record_t *record);

/*
 * Writes the beginning of a record that ngx_smart_cell_limit() has seen into
 * acquired slots.  "host" lies in "website", or is empty.
 */
void ngx_smart_cell_begin(char *cells, const ngx_smart_ring_t *ring,
    uint32_t slot, const ngx_smart_record_t *record);

/* state, duration, code, attempts, winner and upstream; the last is cut */
void ngx_smart_cell_end(char *cells, const ngx_smart_ring_t *ring,
    uint32_t slot, const ngx_smart_record_t *record);

/*
 * The record of a slot in the hand of the writer, who needs no lock for it.
 * The texts lie in the cell, or where that is chained in "texts", of which
 * NGX_SMART_CELL_MAX_TEXT bytes are enough; returns how many were taken.
 * "node" is not set.
 */
size_t ngx_smart_cell_get(const char *cells, const ngx_smart_ring_t *ring,
    uint32_t slot, ngx_smart_record_t *record, char *texts);


#endif /* _NGX_SMART_CELL_H_INCLUDED_ */
