
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_http_smart_copy.h"


/* the first block of a body of unknown length */
#define NGX_HTTP_SMART_COPY_BLOCK  1024


const char *
ngx_http_smart_copy_encoding(ngx_http_request_t *r, ngx_uint_t *gzip)
{
    ngx_uint_t        i;
    ngx_str_t        *value;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    *gzip = 0;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0
                || h[i].key.len != sizeof("Content-Encoding") - 1
                || ngx_strncasecmp(h[i].key.data,
                                   (u_char *) "Content-Encoding",
                                   sizeof("Content-Encoding") - 1)
                   != 0)
            {
                continue;
            }

            value = &h[i].value;

            if (value->len == 8
                && ngx_strncasecmp(value->data, (u_char *) "identity", 8) == 0)
            {
                continue;
            }

            if (*gzip
                || !((value->len == 4
                      && ngx_strncasecmp(value->data, (u_char *) "gzip", 4)
                         == 0)
                     || (value->len == 6
                         && ngx_strncasecmp(value->data,
                                            (u_char *) "x-gzip", 6)
                            == 0)))
            {
                return "unknown encoding";
            }

            *gzip = 1;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_smart_copy_reserve(ngx_http_request_t *r, ngx_http_smart_copy_t *copy,
    size_t size)
{
    ngx_http_smart_json_block_t  *block;

    if (copy->last || r->headers_out.content_length_n <= 0) {
        size = ngx_max(size, ngx_max(copy->size, NGX_HTTP_SMART_COPY_BLOCK));
        size = ngx_min(size, copy->limit - copy->size);
    }

    block = ngx_palloc(r->pool, sizeof(ngx_http_smart_json_block_t) + size);
    if (block == NULL) {
        return NGX_ERROR;
    }

    block->next = NULL;
    block->data = (u_char *) block + sizeof(ngx_http_smart_json_block_t);
    block->len = 0;
    block->size = size;

    if (copy->last) {
        copy->last->next = block;

    } else {
        copy->first = block;
    }

    copy->last = block;

    return NGX_OK;
}


ngx_int_t
ngx_http_smart_copy_append(ngx_http_request_t *r, ngx_http_smart_copy_t *copy,
    ngx_buf_t *b)
{
    size_t                        size;
    ssize_t                       n;
    ngx_http_smart_json_block_t  *block;

    for ( ;; ) {

        size = (size_t) ngx_buf_size(b);

        if (size == 0) {
            return NGX_OK;
        }

        block = copy->last;

        if (block == NULL || block->len == block->size) {

            if (ngx_http_smart_copy_reserve(r, copy, size) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        size = ngx_min(size, block->size - block->len);

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(block->data + block->len, b->pos, size);
            b->pos += size;

        } else {

            /* nginx has just written it, to put it into its cache */

            n = ngx_read_file(b->file, block->data + block->len, size,
                              b->file_pos);

            if (n != (ssize_t) size) {
                return NGX_ERROR;
            }
        }

        if (b->in_file) {
            b->file_pos += size;
        }

        block->len += size;
        copy->size += size;
    }
}


const char *
ngx_http_smart_copy_judge(ngx_http_smart_copy_t *copy,
    ngx_http_smart_pointers_t *json, ngx_str_t **pointer)
{
    size_t  failed;

    *pointer = NULL;

    switch (ngx_http_smart_json_check(copy->first, copy->gzip, copy->limit,
                                      json->pointers, json->n, &failed))
    {
    case NGX_HTTP_SMART_JSON_OK:
        return NULL;

    case NGX_HTTP_SMART_JSON_MALFORMED:
        return "invalid JSON";

    case NGX_HTTP_SMART_JSON_UNEXPECTED:
        *pointer = &json->names[failed];
        return "unexpected JSON";

    case NGX_HTTP_SMART_JSON_BROKEN:
        return "invalid gzip";

    case NGX_HTTP_SMART_JSON_TOO_LARGE:
        return "body too large";

    default: /* NGX_HTTP_SMART_JSON_NO_MEMORY */
        return "internal error";
    }
}


ngx_chain_t **
ngx_http_smart_copy_chain(ngx_http_request_t *r, ngx_http_smart_copy_t *copy,
    ngx_chain_t **out, ngx_buf_t **last)
{
    ngx_buf_t                    *b;
    ngx_chain_t                  *cl;
    ngx_http_smart_json_block_t  *block;

    *last = NULL;

    for (block = copy->first; block; block = block->next) {

        if (block->len == 0) {
            continue;
        }

        b = ngx_calloc_buf(r->pool);
        if (b == NULL) {
            return NULL;
        }

        b->start = block->data;
        b->pos = block->data;
        b->last = block->data + block->len;
        b->end = b->last;
        b->temporary = 1;

        cl = ngx_alloc_chain_link(r->pool);
        if (cl == NULL) {
            return NULL;
        }

        cl->buf = b;

        *out = cl;
        out = &cl->next;
        *last = b;
    }

    return out;
}


void
ngx_http_smart_copy_free(ngx_http_request_t *r, ngx_http_smart_copy_t *copy)
{
    ngx_http_smart_json_block_t  *block, *next;

    for (block = copy->first; block; block = next) {
        next = block->next;
        (void) ngx_pfree(r->pool, block);
    }

    copy->first = NULL;
    copy->last = NULL;
}
