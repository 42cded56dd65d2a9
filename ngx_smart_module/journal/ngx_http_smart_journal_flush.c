
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The writer: one of the workers takes what waits, batch by batch, and has a
 * thread write it.  Each worker looks whether there is one.
 */


#include "ngx_http_smart_journal_work.h"
#include "ngx_http_smart_journal_process.h"


/* ms: how often others look whether the writer is alive */
#define NGX_HTTP_SMART_JOURNAL_LOOK       200

/* ms: how often the writer looks for dead workers */
#define NGX_HTTP_SMART_JOURNAL_SWEEP      250

/* ms: after a failure */
#define NGX_HTTP_SMART_JOURNAL_RETRY      1000

/* ms, and us without one until an instance has expired */
#define NGX_HTTP_SMART_JOURNAL_HEARTBEAT  5000
#define NGX_HTTP_SMART_JOURNAL_EXPIRES    30000000

/* ms: between looks for what is too old, when there was nothing */
#define NGX_HTTP_SMART_JOURNAL_PRUNE      1000

/* ms: at most so long an exiting worker writes what waits */
#define NGX_HTTP_SMART_JOURNAL_DRAIN      5000


typedef struct {
    ngx_event_t                          timer;
    ngx_thread_task_t                    task;
    ngx_http_smart_journal_work_t        work;

    ngx_log_t                           *log;
    ngx_uint_t                           writer;
    ngx_uint_t                           busy;       /* a thread works */
    ngx_uint_t                           failing;
    ngx_uint_t                           ended;

    ngx_msec_t                           retry;
    ngx_msec_t                           sweep;
    ngx_msec_t                           beat;
    ngx_msec_t                           prune;
    ngx_msec_t                           taken;      /* the last batch */

    ngx_msec_t                           told;       /* of drops */
    ngx_atomic_uint_t                    dropped;

    char                                 node[NGX_SMART_RECORD_MAX_NODE + 1];
    char                   boot[NGX_HTTP_SMART_JOURNAL_PROCESS_BOOT];
} ngx_http_smart_journal_flush_t;


static void ngx_http_smart_journal_flush_timer(ngx_event_t *ev);
static void ngx_http_smart_journal_flush_become(
    ngx_http_smart_journal_flush_t *f);
static ngx_uint_t ngx_http_smart_journal_flush_prepare(
    ngx_http_smart_journal_flush_t *f);
static ngx_uint_t ngx_http_smart_journal_flush_due(ngx_msec_t when);
static void ngx_http_smart_journal_flush_post(
    ngx_http_smart_journal_flush_t *f);
static void ngx_http_smart_journal_flush_thread(void *data, ngx_log_t *log);
static void ngx_http_smart_journal_flush_event(ngx_event_t *ev);
static void ngx_http_smart_journal_flush_done(
    ngx_http_smart_journal_flush_t *f);
static void ngx_http_smart_journal_flush_failed(
    ngx_http_smart_journal_flush_t *f);
static void ngx_http_smart_journal_flush_drops(
    ngx_http_smart_journal_flush_t *f);
static void ngx_http_smart_journal_flush_close(
    ngx_http_smart_journal_flush_t *f);
static void ngx_http_smart_journal_flush_drain(
    ngx_http_smart_journal_flush_t *f);


/* of this process; in memory of its own, as a cycle may end before it */
static ngx_http_smart_journal_flush_t  *ngx_http_smart_journal_flush;


ngx_int_t
ngx_http_smart_journal_flush_init(ngx_cycle_t *cycle,
    ngx_http_smart_journal_main_conf_t *jmcf)
{
    ngx_http_smart_journal_work_t   *w;
    ngx_http_smart_journal_flush_t  *f;

    /* a single process reloads in place */

    ngx_http_smart_journal_flush_exit();

    f = ngx_calloc(sizeof(ngx_http_smart_journal_flush_t), cycle->log);
    if (f == NULL) {
        return NGX_ERROR;
    }

    w = &f->work;

    w->slots = ngx_alloc(jmcf->batch * sizeof(uint32_t), cycle->log);
    w->records = ngx_alloc(jmcf->batch * sizeof(ngx_smart_record_t),
                           cycle->log);
    w->texts = ngx_alloc(jmcf->batch * NGX_SMART_CELL_MAX_TEXT, cycle->log);

    if (w->slots == NULL || w->records == NULL || w->texts == NULL) {
        return NGX_ERROR;
    }

    ngx_http_smart_journal_zone_join(jmcf, cycle);

    w->jmcf = jmcf;

    ngx_cpystrn((u_char *) f->node, jmcf->node.data,
                ngx_min(jmcf->node.len + 1, sizeof(f->node)));
    ngx_http_smart_journal_process_boot(f->boot);

    w->instance.id = jmcf->shared->instance;
    w->instance.node = f->node;
    w->instance.boot = f->boot;
    w->instance.master = jmcf->shared->master;
    w->instance.writer.pid = ngx_pid;
    w->instance.expires = NGX_HTTP_SMART_JOURNAL_EXPIRES;
    w->instance.alive = ngx_http_smart_journal_process_alive;

    ngx_http_smart_journal_process_started(&w->instance.writer);

    f->log = cycle->log;

    f->task.ctx = w;
    f->task.handler = ngx_http_smart_journal_flush_thread;
    f->task.event.data = f;
    f->task.event.handler = ngx_http_smart_journal_flush_event;
    f->task.event.log = cycle->log;

    f->timer.data = f;
    f->timer.handler = ngx_http_smart_journal_flush_timer;
    f->timer.log = cycle->log;
    f->timer.cancelable = 1;

    ngx_add_timer(&f->timer, 1);

    ngx_http_smart_journal_flush = f;

    return NGX_OK;
}


static void
ngx_http_smart_journal_flush_timer(ngx_event_t *ev)
{
    ngx_http_smart_journal_flush_t      *f;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    f = ev->data;
    jmcf = f->work.jmcf;

    if (!f->writer && ngx_http_smart_journal_zone_elect(jmcf)) {
        ngx_http_smart_journal_flush_become(f);
    }

    if (!f->writer) {
        ngx_add_timer(ev, NGX_HTTP_SMART_JOURNAL_LOOK);
        return;
    }

    if (ngx_exiting && !f->busy
        && ngx_http_smart_journal_zone_hand_over(jmcf))
    {
        ngx_http_smart_journal_flush_close(f);
        f->writer = 0;

        ngx_add_timer(ev, NGX_HTTP_SMART_JOURNAL_LOOK);
        return;
    }

    if (ngx_http_smart_journal_flush_due(f->sweep)) {

        f->sweep = ngx_current_msec + NGX_HTTP_SMART_JOURNAL_SWEEP;

        if (ngx_http_smart_journal_zone_sweep(jmcf)) {
            ngx_log_error(NGX_LOG_NOTICE, f->log, 0,
                          "smart: journal: a worker process died, its open "
                          "records are interrupted");
        }
    }

    ngx_http_smart_journal_flush_drops(f);

    if (!f->busy && ngx_http_smart_journal_flush_prepare(f)) {
        ngx_http_smart_journal_flush_post(f);
    }

    ngx_add_timer(ev, jmcf->flush);
}


static void
ngx_http_smart_journal_flush_become(ngx_http_smart_journal_flush_t *f)
{
    f->writer = 1;

    f->retry = ngx_current_msec;
    f->sweep = ngx_current_msec;
    f->beat = ngx_current_msec;
    f->prune = ngx_current_msec;
    f->dropped = f->work.jmcf->shared->dropped[
                                         NGX_HTTP_SMART_JOURNAL_DROPPED_FULL];

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, f->log, 0,
                   "smart journal: this process is the writer");
}


/* 1 if there is something to do for a thread */
static ngx_uint_t
ngx_http_smart_journal_flush_prepare(ngx_http_smart_journal_flush_t *f)
{
    ngx_http_smart_journal_work_t       *w;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    w = &f->work;
    jmcf = w->jmcf;

    if (f->failing && !ngx_http_smart_journal_flush_due(f->retry)) {
        return 0;
    }

    w->beat = (w->store == NULL || ngx_http_smart_journal_flush_due(f->beat));
    w->before = 0;

    if (jmcf->retain && ngx_http_smart_journal_flush_due(f->prune)) {
        w->before = ((int64_t) ngx_time() - jmcf->retain) * 1000000;
    }

    w->n = ngx_http_smart_journal_zone_take(jmcf, w->slots, jmcf->batch);

    if (w->n == 0 && !w->beat && w->before == 0) {
        return 0;
    }

    /* batches that follow each other fast have no time for pauses */

    w->pauses = (ngx_current_msec - f->taken >= jmcf->flush / 2);

    if (w->n) {
        f->taken = ngx_current_msec;
    }

    w->rc = NGX_HTTP_SMART_JOURNAL_OK;
    w->error.text[0] = '\0';
    w->note.text[0] = '\0';
    w->beaten = 0;
    w->written = 0;
    w->skipped = 0;
    w->swept = 0;
    w->pruned = 0;

    return 1;
}


static ngx_uint_t
ngx_http_smart_journal_flush_due(ngx_msec_t when)
{
    return (ngx_msec_int_t) (ngx_current_msec - when) >= 0;
}


static void
ngx_http_smart_journal_flush_post(ngx_http_smart_journal_flush_t *f)
{
    ngx_http_smart_journal_work_t  *w;

    w = &f->work;

    w->finished = 0;

    if (ngx_thread_task_post(w->jmcf->thread_pool, &f->task) == NGX_OK) {
        f->busy = 1;
        return;
    }

    /* the pool's queue is full, which it has logged */

    ngx_http_smart_journal_zone_untake(w->jmcf, w->slots, w->n);
}


/* in a thread */
static void
ngx_http_smart_journal_flush_thread(void *data, ngx_log_t *log)
{
    ngx_http_smart_journal_work_t  *w = data;

    ngx_http_smart_journal_work(w);

    ngx_memory_barrier();
    w->finished = 1;
}


/* the thread has ended its work */
static void
ngx_http_smart_journal_flush_event(ngx_event_t *ev)
{
    ngx_http_smart_journal_flush_t  *f;

    f = ev->data;

    if (f->ended) {
        ngx_free(f);
        return;
    }

    ngx_http_smart_journal_flush_done(f);

    /* whole batches do not wait for the next flush */

    if (!f->failing
        && (f->work.jmcf->shared->ring->queued >= f->work.jmcf->batch
            || f->work.pruned == NGX_HTTP_SMART_JOURNAL_WORK_STEP)
        && ngx_http_smart_journal_flush_prepare(f))
    {
        ngx_http_smart_journal_flush_post(f);
    }
}


static void
ngx_http_smart_journal_flush_done(ngx_http_smart_journal_flush_t *f)
{
    ngx_http_smart_journal_work_t    *w;
    ngx_http_smart_journal_shared_t  *shared;

    w = &f->work;
    shared = w->jmcf->shared;

    f->busy = 0;

    if (w->note.text[0]) {
        ngx_log_error(NGX_LOG_CRIT, f->log, 0, "smart: journal: \"%V\" %s",
                      &w->jmcf->place, w->note.text);
    }

    if (w->beaten) {
        f->beat = ngx_current_msec + NGX_HTTP_SMART_JOURNAL_HEARTBEAT;
    }

    if (w->swept) {
        (void) ngx_atomic_fetch_add(&shared->swept, w->swept);

        ngx_log_error(NGX_LOG_NOTICE, f->log, 0,
                      "smart: journal: %uz records that an nginx left open "
                      "are interrupted", w->swept);
    }

    if (w->written) {

        ngx_http_smart_journal_zone_ack(w->jmcf, w->slots, w->n);

        (void) ngx_atomic_fetch_add(&shared->written, w->n - w->skipped);
        (void) ngx_atomic_fetch_add(
                    &shared->dropped[NGX_HTTP_SMART_JOURNAL_DROPPED_REFUSED],
                    w->skipped);
        (void) ngx_atomic_fetch_add(
                         &shared->writes[ngx_smart_prom_bucket(w->ms)], 1);
        (void) ngx_atomic_fetch_add(&shared->writes_ms, w->ms);

        shared->batch = w->n;
        shared->last_write = ngx_time();

        if (w->skipped) {
            ngx_log_error(NGX_LOG_ERR, f->log, 0,
                          "smart: journal: \"%V\" refused %uz records",
                          &w->jmcf->place, w->skipped);
        }

    } else if (w->n) {
        ngx_http_smart_journal_zone_untake(w->jmcf, w->slots, w->n);
    }

    w->n = 0;

    if (w->pruned) {
        (void) ngx_atomic_fetch_add(&shared->pruned, w->pruned);
    }

    if (w->before && w->pruned < NGX_HTTP_SMART_JOURNAL_WORK_STEP) {
        f->prune = ngx_current_msec + NGX_HTTP_SMART_JOURNAL_PRUNE;
    }

    if (w->rc != NGX_HTTP_SMART_JOURNAL_OK) {
        ngx_http_smart_journal_flush_failed(f);
        return;
    }

    shared->up = 1;

    if (f->failing) {
        f->failing = 0;

        ngx_log_error(NGX_LOG_NOTICE, f->log, 0,
                      "smart: journal: \"%V\" can be written again, %uD "
                      "records wait", &w->jmcf->place, shared->ring->queued);
    }
}


static void
ngx_http_smart_journal_flush_failed(ngx_http_smart_journal_flush_t *f)
{
    ngx_http_smart_journal_work_t    *w;
    ngx_http_smart_journal_shared_t  *shared;

    w = &f->work;
    shared = w->jmcf->shared;

    f->failing = 1;
    f->retry = ngx_current_msec + NGX_HTTP_SMART_JOURNAL_RETRY;

    shared->up = 0;
    (void) ngx_atomic_fetch_add(&shared->errors, 1);

    ngx_log_error(NGX_LOG_CRIT, f->log, 0,
                  "smart: journal: \"%V\" %s; %uD records wait, there is room "
                  "for %uD",
                  &w->jmcf->place, w->error.text, shared->ring->queued,
                  shared->ring->capacity - shared->ring->used);
}


static void
ngx_http_smart_journal_flush_drops(ngx_http_smart_journal_flush_t *f)
{
    ngx_atomic_uint_t                 dropped;
    ngx_http_smart_journal_shared_t  *shared;

    shared = f->work.jmcf->shared;
    dropped = shared->dropped[NGX_HTTP_SMART_JOURNAL_DROPPED_FULL];

    if (dropped == f->dropped || !ngx_http_smart_journal_flush_due(f->told)) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, f->log, 0,
                  "smart: journal: the queue of %uD is full, %uA records are "
                  "dropped", shared->ring->capacity, dropped - f->dropped);

    f->dropped = dropped;
    f->told = ngx_current_msec + 1000;
}


static void
ngx_http_smart_journal_flush_close(ngx_http_smart_journal_flush_t *f)
{
    ngx_http_smart_journal_work_t  *w;

    w = &f->work;

    if (w->store) {
        w->jmcf->store->close(w->store, NULL);
        w->store = NULL;
    }
}


void
ngx_http_smart_journal_flush_exit(void)
{
    ngx_http_smart_journal_work_t   *w;
    ngx_http_smart_journal_flush_t  *f;

    f = ngx_http_smart_journal_flush;

    if (f == NULL) {
        return;
    }

    ngx_http_smart_journal_flush = NULL;

    w = &f->work;

    /*
     * A pool that ended has waited for what it had begun.  That of a single
     * process goes on, and will hand the event of the task over once more.
     */

    f->ended = f->busy;

    if (f->busy) {

        while (!w->finished) {
            ngx_msleep(1);
        }

        ngx_http_smart_journal_flush_done(f);
    }

    if (ngx_http_smart_journal_zone_leave(w->jmcf)) {
        ngx_http_smart_journal_flush_drain(f);
    }

    ngx_http_smart_journal_flush_close(f);

    if (f->timer.timer_set) {
        ngx_del_timer(&f->timer);
    }

    ngx_free(w->slots);
    ngx_free(w->records);
    ngx_free(w->texts);

    if (!f->ended || ngx_process != NGX_PROCESS_SINGLE) {
        ngx_free(f);
    }
}


/* nothing else runs any more */
static void
ngx_http_smart_journal_flush_drain(ngx_http_smart_journal_flush_t *f)
{
    ngx_msec_t                        end;
    ngx_uint_t                        left, late;
    ngx_http_smart_journal_work_t    *w;
    ngx_http_smart_journal_shared_t  *shared;

    w = &f->work;
    shared = w->jmcf->shared;

    ngx_time_update();

    end = ngx_current_msec + NGX_HTTP_SMART_JOURNAL_DRAIN;

    f->writer = 1;
    f->prune = end;

    for ( ;; ) {

        /* what belongs to somebody else will do so in some seconds, too */

        late = ngx_http_smart_journal_flush_due(end)
               || (f->failing && w->rc == NGX_HTTP_SMART_JOURNAL_FOREIGN);

        if (ngx_http_smart_journal_zone_left(w->jmcf, late, &left)) {
            break;
        }

        f->retry = ngx_current_msec;

        if (ngx_http_smart_journal_flush_prepare(f)) {
            ngx_http_smart_journal_work(w);
            ngx_time_update();
            ngx_http_smart_journal_flush_done(f);
        }

        if (f->failing) {
            ngx_msleep(NGX_HTTP_SMART_JOURNAL_RETRY / 4);
            ngx_time_update();
        }
    }

    if (left) {
        (void) ngx_atomic_fetch_add(
                       &shared->dropped[NGX_HTTP_SMART_JOURNAL_DROPPED_EXIT],
                       left);

        ngx_log_error(NGX_LOG_CRIT, f->log, 0,
                      "smart: journal: %ui records could not be written "
                      "before this exit and are lost", left);
    }
}
