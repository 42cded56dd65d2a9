
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_cell.h"


/* room that is kept for the upstream, which the end of a request tells */
#define NGX_SMART_CELL_UPSTREAM  128

#define NGX_SMART_CELL_TEXT                                                   \
    (NGX_SMART_CELL_SIZE - offsetof(ngx_smart_cell_t, text))


typedef struct {
    int64_t    timestamp;
    int64_t    duration;
    int32_t    code;
    int16_t    attempts;
    int16_t    winner;
    uint8_t    id[16];

    /* lengths of texts, in this order */
    uint8_t    method;
    uint8_t    trace_id;
    uint16_t   website;          /* 0 if the url begins with it */
    uint16_t   url;
    uint16_t   upstream;

    uint16_t   site;             /* its length, wherever it is */
    uint16_t   host_at;          /* in the website */
    uint16_t   host;
    uint8_t    state;

    char       text[1];
} ngx_smart_cell_t;


/* where the next byte of the texts goes to, or comes from */
typedef struct {
    char                    *cells;
    const ngx_smart_ring_t  *ring;
    uint32_t                 slot;
    char                    *pos;
    char                    *end;
} ngx_smart_cell_cursor_t;


static void ngx_smart_cell_cut(ngx_smart_record_text_t *text, size_t max);
static unsigned ngx_smart_cell_shared(const ngx_smart_record_t *record);
static size_t ngx_smart_cell_texts(const ngx_smart_cell_t *cell);
static void ngx_smart_cell_start(ngx_smart_cell_cursor_t *c, char *cells,
    const ngx_smart_ring_t *ring, uint32_t slot);
static size_t ngx_smart_cell_piece(ngx_smart_cell_cursor_t *c, size_t len);
static size_t ngx_smart_cell_put(ngx_smart_cell_cursor_t *c, const char *data,
    size_t len);
static const char *ngx_smart_cell_text(ngx_smart_record_text_t *text,
    const char *p, size_t len);


void
ngx_smart_cell_limit(ngx_smart_record_t *record)
{
    ngx_smart_cell_cut(&record->method, NGX_SMART_RECORD_MAX_METHOD);
    ngx_smart_cell_cut(&record->url, NGX_SMART_RECORD_MAX_URL);
    ngx_smart_cell_cut(&record->website, NGX_SMART_RECORD_MAX_WEBSITE);

    if (record->trace_id.len != NGX_SMART_RECORD_TRACE_ID) {
        record->trace_id.len = 0;
    }

    if (record->host.len > NGX_SMART_RECORD_MAX_HOST
        || record->host.data < record->website.data
        || record->host.data + record->host.len
           > record->website.data + record->website.len)
    {
        record->host.len = 0;
    }
}


static void
ngx_smart_cell_cut(ngx_smart_record_text_t *text, size_t max)
{
    if (text->len > max) {
        text->len = max;
    }
}


uint32_t
ngx_smart_cell_need(const ngx_smart_record_t *record)
{
    size_t  len;

    len = record->method.len + record->trace_id.len + record->url.len
          + NGX_SMART_CELL_UPSTREAM;

    if (!ngx_smart_cell_shared(record)) {
        len += record->website.len;
    }

    if (len <= NGX_SMART_CELL_TEXT) {
        return 1;
    }

    len -= NGX_SMART_CELL_TEXT;

    return (uint32_t) (1 + (len + NGX_SMART_CELL_SIZE - 1)
                           / NGX_SMART_CELL_SIZE);
}


static unsigned
ngx_smart_cell_shared(const ngx_smart_record_t *record)
{
    return record->website.len <= record->url.len
           && (record->website.len == 0
               || record->website.data == record->url.data
               || memcmp(record->website.data, record->url.data,
                         record->website.len) == 0);
}


void
ngx_smart_cell_begin(char *cells, const ngx_smart_ring_t *ring, uint32_t slot,
    const ngx_smart_record_t *record)
{
    ngx_smart_cell_t         *cell;
    ngx_smart_cell_cursor_t   c;

    cell = (ngx_smart_cell_t *) (cells + (size_t) slot * NGX_SMART_CELL_SIZE);

    memcpy(cell->id, record->id, sizeof(cell->id));

    cell->timestamp = record->timestamp;
    cell->duration = -1;
    cell->code = 0;
    cell->attempts = -1;
    cell->winner = -1;
    cell->state = NGX_SMART_RECORD_OPEN;

    cell->method = (uint8_t) record->method.len;
    cell->trace_id = (uint8_t) record->trace_id.len;
    cell->url = (uint16_t) record->url.len;
    cell->upstream = 0;

    cell->site = (uint16_t) record->website.len;
    cell->website = ngx_smart_cell_shared(record)
                    ? 0 : (uint16_t) record->website.len;

    cell->host = (uint16_t) record->host.len;
    cell->host_at = record->host.len
                    ? (uint16_t) (record->host.data - record->website.data)
                    : 0;

    ngx_smart_cell_start(&c, cells, ring, slot);

    (void) ngx_smart_cell_put(&c, record->method.data, record->method.len);
    (void) ngx_smart_cell_put(&c, record->trace_id.data,
                              record->trace_id.len);
    (void) ngx_smart_cell_put(&c, record->website.data, cell->website);
    (void) ngx_smart_cell_put(&c, record->url.data, record->url.len);
}


void
ngx_smart_cell_end(char *cells, const ngx_smart_ring_t *ring, uint32_t slot,
    const ngx_smart_record_t *record)
{
    size_t                    len;
    ngx_smart_cell_t         *cell;
    ngx_smart_cell_cursor_t   c;

    cell = (ngx_smart_cell_t *) (cells + (size_t) slot * NGX_SMART_CELL_SIZE);

    cell->state = (uint8_t) record->state;
    cell->duration = record->duration;
    cell->code = record->code;
    cell->attempts = (int16_t) record->attempts;
    cell->winner = (int16_t) record->winner;

    len = record->upstream.len;

    if (len > NGX_SMART_RECORD_MAX_UPSTREAM) {
        len = NGX_SMART_RECORD_MAX_UPSTREAM;
    }

    ngx_smart_cell_start(&c, cells, ring, slot);

    (void) ngx_smart_cell_put(&c, NULL, ngx_smart_cell_texts(cell));

    cell->upstream = (uint16_t) ngx_smart_cell_put(&c, record->upstream.data,
                                                   len);
}


size_t
ngx_smart_cell_get(const char *cells, const ngx_smart_ring_t *ring,
    uint32_t slot, ngx_smart_record_t *record, char *texts)
{
    size_t                    n, len, piece, taken;
    const char               *p, *website;
    const ngx_smart_cell_t   *cell;
    ngx_smart_cell_cursor_t   c;

    cell = (const ngx_smart_cell_t *)
                                (cells + (size_t) slot * NGX_SMART_CELL_SIZE);

    memcpy(record->id, cell->id, sizeof(cell->id));

    record->timestamp = cell->timestamp;
    record->duration = -1;
    record->code = 0;
    record->attempts = -1;
    record->winner = -1;
    record->again = ring->slots[slot].begun;

    len = ngx_smart_cell_texts(cell);
    n = 0;

    if (ring->slots[slot].taken == NGX_SMART_RING_TAKEN_OPEN) {

        /* its owner may be about to write the end of it */

        record->state = NGX_SMART_RECORD_OPEN;

    } else if (cell->state == NGX_SMART_RECORD_OPEN) {
        record->state = NGX_SMART_RECORD_INTERRUPTED;

    } else {
        record->state = (ngx_smart_record_state_e) cell->state;
        record->duration = cell->duration;
        record->code = cell->code;
        record->attempts = cell->attempts;
        record->winner = cell->winner;
        n = cell->upstream;
    }

    p = cell->text;
    taken = 0;

    if (ring->slots[slot].more != NGX_SMART_RING_NONE) {

        ngx_smart_cell_start(&c, (char *) cells, ring, slot);

        while (taken < len + n) {
            piece = ngx_smart_cell_piece(&c, len + n - taken);
            memcpy(texts + taken, c.pos, piece);

            c.pos += piece;
            taken += piece;
        }

        p = texts;
    }

    p = ngx_smart_cell_text(&record->method, p, cell->method);
    p = ngx_smart_cell_text(&record->trace_id, p, cell->trace_id);

    website = p;

    p = ngx_smart_cell_text(&record->url, p + cell->website, cell->url);
    (void) ngx_smart_cell_text(&record->upstream, p, n);

    (void) ngx_smart_cell_text(&record->website, website, cell->site);
    (void) ngx_smart_cell_text(&record->host, website + cell->host_at,
                               cell->host);

    return taken;
}


/* of the beginning */
static size_t
ngx_smart_cell_texts(const ngx_smart_cell_t *cell)
{
    return (size_t) cell->method + cell->trace_id + cell->website + cell->url;
}


static void
ngx_smart_cell_start(ngx_smart_cell_cursor_t *c, char *cells,
    const ngx_smart_ring_t *ring, uint32_t slot)
{
    c->cells = cells;
    c->ring = ring;
    c->slot = slot;
    c->pos = cells + (size_t) slot * NGX_SMART_CELL_SIZE
             + offsetof(ngx_smart_cell_t, text);
    c->end = cells + ((size_t) slot + 1) * NGX_SMART_CELL_SIZE;
}


/* how much of it lies at c->pos in one piece; 0 at the end of the chain */
static size_t
ngx_smart_cell_piece(ngx_smart_cell_cursor_t *c, size_t len)
{
    size_t  left;

    if (c->pos == c->end) {

        if (c->ring->slots[c->slot].more == NGX_SMART_RING_NONE) {
            return 0;
        }

        c->slot = c->ring->slots[c->slot].more;
        c->pos = c->cells + (size_t) c->slot * NGX_SMART_CELL_SIZE;
        c->end = c->pos + NGX_SMART_CELL_SIZE;
    }

    left = (size_t) (c->end - c->pos);

    return len < left ? len : left;
}


/* without data it only goes on; returns what there was room for */
static size_t
ngx_smart_cell_put(ngx_smart_cell_cursor_t *c, const char *data, size_t len)
{
    size_t  n, piece;

    if (len <= (size_t) (c->end - c->pos)) {

        if (data) {
            memcpy(c->pos, data, len);
        }

        c->pos += len;
        return len;
    }

    for (n = 0; n < len; n += piece) {

        piece = ngx_smart_cell_piece(c, len - n);

        if (piece == 0) {
            break;
        }

        if (data) {
            memcpy(c->pos, data + n, piece);
        }

        c->pos += piece;
    }

    return n;
}


static const char *
ngx_smart_cell_text(ngx_smart_record_text_t *text, const char *p, size_t len)
{
    text->data = p;
    text->len = len;

    return p + len;
}
