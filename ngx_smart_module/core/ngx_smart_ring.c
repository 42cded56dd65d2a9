
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_ring.h"


static void ngx_smart_ring_set_state(ngx_smart_ring_slot_t *s,
    ngx_smart_ring_state_e state);
static void ngx_smart_ring_enqueue(ngx_smart_ring_t *ring, uint32_t slot);
static void ngx_smart_ring_release(ngx_smart_ring_t *ring, uint32_t slot);
static size_t ngx_smart_ring_lose(ngx_smart_ring_t *ring,
    const uint32_t *dead, size_t n);
static void ngx_smart_ring_rebuild(ngx_smart_ring_t *ring, unsigned untake);


size_t
ngx_smart_ring_size(uint32_t capacity)
{
    return offsetof(ngx_smart_ring_t, slots)
           + (size_t) capacity * sizeof(ngx_smart_ring_slot_t);
}


/* slots are not touched before they are used, which saves their memory */
void
ngx_smart_ring_init(ngx_smart_ring_t *ring, uint32_t capacity)
{
    memset(ring, 0, offsetof(ngx_smart_ring_t, slots));

    ring->capacity = capacity;
    ring->free = NGX_SMART_RING_NONE;
    ring->head = NGX_SMART_RING_NONE;
    ring->tail = NGX_SMART_RING_NONE;
}


uint32_t
ngx_smart_ring_acquire(ngx_smart_ring_t *ring, uint32_t n)
{
    uint32_t                slot, more;
    ngx_smart_ring_slot_t  *s;

    if (n > ring->capacity - ring->used) {
        return NGX_SMART_RING_NONE;
    }

    ring->used += n;
    more = NGX_SMART_RING_NONE;

    do {
        slot = ring->free;

        if (slot != NGX_SMART_RING_NONE) {
            s = &ring->slots[slot];
            ring->free = s->next;

        } else {
            slot = ring->fresh;
            s = &ring->slots[slot];
            memset(s, 0, sizeof(ngx_smart_ring_slot_t));
            ring->fresh++;
        }

        s->next = NGX_SMART_RING_NONE;
        s->more = more;
        more = slot;

    } while (--n);

    return slot;
}


void
ngx_smart_ring_open(ngx_smart_ring_t *ring, uint32_t slot, uint32_t owner)
{
    uint32_t                i;
    ngx_smart_ring_slot_t  *s;

    s = &ring->slots[slot];

    for (i = s->more; i != NGX_SMART_RING_NONE; i = ring->slots[i].more) {
        ngx_smart_ring_set_state(&ring->slots[i], NGX_SMART_RING_MORE);
    }

    s->owner = owner;
    s->taken = NGX_SMART_RING_NOT_TAKEN;
    s->queued = 0;
    s->begun = 0;

    ngx_smart_ring_set_state(s, NGX_SMART_RING_OPEN);

    ring->open++;

    ngx_smart_ring_enqueue(ring, slot);
}


void
ngx_smart_ring_done(ngx_smart_ring_t *ring, uint32_t slot,
    ngx_smart_ring_state_e state)
{
    ngx_smart_ring_slot_t  *s;

    s = &ring->slots[slot];

    if (s->state != NGX_SMART_RING_OPEN) {
        return;
    }

    ngx_smart_ring_set_state(s, state);

    ring->open--;

    if (!s->queued) {
        ngx_smart_ring_enqueue(ring, slot);
    }
}


size_t
ngx_smart_ring_take(ngx_smart_ring_t *ring, uint32_t *slots, size_t n)
{
    size_t                  i;
    uint32_t                slot;
    ngx_smart_ring_slot_t  *s;

    for (i = 0; i < n && ring->head != NGX_SMART_RING_NONE; i++) {

        slot = ring->head;
        s = &ring->slots[slot];

        s->taken = (s->state == NGX_SMART_RING_OPEN)
                   ? NGX_SMART_RING_TAKEN_OPEN : NGX_SMART_RING_TAKEN_DONE;
        s->queued = 0;

        ring->head = s->next;
        ring->queued--;

        if (ring->head == NGX_SMART_RING_NONE) {
            ring->tail = NGX_SMART_RING_NONE;
        }

        s->next = NGX_SMART_RING_NONE;

        slots[i] = slot;
    }

    return i;
}


void
ngx_smart_ring_ack(ngx_smart_ring_t *ring, const uint32_t *slots, size_t n)
{
    size_t                  i;
    ngx_smart_ring_slot_t  *s;

    for (i = 0; i < n; i++) {

        s = &ring->slots[slots[i]];

        if (s->taken == NGX_SMART_RING_TAKEN_DONE) {
            ngx_smart_ring_release(ring, slots[i]);
            continue;
        }

        s->begun = 1;
        s->taken = NGX_SMART_RING_NOT_TAKEN;
    }
}


void
ngx_smart_ring_untake(ngx_smart_ring_t *ring, const uint32_t *slots, size_t n)
{
    ngx_smart_ring_slot_t  *s;

    while (n) {

        s = &ring->slots[slots[--n]];

        s->taken = NGX_SMART_RING_NOT_TAKEN;

        /* it may have ended since, and waits for that reason */

        if (s->queued) {
            continue;
        }

        s->queued = 1;
        s->next = ring->head;

        if (ring->head == NGX_SMART_RING_NONE) {
            ring->tail = slots[n];
        }

        ring->head = slots[n];
        ring->queued++;
    }
}


size_t
ngx_smart_ring_recover(ngx_smart_ring_t *ring, const uint32_t *dead, size_t n,
    unsigned untake)
{
    size_t  lost;

    lost = ngx_smart_ring_lose(ring, dead, n);

    ngx_smart_ring_rebuild(ring, untake);

    return lost;
}


static size_t
ngx_smart_ring_lose(ngx_smart_ring_t *ring, const uint32_t *dead, size_t n)
{
    size_t                  i, lost;
    uint32_t                slot;
    ngx_smart_ring_slot_t  *s;

    lost = 0;

    for (slot = 0; slot < ring->fresh; slot++) {

        s = &ring->slots[slot];

        if (s->state != NGX_SMART_RING_OPEN) {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (s->owner == dead[i]) {
                ngx_smart_ring_set_state(s, NGX_SMART_RING_LOST);
                lost++;
                break;
            }
        }
    }

    return lost;
}


static void
ngx_smart_ring_rebuild(ngx_smart_ring_t *ring, unsigned untake)
{
    uint32_t                i, slot;
    ngx_smart_ring_slot_t  *s;

    /* chained slots are in use only if their first one is */

    for (slot = 0; slot < ring->fresh; slot++) {
        if (ring->slots[slot].state == NGX_SMART_RING_MORE) {
            ring->slots[slot].state = NGX_SMART_RING_FREE;
        }
    }

    for (slot = 0; slot < ring->fresh; slot++) {

        s = &ring->slots[slot];

        if (s->state < NGX_SMART_RING_OPEN) {
            continue;
        }

        for (i = s->more; i != NGX_SMART_RING_NONE; i = ring->slots[i].more) {
            ring->slots[i].state = NGX_SMART_RING_MORE;
        }
    }

    ring->free = NGX_SMART_RING_NONE;
    ring->head = NGX_SMART_RING_NONE;
    ring->tail = NGX_SMART_RING_NONE;
    ring->used = 0;
    ring->queued = 0;
    ring->open = 0;

    for (slot = 0; slot < ring->fresh; slot++) {

        s = &ring->slots[slot];

        if (s->state == NGX_SMART_RING_FREE) {
            s->next = ring->free;
            ring->free = slot;
            continue;
        }

        ring->used++;

        if (s->state == NGX_SMART_RING_MORE) {
            continue;
        }

        if (s->state == NGX_SMART_RING_OPEN) {
            ring->open++;
        }

        if (untake) {
            s->taken = NGX_SMART_RING_NOT_TAKEN;
        }

        s->queued = 0;

        if (s->taken == NGX_SMART_RING_TAKEN_DONE
            || (s->state == NGX_SMART_RING_OPEN
                && (s->begun || s->taken == NGX_SMART_RING_TAKEN_OPEN)))
        {
            continue;
        }

        ngx_smart_ring_enqueue(ring, slot);
    }
}


/* seen by whoever mends after the death of this process: not before the rest */
static void
ngx_smart_ring_set_state(ngx_smart_ring_slot_t *s,
    ngx_smart_ring_state_e state)
{
    __atomic_store_n(&s->state, (uint8_t) state, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}


static void
ngx_smart_ring_enqueue(ngx_smart_ring_t *ring, uint32_t slot)
{
    ngx_smart_ring_slot_t  *s;

    s = &ring->slots[slot];

    s->queued = 1;
    s->next = NGX_SMART_RING_NONE;

    if (ring->tail == NGX_SMART_RING_NONE) {
        ring->head = slot;

    } else {
        ring->slots[ring->tail].next = slot;
    }

    ring->tail = slot;
    ring->queued++;
}


static void
ngx_smart_ring_release(ngx_smart_ring_t *ring, uint32_t slot)
{
    uint32_t                more;
    ngx_smart_ring_slot_t  *s;

    for ( ;; ) {

        s = &ring->slots[slot];
        more = s->more;

        ngx_smart_ring_set_state(s, NGX_SMART_RING_FREE);

        s->taken = NGX_SMART_RING_NOT_TAKEN;
        s->next = ring->free;
        ring->free = slot;
        ring->used--;

        if (more == NGX_SMART_RING_NONE) {
            return;
        }

        slot = more;
    }
}
