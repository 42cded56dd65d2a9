
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */

#ifndef _NGX_HTTP_SMART_MODULE_H_INCLUDED_
#define _NGX_HTTP_SMART_MODULE_H_INCLUDED_


#include "../common/ngx_http_smart_compat.h"
#include "../core/ngx_smart_hedge.h"
#include "../core/ngx_smart_parse.h"
#include "../core/ngx_smart_pointer.h"
#include "../core/ngx_smart_verdict.h"
#include "ngx_http_smart_timer.h"
#include "ngx_http_smart_zone.h"


#define NGX_HTTP_SMART_VERSION          "0.1.0"

#define NGX_HTTP_SMART_PEER_PREFER      0
#define NGX_HTTP_SMART_PEER_OTHER       1
#define NGX_HTTP_SMART_PEER_IDLE        2

#define NGX_HTTP_SMART_ERRORS_DEFAULT   0
#define NGX_HTTP_SMART_ERRORS_JSON      1

#define NGX_HTTP_SMART_ERROR_DETAIL     256

/* the default budget: 5 %, in hundredths of a percent, and 10 at once */
#define NGX_HTTP_SMART_BUDGET_SHARE     500
#define NGX_HTTP_SMART_BUDGET_BURST     10

/* as a share, and as one that is not set */
#define NGX_HTTP_SMART_BUDGET_OFF       NGX_MAX_UINT32_VALUE
#define NGX_HTTP_SMART_BUDGET_UNSET     (NGX_MAX_UINT32_VALUE - 1)


/* keeps the frame of a rare path out of that of a function which all take */
#if (__GNUC__ || __clang__)
#define ngx_http_smart_noinline  __attribute__((noinline))
#else
#define ngx_http_smart_noinline
#endif


typedef struct ngx_http_smart_ctx_s   ngx_http_smart_ctx_t;
typedef struct ngx_http_smart_race_s  ngx_http_smart_race_t;
typedef struct ngx_http_smart_schema_s  ngx_http_smart_schema_t;
typedef struct ngx_http_smart_dashboard_s  ngx_http_smart_dashboard_t;


/* what a location answers with by itself */
typedef enum {
    NGX_HTTP_SMART_CONTENT_NONE = 0,
    NGX_HTTP_SMART_CONTENT_METRICS,
    NGX_HTTP_SMART_CONTENT_SCHEMA,
    NGX_HTTP_SMART_CONTENT_DASHBOARD
} ngx_http_smart_content_e;

/* see ngx_http_smart_policy.h */
typedef struct ngx_http_smart_policy_s  ngx_http_smart_policy_t;


/* what became of a request; the order is that of the names in variables */
typedef enum {
    NGX_HTTP_SMART_PENDING = 0,
    NGX_HTTP_SMART_PRIMARY,
    NGX_HTTP_SMART_HEDGE,
    NGX_HTTP_SMART_FAILED,
    NGX_HTTP_SMART_TIMEOUT,
    NGX_HTTP_SMART_ABORTED,
    NGX_HTTP_SMART_INVALID,
    NGX_HTTP_SMART_BYPASS
} ngx_http_smart_outcome_e;


/* why a hedge that was due has not been sent */
typedef enum {
    NGX_HTTP_SMART_NOT_SUPPRESSED = 0,
    NGX_HTTP_SMART_BUDGET,
    NGX_HTTP_SMART_NO_PEER,
    NGX_HTTP_SMART_BUSY,
    NGX_HTTP_SMART_METHOD,
    NGX_HTTP_SMART_BODY,
    NGX_HTTP_SMART_WARMUP,
    NGX_HTTP_SMART_DEADLINE,
    NGX_HTTP_SMART_PHASE
} ngx_http_smart_reason_e;


typedef enum {
    NGX_HTTP_SMART_RUNNING = 0,
    NGX_HTTP_SMART_WON,
    NGX_HTTP_SMART_CANCELLED,
    NGX_HTTP_SMART_NO_ANSWER,
    NGX_HTTP_SMART_REJECTED
} ngx_http_smart_result_e;


typedef struct {
    ngx_array_t                   upstreams;  /* ngx_http_smart_upstream_t */
    ngx_array_t                   locations;  /* ngx_http_smart_location_t */
    ngx_array_t                   series;     /* ngx_http_smart_series_t * */
    ngx_array_t                   schemas;    /* ngx_http_smart_schema_t * */
    ngx_http_smart_dashboard_t   *dashboard;  /* NULL: no location has it */
    ngx_uint_t                    npeers;

    ngx_module_t                 *slice;      /* nginx's own, or NULL */

    size_t                        zone_size;
    ngx_shm_zone_t               *zone;
    ngx_http_smart_shared_t      *shared;

    ngx_uint_t                    busy;       /* peers' counts are asked for */
    ngx_uint_t                    metrics;    /* unsigned  metrics:1; */
    ngx_uint_t                    enabled;    /* unsigned  enabled:1; */
} ngx_http_smart_main_conf_t;


typedef struct {
    ngx_http_upstream_srv_conf_t *upstream;
    ngx_http_upstream_init_peer_pt  init;
    ngx_uint_t                    round_robin; /* or derived from it */

    ngx_str_t                     name;
    ngx_array_t                   peers;      /* ngx_http_smart_peer_t */
    ngx_uint_t                    mask;
    uint16_t                     *hash;       /* into peers, 0 ends a run */
    u_char                      **seen;       /* names, by their addresses */
    uint16_t                     *found;      /* the peers of those */
} ngx_http_smart_upstream_t;


typedef struct {
    ngx_smart_pointer_t          *pointers;
    ngx_str_t                    *names;      /* as configured */
    ngx_uint_t                    n;
} ngx_http_smart_pointers_t;


typedef struct {
    /* the plan of requests that may be hedged, and of all others */
    ngx_smart_hedge_plan_t        plan;
    ngx_smart_hedge_plan_t        other;
    ngx_http_complex_value_t     *hedge;      /* NULL: the plan is constant */
    ngx_uint_t                    hedge_set;  /* unsigned  hedge_set:1; */

    ngx_uint_t                    methods;
    size_t                        body_size;
    ngx_uint_t                    peer;

    ngx_smart_budget_conf_t       budget;
    ngx_uint_t                    dry_run;

    ngx_smart_verdict_statuses_t *statuses;
    ngx_array_t                  *types;      /* ngx_str_t */
    ngx_http_smart_pointers_t    *json;       /* NULL: bodies do not matter */
    size_t                        success_buffer;

    ngx_msec_t                    timeout;    /* NGX_TIMER_INFINITE: none */
    ngx_int_t                     timeout_index;
    ngx_str_t                     timeout_name;
    ngx_uint_t                    timeout_set;
    ngx_uint_t                    timeout_required;

    ngx_uint_t                    errors;
    ngx_uint_t                    content;    /* of our own */

    ngx_str_t                     name;
    ngx_http_smart_series_t      *series;     /* NULL: not counted */
    ngx_http_smart_policy_t      *policy;     /* NULL: never hedged */

    ngx_http_smart_timers_t      *timers;
    ngx_uint_t                    fine;       /* latencies in us, not ms */

    ngx_http_smart_schema_t      *schema;
} ngx_http_smart_loc_conf_t;


/*
 * One for each main request that a location with hedging or a deadline
 * handles.  It stays small: what a race needs is allocated when there is one.
 */
struct ngx_http_smart_ctx_s {
    ngx_http_request_t           *request;
    ngx_http_smart_loc_conf_t    *conf;
    const ngx_smart_hedge_plan_t *plan;
    ngx_msec_t                    deadline;   /* or NGX_TIMER_INFINITE */
    ngx_smart_hedge_t             hedge;

    /* zeroed from here on */

    ngx_http_smart_timer_t        timer;
    ngx_http_smart_race_t        *race;

    union {
        /* before the content phase */
        ngx_http_handler_pt       content_handler;
        /* of the upstream, from then on */
        void                    (*finalize_request)(ngx_http_request_t *r,
                                    ngx_int_t rc);
    } original;

    uint32_t                      start;      /* of the primary, ms */
    uint32_t                      timeout;    /* ms */

    uint32_t                      begin;      /* of the primary, us */
    uint32_t                      delay;      /* in force, ms */

    unsigned                      outcome:4;
    unsigned                      reason:4;

    unsigned                      begun:1;
    unsigned                      ended:1;    /* the primary */
    unsigned                      hooked:1;
    unsigned                      parking:1;
    unsigned                      parked:1;
    unsigned                      held:1;     /* the primary's body */
    unsigned                      keepalive:1;
    unsigned                      replaced:1; /* by an internal redirect */
    unsigned                      warming:1;  /* "delay" is not in force */
    unsigned                      crowd:1;    /* more in flight than usual */
};


#define ngx_http_smart_ctx(r)                                                 \
    ((ngx_http_smart_ctx_t *) ngx_http_get_module_ctx(r, ngx_http_smart_module))


extern ngx_module_t  ngx_http_smart_module;

extern ngx_command_t  ngx_http_smart_commands[];


/* ngx_http_smart_conf.c */

void *ngx_http_smart_create_main_conf(ngx_conf_t *cf);
void *ngx_http_smart_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_smart_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);


/* ngx_http_smart_variables.c */

ngx_int_t ngx_http_smart_add_variables(ngx_conf_t *cf);

/* by ngx_http_smart_outcome_e and ngx_http_smart_reason_e */
extern const char *const  ngx_http_smart_outcome_names[];
extern const char *const  ngx_http_smart_reason_names[];


/* ngx_http_smart_module.c */

/*
 * The context of a main request, also after an internal redirect took it out
 * of its place; NULL if there is none.
 */
ngx_http_smart_ctx_t *ngx_http_smart_find_ctx(ngx_http_request_t *r);

/*
 * What became, or will have become, of a request that ends now.  One that is
 * pending has been ended by nginx itself.
 */
#define ngx_http_smart_outcome(ctx)                                           \
    ((ctx)->outcome != NGX_HTTP_SMART_PENDING ? (ngx_uint_t) (ctx)->outcome   \
     : (ctx)->begun ? NGX_HTTP_SMART_ABORTED : NGX_HTTP_SMART_BYPASS)

/* ms since the request began, as $request_time counts */
ngx_msec_t ngx_http_smart_elapsed(ngx_http_request_t *r);

/* installs the hook on a main request whose upstream has just been created */
void ngx_http_smart_begin(ngx_http_request_t *r, ngx_http_smart_ctx_t *ctx,
    ngx_msec_t start);


/* ngx_http_smart_filter.c */

ngx_int_t ngx_http_smart_filter_init(ngx_conf_t *cf);

/* NGX_OK, or NGX_ERROR if another module's filters lie above ours */
ngx_int_t ngx_http_smart_filter_check(ngx_log_t *log);


/* ngx_http_smart_peer.c */

/* wraps peer.init of every upstream */
ngx_int_t ngx_http_smart_peer_wrap(ngx_conf_t *cf);

/* the same of one without a block, which has no place for it */
ngx_http_smart_upstream_t *ngx_http_smart_peer_search(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);


/* what is known of an upstream; NULL if another module has made it since the
 * configuration was read */
static ngx_inline ngx_http_smart_upstream_t *
ngx_http_smart_peer_upstream(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    return us->srv_conf ? us->srv_conf[ngx_http_smart_module.ctx_index]
                        : ngx_http_smart_peer_search(r, us);
}


/* how many hedges may find a peer, at most n, by the policy of the location;
 * or the reason why none may */
ngx_uint_t ngx_http_smart_peer_available(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_uint_t n, ngx_uint_t *reason);

/* tells the balancer that the attempt's peer has not even accepted */
void ngx_http_smart_peer_charge(ngx_http_request_t *r, ngx_msec_t delay);


/* ngx_http_smart_deadline.c */

/* sets the deadline; NGX_OK, or a status to answer with at once */
ngx_int_t ngx_http_smart_deadline_set(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);

/* ms until the deadline, NGX_TIMER_INFINITE without one */
static ngx_inline ngx_msec_t
ngx_http_smart_deadline_left(ngx_http_smart_ctx_t *ctx)
{
    ngx_msec_int_t  left;

    if (ctx->deadline == NGX_TIMER_INFINITE) {
        return NGX_TIMER_INFINITE;
    }

    left = (ngx_msec_int_t) (ctx->deadline - ngx_current_msec);

    return left > 0 ? (ngx_msec_t) left : 0;
}


/* ngx_http_smart_error.c */

/*
 * Ends a main request that has sent no header with 400, 502 or 504, as
 * smart_errors says; the return value is for ngx_http_finalize_request().
 */
ngx_int_t ngx_http_smart_error(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx, ngx_int_t status);

/* the one line of the error log about a request that got no success */
void ngx_http_smart_error_log(ngx_http_request_t *r,
    ngx_http_smart_ctx_t *ctx);

/* the members of such a document that depend on the status */
const char *ngx_http_smart_error_title(ngx_int_t status);
u_char *ngx_http_smart_error_detail(ngx_http_smart_loc_conf_t *slcf,
    ngx_int_t status, u_char *p, u_char *last);


/* ngx_http_smart_schema.c */

/* the setter of "smart_schema" */
char *ngx_http_smart_schema(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* makes the documents, when all locations are known */
ngx_int_t ngx_http_smart_schema_init(ngx_conf_t *cf);


/* ngx_http_smart_dashboard.c */

/* the setter of "smart_dashboard" */
char *ngx_http_smart_dashboard(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_SMART_MODULE_H_INCLUDED_ */
