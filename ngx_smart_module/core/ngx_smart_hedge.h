
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The decision machine of one client request: which attempts are started,
 * which answer is passed on, what is cancelled.  It is pure: time comes in,
 * actions go out, the state lives in the memory of the caller.
 *
 * Attempt 0 is the primary, 1 and up are hedges.  The caller executes the
 * actions in their order and feeds back what became of the attempts.  One
 * thread at a time may use a state.
 */

#ifndef _NGX_SMART_HEDGE_H_INCLUDED_
#define _NGX_SMART_HEDGE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_SMART_HEDGE_MAX_EXTRA     7
#define NGX_SMART_HEDGE_MAX_ATTEMPTS  (NGX_SMART_HEDGE_MAX_EXTRA + 1)

/* the most that one event may cause: all cancelled, and the verdict */
#define NGX_SMART_HEDGE_MAX_ACTIONS   (NGX_SMART_HEDGE_MAX_ATTEMPTS + 2)

#define NGX_SMART_HEDGE_NO_WINNER     0xff


typedef enum {
    NGX_SMART_HEDGE_BEGIN = 0,   /* the primary has begun */
    NGX_SMART_HEDGE_DUE,         /* the armed time has come */
    NGX_SMART_HEDGE_SUCCESS,     /* the attempt has a successful answer */
    NGX_SMART_HEDGE_FAILURE,     /* the attempt has failed */
    NGX_SMART_HEDGE_EXPIRE,      /* the deadline has passed */
    NGX_SMART_HEDGE_ABORT        /* nobody waits for an answer any more */
} ngx_smart_hedge_event_e;


typedef enum {
    NGX_SMART_HEDGE_ARM = 0,     /* feed DUE at the time given */
    NGX_SMART_HEDGE_LAUNCH,      /* start the hedge */
    NGX_SMART_HEDGE_PARK,        /* keep the client waiting without a primary */
    NGX_SMART_HEDGE_DROP,        /* forget the failed hedge */
    NGX_SMART_HEDGE_CANCEL,      /* stop the attempt, it has lost */
    NGX_SMART_HEDGE_PROMOTE,     /* pass the successful answer on */
    NGX_SMART_HEDGE_PASS,        /* pass the failure on as it came */
    NGX_SMART_HEDGE_FAIL,        /* answer that every attempt has failed */
    NGX_SMART_HEDGE_TIMEOUT      /* answer that the deadline has passed */
} ngx_smart_hedge_action_e;


typedef struct {
    uint64_t  delay;             /* ms, from the start of the primary */
    uint64_t  step;              /* ms, between hedges; 0: all together */
    uint8_t   extra;             /* hedges at most; 0: hedging is off */
    uint8_t   own_failure;       /* FAIL instead of PASS */

    /* where the delay is a percentile of latencies, which the caller knows */
    uint16_t  percentile;        /* tenths of a percent; 0: it is "delay" */
    uint32_t  warmup;            /* so many latencies must be known */
    uint32_t  min;               /* ms */
    uint32_t  max;               /* ms */
} ngx_smart_hedge_plan_t;


typedef struct {
    uint8_t   alive;             /* bit i: attempt i runs */
    uint8_t   started;           /* attempts */
    uint8_t   winner;            /* or NGX_SMART_HEDGE_NO_WINNER */
    uint8_t   flags;
} ngx_smart_hedge_t;


typedef struct {
    ngx_smart_hedge_action_e  type;
    unsigned                  attempt;
    uint64_t                  time;      /* ms, ARM only */
} ngx_smart_hedge_action_t;


/* of "flags" */
#define NGX_SMART_HEDGE_BEGUN         0x01
#define NGX_SMART_HEDGE_DECIDED       0x02


/* a state in which nothing has begun */
static inline void
ngx_smart_hedge_init(ngx_smart_hedge_t *h)
{
    h->alive = 0;
    h->started = 0;
    h->winner = NGX_SMART_HEDGE_NO_WINNER;
    h->flags = 0;
}


/* 1 once the winner is known or the request has failed */
static inline unsigned
ngx_smart_hedge_decided(const ngx_smart_hedge_t *h)
{
    return (h->flags & NGX_SMART_HEDGE_DECIDED) != 0;
}


/*
 * Feeds an event and writes what is to be done to actions[], which has room
 * for NGX_SMART_HEDGE_MAX_ACTIONS; returns their number.  "attempt" matters
 * for SUCCESS and FAILURE only; "now" is in ms of any clock that does not
 * step back; "allowed" is how many hedges may start now at most (budget,
 * peers), used by DUE and FAILURE.  Events about an attempt that does not run,
 * and all events after the decision, cause nothing.
 */
size_t ngx_smart_hedge_feed(ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan, ngx_smart_hedge_event_e event,
    unsigned attempt, uint64_t now, unsigned allowed,
    ngx_smart_hedge_action_t *actions);

/*
 * Shortcuts for what nearly every request does, alike to events that cause
 * nothing but what their callers do anyway.  The first is BEGIN without ARM;
 * the second is SUCCESS of the primary while nothing else runs, and tells
 * whether that was so.
 */
static inline void
ngx_smart_hedge_begin(ngx_smart_hedge_t *h)
{
    h->flags |= NGX_SMART_HEDGE_BEGUN;
    h->alive = 1;
    h->started = 1;
}


static inline unsigned
ngx_smart_hedge_alone(ngx_smart_hedge_t *h)
{
    if (h->alive != 1 || ngx_smart_hedge_decided(h)) {
        return 0;
    }

    h->alive = 0;
    h->winner = 0;
    h->flags |= NGX_SMART_HEDGE_DECIDED;

    return 1;
}


/* how many hedges DUE or a FAILURE of the attempt would start, were all
 * allowed; 0 if the caller need not ask its gates */
unsigned ngx_smart_hedge_wanted(const ngx_smart_hedge_t *h,
    const ngx_smart_hedge_plan_t *plan, ngx_smart_hedge_event_e event,
    unsigned attempt);

#endif /* _NGX_SMART_HEDGE_H_INCLUDED_ */
