
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What is under way at the peers, soonest first.
 */

#ifndef _HEAP_H_INCLUDED_
#define _HEAP_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>


typedef struct conn_s  conn_t;
typedef struct job_s   job_t;

struct job_s {
    conn_t      *conn;                   /* NULL: the client has left */
    unsigned     peer;
    uint64_t     ns;
    uint64_t     due;                    /* 0: it waits for a server */
    job_t       *next;                   /* in the queue */
};


static job_t   **heap;
static size_t    nheap, heap_size;


static inline void
heap_push(job_t *job)
{
    size_t  i;

    if (nheap == heap_size) {
        heap_size = heap_size ? heap_size * 2 : 1024;
        heap = realloc(heap, heap_size * sizeof(job_t *));

        if (heap == NULL) {
            perror("peers: realloc()");
            exit(2);
        }
    }

    for (i = nheap++; i && heap[(i - 1) / 2]->due > job->due; i = (i - 1) / 2) {
        heap[i] = heap[(i - 1) / 2];
    }

    heap[i] = job;
}


static inline job_t *
heap_pop(void)
{
    size_t   i, c;
    job_t   *top, *last;

    top = heap[0];
    last = heap[--nheap];

    for (i = 0; (c = 2 * i + 1) < nheap; i = c) {

        if (c + 1 < nheap && heap[c + 1]->due < heap[c]->due) {
            c++;
        }

        if (heap[c]->due >= last->due) {
            break;
        }

        heap[i] = heap[c];
    }

    heap[i] = last;

    return top;
}


#endif /* _HEAP_H_INCLUDED_ */
