
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <math.h>

#include "table.h"

#include "ngx_smart_time.h"


static void texts(const char *path);
static void every_day(void);
static void all_ranges(void);
static void seconds(void);
static const char *format(int64_t us);


int
main(void)
{
    texts("t/data/time_iso.txt");
    every_day();
    all_ranges();
    seconds();

    return tap_done();
}


static void
texts(const char *path)
{
    char            *p, *block, number[32];
    int64_t          us;
    static table_t   t;

    table_open(&t, path, 3);

    while (table_next(&t)) {
        us = 12345;
        p = table_copy(t.cells[0].data, t.cells[0].len, &block);

        if (ngx_smart_time_parse(p, t.cells[0].len, &us) != 0) {
            tap_is_str(path, t.line, "invalid", t.cells[1].data, "%s",
                       t.cells[0].raw);
            tap_ok(path, t.line, us == 12345, "%s: nothing is set",
                   t.cells[0].raw);

        } else {
            snprintf(number, sizeof(number), "%" PRId64, us);
            tap_is_str(path, t.line, number, t.cells[1].data, "%s",
                       t.cells[0].raw);
            tap_is_str(path, t.line, format(us), t.cells[2].data,
                       "%s, written again", t.cells[0].raw);
        }

        free(block);
    }
}


/* counted day by day from the year 1 to 9999, there and back */

static void
every_day(void)
{
    char       text[16];
    int64_t    us, expected;
    unsigned   year, month, day, days, leap, wrong;

    expected = NGX_SMART_TIME_MIN;
    wrong = 0;

    for (year = 1; year <= 9999; year++) {
        leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

        for (month = 1; month <= 12; month++) {
            days = (month == 4 || month == 6 || month == 9 || month == 11)
                   ? 30 : month == 2 ? 28 + leap : 31;

            for (day = 1; day <= days; day++) {
                snprintf(text, sizeof(text), "%04u-%02u-%02u", year % 10000,
                         month % 100, day % 100);

                if (ngx_smart_time_parse(text, 10, &us) != 0
                    || us != expected
                    || strncmp(format(us), text, 10) != 0)
                {
                    printf("# %s\n", text);
                    wrong++;
                }

                expected += INT64_C(86400000000);
            }
        }
    }

    is_uint(wrong, 0, "days that are wrong");
    ok(expected == NGX_SMART_TIME_MAX + 1, "the last day is the last");
}


static void
all_ranges(void)
{
    is_str(format(INT64_MIN), "0001-01-01T00:00:00.000000Z", "before all");
    is_str(format(INT64_MAX), "9999-12-31T23:59:59.999999Z", "after all");
}


static void
seconds(void)
{
    size_t   i;
    int      rc;
    int64_t  us;

    static const struct {
        double   seconds;
        int      rc;
        int64_t  us;
    } cases[] = {
        { 0, 0, 0 },
        { 1700000000, 0, INT64_C(1700000000000000) },
        { 1700000000.123456, 0, INT64_C(1700000000123456) },
        { 1700000000.999999, 0, INT64_C(1700000000999999) },
        { -0.25, 0, -250000 },
        { 0.0000004, 0, 0 },
        { 0.0000006, 0, 1 },
        { 253402300799.0, 0, INT64_C(253402300799000000) },
        { 253402300800.0, -1, 0 },
        { -62135596800.0, 0, NGX_SMART_TIME_MIN },
        { -62135596801.0, -1, 0 },
        { 1e300, -1, 0 },
        { -1e300, -1, 0 },
        { HUGE_VAL, -1, 0 },
        { -HUGE_VAL, -1, 0 },
        { NAN, -1, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        us = 0;
        rc = ngx_smart_time_seconds(cases[i].seconds, &us);

        ok(rc == cases[i].rc && us == cases[i].us, "%f seconds",
           cases[i].seconds);
    }
}


static const char *
format(int64_t us)
{
    static char  text[NGX_SMART_TIME_LEN + 2];

    text[NGX_SMART_TIME_LEN] = '\0';
    ngx_smart_time_format(text, us);

    return text;
}
