
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * An argument of smart_success_json: what is accepted and written out again
 * is what came in.
 */


#include "fuzz.h"

#include "ngx_smart_pointer.h"


const char *const  fuzz_seeds[] = { "t/data/pointer.txt", NULL };


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                 *tokens, *text, *p;
    size_t                i, len, index;
    const char           *token;
    ngx_smart_pointer_t   pointer;

    tokens = malloc(size ? size : 1);
    text = malloc(size + 1);

    if (tokens == NULL || text == NULL) {
        abort();
    }

    if (ngx_smart_pointer_parse((const char *) data, size, tokens, &pointer)
        == NULL)
    {
        p = text;
        token = pointer.tokens;

        for (i = 0; i < pointer.n; i++) {

            *p++ = '/';

            (void) ngx_smart_pointer_index(token, &index);

            for ( /* void */ ; *token; token++) {

                if (*token == '~' || *token == '/') {
                    *p++ = '~';
                    *p++ = (*token == '~') ? '0' : '1';

                } else {
                    *p++ = *token;
                }
            }

            token++;
        }

        len = (size_t) (p - text);

        fuzz_check(memcmp(text, data, len) == 0);
        fuzz_check(len == size || data[len] == ':');
    }

    free(tokens);
    free(text);

    return 0;
}
