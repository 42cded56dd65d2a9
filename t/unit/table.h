
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Case tables: a row per line, columns between tabs.  A line that starts with
 * "#" is a comment.  Escapes: \0 \t \n \r \\ \xHH, \- for nothing at all, and
 * \{400}9 for 400 times what follows.
 */

#ifndef _TABLE_H_INCLUDED_
#define _TABLE_H_INCLUDED_


#include "tap.h"


#define TABLE_COLUMNS  4
#define TABLE_LINE     1024
#define TABLE_CELL     2048


typedef struct {
    char         data[TABLE_CELL];
    size_t       len;
    const char  *raw;            /* as the file has it, for names of tests */
} table_cell_t;


typedef struct {
    const char    *path;
    FILE          *file;
    unsigned       line;
    unsigned       columns;
    char           text[TABLE_LINE];
    table_cell_t   cells[TABLE_COLUMNS];
} table_t;


/* a copy with nothing that may be read behind it, even if it is empty */
static inline char *
table_copy(const char *p, size_t len, char **block)
{
    char  *copy;

    *block = malloc(len ? len : 1);

    if (*block == NULL) {
        tap_die("malloc()", "out of memory");
    }

    copy = len ? *block : *block + 1;
    memcpy(copy, p, len);

    return copy;
}


/* p printable and in one line, in memory that the next call reuses */
static inline const char *
table_print(const char *p, size_t len)
{
    size_t       i, n;
    static char  text[TABLE_CELL];

    n = 0;

    for (i = 0; i < len && n < sizeof(text) - 8; i++) {

        if (p[i] >= ' ' && p[i] <= '~' && p[i] != '\\') {
            text[n++] = p[i];
            continue;
        }

        n += (size_t) snprintf(text + n, 8, "\\x%02x", (unsigned char) p[i]);
    }

    text[n] = '\0';

    return text;
}


static inline void
table_cell(table_t *t, table_cell_t *cell, char *p)
{
    char       c;
    char      *end;
    size_t     times;
    unsigned   code;

    cell->raw = p;
    cell->len = 0;
    times = 1;

    while (*p) {
        c = *p++;

        if (c == '\\') {
            c = *p++;

            switch (c) {
            case '0':  c = '\0'; break;
            case 't':  c = '\t'; break;
            case 'n':  c = '\n'; break;
            case 'r':  c = '\r'; break;
            case '\\': break;
            case '-':  continue;

            case 'x':
                if (sscanf(p, "%2x", &code) != 1) {
                    tap_die(t->path, "two hexadecimal digits expected");
                }

                c = (char) code;
                p += 2;
                break;

            case '{':
                times = strtoul(p, &end, 10);
                p = end + 1;
                continue;

            default:
                tap_die(t->path, "unknown escape");
            }
        }

        if (times >= sizeof(cell->data) - cell->len) {
            tap_die(t->path, "too long");
        }

        memset(cell->data + cell->len, c, times);
        cell->len += times;
        times = 1;
    }

    cell->data[cell->len] = '\0';
}


static inline void
table_open(table_t *t, const char *path, unsigned columns)
{
    t->path = path;
    t->line = 0;
    t->columns = columns;
    t->file = fopen(path, "r");

    if (t->file == NULL) {
        tap_die(path, "cannot be opened");
    }
}


/* 0 at the end, where the table is closed; missing columns are empty */
static inline int
table_next(table_t *t)
{
    char      *p, *tab;
    unsigned   i;

    do {
        if (fgets(t->text, sizeof(t->text), t->file) == NULL) {
            fclose(t->file);
            return 0;
        }

        t->line++;

    } while (t->text[0] == '#' || t->text[0] == '\n');

    if (strchr(t->text, '\n') == NULL) {
        tap_die(t->path, "a line is too long or has no end");
    }

    *strchr(t->text, '\n') = '\0';
    p = t->text;

    for (i = 0; i < t->columns; i++) {
        tab = strchr(p, '\t');

        if (tab) {
            *tab = '\0';
        }

        table_cell(t, &t->cells[i], p);
        p = tab ? tab + 1 : p + strlen(p);
    }

    if (*p) {
        tap_die(t->path, "a row has too many columns");
    }

    return 1;
}


#endif /* _TABLE_H_INCLUDED_ */
