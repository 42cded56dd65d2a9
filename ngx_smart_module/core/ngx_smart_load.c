
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


static unsigned ngx_smart_load_between(double value, double all, double least);


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

    if (load->flight[more] < 1) {
        load->flight[more] = in_flight + 1.0;
    }

    load->flight[more] += (in_flight + 1 - load->flight[more])
                          / NGX_SMART_LOAD_FEW;

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
    double    ratio, growth;
    unsigned  share, other;

    /* where most requests are alone, none waits for another */

    if (load->average < 1) {
        return NGX_SMART_LOAD_ALL;
    }

    if (load->n[0] < NGX_SMART_LOAD_FEW || load->n[1] < NGX_SMART_LOAD_FEW) {

        /* more and more are in flight from the start */

        return load->n[1] < 2 * NGX_SMART_LOAD_FEW ? NGX_SMART_LOAD_ALL
                                                   : NGX_SMART_LOAD_LEAST;
    }

    ratio = load->median[1] / load->median[0] * 100;
    growth = load->flight[1] / load->flight[0] * 100;

    share = ngx_smart_load_between(ratio, NGX_SMART_LOAD_FREE,
                                   NGX_SMART_LOAD_BUSY);

    /* a little comes by chance */

    if (ratio <= NGX_SMART_LOAD_FREE || growth <= 100) {
        return share;
    }

    other = ngx_smart_load_between((ratio - 100) / (growth - 100) * 100,
                                   NGX_SMART_LOAD_PART, NGX_SMART_LOAD_WHOLE);

    return other < share ? other : share;
}


static unsigned
ngx_smart_load_between(double value, double all, double least)
{
    if (value <= all) {
        return NGX_SMART_LOAD_ALL;
    }

    if (value >= least) {
        return NGX_SMART_LOAD_LEAST;
    }

    return NGX_SMART_LOAD_LEAST
           + (unsigned) ((NGX_SMART_LOAD_ALL - NGX_SMART_LOAD_LEAST)
                         * (least - value) / (least - all));
}
