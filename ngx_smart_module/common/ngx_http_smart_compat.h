
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What differs between the versions of nginx from 1.22 on: nginx_version is
 * tested nowhere else.
 */

#ifndef _NGX_HTTP_SMART_COMPAT_H_INCLUDED_
#define _NGX_HTTP_SMART_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#if (nginx_version < 1022000)
#error "ngx_smart_module needs nginx 1.22 or newer"
#endif


/* nginx has atomic operations on whole words only */

#define ngx_http_smart_add32(value, add)  __sync_fetch_and_add(value, add)

#define ngx_http_smart_set64(value, old, set)                                 \
    __sync_bool_compare_and_swap(value, old, set)


/* from 1.23.0 on multiple headers of one name are linked */

#if (nginx_version >= 1023000)

#define ngx_http_smart_header_next(h)      (h)->next
#define ngx_http_smart_header_unlink(h)    (h)->next = NULL
#define ngx_http_smart_header_link(h, ph)  &(h)->next

#else

#define ngx_http_smart_header_next(h)      NULL
#define ngx_http_smart_header_unlink(h)
#define ngx_http_smart_header_link(h, ph)  (ph)

#endif


/* from 1.27.3 on the peers of a zone may change while a request is under way */

#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)

#define ngx_http_smart_peers_current(peers, rrp)                              \
    ((peers)->config == NULL || (rrp)->config == *(peers)->config)

#define ngx_http_smart_peers_same(a, b)  ((a)->config == (b)->config)

#else

#define ngx_http_smart_peers_current(peers, rrp)  1
#define ngx_http_smart_peers_same(a, b)           1

#endif


#endif /* _NGX_HTTP_SMART_COMPAT_H_INCLUDED_ */
