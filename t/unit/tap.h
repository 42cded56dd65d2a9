
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * TAP for the unit programs.  A failure names the file and the line of its
 * case: of the call for ok(), is_uint() and is_str(), of a row of a data file
 * for the functions, which take any place.
 */

#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define ok(good, ...)                                                        \
    tap_ok(__FILE__, __LINE__, (good) != 0, __VA_ARGS__)

#define is_uint(got, expected, ...)                                          \
    tap_is_uint(__FILE__, __LINE__, got, expected, __VA_ARGS__)

#define is_str(got, expected, ...)                                           \
    tap_is_str(__FILE__, __LINE__, got, expected, __VA_ARGS__)


static unsigned  tap_count;
static unsigned  tap_failed;


__attribute__((format(printf, 4, 0)))
static inline int
tap_result(const char *file, unsigned line, int good, const char *name,
    va_list args)
{
    tap_count++;

    printf("%sok %u - ", good ? "" : "not ", tap_count);
    vprintf(name, args);
    printf("\n");

    if (!good) {
        tap_failed++;
        printf("# at %s:%u\n", file, line);
    }

    /* for the sanitizers, which end the program on the spot */

    fflush(stdout);

    return good;
}


__attribute__((format(printf, 4, 5)))
static inline int
tap_ok(const char *file, unsigned line, int good, const char *name, ...)
{
    va_list  args;

    va_start(args, name);
    tap_result(file, line, good, name, args);
    va_end(args);

    return good;
}


__attribute__((format(printf, 5, 6)))
static inline int
tap_is_uint(const char *file, unsigned line, uint64_t got, uint64_t expected,
    const char *name, ...)
{
    va_list  args;

    va_start(args, name);
    tap_result(file, line, got == expected, name, args);
    va_end(args);

    if (got != expected) {
        printf("#      got: %" PRIu64 "\n", got);
        printf("# expected: %" PRIu64 "\n", expected);
    }

    return got == expected;
}


__attribute__((format(printf, 5, 6)))
static inline int
tap_is_str(const char *file, unsigned line, const char *got,
    const char *expected, const char *name, ...)
{
    int      good;
    va_list  args;

    good = strcmp(got, expected) == 0;

    va_start(args, name);
    tap_result(file, line, good, name, args);
    va_end(args);

    if (!good) {
        printf("#      got: %s\n", got);
        printf("# expected: %s\n", expected);
    }

    return good;
}


static inline void
tap_die(const char *what, const char *why)
{
    printf("Bail out!  %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}


/* prints the plan and returns the code to exit with */
static inline int
tap_done(void)
{
    printf("1..%u\n", tap_count);

    return tap_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}


#endif /* _TAP_H_INCLUDED_ */
