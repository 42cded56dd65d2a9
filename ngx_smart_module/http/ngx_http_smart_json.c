
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <math.h>
#include <string.h>

#include <jansson.h>
#include <zlib.h>

#include "ngx_http_smart_json.h"


#define NGX_HTTP_SMART_JSON_GZIP  16


typedef struct {
    const ngx_http_smart_json_block_t  *block;
    size_t                              pos;

    z_stream                            zstream;
    unsigned                            gzip;
    unsigned                            ended;   /* a member of the file */
    size_t                              left;    /* to decompress at most */
    ngx_http_smart_json_e               error;
} ngx_http_smart_json_reader_t;


static size_t ngx_http_smart_json_read(void *buffer, size_t size, void *data);
static size_t ngx_http_smart_json_inflate(
    ngx_http_smart_json_reader_t *reader, void *buffer, size_t size);
static void ngx_http_smart_json_next(ngx_http_smart_json_reader_t *reader);
static int ngx_http_smart_json_match(json_t *value,
    const ngx_smart_pointer_t *pointer);
static int ngx_http_smart_json_type(json_t *value,
    ngx_smart_pointer_type_e type);


ngx_http_smart_json_e
ngx_http_smart_json_check(const ngx_http_smart_json_block_t *body,
    unsigned gzip, size_t limit, const ngx_smart_pointer_t *pointers,
    size_t n, size_t *failed)
{
    size_t                         i;
    json_t                        *json;
    json_error_t                   error;
    ngx_http_smart_json_e          rc;
    ngx_http_smart_json_reader_t   reader;

    memset(&reader, 0, sizeof(ngx_http_smart_json_reader_t));

    reader.block = body;
    reader.gzip = gzip;
    reader.left = limit;

    if (gzip
        && inflateInit2(&reader.zstream, MAX_WBITS + NGX_HTTP_SMART_JSON_GZIP)
           != Z_OK)
    {
        return NGX_HTTP_SMART_JSON_NO_MEMORY;
    }

    /*
     * the parser reads to the end, and so to the checksum of gzip; integers
     * are read as reals, since those beyond 64 bits are well-formed, too
     */

    json = json_load_callback(ngx_http_smart_json_read, &reader,
                              JSON_DECODE_ANY|JSON_REJECT_DUPLICATES
                              |JSON_ALLOW_NUL|JSON_DECODE_INT_AS_REAL,
                              &error);

    if (gzip) {
        (void) inflateEnd(&reader.zstream);
    }

    if (reader.error != NGX_HTTP_SMART_JSON_OK) {
        rc = reader.error;

    } else if (json == NULL) {
        rc = (json_error_code(&error) == json_error_out_of_memory)
             ? NGX_HTTP_SMART_JSON_NO_MEMORY : NGX_HTTP_SMART_JSON_MALFORMED;

    } else {
        rc = NGX_HTTP_SMART_JSON_OK;

        for (i = 0; i < n; i++) {

            if (!ngx_http_smart_json_match(json, &pointers[i])) {
                *failed = i;
                rc = NGX_HTTP_SMART_JSON_UNEXPECTED;
                break;
            }
        }
    }

    json_decref(json);

    return rc;
}


static size_t
ngx_http_smart_json_read(void *buffer, size_t size, void *data)
{
    ngx_http_smart_json_reader_t *reader = data;

    size_t  n;

    if (reader->error != NGX_HTTP_SMART_JSON_OK) {
        return (size_t) -1;
    }

    if (reader->gzip) {
        return ngx_http_smart_json_inflate(reader, buffer, size);
    }

    ngx_http_smart_json_next(reader);

    if (reader->block == NULL) {
        return 0;
    }

    n = reader->block->len - reader->pos;

    if (n > size) {
        n = size;
    }

    memcpy(buffer, reader->block->data + reader->pos, n);
    reader->pos += n;

    return n;
}


static size_t
ngx_http_smart_json_inflate(ngx_http_smart_json_reader_t *reader,
    void *buffer, size_t size)
{
    int        rc;
    size_t     n;
    z_stream  *zs;

    zs = &reader->zstream;

    zs->next_out = buffer;
    zs->avail_out = (unsigned) size;

    while (zs->avail_out) {

        ngx_http_smart_json_next(reader);

        if (reader->block == NULL) {

            if (!reader->ended) {
                reader->error = NGX_HTTP_SMART_JSON_BROKEN;
            }

            break;
        }

        if (reader->ended) {

            /* another member follows (RFC 1952, section 2.2) */

            (void) inflateReset(zs);
            reader->ended = 0;
        }

        n = reader->block->len - reader->pos;

        zs->next_in = reader->block->data + reader->pos;
        zs->avail_in = (unsigned) n;

        rc = inflate(zs, Z_NO_FLUSH);

        reader->pos += n - zs->avail_in;

        if (rc == Z_STREAM_END) {
            reader->ended = 1;

        } else if (rc != Z_OK) {
            reader->error = (rc == Z_MEM_ERROR)
                            ? NGX_HTTP_SMART_JSON_NO_MEMORY
                            : NGX_HTTP_SMART_JSON_BROKEN;
            break;
        }
    }

    n = size - zs->avail_out;

    if (n > reader->left) {
        reader->error = NGX_HTTP_SMART_JSON_TOO_LARGE;
    }

    if (reader->error != NGX_HTTP_SMART_JSON_OK) {
        return (size_t) -1;
    }

    reader->left -= n;

    return n;
}


/* to where the next byte is, NULL after the last */
static void
ngx_http_smart_json_next(ngx_http_smart_json_reader_t *reader)
{
    while (reader->block && reader->pos == reader->block->len) {
        reader->block = reader->block->next;
        reader->pos = 0;
    }
}


static int
ngx_http_smart_json_match(json_t *value, const ngx_smart_pointer_t *pointer)
{
    size_t       i, index;
    const char  *token;

    token = pointer->tokens;

    for (i = 0; i < pointer->n; i++) {

        if (json_is_object(value)) {
            value = json_object_get(value, token);

        } else if (json_is_array(value)
                   && ngx_smart_pointer_index(token, &index))
        {
            value = json_array_get(value, index);

        } else {
            return 0;
        }

        if (value == NULL) {
            return 0;
        }

        token += strlen(token) + 1;
    }

    return ngx_http_smart_json_type(value, pointer->type);
}


static int
ngx_http_smart_json_type(json_t *value, ngx_smart_pointer_type_e type)
{
    double  number;

    switch (type) {

    case NGX_SMART_POINTER_ANY:
        return 1;

    case NGX_SMART_POINTER_STRING:
        return json_is_string(value);

    case NGX_SMART_POINTER_NUMBER:
        return json_is_number(value);

    case NGX_SMART_POINTER_INTEGER:

        /* as JSON Schema has it: without a fraction, also 1.0 and 1e2 */

        if (!json_is_number(value)) {
            return 0;
        }

        number = json_number_value(value);

        return floor(number) == number;

    case NGX_SMART_POINTER_BOOLEAN:
        return json_is_boolean(value);

    case NGX_SMART_POINTER_OBJECT:
        return json_is_object(value);

    case NGX_SMART_POINTER_ARRAY:
        return json_is_array(value);

    case NGX_SMART_POINTER_NULL:
        return json_is_null(value);
    }

    return 0;
}
