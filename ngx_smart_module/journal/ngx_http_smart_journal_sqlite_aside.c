
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The SQLite store: corrupt files get another name.
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ngx_http_smart_journal_sqlite.h"


#define NGX_HTTP_SMART_JOURNAL_SQLITE_SUFFIX  64


static int ngx_http_smart_journal_sqlite_rename(const char *path,
    const char *suffix, const char *tail);


unsigned
ngx_http_smart_journal_sqlite_set_aside(const char *path,
    ngx_http_smart_journal_error_t *error)
{
    int        err;
    char       name[NGX_HTTP_SMART_JOURNAL_SQLITE_SUFFIX];
    char       suffix[NGX_HTTP_SMART_JOURNAL_SQLITE_SUFFIX + 8];
    time_t     now;
    unsigned   i;
    struct tm  tm;

    now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(name, sizeof(name), ".corrupt-%Y%m%dT%H%M%SZ", &tm);

    err = EEXIST;

    for (i = 0; i < 100 && err == EEXIST; i++) {

        snprintf(suffix, sizeof(suffix), i ? "%s.%u" : "%s", name, i);

        err = ngx_http_smart_journal_sqlite_rename(path, suffix, "");
    }

    if (err) {
        snprintf(error->text, sizeof(error->text),
                 "is corrupt and cannot be renamed: %s", strerror(err));
        return 0;
    }

    (void) ngx_http_smart_journal_sqlite_rename(path, suffix, "-wal");
    (void) ngx_http_smart_journal_sqlite_rename(path, suffix, "-shm");

    snprintf(error->text, sizeof(error->text),
             "is corrupt: its name ends in \"%s\" now, and a new one begins",
             suffix);

    return 1;
}


/* PATHtail to PATHsuffixtail; 0, or errno */
static int
ngx_http_smart_journal_sqlite_rename(const char *path, const char *suffix,
    const char *tail)
{
    int     err;
    char   *from, *to;
    size_t  size;

    size = strlen(path) + strlen(suffix) + strlen(tail) + 1;

    from = malloc(size);
    to = malloc(size);
    err = ENOMEM;

    if (from && to) {

        snprintf(from, size, "%s%s", path, tail);
        snprintf(to, size, "%s%s%s", path, suffix, tail);

        /* unlike rename(), this refuses to replace a file */

        err = link(from, to) == 0 ? 0 : errno;

        if (err == EPERM || err == EOPNOTSUPP || err == ENOSYS) {
            err = access(to, F_OK) == 0 ? EEXIST
                  : rename(from, to) == 0 ? 0 : errno;

        } else if (err == 0 && unlink(from) == -1) {
            err = errno;
        }
    }

    free(from);
    free(to);

    return err;
}
