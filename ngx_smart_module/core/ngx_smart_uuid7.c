
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <string.h>

#include "ngx_smart_uuid7.h"


static void ngx_smart_uuid7_put(uint8_t *p, uint64_t value);
static uint64_t ngx_smart_uuid7_random(ngx_smart_uuid7_t *state);
static uint64_t ngx_smart_uuid7_rotate(uint64_t x, unsigned n);


/*
 * 48 bits of ms, the version, 12 bits of the fraction of a ms (method 3 of
 * section 6.2), the variant, 62 random bits
 */
void
ngx_smart_uuid7(ngx_smart_uuid7_t *state, uint64_t us, uint8_t id[16])
{
    uint64_t  high, low;

    high = (us / 1000) << 16 | 0x7000 | (us % 1000) * 4096 / 1000;

    low = ngx_smart_uuid7_random(state);
    low = (low >> 2) | UINT64_C(0x8000000000000000);

    ngx_smart_uuid7_put(id, high);
    ngx_smart_uuid7_put(id + 8, low);
}


/* the highest byte first */
static void
ngx_smart_uuid7_put(uint8_t *p, uint64_t value)
{
#if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
    value = __builtin_bswap64(value);
#endif

    memcpy(p, &value, sizeof(value));
}


/* xoroshiro128**, by Blackman and Vigna: its period is 2^128 - 1 */
static uint64_t
ngx_smart_uuid7_random(ngx_smart_uuid7_t *state)
{
    uint64_t  s0, s1, value;

    s0 = state->s[0];
    s1 = state->s[1];

    value = ngx_smart_uuid7_rotate(s0 * 5, 7) * 9;

    s1 ^= s0;
    state->s[0] = ngx_smart_uuid7_rotate(s0, 24) ^ s1 ^ (s1 << 16);
    state->s[1] = ngx_smart_uuid7_rotate(s1, 37);

    return value;
}


static uint64_t
ngx_smart_uuid7_rotate(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}
