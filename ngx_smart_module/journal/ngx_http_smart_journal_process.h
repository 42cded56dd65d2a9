
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the system knows of processes, for stores that more than one nginx
 * writes into.  Safe in threads.
 */

#ifndef _NGX_HTTP_SMART_JOURNAL_PROCESS_H_INCLUDED_
#define _NGX_HTTP_SMART_JOURNAL_PROCESS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "ngx_http_smart_journal_store.h"


#define NGX_HTTP_SMART_JOURNAL_PROCESS_BOOT  128


/* from the kernel */
int64_t ngx_http_smart_journal_process_random(void);

/* fills "started": 0 if it cannot be known, -1 of what is dead already */
void ngx_http_smart_journal_process_started(
    ngx_http_smart_journal_process_t *process);

/* 0 if there is no such process any more; when in doubt there is */
unsigned ngx_http_smart_journal_process_alive(
    const ngx_http_smart_journal_process_t *process);

/* this boot of this machine, "-" if unknown, and our namespace of processes */
void ngx_http_smart_journal_process_boot(
    char text[NGX_HTTP_SMART_JOURNAL_PROCESS_BOOT]);


#endif /* _NGX_HTTP_SMART_JOURNAL_PROCESS_H_INCLUDED_ */
