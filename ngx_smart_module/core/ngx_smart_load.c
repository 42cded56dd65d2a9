
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_smart_load.h"


/* a request moves the average by one part in so many of its distance */
#define NGX_SMART_LOAD_AVERAGE  512

/* a latency moves a median by one part in so many of it */
#define NGX_SMART_LOAD_MEDIAN   1024

/* less is no knowledge */
#define NGX_SMART_LOAD_FEW      100


unsigned
ngx_smart_load_begin(ngx_smart_load_t *load, uint32_t in_flight)
{
    unsigned  more;

    more = in_flight > load->average;

    /* the first ones count for more */

    if (load->begun < NGX_SMART_LOAD_AVERAGE) {
        load->begun++;
    }

    load->average += (in_flight - load->average) / load->begun;

    return more;
}


void
ngx_smart_load_end(ngx_smart_load_t *load, unsigned more, uint64_t us)
{
    double  *median, step;

    median = &load->median[more];

    if (load->n[more] < NGX_SMART_LOAD_MEDIAN) {
        load->n[more]++;
    }

    if (load->n[more] == 1 || *median < 1) {
        *median = us ? (double) us : 1;
        return;
    }

    /* as many steps up as down where half of the latencies are longer */

    step = 1 + 1 / (double) load->n[more];

    if ((double) us > *median) {
        *median *= step;

    } else if ((double) us < *median) {
        *median /= step;
    }
}


unsigned
ngx_smart_load_share(const ngx_smart_load_t *load)
{
    double  ratio;

    /* where most requests are alone, none waits for another */

    if (load->average < 1
        || load->n[0] < NGX_SMART_LOAD_FEW
        || load->n[1] < NGX_SMART_LOAD_FEW)
    {
        return NGX_SMART_LOAD_ALL;
    }

    ratio = load->median[1] / load->median[0] * 100;

    if (ratio <= NGX_SMART_LOAD_FREE) {
        return NGX_SMART_LOAD_ALL;
    }

    if (ratio >= NGX_SMART_LOAD_BUSY) {
        return NGX_SMART_LOAD_LEAST;
    }

    return NGX_SMART_LOAD_LEAST
           + (unsigned) ((NGX_SMART_LOAD_ALL - NGX_SMART_LOAD_LEAST)
                         * (NGX_SMART_LOAD_BUSY - ratio)
                         / (NGX_SMART_LOAD_BUSY - NGX_SMART_LOAD_FREE));
}
