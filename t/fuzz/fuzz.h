
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A fuzz program is one function of libFuzzer's interface and main.c, or
 * libFuzzer itself in its place:
 *
 *     clang -fsanitize=fuzzer,address,undefined -I ngx_smart_module/core
 *           t/fuzz/redact.c and the sources of the core
 */

#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* a property that has to hold for every input */
#define fuzz_check(good)                                                     \
    if (!(good)) {                                                           \
        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #good);   \
        abort();                                                             \
    }


/* files whose lines are the inputs to begin with; the last is NULL */
extern const char *const  fuzz_seeds[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#endif /* _FUZZ_H_INCLUDED_ */
