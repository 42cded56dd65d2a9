
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The check of a body.  The verdict must not depend on the blocks that the
 * body comes in, nor on whether it is compressed.
 */


#include "fuzz.h"

#include <zlib.h>

#include "../../ngx_smart_module/http/ngx_http_smart_json.h"


#define LIMIT   65536
#define BLOCKS  16384


static ngx_http_smart_json_e check(const uint8_t *data, size_t size,
    size_t length, unsigned gzip, size_t *failed);


const char *const  fuzz_seeds[] = { "t/data/document.txt", NULL };


static const ngx_smart_pointer_t  pointers[] = {
    { "", 0, NGX_SMART_POINTER_ANY },
    { "a", 1, NGX_SMART_POINTER_ANY },
    { "a\0b", 2, NGX_SMART_POINTER_INTEGER },
    { "0\0~", 2, NGX_SMART_POINTER_STRING },
    { "time", 1, NGX_SMART_POINTER_NUMBER }
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t                *packed;
    z_stream                zs;
    size_t                  whole_failed, failed, length, cut, at;
    ngx_http_smart_json_e   whole;

    length = size % 61 + 1;

    whole_failed = 0;
    whole = check(data, size, size + 1, 0, &whole_failed);

    failed = 0;
    fuzz_check(check(data, size, length, 0, &failed) == whole);
    fuzz_check(failed == whole_failed);

    /* hardly ever gzip, and never both */

    fuzz_check(check(data, size, length, 1, &failed)
               != NGX_HTTP_SMART_JSON_OK || size > 18);

    memset(&zs, 0, sizeof(zs));

    fuzz_check(deflateInit2(&zs, 1, Z_DEFLATED, MAX_WBITS + 16, 8,
                            Z_DEFAULT_STRATEGY)
               == Z_OK);

    packed = malloc(size + 1024);
    if (packed == NULL) {
        abort();
    }

    zs.next_in = (unsigned char *) (uintptr_t) data;
    zs.avail_in = (unsigned) size;
    zs.next_out = packed;
    zs.avail_out = (unsigned) size + 1024;

    fuzz_check(deflate(&zs, Z_FINISH) == Z_STREAM_END);

    fuzz_check(check(packed, zs.total_out, length, 1, &failed) == whole);

    cut = (size * 31 + 7) % zs.total_out;

    fuzz_check(check(packed, cut, length, 1, &failed)
               == NGX_HTTP_SMART_JSON_BROKEN);

    at = (size * 17 + (size ? data[size - 1] : 0)) % zs.total_out;
    packed[at] ^= (uint8_t) (size ? data[0] : 1);

    (void) check(packed, zs.total_out, length, 1, &failed);

    deflateEnd(&zs);
    free(packed);

    return 0;
}


static ngx_http_smart_json_e
check(const uint8_t *data, size_t size, size_t length, unsigned gzip,
    size_t *failed)
{
    size_t                               i;
    static ngx_http_smart_json_block_t   blocks[BLOCKS];

    for (i = 0; i < BLOCKS - 1; i++) {
        blocks[i].next = &blocks[i + 1];
        blocks[i].data = (unsigned char *) (uintptr_t) data;
        blocks[i].len = (size < length) ? size : length;

        data += blocks[i].len;
        size -= blocks[i].len;

        if (size == 0) {
            break;
        }
    }

    blocks[i].next = NULL;

    return ngx_http_smart_json_check(blocks, gzip, LIMIT, pointers,
                                     sizeof(pointers) / sizeof(pointers[0]),
                                     failed);
}
