
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A bucket of tokens, one for each extra attempt.  It is filled by requests
 * and not by time: each brings a share of a token, up to "burst" tokens, so
 * that any run of n requests allows at most n times that share, and the burst.
 *
 * The state is one word, which the caller keeps and replaces atomically.  Zero
 * is a full bucket; nothing is stored while requests come, since what they
 * bring is reckoned from their number when a token is asked for.
 */

#ifndef _NGX_SMART_BUDGET_H_INCLUDED_
#define _NGX_SMART_BUDGET_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* what a request brings is in parts of a token */
#define NGX_SMART_BUDGET_TOKEN      10000

#define NGX_SMART_BUDGET_MAX_BURST  1000000


/* the number of requests, 28 bits that may wrap, and the parts that are
 * missing, 36 bits */
typedef uint64_t ngx_smart_budget_t;


typedef struct {
    uint32_t  share;             /* parts of a token that a request brings */
    uint32_t  burst;             /* tokens; at least 1 if "share" is not 0 */
} ngx_smart_budget_conf_t;


/*
 * The state after "wanted" tokens were asked for, of which "granted" are
 * given; "requests" is their number so far, which may wrap at 32 bits.
 */
ngx_smart_budget_t ngx_smart_budget_take(ngx_smart_budget_t state,
    const ngx_smart_budget_conf_t *conf, uint32_t requests, unsigned wanted,
    unsigned *granted);

/* what is in the bucket, in parts of a token */
uint64_t ngx_smart_budget_left(ngx_smart_budget_t state,
    const ngx_smart_budget_conf_t *conf, uint32_t requests);


#endif /* _NGX_SMART_BUDGET_H_INCLUDED_ */
