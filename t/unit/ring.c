
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "tap.h"

#include "ngx_smart_ring.h"


#define CAPACITY  37
#define BATCH     8
#define OWNERS    4


/* what a record should be, by its slot */
typedef struct {
    unsigned   used;
    unsigned   ended;
    unsigned   lost;
    unsigned   taken;            /* 1 as open, 2 as ended */
    unsigned   queued;
    unsigned   begun;
    unsigned   slots;
    uint32_t   owner;
} model_t;


static void life_of_a_record(void);
static void full(void);
static void untaken(void);
static void random_walk(unsigned seed, unsigned crashes);
static void check(unsigned seed, unsigned step);
static void scramble(void);
static uint32_t next_random(uint32_t n);


static model_t            model[CAPACITY];
static uint32_t           batch[BATCH];
static size_t             nbatch;
static uint32_t           rnd;
static ngx_smart_ring_t  *ring;


int
main(void)
{
    unsigned  seed;

    ring = malloc(ngx_smart_ring_size(CAPACITY));

    if (ring == NULL) {
        tap_die("malloc()", "out of memory");
    }

    life_of_a_record();
    full();
    untaken();

    for (seed = 1; seed <= 200; seed++) {
        random_walk(seed, 0);
        random_walk(seed, 1);
    }

    free(ring);

    return tap_done();
}


static void
life_of_a_record(void)
{
    uint32_t  a, b;

    ngx_smart_ring_init(ring, CAPACITY);

    a = ngx_smart_ring_acquire(ring, 1);
    ngx_smart_ring_open(ring, a, 1);
    b = ngx_smart_ring_acquire(ring, 3);
    ngx_smart_ring_open(ring, b, 2);

    is_uint(ring->used, 4, "a long record takes several slots");
    is_uint(ring->queued, 2, "both wait");

    ngx_smart_ring_done(ring, b, NGX_SMART_RING_DONE);
    is_uint(ring->queued, 2, "one that ends while it waits waits once");
    is_uint(ring->open, 1, "one is open");

    is_uint(ngx_smart_ring_take(ring, batch, BATCH), 2, "both are taken");
    is_uint(batch[0], a, "in their order");
    is_uint(batch[1], b, "in their order, the second");

    ngx_smart_ring_done(ring, a, NGX_SMART_RING_DONE);
    is_uint(ring->queued, 1, "its end waits while its beginning is written");

    ngx_smart_ring_ack(ring, batch, 2);
    is_uint(ring->used, 1, "what ended and is written is free");
    ok(ring->slots[a].begun, "the other one's beginning is written");

    is_uint(ngx_smart_ring_take(ring, batch, BATCH), 1, "its end is taken");
    ngx_smart_ring_ack(ring, batch, 1);
    is_uint(ring->used, 0, "all are free");

    ngx_smart_ring_done(ring, a, NGX_SMART_RING_DONE);
    is_uint(ring->queued, 0, "the end of what is free does nothing");
}


static void
full(void)
{
    unsigned  i;

    ngx_smart_ring_init(ring, CAPACITY);

    for (i = 0; i < CAPACITY - 1; i++) {
        ngx_smart_ring_open(ring, ngx_smart_ring_acquire(ring, 1), 1);
    }

    is_uint(ngx_smart_ring_acquire(ring, 2), NGX_SMART_RING_NONE,
            "two are not free");
    is_uint(ring->used, CAPACITY - 1, "and none of them is taken");
    ok(ngx_smart_ring_acquire(ring, 1) != NGX_SMART_RING_NONE, "one is free");
    is_uint(ngx_smart_ring_acquire(ring, 1), NGX_SMART_RING_NONE,
            "and then none");
}


static void
untaken(void)
{
    unsigned  i;
    uint32_t  slots[4];

    ngx_smart_ring_init(ring, CAPACITY);

    for (i = 0; i < 4; i++) {
        slots[i] = ngx_smart_ring_acquire(ring, 1);
        ngx_smart_ring_open(ring, slots[i], 1);
    }

    ngx_smart_ring_take(ring, batch, 3);
    ngx_smart_ring_done(ring, slots[1], NGX_SMART_RING_DONE);
    ngx_smart_ring_untake(ring, batch, 3);

    is_uint(ring->queued, 4, "all wait again, each once");

    ngx_smart_ring_take(ring, batch, 4);

    is_uint(batch[0], slots[0], "those that were taken come first");
    is_uint(batch[1], slots[2], "in their order");
    ok(!ring->slots[slots[0]].begun, "nothing has been written");
}


static void
random_walk(unsigned seed, unsigned crashes)
{
    size_t    i, k, n, lost, expected;
    uint32_t  slot, dead;
    unsigned  step, failed;

    ngx_smart_ring_init(ring, CAPACITY);
    memset(model, 0, sizeof(model));
    nbatch = 0;
    rnd = seed * 2654435761u + crashes;
    failed = tap_failed;

    for (step = 0; step < 2000 && tap_failed == failed; step++) {

        switch (next_random(crashes ? 9 : 7)) {

        case 0: case 1:
            n = 1 + (next_random(4) == 0 ? next_random(5) : 0);
            slot = ngx_smart_ring_acquire(ring, (uint32_t) n);

            if (slot != NGX_SMART_RING_NONE) {
                memset(&model[slot], 0, sizeof(model_t));
                model[slot].used = 1;
                model[slot].queued = 1;
                model[slot].slots = (unsigned) n;
                model[slot].owner = 1 + next_random(OWNERS);
                ngx_smart_ring_open(ring, slot, model[slot].owner);
            }

            break;

        case 2: case 3: case 4:
            slot = next_random(CAPACITY);

            if (model[slot].used && !model[slot].ended) {
                ngx_smart_ring_done(ring, slot, NGX_SMART_RING_DONE);
                model[slot].ended = 1;
                model[slot].queued = 1;
            }

            break;

        case 5:

            if (nbatch == 0) {
                nbatch = ngx_smart_ring_take(ring, batch,
                                             1 + next_random(BATCH));

                for (i = 0; i < nbatch; i++) {
                    model[batch[i]].taken = 1 + model[batch[i]].ended;
                    model[batch[i]].queued = 0;
                }
            }

            break;

        case 6:

            if (next_random(3)) {
                ngx_smart_ring_ack(ring, batch, nbatch);

                for (i = 0; i < nbatch; i++) {
                    if (model[batch[i]].taken == 2) {
                        model[batch[i]].used = 0;
                    }

                    model[batch[i]].begun = 1;
                    model[batch[i]].taken = 0;
                }

            } else {
                ngx_smart_ring_untake(ring, batch, nbatch);

                for (i = 0; i < nbatch; i++) {
                    model[batch[i]].taken = 0;
                    model[batch[i]].queued = 1;
                }
            }

            nbatch = 0;
            break;

        case 7:

            /* a worker dies with the lists in its hands */

            scramble();
            dead = 1 + next_random(OWNERS);
            expected = 0;

            for (k = 0; k < CAPACITY; k++) {
                if (model[k].used && !model[k].ended
                    && model[k].owner == dead)
                {
                    model[k].ended = 1;
                    model[k].lost = 1;
                    model[k].queued = 1;
                    expected++;
                }
            }

            lost = ngx_smart_ring_recover(ring, &dead, 1, 0);

            if (lost != expected) {
                is_uint(lost, expected, "records lost, seed %u", seed);
            }

            break;

        case 8:

            /* the writer dies */

            scramble();
            nbatch = 0;

            for (k = 0; k < CAPACITY; k++) {
                if (model[k].taken) {
                    model[k].taken = 0;
                    model[k].queued = 1;
                }
            }

            ngx_smart_ring_recover(ring, NULL, 0, 1);
            break;
        }

        check(seed, step);
    }

    ok(tap_failed == failed, "a random walk%s, seed %u",
       crashes ? " with deaths" : "", seed);
}


static void
check(unsigned seed, unsigned step)
{
    uint32_t                      slot;
    unsigned                      used, queued, open, bad, n;
    const ngx_smart_ring_slot_t  *s;

    used = 0;
    queued = 0;
    open = 0;
    bad = 0;

    for (slot = 0; slot < CAPACITY; slot++) {

        if (!model[slot].used) {
            bad += slot < ring->fresh
                   && ring->slots[slot].state > NGX_SMART_RING_MORE;
            continue;
        }

        s = &ring->slots[slot];

        used += model[slot].slots;
        queued += model[slot].queued;
        open += !model[slot].ended;

        bad += s->queued != model[slot].queued;
        bad += s->taken != model[slot].taken;
        bad += s->state != (model[slot].lost ? NGX_SMART_RING_LOST
                            : model[slot].ended ? NGX_SMART_RING_DONE
                                                : NGX_SMART_RING_OPEN);
        bad += !s->begun != !model[slot].begun;
    }

    n = 0;

    for (slot = ring->head; slot != NGX_SMART_RING_NONE && n <= CAPACITY;
         slot = ring->slots[slot].next)
    {
        n++;
    }

    bad += n != queued || ring->queued != queued;
    bad += ring->used != used || ring->open != open;

    n = CAPACITY - ring->fresh;

    for (slot = ring->free; slot != NGX_SMART_RING_NONE && n <= CAPACITY;
         slot = ring->slots[slot].next)
    {
        n++;
    }

    bad += n != CAPACITY - used;

    if (bad) {
        ok(0, "seed %u, step %u: %u things differ", seed, step, bad);
    }
}


/* whatever a process may have left half done, but what it did first */
static void
scramble(void)
{
    uint32_t  slot;

    ring->free = next_random(CAPACITY);
    ring->head = next_random(CAPACITY);
    ring->tail = next_random(CAPACITY);
    ring->used = next_random(100);
    ring->queued = next_random(100);
    ring->open = next_random(100);

    for (slot = 0; slot < ring->fresh; slot++) {

        ring->slots[slot].next = next_random(CAPACITY);

        if (ring->slots[slot].state == NGX_SMART_RING_FREE) {

            /* one that was to be chained, or whose first one is free */

            ring->slots[slot].state = (uint8_t) next_random(2);
            ring->slots[slot].more = next_random(CAPACITY);
        }
    }
}


static uint32_t
next_random(uint32_t n)
{
    rnd ^= rnd << 13;
    rnd ^= rnd >> 17;
    rnd ^= rnd << 5;

    return rnd % n;
}
