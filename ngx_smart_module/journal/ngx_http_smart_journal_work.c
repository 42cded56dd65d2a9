
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_journal_work.h"


static void ngx_http_smart_journal_work_records(
    ngx_http_smart_journal_work_t *w);
static ngx_msec_t ngx_http_smart_journal_work_ms(void);


void
ngx_http_smart_journal_work(ngx_http_smart_journal_work_t *w)
{
    ngx_msec_t                                 start;
    const ngx_http_smart_journal_store_api_t  *api;

    api = w->jmcf->store;

    if (w->store == NULL) {

        w->store = api->open(&w->jmcf->options, &w->rc, &w->error);

        if (w->store == NULL) {
            return;
        }

        w->note = w->error;
        w->error.text[0] = '\0';
        w->rc = NGX_HTTP_SMART_JOURNAL_OK;
    }

    w->instance.now = (int64_t) time(NULL) * 1000000;

    if (w->beat) {

        w->rc = api->heartbeat(w->store, &w->instance, &w->swept, &w->error);

        if (w->rc != NGX_HTTP_SMART_JOURNAL_OK) {
            goto failed;
        }

        w->beaten = 1;
    }

    if (w->n) {

        ngx_http_smart_journal_work_records(w);

        start = ngx_http_smart_journal_work_ms();

        w->rc = api->write(w->store, w->instance.id, w->records, w->n,
                           w->pauses, &w->skipped, &w->error);

        w->ms = ngx_http_smart_journal_work_ms() - start;

        if (w->rc != NGX_HTTP_SMART_JOURNAL_OK) {
            goto failed;
        }

        w->written = 1;
    }

    if (w->before) {

        w->rc = api->prune(w->store, w->before,
                           NGX_HTTP_SMART_JOURNAL_WORK_STEP,
                           &w->pruned, &w->error);

        if (w->rc != NGX_HTTP_SMART_JOURNAL_OK) {
            goto failed;
        }
    }

    return;

failed:

    /* what is locked or full may heal as it is */

    if (w->rc != NGX_HTTP_SMART_JOURNAL_BUSY
        && w->rc != NGX_HTTP_SMART_JOURNAL_FULL)
    {
        api->close(w->store, &w->note);
        w->store = NULL;
    }
}


static void
ngx_http_smart_journal_work_records(ngx_http_smart_journal_work_t *w)
{
    char                             *texts;
    size_t                            i;
    ngx_smart_record_t               *record;
    ngx_http_smart_journal_shared_t  *shared;

    shared = w->jmcf->shared;
    texts = w->texts;

    for (i = 0; i < w->n; i++) {
        record = &w->records[i];

        texts += ngx_smart_cell_get(shared->cells, shared->ring, w->slots[i],
                                    record, texts);

        record->node.data = w->instance.node;
        record->node.len = w->jmcf->node.len;
    }
}


static ngx_msec_t
ngx_http_smart_journal_work_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
