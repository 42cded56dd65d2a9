
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Filling and asking sketches, for the unit programs about them.
 */

#ifndef _SKETCH_DRAW_H_INCLUDED_
#define _SKETCH_DRAW_H_INCLUDED_


#include <math.h>

#include "tap.h"

#include "ngx_smart_sketch.h"


static uint64_t  draw_state = 42;


static inline void
fill(ngx_smart_sketch_t *s, uint64_t us, unsigned n)
{
    *ngx_smart_sketch_counter(s, us) += n;
}


static inline uint64_t
quantile(const ngx_smart_sketch_t *s, uint32_t now, unsigned q)
{
    ngx_smart_sketch_view_t  view;

    ngx_smart_sketch_view(s, now, q, &view);

    return ngx_smart_sketch_quantile(&view, q);
}


static inline uint32_t
samples(const ngx_smart_sketch_t *s, uint32_t now)
{
    ngx_smart_sketch_view_t  view;

    ngx_smart_sketch_view(s, now, NGX_SMART_SKETCH_ALL, &view);

    return view.samples;
}


static inline uint32_t
total(const ngx_smart_sketch_t *s, uint32_t now)
{
    ngx_smart_sketch_view_t  view;

    ngx_smart_sketch_view(s, now, 950, &view);

    return view.total;
}


/* above 0 and below 1: splitmix64 */

static inline double
real(void)
{
    uint64_t  z;

    draw_state += UINT64_C(0x9e3779b97f4a7c15);
    z = draw_state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;

    return ((double) (z >> 11) + 0.5) / 9007199254740992.0;
}


static inline double
gauss(void)
{
    return sqrt(-2 * log(real())) * cos(2 * 3.14159265358979 * real());
}


static inline double
lognormal(void)
{
    return 5000 * exp(0.8 * gauss());
}


#endif /* _SKETCH_DRAW_H_INCLUDED_ */
