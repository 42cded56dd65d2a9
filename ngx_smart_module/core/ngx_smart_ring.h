
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Which slots of the journal are free, open, or wait to be written.  It lies
 * in memory that processes share and that survives any of them: a process may
 * die between any two instructions, and ngx_smart_ring_recover() mends what
 * it left.  The caller holds a lock around each call.
 *
 * A record takes one slot, and more for a long url, chained behind it.  It is
 * queued to be written when it begins and once more when it ends, unless it
 * still waits then.
 */

#ifndef _NGX_SMART_RING_H_INCLUDED_
#define _NGX_SMART_RING_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_SMART_RING_NONE  UINT32_MAX


typedef enum {
    NGX_SMART_RING_FREE = 0,
    NGX_SMART_RING_MORE,         /* belongs to another slot's record */
    NGX_SMART_RING_OPEN,
    NGX_SMART_RING_DONE,
    NGX_SMART_RING_LOST          /* done by the death of its owner */
} ngx_smart_ring_state_e;


/* what the writer has in hand */
typedef enum {
    NGX_SMART_RING_NOT_TAKEN = 0,
    NGX_SMART_RING_TAKEN_OPEN,
    NGX_SMART_RING_TAKEN_DONE
} ngx_smart_ring_taken_e;


typedef struct {
    uint32_t                owner;       /* a process */
    uint32_t                next;        /* in the queue or the free list */
    uint32_t                more;        /* of the same record */
    uint8_t                 state;
    uint8_t                 taken;
    uint8_t                 queued;
    uint8_t                 begun;       /* its beginning has been written */
} ngx_smart_ring_slot_t;


typedef struct {
    uint32_t                capacity;
    uint32_t                fresh;       /* never used from here on */
    uint32_t                free;
    uint32_t                head;
    uint32_t                tail;
    uint32_t                used;        /* slots that are not free */
    uint32_t                queued;      /* records that wait */
    uint32_t                open;        /* records */
    ngx_smart_ring_slot_t   slots[1];
} ngx_smart_ring_t;


/* bytes for so many slots */
size_t ngx_smart_ring_size(uint32_t capacity);

void ngx_smart_ring_init(ngx_smart_ring_t *ring, uint32_t capacity);

/*
 * The first of n chained slots to be filled, NGX_SMART_RING_NONE if there are
 * not so many.  They stay free until ngx_smart_ring_open().
 */
uint32_t ngx_smart_ring_acquire(ngx_smart_ring_t *ring, uint32_t n);

void ngx_smart_ring_open(ngx_smart_ring_t *ring, uint32_t slot,
    uint32_t owner);

void ngx_smart_ring_done(ngx_smart_ring_t *ring, uint32_t slot,
    ngx_smart_ring_state_e state);

/*
 * Hands out at most n records in the order in which they were queued.  They
 * stay as they are until they are acknowledged: what was done is then free.
 * With ngx_smart_ring_untake() they wait again, before all others.
 */
size_t ngx_smart_ring_take(ngx_smart_ring_t *ring, uint32_t *slots, size_t n);
void ngx_smart_ring_ack(ngx_smart_ring_t *ring, const uint32_t *slots,
    size_t n);
void ngx_smart_ring_untake(ngx_smart_ring_t *ring, const uint32_t *slots,
    size_t n);

/*
 * Makes lists anew from what slots say.  Open records of the n dead owners
 * are lost; what a writer had in hand waits again, if "untake" is set.
 * Returns the number of records that got lost.
 */
size_t ngx_smart_ring_recover(ngx_smart_ring_t *ring, const uint32_t *dead,
    size_t n, unsigned untake);


#endif /* _NGX_SMART_RING_H_INCLUDED_ */
