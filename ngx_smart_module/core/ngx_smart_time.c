
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "ngx_smart_time.h"


#define NGX_SMART_TIME_SECOND  1000000
#define NGX_SMART_TIME_DAY     86400


/* what is left of a text, and whether it was understood so far */
typedef struct {
    const char  *p;
    const char  *end;
    int          bad;
} ngx_smart_time_text_t;


typedef struct {
    unsigned     year;
    unsigned     month;
    unsigned     day;
    unsigned     hour;
    unsigned     minute;
    unsigned     second;
    unsigned     us;
    int          offset;         /* minutes east of UTC */
} ngx_smart_time_fields_t;


static void ngx_smart_time_date(ngx_smart_time_text_t *t,
    ngx_smart_time_fields_t *f);
static void ngx_smart_time_clock(ngx_smart_time_text_t *t,
    ngx_smart_time_fields_t *f);
static void ngx_smart_time_fraction(ngx_smart_time_text_t *t,
    ngx_smart_time_fields_t *f);
static void ngx_smart_time_offset(ngx_smart_time_text_t *t,
    ngx_smart_time_fields_t *f);
static int ngx_smart_time_sum(const ngx_smart_time_fields_t *f, int64_t *us);
static unsigned ngx_smart_time_number(ngx_smart_time_text_t *t,
    unsigned digits, unsigned max);
static int ngx_smart_time_skip(ngx_smart_time_text_t *t, char c);
static int ngx_smart_time_digit(const ngx_smart_time_text_t *t);
static unsigned ngx_smart_time_month_days(unsigned year, unsigned month);
static int64_t ngx_smart_time_days(unsigned year, unsigned month,
    unsigned day);
static void ngx_smart_time_civil(int64_t days, ngx_smart_time_fields_t *f);
static char *ngx_smart_time_write(char *p, unsigned value, unsigned digits,
    char after);


int
ngx_smart_time_parse(const char *p, size_t len, int64_t *us)
{
    ngx_smart_time_text_t    t;
    ngx_smart_time_fields_t  f = { 0, 0, 0, 0, 0, 0, 0, 0 };

    t.p = p;
    t.end = p + len;
    t.bad = 0;

    ngx_smart_time_date(&t, &f);

    if (!t.bad && t.p < t.end) {

        if (!ngx_smart_time_skip(&t, 'T') && !ngx_smart_time_skip(&t, 't')
            && !ngx_smart_time_skip(&t, ' '))
        {
            return -1;
        }

        ngx_smart_time_clock(&t, &f);

        if (!t.bad && t.p < t.end) {
            ngx_smart_time_offset(&t, &f);
        }
    }

    if (t.bad || t.p != t.end) {
        return -1;
    }

    return ngx_smart_time_sum(&f, us);
}


static void
ngx_smart_time_date(ngx_smart_time_text_t *t, ngx_smart_time_fields_t *f)
{
    int  dashes;

    f->year = ngx_smart_time_number(t, 4, 9999);
    dashes = ngx_smart_time_skip(t, '-');
    f->month = ngx_smart_time_number(t, 2, 12);

    if (dashes && !ngx_smart_time_skip(t, '-')) {
        t->bad = 1;
    }

    f->day = ngx_smart_time_number(t, 2, 31);

    if (t->bad || f->month == 0 || f->day == 0
        || f->day > ngx_smart_time_month_days(f->year, f->month))
    {
        t->bad = 1;
    }
}


static void
ngx_smart_time_clock(ngx_smart_time_text_t *t, ngx_smart_time_fields_t *f)
{
    int  colons, seconds;

    f->hour = ngx_smart_time_number(t, 2, 24);
    colons = ngx_smart_time_skip(t, ':');
    f->minute = ngx_smart_time_number(t, 2, 59);

    seconds = colons ? ngx_smart_time_skip(t, ':') : ngx_smart_time_digit(t);

    if (seconds) {
        f->second = ngx_smart_time_number(t, 2, 60);

        if (ngx_smart_time_skip(t, '.') || ngx_smart_time_skip(t, ',')) {
            ngx_smart_time_fraction(t, f);
        }
    }

    if (f->hour == 24 && (f->minute || f->second || f->us)) {
        t->bad = 1;
    }
}


static void
ngx_smart_time_fraction(ngx_smart_time_text_t *t, ngx_smart_time_fields_t *f)
{
    unsigned  unit;

    if (!ngx_smart_time_digit(t)) {
        t->bad = 1;
        return;
    }

    unit = NGX_SMART_TIME_SECOND;

    while (ngx_smart_time_digit(t)) {
        unit /= 10;
        f->us += unit * (unsigned) (*t->p++ - '0');
    }
}


static void
ngx_smart_time_offset(ngx_smart_time_text_t *t, ngx_smart_time_fields_t *f)
{
    int  east, hours, minutes;

    if (ngx_smart_time_skip(t, 'Z') || ngx_smart_time_skip(t, 'z')) {
        return;
    }

    east = ngx_smart_time_skip(t, '+') || ngx_smart_time_skip(t, ' ');

    if (!east && !ngx_smart_time_skip(t, '-')) {
        t->bad = 1;
        return;
    }

    hours = (int) ngx_smart_time_number(t, 2, 23);
    minutes = 0;

    if (ngx_smart_time_skip(t, ':') || ngx_smart_time_digit(t)) {
        minutes = (int) ngx_smart_time_number(t, 2, 59);
    }

    f->offset = hours * 60 + minutes;

    if (!east) {
        f->offset = -f->offset;
    }
}


static int
ngx_smart_time_sum(const ngx_smart_time_fields_t *f, int64_t *us)
{
    int64_t                  days, seconds, rest;
    ngx_smart_time_fields_t  date;

    seconds = ngx_smart_time_days(f->year, f->month, f->day)
              * NGX_SMART_TIME_DAY;
    seconds += (int64_t) f->hour * 3600 + ((int64_t) f->minute - f->offset)
               * 60;

    if (f->second == 60) {

        /* the minute has to be the last one of a month in UTC */

        rest = (seconds + 60) % NGX_SMART_TIME_DAY;
        days = (seconds + 60) / NGX_SMART_TIME_DAY;

        if (rest != 0) {
            return -1;
        }

        ngx_smart_time_civil(days, &date);

        if (date.day != 1) {
            return -1;
        }
    }

    seconds += f->second;

    if (seconds < NGX_SMART_TIME_MIN / NGX_SMART_TIME_SECOND
        || seconds > NGX_SMART_TIME_MAX / NGX_SMART_TIME_SECOND)
    {
        return -1;
    }

    *us = seconds * NGX_SMART_TIME_SECOND + f->us;

    return 0;
}


/* so many digits; 0 and "bad" for anything else */
static unsigned
ngx_smart_time_number(ngx_smart_time_text_t *t, unsigned digits, unsigned max)
{
    unsigned  value;

    value = 0;

    while (digits--) {

        if (!ngx_smart_time_digit(t)) {
            t->bad = 1;
            return 0;
        }

        value = value * 10 + (unsigned) (*t->p++ - '0');
    }

    if (value > max) {
        t->bad = 1;
        return 0;
    }

    return value;
}


static int
ngx_smart_time_skip(ngx_smart_time_text_t *t, char c)
{
    if (t->p == t->end || *t->p != c) {
        return 0;
    }

    t->p++;

    return 1;
}


static int
ngx_smart_time_digit(const ngx_smart_time_text_t *t)
{
    return t->p < t->end && *t->p >= '0' && *t->p <= '9';
}


static unsigned
ngx_smart_time_month_days(unsigned year, unsigned month)
{
    static const unsigned char  days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        return 29;
    }

    return days[month - 1];
}


/*
 * Days since 1970-01-01 of a date, the other way round below.  Both count in
 * years that begin in March, so that the leap day is the last of its year, and
 * whose months have the regular lengths of 31 and 30 days by turns; 400 years
 * are 146097 days, 719468 of them lie between March of the year 0 and 1970.
 */
static int64_t
ngx_smart_time_days(unsigned year, unsigned month, unsigned day)
{
    int64_t   years;
    unsigned  months, days;

    /* one era more, so that January of the year 0 is not negative */

    years = (int64_t) year + 400 - (month <= 2 ? 1 : 0);
    months = month <= 2 ? month + 9 : month - 3;
    days = (153 * months + 2) / 5 + day - 1;

    return years * 365 + years / 4 - years / 100 + years / 400 + days
           - 719468 - 146097;
}


static void
ngx_smart_time_civil(int64_t days, ngx_smart_time_fields_t *f)
{
    int64_t   era, rest, year;
    unsigned  months;

    days += 719468 + 146097;

    era = days / 146097;
    rest = days % 146097;

    /* neither the fourth, the hundredth nor the last leap day makes a year */

    year = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    rest -= year * 365 + year / 4 - year / 100;
    months = (unsigned) ((5 * rest + 2) / 153);

    f->day = (unsigned) rest - (153 * months + 2) / 5 + 1;
    f->month = months < 10 ? months + 3 : months - 9;
    f->year = (unsigned) (era * 400 + year - 400 + (months < 10 ? 0 : 1));
}


int
ngx_smart_time_seconds(double seconds, int64_t *us)
{
    double  value;

    value = seconds * NGX_SMART_TIME_SECOND;

    /* not a number is in no range */

    if (!(value >= (double) NGX_SMART_TIME_MIN
          && value < (double) NGX_SMART_TIME_MAX))
    {
        return -1;
    }

    *us = (int64_t) (value < 0 ? value - 0.5 : value + 0.5);

    return 0;
}


void
ngx_smart_time_format(char *p, int64_t us)
{
    int64_t                  seconds, days;
    unsigned                 rest;
    ngx_smart_time_fields_t  f;

    if (us < NGX_SMART_TIME_MIN) {
        us = NGX_SMART_TIME_MIN;
    }

    if (us > NGX_SMART_TIME_MAX) {
        us = NGX_SMART_TIME_MAX;
    }

    /* from the year 1 on, where nothing is negative */

    us -= NGX_SMART_TIME_MIN;

    seconds = us / NGX_SMART_TIME_SECOND;
    days = seconds / NGX_SMART_TIME_DAY;
    rest = (unsigned) (seconds % NGX_SMART_TIME_DAY);

    days += NGX_SMART_TIME_MIN / NGX_SMART_TIME_SECOND / NGX_SMART_TIME_DAY;

    ngx_smart_time_civil(days, &f);

    p = ngx_smart_time_write(p, f.year, 4, '-');
    p = ngx_smart_time_write(p, f.month, 2, '-');
    p = ngx_smart_time_write(p, f.day, 2, 'T');
    p = ngx_smart_time_write(p, rest / 3600, 2, ':');
    p = ngx_smart_time_write(p, rest / 60 % 60, 2, ':');
    p = ngx_smart_time_write(p, rest % 60, 2, '.');

    (void) ngx_smart_time_write(p, (unsigned) (us % NGX_SMART_TIME_SECOND), 6,
                                'Z');
}


static char *
ngx_smart_time_write(char *p, unsigned value, unsigned digits, char after)
{
    unsigned  i;

    for (i = digits; i; i--) {
        p[i - 1] = (char) ('0' + value % 10);
        value /= 10;
    }

    p[digits] = after;

    return p + digits + 1;
}
